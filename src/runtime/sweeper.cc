#include <string_view>
#include <unordered_set>

#include "runtime/helpers.h"
#include "sys/clock.h"
#include "sys/process.h"
#include "sys/process_environment.h"
#include "sys/signals.h"
#include "task/record.h"

namespace te {

bool sweep_marked(const std::unordered_set<std::string_view>& uids) {
  struct Killer final : sys::MarkVisitor {
    explicit Killer(const std::unordered_set<std::string_view>& wanted) : uids(wanted) {}
    const std::unordered_set<std::string_view>& uids;
    bool found = false;
    void visit(int pidfd, std::string_view value) override {
      if (!uids.contains(value)) return;
      found = true;
      (void)sys::send_signal(pidfd, SIGKILL).ok();
    }
  } killer(uids);
  sigset_t none;
  ::sigemptyset(&none);
  // Twice: a child that is forked behind the place that a look at all processes has come to is seen by the next one.
  constexpr int kCleanLooks = 2;
  for (int clean = 0; clean < kCleanLooks; ++clean) {
    killer.found = false;
    if (!sys::visit_marked(kRunMark, killer)) return false;
    if (!killer.found) continue;
    clean = -1;
    // The killed need a moment to die, and one of them may have forked just before.
    sys::wait_signal(none, sys::mono_now() + 5 * kMillisecond);
  }
  return true;
}

int run_sweeper(int argc, char** argv) {
  std::unordered_set<std::string_view> uids;
  for (int i = 1; i < argc; ++i) uids.insert(argv[i]);
  return sweep_marked(uids) ? 0 : 1;
}

}  // namespace te

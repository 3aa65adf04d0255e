#include <string>
#include <utility>
#include <vector>

#include "runtime/helpers.h"
#include "sys/clock.h"
#include "sys/fs.h"
#include "sys/process.h"
#include "sys/process_environment.h"
#include "sys/signals.h"
#include "sys/supervise.h"
#include "task/record.h"

namespace te {

bool sweep_marked(std::span<Swept> uids) {
  struct Killer final : sys::MarkVisitor {
    explicit Killer(std::span<Swept> wanted) : uids(wanted) {}
    std::span<Swept> uids;
    bool found = false;
    void visit(int pidfd, std::string_view value) override {
      for (Swept& one : uids) {
        if (one.uid != value) continue;
        one.seen = found = true;
        (void)sys::send_signal(pidfd, SIGKILL).ok();
      }
    }
  } killer(uids);
  // One that the kernel keeps (frozen, or in a call that does not return), or that is not ours to kill, must not keep
  // the others waiting.
  const MonoNanos give_up = sys::mono_now() + kSecond;
  sigset_t none;
  ::sigemptyset(&none);
  // Twice: a child that is forked behind the place that a look at all processes has come to is seen by the next one.
  constexpr int kCleanLooks = 2;
  for (int clean = 0; clean < kCleanLooks; ++clean) {
    const bool last = sys::mono_now() > give_up;  // never the first look
    for (Swept& one : uids) one.seen_before = std::exchange(one.seen, false);
    killer.found = false;
    if (!sys::visit_marked(kRunMark, killer)) return false;
    if (!killer.found) continue;
    if (last) break;
    clean = -1;
    // The killed need a moment to die, and one of them may have forked just before.
    sys::wait_signal(none, sys::mono_now() + 5 * kMillisecond);
  }
  return true;
}

int run_sweeper(int argc, char** argv) {
  (void)sys::die_with_parent().ok();  // the next agent has one of its own
  std::vector<Swept> uids;
  for (int i = 1; i < argc; ++i) uids.push_back({argv[i]});
  if (!sweep_marked(uids)) return 1;
  std::string left;
  for (const Swept& one : uids) {
    if (one.left()) left += one.uid;
  }
  return sys::write_all(kSweeperLeftFd, left) ? 0 : 1;
}

}  // namespace te

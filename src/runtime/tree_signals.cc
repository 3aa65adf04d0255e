#include "runtime/tree_signals.h"

#include <signal.h>

#include <algorithm>

#include "sys/process.h"
#include "sys/supervise.h"

namespace te {

namespace {

/// To each descendant that `wanted` says yes to. One that another user owns and that we may not signal is met again by
/// KILL, and told by `leftover`.
template <class Wanted>
void signal_descendants(int number, Wanted wanted) {
  struct Signaller final : sys::DescendantVisitor {
    Signaller(int signal, Wanted& filter) : number(signal), wanted(filter) {}
    void visit(int pidfd, const sys::ProcStat& stat) override {
      if (wanted(stat)) (void)sys::send_signal(pidfd, number).ok();
    }
    int number;
    Wanted& wanted;
  } signaller(number, wanted);
  sys::visit_descendants(sys::self_pid(), signaller);
}

}  // namespace

void TreeSignals::begin(int32_t leader) {
  newest_ = sys::newest_pid();
  told_.clear();
  // Main leads its group from before its exec on, and as long as it is not reaped the number is its own. A group that
  // can't be told is told one by one.
  group_ = leader != 0 && sys::signal_child_group(leader, SIGTERM) ? leader : 0;
  signal_descendants(SIGTERM, [&](const sys::ProcStat& stat) {
    told_.push_back(stat.id.pid);
    return !is_spared(stat.id.pid) && (group_ == 0 || stat.group != group_);
  });
}

bool TreeSignals::is_spared(int32_t pid) const {
  return std::find(spared_.begin(), spared_.end(), pid) != spared_.end();
}

// From one number to the next, and around at the end (pid_max, proc(5)).
bool TreeSignals::is_older(int32_t pid, int32_t newest_now) const {
  const bool newer = newest_ <= newest_now ? pid > newest_ && pid <= newest_now : pid > newest_ || pid <= newest_now;
  return !newer;
}

void TreeSignals::again() {
  const int32_t newest_now = sys::newest_pid();
  if (newest_ == 0 || newest_now == 0) return;
  signal_descendants(SIGTERM, [&](const sys::ProcStat& stat) {
    const int32_t pid = stat.id.pid;
    if (!is_older(pid, newest_now) || std::find(told_.begin(), told_.end(), pid) != told_.end()) return false;
    told_.push_back(pid);
    return !is_spared(pid) && (group_ == 0 || stat.group != group_);
  });
}

void TreeSignals::kill(int32_t leader) const {
  if (leader != 0) sys::signal_child_group(leader, SIGKILL);
  signal_descendants(SIGKILL, [this](const sys::ProcStat& stat) { return !is_spared(stat.id.pid); });
}

}  // namespace te

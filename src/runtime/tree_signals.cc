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
  signal_descendants(SIGTERM,
                     [&](const sys::ProcStat& stat) { return (newest_ == 0 || is_older(stat)) && tell(stat); });
}

void TreeSignals::wake_spared() const {
  for (const int32_t pid : spared_) sys::continue_child(pid);
}

bool TreeSignals::is_spared(int32_t pid) const { return std::ranges::find(spared_, pid) != spared_.end(); }

// From one number to the next, and around at the end (pid_max, proc(5)). The newest of now is asked for when the
// process has been seen, for it may have been forked during this very walk.
bool TreeSignals::is_older(const sys::ProcStat& stat) const {
  const int32_t pid = stat.id.pid;
  const int32_t newest_now = sys::newest_pid();
  const bool newer = newest_ <= newest_now ? pid > newest_ && pid <= newest_now : pid > newest_ || pid <= newest_now;
  return newest_now != 0 && !newer;
}

/// Whether it is to have its TERM now.
bool TreeSignals::tell(const sys::ProcStat& stat) {
  const int32_t pid = stat.id.pid;
  told_.push_back(pid);
  return !is_spared(pid) && (group_ == 0 || (stat.group != group_ && pid != group_));
}

void TreeSignals::again() {
  if (newest_ == 0) return;
  signal_descendants(SIGTERM, [&](const sys::ProcStat& stat) {
    const bool told = std::ranges::find(told_, stat.id.pid) != told_.end();
    return !told && is_older(stat) && tell(stat);
  });
}

void TreeSignals::kill(int32_t leader) const {
  if (leader != 0) sys::signal_child_group(leader, SIGKILL);
  signal_descendants(SIGKILL, [this](const sys::ProcStat& stat) { return !is_spared(stat.id.pid); });
}

}  // namespace te

// The signals that end a task's tree, sent by its supervisor to all of its descendants.
//
// TERM is for those that are there when the stop begins, once each: what a handler of theirs forks to clean up is not
// hit. /proc shows a tree while it changes, and one walk may miss a process that just loses its parent; so the walk is
// done again, for those only that are older than the stop. Older is told by the pid: the kernel gives them out in
// order.
#pragma once

#include <cstdint>
#include <vector>

#include "sys/process.h"

namespace te {

class TreeSignals {
 public:
  /// An inner subreaper (inner_reaper.h), unreaped child of ours: it ends by itself when nothing is left below it.
  void spare(int32_t pid) { spared_.push_back(pid); }
  /// Its task may have stopped it, which SIGCHLD tells us.
  void wake_spared() const;
  /// It has been reaped. False: it was none.
  bool forget_spared(int32_t pid) { return std::erase(spared_, pid) != 0; }

  /// TERM to all. `leader` leads the process group of main, our unreaped child; 0: main has been reaped.
  void begin(int32_t leader);
  /// TERM to those that the walks before have missed.
  void again();
  /// KILL to whatever is there; to be repeated until nothing is.
  void kill(int32_t leader) const;

 private:
  bool is_older(const sys::ProcStat& stat) const;
  bool tell(const sys::ProcStat& stat);
  bool is_spared(int32_t pid) const;

  std::vector<int32_t> spared_;  ///< of main, and of a hook that has left others behind
  int32_t newest_ = 0;           ///< pid when the stop began; 0: not known, there is no second walk
  int32_t group_ = 0;            ///< has had its TERM as a group
  std::vector<int32_t> told_;    ///< pids; one of an older process can't come again as another's
};

}  // namespace te

// The inner subreaper: stands between the supervisor and a task that runs in a PID namespace of its own.
//
// The kernel gives an orphan to a subreaper of the same PID namespace only; past that, to the namespace's init, which
// is not ours. So where the main container has its own PID namespace, this process is the first of the task's in there:
// a child of the supervisor, in the namespaces and the root of the main container, without a capability, a descriptor
// of the task's directory, or a file of ours to exec. It starts the task, reaps, tells the supervisor how the task
// ended, and ends when nothing of the tree is left. It dies with the supervisor, and the task with it.
#pragma once

#include <cstdint>
#include <string_view>

#include "sys/fd.h"
#include "task/record.h"

namespace te {

constexpr const char* kInnerReaperName = "task-subreaper";

/// What goes through the socket between the children on their way and the supervisor: one message a step.
struct HeldMessage {
  StartStage stage = StartStage::kNone;  ///< what failed
  int32_t error = 0;                     ///< errno
  int32_t inner = 0;                     ///< the inner subreaper's pid; 0: none is needed
};
// The last message is the sys::ChildEnd of the task, whose pid is the inner namespace's.

/// Waits for the supervisor's word and forks. Comes back in the child alone, which is to become the task, with the
/// subreaper's pid: its getppid(2) as long as that one lives. `report` is this process's end of the socket, `plan` the
/// mapping that only the task needs.
int32_t become_inner_reaper(Fd& report, std::string_view plan);

}  // namespace te

// The main container of the Pod, as a process: the oldest one with SANDBOX_MAIN_CONTAINER=<name> in its environment
// that is neither ours nor part of a task.
//
// Tasks inherit that entry from it, so all that descends from a supervisor is left out, and all that carries a task's
// mark. It is looked for anew whenever something is started: a main container that was restarted is another process.
#pragma once

#include <string>
#include <string_view>

#include "base/process_id.h"
#include "base/result.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace te {

constexpr std::string_view kMainContainerMark = "SANDBOX_MAIN_CONTAINER";

struct MainContainer {
  ProcessId id;
  Fd pidfd;
  Fd proc;                  ///< its directory in /proc, of this very process
  std::string environment;  ///< NUL-separated, as it was exec'd with
};

/// ESRCH: there is no such process. EACCES, EPERM: one can't look at the others (SYS_PTRACE is missing).
/// `own` is the agent's program, `patience` how long one that is between two programs may be waited for.
Result<MainContainer> find_main_container(std::string_view name, const sys::ProgramFile& own, MonoNanos patience);
/// Whether the process is still that one, and alive.
bool still_alive(const MainContainer& found);

}  // namespace te

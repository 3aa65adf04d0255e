// Processes: held by pidfds, found through /proc. spawn.h makes them.
//
// A bare pid is never signalled: a pidfd is opened first, and what /proc says is read afterwards. Should the number
// have been given to another process in between, then the pidfd's own process is dead, and a signal to it is an ESRCH.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/process_id.h"
#include "base/result.h"
#include "base/time.h"
#include "sys/fd.h"

namespace te::sys {

Result<Fd> open_pidfd(int32_t pid);
/// A descriptor on the running program, good for execveat(2).
Result<Fd> open_self();
/// The same, but a sealed copy in memory: a process that has it as its program and gets among strangers gives them
/// nothing to write to (CVE-2019-5736).
Result<Fd> open_self_sealed();
/// Signal by pidfd; a process that is gone already is no error.
Result<void> send_signal(int pidfd, int signal);
/// The pidfd of the process, if it is still that one; an invalid Fd when it has gone.
Result<Fd> open_process(const ProcessId& id);
/// The pidfd of a process of that number that we may signal and /proc does not show us (hidepid, proc(5)): who asks
/// must know otherwise that it is still that one. An invalid Fd when there is none.
Fd open_hidden_process(int32_t pid);

/// How a child ended.
struct ChildEnd {
  int32_t pid = 0;
  int status = 0;  ///< as wait4(2)
  rusage usage{};
};
/// Reap the child behind a pidfd if it has ended. Not our child: ECHILD.
Result<std::optional<ChildEnd>> reap(int pidfd);
/// Reap a child if it has ended; -1: any one (ECHILD: there are none at all). A pid of 0 in the end: there was none,
/// but a child that asks to be traced by us was stopped, and goes on. It may be so again at once, as often as it likes.
Result<std::optional<ChildEnd>> reap_child(int32_t pid);

/// The pid of some child of the caller that has ended and is not reaped yet; it stays so. None: nothing.
std::optional<int32_t> peek_ended_child();

/// A child that is not reaped yet.
bool child_has_ended(int32_t pid);
/// Wait for a child that is about to end, and forget how.
void wait_child(int32_t pid);

/// Fields of /proc/<pid>/stat (proc(5)).
struct ProcStat {
  ProcessId id;
  int32_t parent = 0;
  int32_t group = 0;
  char state = '?';
  bool kernel_thread = false;
  bool execed = false;   ///< since it was forked; of a dead one too
  bool exiting = false;  ///< this thread
  int32_t threads = 0;
  uint64_t environment_start = 0;  ///< address
  uint64_t environment_end = 0;    ///< 0: no memory any more, or a new one that exec(2) has not filled yet
  std::array<char, 16> comm{};     ///< NUL-terminated, at most 15 characters

  std::string_view name() const { return comm.data(); }
  /// Reaping is all that is left to do. A leader that has ended before its other threads reads 'Z' too, and is not.
  bool dead() const { return (state == 'Z' || state == 'X') && threads <= 1; }
  bool has_empty_environment() const { return environment_end != 0 && environment_end == environment_start; }
};
std::optional<ProcStat> read_stat(int32_t pid);

/// The pid that was given out last in our PID namespace (/proc/loadavg, proc(5)); 0 when that can't be read.
int32_t newest_pid();

/// Calls visit(pidfd, stat) for each living descendant of `root` (zombies and root itself left out), parents first.
/// What forks meanwhile may be missed; who needs all of them asks again. Of the caller's own child that /proc hides
/// only its pid is told.
class DescendantVisitor {
 public:
  virtual ~DescendantVisitor() = default;
  virtual void visit(int pidfd, const ProcStat& stat) = 0;
};
void visit_descendants(int32_t root, DescendantVisitor& visitor);
/// How many living descendants there are, up to `most`; children of root itself that are called `helper` are none.
uint32_t count_descendants(int32_t root, uint32_t most, std::string_view helper = {});
/// The one child of a process that has one; 0 when it has none.
int32_t only_child(int32_t parent);

/// Where a program is stored.
struct ProgramFile {
  uint64_t device = 0;
  uint64_t inode = 0;
  bool operator==(const ProgramFile&) const = default;
};
/// /proc/PID/exe of the process behind `proc`.
Result<ProgramFile> program_of(int proc);
Result<ProgramFile> program_of_self();

/// How a process ended that is another one's child: its wait status, once that is known. As long as it is not reaped
/// /proc tells it to whom it may (field 52 of stat, proc(5); `pid` is its number), afterwards its pidfd
/// (PIDFD_GET_INFO, Linux 6.15). Waits at most until `deadline`; nothing when the kernel can't or won't tell.
std::optional<int32_t> wait_status_of(int pidfd, int32_t pid, MonoNanos deadline);

}  // namespace te::sys

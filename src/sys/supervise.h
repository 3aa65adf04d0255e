// What only a supervisor asks of the kernel.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "sys/fd.h"

namespace te::sys {

/// Own session, child subreaper, not dumpable, named `name`, umask 022, all signals blocked, and no descriptor from
/// `kFirstForeignFd` on. Error: it is no child subreaper, and would not see what its task leaves behind.
constexpr unsigned kFirstForeignFd = 5;
Result<void> become_supervisor(const char* name);

int32_t self_pid();
/// One of SIGTERM and SIGUSR1 is waiting; it is taken.
bool stop_requested();
/// The same, and it stays where it is.
bool stop_pending();
/// poll(2), at most so many milliseconds; the end of the other side counts as readable.
bool readable_within(int fd, int milliseconds);
/// KILL to our own child, that is not reaped yet.
void kill_child(int32_t pid);
/// CONT to it.
void continue_child(int32_t pid);
/// SIGCHLD, SIGTERM, SIGUSR1, or SIGIO (signal_when_readable); 0 when the deadline has passed. When nothing has come
/// for a moment the wait goes on small (small_wait.h).
int wait_supervisor_signal(MonoNanos deadline);
/// To the process group that our own unreaped child `leader` leads. False: to none of it.
bool signal_child_group(int32_t leader, int signal);

/// A connected pair of stream sockets, CLOEXEC.
struct SocketPair {
  Fd here;
  Fd there;
};
Result<SocketPair> socket_pair();

/// A pipe, CLOEXEC.
struct Pipe {
  Fd read;
  Fd write;
};
Result<Pipe> make_pipe();
/// From now on SIGIO comes whenever there is something to read (O_ASYNC, fcntl(2)), and reading never waits.
Result<void> signal_when_readable(int fd);
/// Bytes read; 0 at the end; kWouldBlock (net.h) when there are none now.
Result<int64_t> read_some(int fd, char* to, size_t size);

/// fork(2): 0 in the child.
Result<int32_t> fork_child();
/// _exit(2): nothing that is the parent's too is touched.
[[noreturn]] void end_process(int status);

/// A whole file mapped for reading.
Result<std::string_view> map_file(int fd);
void unmap(std::string_view bytes);

/// Of a child on its way to exec: own session, RLIMIT_NOFILE. Dispositions are the defaults already: the agent has
/// reset them, and none of its processes ignores a signal.
void prepare_child(uint64_t nofile_soft, uint64_t nofile_hard);
/// Of the inner subreaper (inner_reaper.h): named, not dumpable, and dying with its parent.
Result<void> become_subreaper(const char* name);
int32_t parent_pid();
/// No descriptor is left but `fd`, and 0, which stands for 1 and 2 too.
void keep_only(int fd);

/// Die with the parent (PR_SET_PDEATHSIG); after every change of credentials, which clears it.
Result<void> die_with_parent();
Result<void> set_owner(int fd, const uint32_t* user, const uint32_t* group);
Result<void> replace_fd(int from, int to);
Result<void> change_dir(const char* path);
/// execve(2) with an empty signal mask; returns the errno, mask blocked again.
int exec(const char* path, const char* const* argv, const char* const* envp);

}  // namespace te::sys

#include "sys/supervise.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

#include "sys/clock.h"
#include "sys/fs.h"
#include "sys/net.h"
#include "sys/signals.h"
#include "sys/small_wait.h"

namespace te::sys {

namespace {

sigset_t signals(std::initializer_list<int> numbers) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : numbers) ::sigaddset(&set, number);
  return set;
}

/// Both ends included; older kernels than 5.9 have no close_range(2).
void close_from(unsigned first, unsigned last) {
  if (first > last || ::syscall(SYS_close_range, first, last, 0U) == 0) return;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  for (rlim_t fd = first; fd < limit.rlim_cur && fd <= last; ++fd) ::close(static_cast<int>(fd));
}

}  // namespace

Result<void> become_supervisor(const char* name) {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
  ::prctl(PR_SET_NAME, name, 0UL, 0UL, 0UL);
  ::prctl(PR_SET_DUMPABLE, 0UL, 0UL, 0UL, 0UL);
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0UL, 0UL, 0UL) != 0) return system_error("PR_SET_CHILD_SUBREAPER");
  ::setsid();
  ::umask(022);
  close_from(kFirstForeignFd, UINT_MAX);
  for (unsigned fd = 3; fd < kFirstForeignFd; ++fd) ::fcntl(static_cast<int>(fd), F_SETFD, FD_CLOEXEC);
  return {};
}

int32_t self_pid() { return ::getpid(); }

bool stop_requested() { return wait_signal(signals({SIGTERM, SIGUSR1}), 0) != 0; }

bool stop_pending() {
  sigset_t pending;
  return ::sigpending(&pending) == 0 &&
         (::sigismember(&pending, SIGTERM) == 1 || ::sigismember(&pending, SIGUSR1) == 1);
}

bool readable_within(int fd, int milliseconds) {
  pollfd one{fd, POLLIN, 0};
  return ::poll(&one, 1, milliseconds) > 0;
}

void kill_child(int32_t pid) {
  if (pid > 1) ::kill(pid, SIGKILL);
}

void continue_child(int32_t pid) {
  if (pid > 1) ::kill(pid, SIGCONT);
}

int wait_supervisor_signal(MonoNanos deadline) {
  constexpr MonoNanos kMoment = 50 * kMillisecond;  // most tasks are over before
  const sigset_t set = signals({SIGCHLD, SIGTERM, SIGUSR1, SIGIO});
  const MonoNanos moment = mono_now() + kMoment;
  const int signal = wait_signal(set, std::min(deadline, moment));
  return signal != 0 || deadline <= moment ? signal : wait_signal_small(set, deadline);
}

bool signal_child_group(int32_t leader, int signal) { return leader > 1 && ::kill(-leader, signal) == 0; }

Result<SocketPair> socket_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return system_error("socketpair");
  return SocketPair{Fd(ends[0]), Fd(ends[1])};
}

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return system_error("pipe2");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

Result<void> signal_when_readable(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETOWN, ::getpid()) != 0 || ::fcntl(fd, F_SETFL, flags | O_ASYNC | O_NONBLOCK) != 0) {
    return system_error("fcntl");
  }
  return {};
}

Result<int64_t> read_some(int fd, char* to, size_t size) {
  for (;;) {
    const ssize_t n = ::read(fd, to, size);
    if (n >= 0) return static_cast<int64_t>(n);
    if (errno == EAGAIN) return kWouldBlock;
    if (errno != EINTR) return system_error("read");
  }
}

Result<int32_t> fork_child() {
  const pid_t pid = ::fork();
  if (pid < 0) return system_error("fork");
  return pid;
}

void end_process(int status) { ::_exit(status); }

Result<std::string_view> map_file(int fd) {
  const int64_t size = TRY(file_size(fd));
  if (size == 0) return std::string_view();
  void* at = ::mmap(nullptr, static_cast<size_t>(size), PROT_READ, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return system_error("mmap");
  return std::string_view(static_cast<const char*>(at), static_cast<size_t>(size));
}

void unmap(std::string_view bytes) {
  if (!bytes.empty()) ::munmap(const_cast<char*>(bytes.data()), bytes.size());
}

void prepare_child(uint64_t nofile_soft, uint64_t nofile_hard) {
  ::setsid();
  const rlimit limit{nofile_soft, nofile_hard};
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Result<void> become_subreaper(const char* name) {
  ::prctl(PR_SET_NAME, name, 0UL, 0UL, 0UL);
  ::prctl(PR_SET_DUMPABLE, 0UL, 0UL, 0UL, 0UL);
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0UL, 0UL, 0UL) != 0) return system_error("PR_SET_CHILD_SUBREAPER");
  return die_with_parent();
}

int32_t parent_pid() { return ::getppid(); }

void keep_only(int fd) {
  ::dup2(0, 1);
  ::dup2(0, 2);
  const auto kept = static_cast<unsigned>(fd);
  close_from(3, kept - 1);
  close_from(kept + 1, UINT_MAX);
}

Result<void> die_with_parent() {
  if (::prctl(PR_SET_PDEATHSIG, static_cast<unsigned long>(SIGKILL), 0UL, 0UL, 0UL) != 0) {
    return system_error("PR_SET_PDEATHSIG");
  }
  return {};
}

Result<void> set_owner(int fd, const uint32_t* user, const uint32_t* group) {
  const auto unchanged = static_cast<uint32_t>(-1);
  if (::fchown(fd, user != nullptr ? *user : unchanged, group != nullptr ? *group : unchanged) != 0) {
    return system_error("fchown");
  }
  return {};
}

Result<void> replace_fd(int from, int to) {
  if (::dup2(from, to) < 0) return system_error("dup2");
  return {};
}

Result<void> change_dir(const char* path) {
  if (::chdir(path) != 0) return system_error("chdir", path);
  return {};
}

int exec(const char* path, const char* const* argv, const char* const* envp) {
  sigset_t none;
  sigset_t before;
  ::sigemptyset(&none);
  ::pthread_sigmask(SIG_SETMASK, &none, &before);
  ::execve(path, const_cast<char* const*>(argv), const_cast<char* const*>(envp));
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return error;
}

}  // namespace te::sys

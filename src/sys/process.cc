#include "sys/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "base/size.h"
#include "sys/clock.h"
#include "sys/fs.h"

namespace te::sys {

namespace {

std::string_view proc_path(std::array<char, 64>& buffer, int32_t pid, std::string_view tail) {
  char* at = buffer.data();
  constexpr std::string_view kProc = "/proc/";
  std::memcpy(at, kProc.data(), kProc.size());
  at = std::to_chars(at + kProc.size(), buffer.data() + 32, pid).ptr;
  std::memcpy(at, tail.data(), tail.size());
  return {buffer.data(), static_cast<size_t>(at - buffer.data()) + tail.size()};
}

template <class T>
bool take_number(std::string_view& text, T& out) {
  const size_t start = std::min(text.find_first_not_of(' '), text.size());
  auto [end, error] = std::from_chars(text.data() + start, text.data() + text.size(), out);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

bool skip_fields(std::string_view& text, int count) {
  for (; count > 0; --count) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    text.remove_prefix(std::min(text.find(' '), text.size()));
  }
  return !text.empty();
}

}  // namespace

Result<Fd> open_pidfd(int32_t pid) {
  const long fd = ::syscall(SYS_pidfd_open, pid, 0);
  if (fd < 0) return system_error("pidfd_open");
  return Fd(static_cast<int>(fd));
}

Result<Fd> open_self() {
  Result<Fd> fd = open_at(AT_FDCWD, "/proc/self/exe", O_RDONLY);
  if (fd) return fd;
  // No /proc: the path that the kernel was given (getauxval(3), AT_EXECFN).
  const auto* path = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));  // NOLINT(performance-no-int-to-ptr)
  return open_at(AT_FDCWD, path != nullptr ? path : "", O_RDONLY);
}

Result<Fd> open_self_sealed() {
  const Fd self = TRY(open_self());
  constexpr unsigned kExec = 0x10;  // MFD_EXEC, Linux 6.3
  int raw = ::memfd_create("task-executor", MFD_CLOEXEC | MFD_ALLOW_SEALING | kExec);
  if (raw < 0 && errno == EINVAL) raw = ::memfd_create("task-executor", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (raw < 0) return system_error("memfd_create");
  const Fd copy(raw);
  const int64_t size = TRY(file_size(self.get()));
  for (off_t at = 0; at < size;) {
    if (::sendfile(copy.get(), self.get(), &at, static_cast<size_t>(size - at)) <= 0) return system_error("sendfile");
  }
  if (::fcntl(copy.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return system_error("seal");
  }
  // What is open for writing can't be exec'd (ETXTBSY).
  return open_at(AT_FDCWD, "/proc/self/fd/" + std::to_string(copy.get()), O_RDONLY);
}

Result<void> send_signal(int pidfd, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) != 0 && errno != ESRCH) {
    return system_error("pidfd_send_signal");
  }
  return {};
}

Result<Fd> open_process(const ProcessId& id) {
  Result<Fd> pidfd = open_pidfd(id.pid);
  if (!pidfd && (pidfd.error().code == ESRCH || pidfd.error().code == EINVAL)) return Fd();
  if (!pidfd) return pidfd;
  const std::optional<ProcStat> stat = read_stat(id.pid);
  if (!stat || stat->id != id) return Fd();
  return pidfd;
}

Fd open_hidden_process(int32_t pid) {
  Result<Fd> pidfd = open_pidfd(pid);
  if (!pidfd || read_stat(pid) || ::syscall(SYS_pidfd_send_signal, pidfd->get(), 0, nullptr, 0) != 0) return Fd();
  return std::move(pidfd).value();
}

namespace {

/// A child that has asked to be traced by us (PTRACE_TRACEME, ptrace(2)) tells its stops like ends, whatever was asked
/// for. It goes on as it would have without. False: that was an end.
bool was_stop(pid_t pid, int status) {
  if (!WIFSTOPPED(status)) return false;
  const long signal = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);  // SIGTRAP: of its exec
  ::ptrace(PTRACE_DETACH, pid, nullptr, signal);
  return true;
}

}  // namespace

Result<std::optional<ChildEnd>> reap_child(int32_t pid) {
  ChildEnd end;
  const pid_t got = ::wait4(pid, &end.status, WNOHANG | __WALL, &end.usage);
  if (got < 0) return system_error("wait4");
  if (got == 0) return std::optional<ChildEnd>();
  if (!was_stop(got, end.status)) end.pid = got;
  return std::optional<ChildEnd>(end);
}

Result<std::optional<ChildEnd>> reap(int pidfd) {
  siginfo_t info{};
  // Look first: wait4 gives the usage but knows pids only, and an unreaped child's pid can't have been reused.
  if (::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
    return system_error("waitid");
  }
  if (info.si_pid == 0) return std::optional<ChildEnd>();
  return reap_child(info.si_pid);
}

std::optional<int32_t> peek_ended_child() {
  siginfo_t info{};
  if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return std::nullopt;
  return info.si_pid;
}

bool child_has_ended(int32_t pid) {
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0) return true;
  return info.si_code == CLD_EXITED || info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED;  // not CLD_TRAPPED
}

void wait_child(int32_t pid) {
  int status = 0;
  for (;;) {
    const pid_t got = ::waitpid(pid, &status, __WALL);
    if (got == pid ? !was_stop(pid, status) : errno != EINTR) return;
  }
}

namespace {

/// All of /proc/<pid>/stat; nothing when there is no such process.
std::optional<std::string_view> read_stat_line(int32_t pid, std::array<char, 1024>& buffer) {
  std::array<char, 64> path;
  const Result<Fd> fd = open_at(AT_FDCWD, proc_path(path, pid, "/stat"), O_RDONLY);
  if (!fd) return std::nullopt;
  const Result<size_t> size = read_at(fd->get(), buffer.data(), buffer.size(), 0);
  if (!size) return std::nullopt;
  return std::string_view(buffer.data(), *size);
}

}  // namespace

std::optional<ProcStat> read_stat(int32_t pid) {
  std::array<char, 1024> buffer;
  const std::optional<std::string_view> line = read_stat_line(pid, buffer);
  if (!line) return std::nullopt;
  std::string_view text = *line;
  const size_t name_end = text.rfind(')');  // the name in parentheses may hold anything
  if (name_end == std::string_view::npos || name_end + 3 > text.size()) return std::nullopt;
  ProcStat stat;
  const size_t name_start = std::min(text.find('('), name_end) + 1;
  text.copy(stat.comm.data(), std::min(name_end - std::min(name_start, name_end), stat.comm.size() - 1), name_start);
  stat.id.pid = pid;
  stat.state = text[name_end + 2];
  text.remove_prefix(name_end + 3);
  constexpr uint64_t kExiting = 0x00000004;       // PF_EXITING, linux/sched.h
  constexpr uint64_t kForkNoExec = 0x00000040;    // PF_FORKNOEXEC
  constexpr uint64_t kKernelThread = 0x00200000;  // PF_KTHREAD
  uint64_t flags = 0;
  const bool whole = take_number(text, stat.parent) && take_number(text, stat.group) && skip_fields(text, 3) &&
                     take_number(text, flags) && skip_fields(text, 10) && take_number(text, stat.threads) &&
                     skip_fields(text, 1) && take_number(text, stat.id.start_ticks) && skip_fields(text, 27) &&
                     take_number(text, stat.environment_start) && take_number(text, stat.environment_end);
  if (!whole) return std::nullopt;
  stat.kernel_thread = (flags & kKernelThread) != 0;
  stat.exiting = (flags & kExiting) != 0;
  stat.execed = (flags & kForkNoExec) == 0;
  return stat;
}

int32_t newest_pid() {
  const Result<Fd> fd = open_at(AT_FDCWD, "/proc/loadavg", O_RDONLY);
  if (!fd) return 0;
  std::array<char, 128> buffer;
  const Result<size_t> size = read_at(fd->get(), buffer.data(), buffer.size(), 0);
  if (!size) return 0;
  std::string_view text(buffer.data(), *size);
  text.remove_prefix(std::min(text.size(), text.rfind(' ') + 1));  // "0.20 0.18 0.12 1/80 11206"
  int32_t pid = 0;
  return take_number(text, pid) ? pid : 0;
}

namespace {

/// Direct children of all threads of `pid`, appended.
void append_children(int32_t pid, std::vector<int32_t>& out) {
  std::array<char, 64> path;
  const Result<Fd> tasks = open_at(AT_FDCWD, proc_path(path, pid, "/task"), O_RDONLY | O_DIRECTORY);
  if (!tasks) return;
  const auto read_children = [&](std::string_view thread) {
    std::array<char, 64> name;
    constexpr std::string_view kTail = "/children";
    std::memcpy(name.data(), thread.data(), thread.size());
    std::memcpy(name.data() + thread.size(), kTail.data(), kTail.size());
    const Result<Fd> fd = open_at(tasks->get(), {name.data(), thread.size() + kTail.size()}, O_RDONLY);
    if (!fd) return;
    std::array<char, 4096> buffer;
    size_t held = 0;
    for (int64_t offset = 0;;) {
      const Result<size_t> n = read_at(fd->get(), buffer.data() + held, buffer.size() - held, offset);
      if (!n || *n == 0) break;
      offset += static_cast<int64_t>(*n);
      std::string_view text(buffer.data(), held + *n);
      const size_t whole = text.rfind(' ');  // every pid is followed by a blank
      std::string_view complete = text.substr(0, whole == std::string_view::npos ? 0 : whole + 1);
      int32_t child = 0;
      while (take_number(complete, child)) out.push_back(child);
      const size_t used = whole == std::string_view::npos ? 0 : whole + 1;
      held = text.size() - used;
      std::memmove(buffer.data(), buffer.data() + used, held);
    }
  };
  // Most processes have one thread: getdents64 into a small buffer, no DIR allocation.
  alignas(8) std::array<char, 2048> entries;
  for (;;) {
    const long n = ::syscall(SYS_getdents64, tasks->get(), entries.data(), entries.size());
    if (n <= 0) return;
    for (long at = 0; at < n;) {
      uint16_t length = 0;
      std::memcpy(&length, entries.data() + at + 16, sizeof length);  // struct linux_dirent64, getdents(2)
      const std::string_view thread(entries.data() + at + 19);
      if (!thread.starts_with('.') && thread.size() < 16) read_children(thread);
      at += length;
    }
  }
}

/// Even as one that we may not signal.
bool still_there(int pidfd) { return ::syscall(SYS_pidfd_send_signal, pidfd, 0, nullptr, 0) == 0 || errno == EPERM; }

struct Node {
  int32_t pid;
  Fd pidfd;
};

void walk(const Node& parent, DescendantVisitor& visitor, int depth) {
  // A chain this deep is a program gone wild; those below come nearer as their parents die.
  constexpr int kMaxDepth = 256;
  if (depth > kMaxDepth) return;
  std::vector<int32_t> pids;
  append_children(parent.pid, pids);
  for (const int32_t pid : pids) {
    Result<Fd> pidfd = open_pidfd(pid);
    if (!pidfd) continue;
    std::optional<ProcStat> stat = read_stat(pid);
    // Hidden (hidepid, proc(5)), or gone. That of our own child is no other's: only we reap it.
    if (!stat && !parent.pidfd.valid() && !child_has_ended(pid)) {
      stat.emplace();
      stat->id.pid = pid;
      stat->parent = parent.pid;
    }
    if (!stat || stat->parent != parent.pid) continue;
    // The parent's number has been its own all the time only if it is not reaped even now.
    if (parent.pidfd.valid() && !still_there(parent.pidfd.get())) continue;
    Node child{pid, std::move(pidfd).value()};
    if (!stat->dead()) visitor.visit(child.pidfd.get(), *stat);
    walk(child, visitor, depth + 1);
  }
}

}  // namespace

void visit_descendants(int32_t root, DescendantVisitor& visitor) {
  Node node{root, Fd()};
  if (root != ::getpid()) {
    Result<Fd> pidfd = open_pidfd(root);
    if (!pidfd) return;
    node.pidfd = std::move(pidfd).value();
  }
  walk(node, visitor, 0);
}

// Without holding each of them: a number that was given anew meanwhile is a wrong count, and no wrong signal.
uint32_t count_descendants(int32_t root, uint32_t most, std::string_view helper) {
  uint32_t count = 0;
  std::vector<int32_t> parents = {root};
  while (!parents.empty() && count < most) {
    const int32_t parent = parents.back();
    parents.pop_back();
    std::vector<int32_t> children;
    append_children(parent, children);
    for (const int32_t pid : children) {
      const std::optional<ProcStat> stat = read_stat(pid);
      if (!stat || stat->parent != parent) continue;
      const bool is_helper = parent == root && !helper.empty() && stat->name() == helper;
      if (!stat->dead() && !is_helper) ++count;
      if (count == most) break;
      parents.push_back(pid);
    }
  }
  return count;
}

int32_t only_child(int32_t parent) {
  std::vector<int32_t> pids;
  append_children(parent, pids);
  return pids.size() == 1 ? pids.front() : 0;
}

Result<ProgramFile> program_of(int proc) {
  struct stat info {};
  if (::fstatat(proc, "exe", &info, 0) != 0) return system_error("stat", "exe");
  return ProgramFile{info.st_dev, info.st_ino};
}

Result<ProgramFile> program_of_self() {
  const Fd proc = TRY(open_at(AT_FDCWD, "/proc/self", O_PATH | O_DIRECTORY));
  return program_of(proc.get());
}

namespace {

// <linux/pidfd.h> of Linux 6.15; the headers at hand may be older.
struct PidfdInfo {
  uint64_t mask;
  uint64_t cgroup_id;
  std::array<uint32_t, 11> ids;  ///< pid, tgid, ppid, and eight of users and groups
  int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr unsigned long kPidfdGetInfo = _IOWR(0xFF, 11, PidfdInfo);
constexpr uint64_t kPidfdInfoExit = 1U << 3;

/// Of a process that is dead and not reaped. To whom it may not show more than to anybody /proc shows a 0 there
/// (ptrace(2), PTRACE_MODE_READ_FSCREDS), and refuses a link that hangs on the same right.
std::optional<int32_t> status_in_proc(int32_t pid) {
  const std::optional<ProcStat> stat = read_stat(pid);
  if (!stat || !stat->dead()) return std::nullopt;
  std::array<char, 1024> buffer;
  const std::optional<std::string_view> line = read_stat_line(pid, buffer);
  if (!line) return std::nullopt;
  std::string_view text = *line;
  text.remove_prefix(std::min(text.size(), text.rfind(' ') + 1));  // the last field
  int32_t status = 0;
  if (!take_number(text, status)) return std::nullopt;
  std::array<char, 64> path;
  proc_path(path, pid, std::string_view("/ns/pid", sizeof "/ns/pid"));  // with its NUL
  if (status == 0 && ::readlink(path.data(), buffer.data(), buffer.size()) < 0) return std::nullopt;
  return status;
}

}  // namespace

std::optional<int32_t> wait_status_of(int pidfd, int32_t pid, MonoNanos deadline) {
  constexpr int kPause = 2;  // milliseconds between the end, which poll(2) tells, and the reaping, which nothing does
  for (;;) {
    PidfdInfo info{};
    info.mask = kPidfdInfoExit;
    const bool known = ::ioctl(pidfd, kPidfdGetInfo, &info) == 0;
    const int error = errno;
    if (known && (info.mask & kPidfdInfoExit) != 0) return info.exit_code;
    const std::optional<int32_t> seen = status_in_proc(pid);
    const bool there = still_there(pidfd);
    if (seen && there) return seen;  // not reaped even now, so that number was its own
    if (!known && error != ESRCH && error != EAGAIN && !there) return std::nullopt;
    if (mono_now() >= deadline) return std::nullopt;
    ::poll(nullptr, 0, kPause);
  }
}

}  // namespace te::sys

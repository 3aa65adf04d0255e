// What the tests that touch the kernel share: a directory of their own, a child process to try things in, and the check
// that nothing is left behind.
#pragma once

#include <dirent.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/function_ref.h"
#include "base/result.h"
#include "base/time.h"
#include "sys/clock.h"
#include "sys/fd.h"
#include "sys/fs.h"
#include "sys/process.h"
#include "sys/remove_tree.h"
#include "sys/spawn.h"

namespace te::test {

/// For bodies of in_child(): what is not so is the answer, with its line.
#define MUST(condition)                                                                         \
  do {                                                                                          \
    if (!(condition)) return std::string("line ") + std::to_string(__LINE__) + ": " #condition; \
  } while (false)

constexpr MonoNanos kPatience = 20 * kSecond;

inline bool is_root() { return ::geteuid() == 0; }

/// Says on the console what could not be tried here.
inline void skip(std::string_view what) {
  std::fprintf(stderr, "!! SKIPPED in a unit test: %.*s\n", static_cast<int>(what.size()), what.data());
}

/// Asks again and again until it is so; false when patience is at an end.
template <class Condition>
bool eventually(Condition condition) {
  const MonoNanos give_up = sys::mono_now() + kPatience;
  for (;;) {
    if (condition()) return true;
    if (sys::mono_now() > give_up) return false;
    const timespec pause{0, 1'000'000};
    ::nanosleep(&pause, nullptr);
  }
}

/// "3:/dev/null": the open descriptors of this process, but for the one that lists them.
inline std::set<std::string> open_descriptors() {
  std::set<std::string> out;
  DIR* dir = ::opendir("/proc/self/fd");
  if (dir == nullptr) return out;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string name = entry->d_name;
    if (name == "." || name == ".." || name == std::to_string(::dirfd(dir))) continue;
    char target[512] = {};
    if (::readlinkat(::dirfd(dir), entry->d_name, target, sizeof target - 1) < 0) continue;
    out.insert(name + ":" + target);
  }
  ::closedir(dir);
  return out;
}

/// A fixture: the test has closed what it opened and reaped what it started.
class Tidy {
 public:
  Tidy() : descriptors_at_start_(open_descriptors()) {}
  Tidy(const Tidy&) = delete;
  Tidy& operator=(const Tidy&) = delete;
  ~Tidy() {
    CHECK(open_descriptors() == descriptors_at_start_);
    siginfo_t info{};
    const int error = ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 ? 0 : errno;
    CHECK(error == ECHILD);
  }

 private:
  std::set<std::string> descriptors_at_start_;
};

/// A new directory, removed with all that is in it.
class TempDir {
 public:
  TempDir() {
    const char* base = std::getenv("TMPDIR");
    path_ = std::string(base != nullptr && *base != '\0' ? base : "/tmp") + "/task-executor-unit-XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) std::abort();
    fd_ = Fd(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    (void)sys::remove_contents(fd_.get()).ok();
    ::rmdir(path_.c_str());
  }

  const std::string& path() const { return path_; }
  std::string path(std::string_view name) const { return path_ + "/" + std::string(name); }
  int fd() const { return fd_.get(); }

  void write(std::string_view name, std::string_view text, mode_t mode = 0600) const {
    Result<Fd> file = sys::open_at(fd(), name, O_WRONLY | O_CREAT | O_TRUNC, mode);
    if (!file || !sys::write_all(file->get(), text)) std::abort();
  }
  void make_dir(std::string_view name) const {
    if (!sys::make_dir_at(fd(), name, 0700)) std::abort();
  }
  /// The file's text, "(missing)" when there is none.
  std::string read(std::string_view name) const {
    std::string text;
    const Result<sys::ReadSize> size = sys::read_file_at(fd(), name, text, size_t{1} << 30U, 0);
    if (!size) return "(missing)";
    text.resize(size->size);
    return text;
  }
  bool has(std::string_view name) const { return sys::exists_at(fd(), name); }
  /// Names in the folder, in order.
  std::vector<std::string> names(std::string_view folder = ".") const {
    std::set<std::string> sorted;
    const Result<Fd> dir = sys::open_dir_at(fd(), folder);
    if (!dir) return {"(missing)"};
    const Result<std::vector<sys::DirEntry>> entries = sys::list_dir(dir->get());
    if (!entries) return {"(unreadable)"};
    for (const sys::DirEntry& entry : *entries) sorted.insert(entry.name);
    return {sorted.begin(), sorted.end()};
  }

 private:
  std::string path_;
  Fd fd_;
};

/// Everything that can be read until the other end is closed.
inline std::string read_to_end(int fd) {
  std::string out;
  char buffer[4096];
  for (;;) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return out;
    out.append(buffer, static_cast<size_t>(n));
  }
}

struct Pipe {
  Pipe() {
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
    out = Fd(ends[0]);
    in = Fd(ends[1]);
  }
  Fd out;  ///< to read from
  Fd in;
};

/// Runs `body` in a child process and answers what it answers: empty when all is well. For what would change this
/// process for good. The child never returns into the test program.
inline std::string in_child(FunctionRef<std::string()> body) {
  Pipe report;
  const pid_t pid = ::fork();
  if (pid == 0) {
    report.out.reset();
    const int high = ::fcntl(report.in.get(), F_DUPFD_CLOEXEC, 100);  // out of the way of small numbers
    report.in.reset();
    const std::string said = body();
    (void)sys::write_all(high, said).ok();
    ::_exit(0);
  }
  report.in.reset();
  std::string said = read_to_end(report.out.get());
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (WIFSIGNALED(status)) said += "killed by signal " + std::to_string(WTERMSIG(status));
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) said += "exit status " + std::to_string(WEXITSTATUS(status));
  return said;
}

/// For bodies that close what in_child() reports through; the value is the exit status, 0 when all is well.
inline int status_of_child(FunctionRef<int()> body) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(body());
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/// How the child behind the pidfd ended; waits for it.
inline sys::ChildEnd end_of(int pidfd) {
  sys::ChildEnd end;
  CHECK(eventually([&] {
    const Result<std::optional<sys::ChildEnd>> reaped = sys::reap(pidfd);
    if (!reaped || !*reaped) return false;
    end = **reaped;
    return true;
  }));
  return end;
}

/// A program of this machine as our child, killed and reaped at the end of its scope.
class Program {
 public:
  explicit Program(const std::vector<const char*>& words, const std::vector<const char*>& environment = {},
                   std::span<const sys::FdMap> fds = {}) {
    std::vector<const char*> argv = words;
    argv.push_back(nullptr);
    std::vector<const char*> envp = environment;
    envp.push_back(nullptr);
    const Result<Fd> exe = sys::open_at(AT_FDCWD, words[0], O_RDONLY);
    if (!exe) std::abort();
    Result<sys::Spawned> spawned = sys::spawn({exe->get(), argv.data(), envp.data(), fds});
    if (!spawned) std::abort();
    pid_ = spawned->pid;
    pidfd_ = std::move(spawned->pidfd);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (::kill(pid_, 0) != 0) return;  // reaped already
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, &status, 0);
    }
  }

  int32_t pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }
  Fd take_pidfd() { return std::move(pidfd_); }

 private:
  int32_t pid_ = 0;
  Fd pidfd_;
};

}  // namespace te::test

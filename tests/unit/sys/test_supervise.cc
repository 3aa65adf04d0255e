#include "sys/supervise.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cstring>

#include "../support.h"

using namespace te;
using test::in_child;
using test::status_of_child;
using test::TempDir;
using test::Tidy;

TEST_CASE_FIXTURE(Tidy, "supervisor: a session of its own, a subreaper, unreadable by others, and nothing inherited") {
  // It closes what in_child() reports through, so the exit status says what is wrong.
  CHECK(status_of_child([]() -> int {
          const int low = ::open("/dev/null", O_RDONLY);
          if (::dup2(low, 3) != 3 || ::dup2(low, 4) != 4 || ::dup2(low, 5) != 5 || ::dup2(low, 77) != 77) return 1;
          ::umask(0);
          if (!sys::become_supervisor("unit-super")) return 10;
          if (::getsid(0) != ::getpid()) return 2;
          int subreaper = 0;
          if (::prctl(PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0) != 0 || subreaper != 1) return 3;
          if (::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) return 4;
          char name[16] = {};
          if (::prctl(PR_GET_NAME, name, 0, 0, 0) != 0 || std::strcmp(name, "unit-super") != 0) return 5;
          if (::umask(0) != 022) return 6;
          if (::fcntl(3, F_GETFD) != FD_CLOEXEC || ::fcntl(4, F_GETFD) != FD_CLOEXEC) return 7;
          if (::fcntl(5, F_GETFD) != -1 || ::fcntl(77, F_GETFD) != -1) return 8;
          if (::fcntl(2, F_GETFD) == -1) return 9;
          sigset_t mask;
          ::sigprocmask(SIG_SETMASK, nullptr, &mask);
          for (const int number : {SIGTERM, SIGUSR1, SIGCHLD, SIGINT, SIGHUP, SIGPIPE}) {
            if (::sigismember(&mask, number) != 1) return 10;
          }
          return 0;
        }) == 0);
}

TEST_CASE_FIXTURE(Tidy, "supervisor: requests to stop are taken, one at a time") {
  CHECK(in_child([]() -> std::string {
          sigset_t all;
          ::sigfillset(&all);
          ::sigprocmask(SIG_SETMASK, &all, nullptr);
          MUST(sys::self_pid() == ::getpid());
          MUST(!sys::stop_requested());
          ::raise(SIGTERM);
          MUST(sys::stop_requested());
          MUST(!sys::stop_requested());
          ::raise(SIGHUP);
          MUST(!sys::stop_requested());
          MUST(sys::wait_supervisor_signal(0) == 0);
          MUST(sys::wait_supervisor_signal(sys::mono_now() + 5 * kMillisecond) == 0);
          ::raise(SIGUSR1);
          MUST(sys::wait_supervisor_signal(kNever) == SIGUSR1);
          const MonoNanos deadline = sys::mono_now() + 60 * kMillisecond;  // more than a moment
          MUST(sys::wait_supervisor_signal(deadline) == 0);
          MUST(sys::mono_now() >= deadline);
          for (const char* lasts : {"0", "0.1"}) {
            const test::Program child({"/bin/sleep", lasts});
            MUST(sys::wait_supervisor_signal(kNever) == SIGCHLD);
          }
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "supervisor: a signal to the group of its child, and never to everybody") {
  CHECK(in_child([]() -> std::string {
          MUST(::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0);
          // With these numbers kill(2) would mean "my group" and "all that I may": the test would not survive it.
          sys::signal_child_group(0, SIGKILL);
          sys::signal_child_group(1, SIGKILL);
          sys::signal_child_group(-5, SIGKILL);
          test::Pipe ready;
          const pid_t leader = ::fork();
          if (leader == 0) {
            ::setpgid(0, 0);
            const pid_t member = ::fork();
            (void)sys::write_all(ready.in.get(), "x").ok();
            if (member != 0) ::waitpid(member, nullptr, 0);
            for (;;) ::pause();
          }
          ready.in.reset();
          char both[2] = {};
          MUST(::read(ready.out.get(), both, 1) == 1);
          MUST(::read(ready.out.get(), both, 1) == 1);
          sys::signal_child_group(leader, SIGKILL);
          // Both have the pipe's end; it closes when both have gone.
          MUST(test::read_to_end(ready.out.get()).empty());
          int status = 0;
          MUST(::waitpid(leader, &status, 0) == leader && WTERMSIG(status) == SIGKILL);
          while (::waitpid(-1, nullptr, 0) > 0) continue;
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "socket pair: connected, close-on-exec") {
  Result<sys::SocketPair> pair = sys::socket_pair();
  REQUIRE(pair);
  CHECK((::fcntl(pair->here.get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK((::fcntl(pair->there.get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(::send(pair->here.get(), "x", 1, 0) == 1);
  char byte = 0;
  CHECK(::recv(pair->there.get(), &byte, 1, 0) == 1);
  pair->here.reset();
  CHECK(::recv(pair->there.get(), &byte, 1, 0) == 0);
}

TEST_CASE_FIXTURE(Tidy, "fork: 0 in the child, its number in the parent") {
  const Result<int32_t> pid = sys::fork_child();
  if (pid && *pid == 0) ::_exit(5);
  REQUIRE(pid);
  int status = 0;
  CHECK(::waitpid(*pid, &status, 0) == *pid);
  CHECK(WEXITSTATUS(status) == 5);
}

TEST_CASE_FIXTURE(Tidy, "map: the whole file, an empty one, no file") {
  const Result<Fd> file = sys::make_memfd("x", "mapped");
  const Result<std::string_view> bytes = sys::map_file(file->get());
  REQUIRE(bytes);
  CHECK(*bytes == "mapped");
  sys::unmap(*bytes);
  const Result<Fd> empty = sys::make_memfd("x", "");
  CHECK(sys::map_file(empty->get())->empty());
  sys::unmap({});
  CHECK(sys::map_file(-1).error().code == EBADF);
}

TEST_CASE_FIXTURE(Tidy, "child on its way: a session of its own and its limits") {
  CHECK(in_child([]() -> std::string {
          sys::prepare_child(100, 150);
          MUST(::getsid(0) == ::getpid());
          MUST(::getpgrp() == ::getpid());
          rlimit limit{};
          MUST(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
          MUST(limit.rlim_cur == 100 && limit.rlim_max == 150);
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "child on its way: it dies with its parent") {
  CHECK(in_child([]() -> std::string {
          MUST(::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0);
          test::Pipe alive;
          const pid_t parent = ::fork();
          if (parent == 0) {
            const pid_t child = ::fork();
            if (child == 0) {
              if (!sys::die_with_parent()) ::_exit(1);
              (void)sys::write_all(alive.in.get(), "x").ok();
              for (;;) ::pause();
            }
            for (;;) ::pause();
          }
          alive.in.reset();
          char byte = 0;
          MUST(::read(alive.out.get(), &byte, 1) == 1);
          ::kill(parent, SIGKILL);
          MUST(test::read_to_end(alive.out.get()).empty());  // closed by the death of both
          while (::waitpid(-1, nullptr, 0) > 0) continue;
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "owner of a file: changed or left") {
  const TempDir dir;
  dir.write("x", "");
  const Result<Fd> file = sys::open_at(dir.fd(), "x", O_RDWR);
  const uint32_t own_user = ::geteuid();
  CHECK(sys::set_owner(file->get(), nullptr, nullptr));
  CHECK(sys::set_owner(file->get(), &own_user, nullptr));
  CHECK(sys::set_owner(-1, nullptr, nullptr).error().code == EBADF);
  const uint32_t user = 1234;
  const uint32_t group = 2345;
  if (!test::is_root()) {
    CHECK(sys::set_owner(file->get(), &user, nullptr).error().code == EPERM);
    return test::skip("another owner needs root");
  }
  CHECK(sys::set_owner(file->get(), &user, nullptr));
  CHECK(sys::set_owner(file->get(), nullptr, &group));
  struct stat info {};
  REQUIRE(::fstat(file->get(), &info) == 0);
  CHECK(info.st_uid == user);
  CHECK(info.st_gid == group);
}

TEST_CASE_FIXTURE(Tidy, "descriptors and directories of a child") {
  CHECK(in_child([]() -> std::string {
          const Result<Fd> file = sys::make_memfd("x", "x");
          MUST(sys::replace_fd(file->get(), 60));
          MUST(::fcntl(60, F_GETFD) == 0);  // meant to get through exec
          MUST(sys::replace_fd(-1, 61).error().code == EBADF);
          MUST(sys::change_dir("/"));
          const Result<void> missing = sys::change_dir("/no/such/dir");
          MUST(missing.error().code == ENOENT);
          MUST(missing.error().text().find("/no/such/dir") != std::string::npos);
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "exec: with an empty signal mask; one that fails leaves the mask as it was") {
  CHECK(in_child([]() -> std::string {
          sigset_t all;
          ::sigfillset(&all);
          ::sigprocmask(SIG_SETMASK, &all, nullptr);
          const char* const argv[] = {"cat", "/proc/self/status", nullptr};
          const char* const envp[] = {nullptr};
          MUST(sys::exec("/no/such/program", argv, envp) == ENOENT);
          MUST(sys::exec("/", argv, envp) == EACCES);
          sigset_t now;
          ::sigprocmask(SIG_SETMASK, nullptr, &now);
          MUST(::sigismember(&now, SIGTERM) == 1);
          test::Pipe output;
          const pid_t pid = ::fork();
          if (pid == 0) {
            ::dup2(output.in.get(), 1);
            ::_exit(sys::exec("/bin/cat", argv, envp));
          }
          output.in.reset();
          MUST(test::read_to_end(output.out.get()).find("SigBlk:\t0000000000000000") != std::string::npos);
          ::waitpid(pid, nullptr, 0);
          return {};
        }) == "");
}

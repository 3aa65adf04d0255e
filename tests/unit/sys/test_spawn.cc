#include "sys/spawn.h"

#include <cstdlib>
#include <span>

#include "../support.h"

using namespace te;
using test::end_of;
using test::in_child;
using test::Pipe;
using test::Program;
using test::TempDir;
using test::Tidy;

namespace {

int exit_code_of(const sys::Spawned& child) {
  const int status = end_of(child.pidfd.get()).status;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE_FIXTURE(Tidy, "spawn: a child with its pidfd, its descriptors and its own environment") {
  Pipe output;
  const sys::FdMap fds[] = {{output.in.get(), 1}};
  const Program program({"/bin/sh", "-c", "echo \"$0 $NAME\"; env | wc -l; exit 7", "zero"},
                        {"NAME=value", "PATH=/bin"}, fds);
  output.in.reset();
  const std::string said = test::read_to_end(output.out.get());
  CHECK(said.starts_with("zero value\n"));
  CHECK(std::atoi(said.c_str() + 11) <= 4);  // the two, and what the shell itself adds: PWD, SHLVL or _
  const sys::ChildEnd end = end_of(program.pidfd());
  CHECK(end.pid == program.pid());
  CHECK(WIFEXITED(end.status));
  CHECK(WEXITSTATUS(end.status) == 7);
  CHECK(end.usage.ru_maxrss > 0);
}

TEST_CASE_FIXTURE(Tidy, "spawn: only mapped descriptors get through, and pairs may change places") {
  CHECK(in_child([]() -> std::string {
          const Result<Fd> a = sys::make_memfd("a", "A");
          const Result<Fd> b = sys::make_memfd("b", "B");
          MUST(::dup2(a->get(), 5) == 5);
          MUST(::dup2(b->get(), 6) == 6);
          ::fcntl(5, F_SETFD, FD_CLOEXEC);
          ::fcntl(6, F_SETFD, FD_CLOEXEC);
          MUST(::dup3(a->get(), 70, O_CLOEXEC) == 70);
          Pipe output;
          const sys::FdMap fds[] = {{output.in.get(), 1}, {5, 6}, {6, 5}};
          const Program program(
              {"/bin/sh", "-c", "cat /proc/self/fd/5 /proc/self/fd/6; test -e /proc/self/fd/70 || echo gone"},
              {"PATH=/bin:/usr/bin"}, fds);
          output.in.reset();
          const std::string said = test::read_to_end(output.out.get());
          MUST(said == "BAgone\n");
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "spawn: an exec that fails is an error, and leaves no child") {
  const TempDir dir;
  dir.write("text", "no program", 0600);
  dir.write("garbage", "\x01\x02 no program either", 0700);
  const char* const argv[] = {"x", nullptr};
  const char* const envp[] = {nullptr};
  const Result<Fd> text = sys::open_at(dir.fd(), "text", O_RDONLY);
  const Result<Fd> garbage = sys::open_at(dir.fd(), "garbage", O_RDONLY);
  CHECK(sys::spawn({text->get(), argv, envp, {}}).error().code == EACCES);
  CHECK(sys::spawn({garbage->get(), argv, envp, {}}).error().code == ENOEXEC);
  const sys::FdMap bad[] = {{987, 1}};
  const Result<Fd> real = sys::open_at(AT_FDCWD, "/bin/true", O_RDONLY);
  CHECK(sys::spawn({real->get(), argv, envp, bad}).error().code == EBADF);
}

TEST_CASE_FIXTURE(Tidy, "spawn: blocked signals are inherited, so that one sent at once waits") {
  CHECK(in_child([]() -> std::string {
          sigset_t set;
          ::sigemptyset(&set);
          ::sigaddset(&set, SIGUSR2);
          ::sigprocmask(SIG_SETMASK, &set, nullptr);
          Pipe output;
          const sys::FdMap fds[] = {{output.in.get(), 1}};
          const Program program({"/bin/cat", "/proc/self/status"}, {}, fds);
          output.in.reset();
          MUST(test::read_to_end(output.out.get()).find("SigBlk:\t0000000000000800") != std::string::npos);
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "spawner: the plan may go at once, and so may its descriptors") {
  Pipe output;
  sys::Spawner spawner;
  std::vector<sys::Spawned> children;
  for (int i = 0; i < 3; ++i) {
    const std::string script = "echo $0 $NAME; exit " + std::to_string(i);
    const std::string name = "NAME=" + std::to_string(i);
    const Result<Fd> shell = sys::open_at(AT_FDCWD, "/bin/sh", O_RDONLY);
    const Result<Fd> copy = Fd(::fcntl(output.in.get(), F_DUPFD_CLOEXEC, 0));
    std::vector<const char*> argv = {"sh", "-c", script.c_str(), "zero", nullptr};
    std::vector<const char*> envp = {name.c_str(), nullptr};
    std::vector<sys::FdMap> fds = {{copy->get(), 1}};
    Result<sys::Spawned> child = spawner.start({shell->get(), argv.data(), envp.data(), fds});
    REQUIRE(child);
    children.push_back(std::move(*child));
  }
  for (int i = 0; i < 3; ++i) CHECK(exit_code_of(children[static_cast<size_t>(i)]) == i);
  output.in.reset();
  const std::string said = test::read_to_end(output.out.get());
  for (const char* line : {"zero 0\n", "zero 1\n", "zero 2\n"}) CHECK(said.find(line) != std::string::npos);
}

TEST_CASE_FIXTURE(Tidy, "spawner: more starts than it keeps at once, each with its own words") {
  sys::Spawner spawner;
  const Result<Fd> shell = sys::open_at(AT_FDCWD, "/bin/sh", O_RDONLY);
  const char* const envp[] = {nullptr};
  std::vector<sys::Spawned> children;
  for (int i = 0; i < 150; ++i) {
    const std::string script = "exit " + std::to_string(i);
    const char* const argv[] = {"sh", "-c", script.c_str(), nullptr};
    Result<sys::Spawned> child = spawner.start({shell->get(), argv, envp, {}});
    REQUIRE(child);
    children.push_back(std::move(*child));
  }
  for (int i = 0; i < 150; ++i) CHECK(exit_code_of(children[static_cast<size_t>(i)]) == i);
}

TEST_CASE_FIXTURE(Tidy, "spawner: an exec that fails is a child that says so") {
  const TempDir dir;
  dir.write("garbage", "\x01\x02 no program", 0700);
  const char* const argv[] = {"x", nullptr};
  const char* const envp[] = {nullptr};
  const Result<Fd> garbage = sys::open_at(dir.fd(), "garbage", O_RDONLY);
  const Result<Fd> real = sys::open_at(AT_FDCWD, "/bin/true", O_RDONLY);
  const sys::FdMap bad[] = {{987, 1}};
  {
    sys::Spawner spawner;
    const Result<sys::Spawned> no_program = spawner.start({garbage->get(), argv, envp, {}});
    const Result<sys::Spawned> no_source = spawner.start({real->get(), argv, envp, bad});
    REQUIRE(no_program);
    REQUIRE(no_source);
    CHECK(exit_code_of(*no_program) == sys::Spawner::kExecFailed);
    CHECK(exit_code_of(*no_source) == sys::Spawner::kExecFailed);
  }
}

// Into the namespaces and the root of another process. Needs root; says so where it is not.
#include "sys/namespaces.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "sys/credentials.h"
#include "sys/fs.h"
#include "sys/process.h"

using namespace te;

namespace {

bool is_root() {
  if (::geteuid() == 0) return true;
  std::fprintf(stderr, "!! SKIPPED in a unit test: NEEDS ROOT: namespaces\n");
  return false;
}

/// Runs `body` in a child; its answer is the exit status.
template <class Body>
int in_child(Body body) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(body());
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// A process that sits in namespaces of its own until this object goes.
class Other {
 public:
  explicit Other(int kinds) {
    int ready[2];
    int stop[2];
    REQUIRE(::pipe2(ready, O_CLOEXEC) == 0);
    REQUIRE(::pipe2(stop, O_CLOEXEC) == 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(ready[0]);
      ::close(stop[1]);
      if (::unshare(kinds) != 0) ::_exit(1);
      char byte = 'x';
      if (::write(ready[1], &byte, 1) != 1) ::_exit(1);
      (void)!::read(stop[0], &byte, 1);
      ::_exit(0);
    }
    ::close(ready[1]);
    ::close(stop[0]);
    stop_ = Fd(stop[1]);
    char byte = 0;
    REQUIRE(::read(ready[0], &byte, 1) == 1);
    ::close(ready[0]);
    pidfd = sys::open_pidfd(pid_).value();
    proc = sys::open_dir_at(AT_FDCWD, "/proc/" + std::to_string(pid_)).value();
  }
  Other(const Other&) = delete;
  Other& operator=(const Other&) = delete;
  ~Other() {
    stop_.reset();
    ::waitpid(pid_, nullptr, 0);
  }

  Fd pidfd;
  Fd proc;

 private:
  pid_t pid_ = 0;
  Fd stop_;
};

constexpr int kKinds = CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWCGROUP;

}  // namespace

TEST_CASE("namespaces: what differs is found, and nothing else") {
  if (!is_root()) return;
  const Other same(0);
  CHECK(sys::differing_namespaces(same.proc.get()).value() == 0);
  const Other other(kKinds);
  CHECK(sys::differing_namespaces(other.proc.get()).value() == static_cast<unsigned>(kKinds));
}

TEST_CASE("namespaces: entered at once, and one by one as older kernels have it") {
  if (!is_root()) return;
  const Other other(kKinds);
  for (const bool at_once : {true, false}) {
    CHECK(in_child([&] {
            const unsigned kinds = sys::differing_namespaces(other.proc.get()).value();
            const Result<void> entered = at_once ? sys::enter_namespaces(other.pidfd.get(), other.proc.get(), kinds)
                                                 : sys::enter_namespaces_one_by_one(other.proc.get(), kinds);
            if (!entered) return 1;
            return sys::differing_namespaces(other.proc.get()).value() == 0 ? 0 : 2;
          }) == 0);
  }
  CHECK(sys::enter_namespaces(-1, -1, 0).ok());
  CHECK(sys::enter_namespaces(-1, -1, CLONE_NEWUTS).error().code == EBADF);
}

TEST_CASE("namespaces: the root is changed, and a working directory outside of it is told") {
  if (!is_root()) return;
  char path[] = "/tmp/te-unit-root-XXXXXX";
  REQUIRE(::mkdtemp(path) != nullptr);
  CHECK(in_child([&] {
          const Fd root = sys::open_dir_at(AT_FDCWD, path).value();
          const Fd outside = sys::open_dir_at(AT_FDCWD, "/").value();
          if (!sys::working_dir_is_inside()) return 1;
          if (!sys::change_root(root.get()).ok() || !sys::working_dir_is_inside()) return 2;
          if (sys::exists_at(AT_FDCWD, "/proc")) return 3;
          if (!sys::change_dir_to(outside.get()).ok()) return 4;
          return sys::working_dir_is_inside() ? 5 : 0;
        }) == 0);
  ::rmdir(path);
}

TEST_CASE("namespaces: a sibling is our parent's child") {
  CHECK(in_child([] {
          const pid_t parent = ::getpid();
          const pid_t child = ::fork();
          if (child == 0) {
            const Result<int32_t> sibling = sys::fork_sibling();
            if (!sibling) ::_exit(9);
            ::_exit(*sibling == 0 && ::getppid() == parent ? 7 : 0);
          }
          int sevens = 0;
          int status = 0;
          for (int i = 0; i < 2; ++i) {
            if (::wait(&status) < 0) return 1;
            sevens += WEXITSTATUS(status) == 7;
          }
          return sevens == 1 ? 0 : 2;
        }) == 0);
}

TEST_CASE("credentials: another process's, as /proc tells them") {
  const Fd self = sys::open_dir_at(AT_FDCWD, "/proc/" + std::to_string(::getpid())).value();
  const sys::ProcessCredentials own = sys::read_credentials(self.get()).value();
  CHECK(own.user == ::geteuid());
  CHECK(own.group == ::getegid());
  CHECK(static_cast<int>(own.groups.size()) == ::getgroups(0, nullptr));
  CHECK(own.capabilities.effective == sys::effective_capabilities().value());
  CHECK(own.no_new_privileges == (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1));
}

namespace {

/// The sets of a child that takes on `wanted`, after its exec as they will be: read from /proc/self/status by sh.
uint64_t effective_after_exec(const sys::Credentials& wanted) {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(ends[1], 1);
    if (!sys::take_on(wanted)) ::_exit(1);
    ::execl("/bin/sh", "sh", "-c",
            "while read -r n v; do [ \"$n\" = CapEff: ] && echo $v; done < /proc/self/status; true", nullptr);
    ::_exit(1);
  }
  ::close(ends[1]);
  char text[64] = {};
  (void)!::read(ends[0], text, sizeof text - 1);
  ::close(ends[0]);
  int status = 0;
  ::waitpid(pid, &status, 0);
  CHECK(WEXITSTATUS(status) == 0);
  return std::strtoull(text, nullptr, 16);
}

constexpr uint64_t kKillBit = 1U << 5;
constexpr uint64_t kBindBit = 1U << 10;

}  // namespace

TEST_CASE("credentials: no more than the limit, for root and for others") {
  if (!is_root()) return;
  const uint64_t some = kKillBit | kBindBit;
  sys::CapabilitySets limit{some, some, 0, some, 0};
  sys::Credentials wanted;
  wanted.limit = &limit;
  CHECK(effective_after_exec(wanted) == some);
  wanted.drop = kKillBit;
  CHECK(effective_after_exec(wanted) == kBindBit);
  wanted.drop = 0;
  limit.permitted = kBindBit;  // root gets its bounding set back, so that one is cut too
  CHECK(effective_after_exec(wanted) == kBindBit);
  limit = {0, 0, 0, some, 0};
  CHECK(effective_after_exec(wanted) == 0);

  wanted.user = 65534;
  limit = {some, some, some, some, kBindBit};
  CHECK(effective_after_exec(wanted) == kBindBit);  // what the other one has as ambient
  wanted.add = kKillBit;
  CHECK(effective_after_exec(wanted) == some);
  limit = {0, 0, 0, some, 0};
  CHECK(in_child([&] { return sys::take_on(wanted).error().code; }) == EPERM);
}

#include "sys/credentials.h"

#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>

#include <array>

#include "../support.h"

using namespace te;
using test::in_child;
using test::Tidy;

namespace {

constexpr uint64_t kChown = 1U << 0U;
constexpr uint64_t kKill = 1U << 5U;
constexpr uint64_t kBind = 1U << 10U;

/// A line of /proc/self/status as a number: "CapEff", "CapBnd", "CapAmb", …
uint64_t status_set(const std::string& name) {
  std::string text;
  const Result<sys::ReadSize> read = sys::read_file_at(AT_FDCWD, "/proc/self/status", text, 64 * 1024, 1);
  if (!read) return 0;
  text.resize(read->size);
  const size_t at = text.find(name + ":\t");
  return at == std::string::npos ? 0 : std::strtoull(text.c_str() + at + name.size() + 2, nullptr, 16);
}

bool can(uint64_t bits) { return (status_set("CapEff") & bits) == bits; }

}  // namespace

TEST_CASE_FIXTURE(Tidy, "credentials: nothing asked for, nothing changed") {
  CHECK(in_child([]() -> std::string {
          const uint64_t before = status_set("CapEff");
          const uid_t user = ::getuid();
          MUST(sys::take_on({}));
          MUST(::getuid() == user);
          MUST(status_set("CapEff") == before);
          MUST(::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "credentials: no_new_privs, which anybody may take on") {
  CHECK(in_child([]() -> std::string {
          sys::Credentials wanted;
          wanted.no_new_privileges = true;
          MUST(sys::take_on(wanted));
          MUST(::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "credentials: who has no right to a user, a group or groups is told which step failed") {
  CHECK(in_child([]() -> std::string {
          if (test::is_root()) MUST(::setgroups(0, nullptr) == 0 && ::setresuid(65534, 65534, 65534) == 0);
          const uint32_t groups[] = {1};
          sys::Credentials user;
          user.user = 1;
          sys::Credentials group;
          group.group = 1;
          sys::Credentials more;
          more.groups = groups;
          sys::Credentials add;
          add.add = kChown;
          MUST(sys::take_on(user).error().code == EPERM);
          MUST(sys::take_on(user).error().context.find("setuid") != std::string::npos);
          MUST(sys::take_on(group).error().context.find("setgid") != std::string::npos);
          MUST(sys::take_on(more).error().context.find("setgroups") != std::string::npos);
          MUST(sys::take_on(add).error().code == EPERM);
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "credentials: user, group and groups, with nothing of root left") {
  if (!test::is_root()) return test::skip("a change of user needs root");
  CHECK(in_child([]() -> std::string {
          const std::array<uint32_t, 2> groups = {4321, 4322};
          sys::Credentials wanted;
          wanted.user = 1234;
          wanted.group = 2345;
          wanted.groups = groups;
          MUST(sys::take_on(wanted));
          uid_t ids[3] = {};
          MUST(::getresuid(&ids[0], &ids[1], &ids[2]) == 0);
          MUST(ids[0] == 1234 && ids[1] == 1234 && ids[2] == 1234);
          MUST(::getresgid(&ids[0], &ids[1], &ids[2]) == 0);
          MUST(ids[0] == 2345 && ids[1] == 2345 && ids[2] == 2345);
          std::array<gid_t, 8> got{};
          MUST(::getgroups(8, got.data()) == 2);
          MUST(got[0] == 4321 && got[1] == 4322);
          MUST(status_set("CapEff") == 0 && status_set("CapPrm") == 0);
          MUST(::setuid(0) != 0);
          return {};
        }) == "");
  CHECK(in_child([]() -> std::string {
          sys::Credentials none;
          none.groups = std::span<const uint32_t>();  // there, and empty
          MUST(sys::take_on(none));
          MUST(::getgroups(0, nullptr) == 0);
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "credentials: dropped capabilities are gone from every set, the bounding set too") {
  if (!test::is_root() || !can(kChown | kKill | kBind)) return test::skip("capabilities need root");
  CHECK(in_child([]() -> std::string {
          sys::Credentials wanted;
          wanted.drop = kChown;
          MUST(sys::take_on(wanted));
          for (const char* set : {"CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"}) {
            MUST((status_set(set) & kChown) == 0);
          }
          MUST(can(kKill));
          return {};
        }) == "");
  CHECK(in_child([]() -> std::string {
          sys::Credentials wanted;
          wanted.drop = ~uint64_t{0};
          wanted.add = kBind;
          MUST(sys::take_on(wanted));
          MUST(status_set("CapEff") == kBind);
          MUST(status_set("CapBnd") == kBind);
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "credentials: added capabilities outlive the change of user, and the exec behind it") {
  if (!test::is_root() || !can(kChown | kKill | kBind)) return test::skip("capabilities need root");
  CHECK(in_child([]() -> std::string {
          sys::Credentials wanted;
          wanted.user = 1234;
          wanted.group = 1234;
          wanted.add = kBind | kKill;
          wanted.drop = kKill;  // add counts more than drop
          MUST(sys::take_on(wanted));
          MUST(::getuid() == 1234);
          MUST(status_set("CapEff") == (kBind | kKill));
          MUST(status_set("CapAmb") == (kBind | kKill));
          test::Pipe output;
          const sys::FdMap fds[] = {{output.in.get(), 1}};
          const test::Program program({"/bin/cat", "/proc/self/status"}, {}, fds);
          output.in.reset();
          MUST(test::read_to_end(output.out.get()).find("CapEff:\t0000000000000420") != std::string::npos);
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "container's init: getpid() == 1 or a parent outside") {
  CHECK(in_child([]() -> std::string {
          MUST(!sys::is_container_init());
          return {};
        }) == "");
  if (!test::is_root()) return test::skip("a PID namespace needs root");
  const std::string said = in_child([]() -> std::string {
    if (::unshare(CLONE_NEWPID) != 0) return "no namespace";
    return in_child([]() -> std::string {
      MUST(sys::is_container_init());
      return in_child([]() -> std::string {
        MUST(!sys::is_container_init());
        return {};
      });
    });
  });
  if (said == "no namespace") return test::skip("PID namespaces are not to be had here");
  CHECK(said == "");
}

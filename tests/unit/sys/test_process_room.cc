#include "sys/process_room.h"

#include <sys/resource.h>
#include <sys/sysinfo.h>

#include "../support.h"

using namespace te;
using test::in_child;
using test::Tidy;

TEST_CASE_FIXTURE(Tidy, "process room: an ordinary user's limit, of which all that run may be his") {
  if (!test::is_root()) return test::skip("NEEDS ROOT: becoming another user");
  const size_t root = sys::process_room();
  CHECK(in_child([root]() -> std::string {
          rlimit limit{5'000, 5'000};
          MUST(::setrlimit(RLIMIT_NPROC, &limit) == 0);
          MUST(::setuid(54321) == 0);
          struct sysinfo machine {};
          MUST(::sysinfo(&machine) == 0);
          const size_t room = sys::process_room();
          MUST(room <= root);
          MUST(room <= 5'000);
          if (root > 5'000) MUST(room + machine.procs > 4'000);
          limit = {3, 3};
          MUST(::setrlimit(RLIMIT_NPROC, &limit) == 0);
          MUST(sys::process_room() == 0);
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "process room: pids.max of the own cgroup and of those above it") {
  const std::string root = "/sys/fs/cgroup/pids";
  const std::string outer = root + "/task-executor-unit-" + std::to_string(::getpid());
  if (!test::is_root() || ::mkdir(outer.c_str(), 0755) != 0) return test::skip("NEEDS a pids cgroup (v1) to write to");
  const std::string inner = outer + "/inner";
  REQUIRE(::mkdir(inner.c_str(), 0755) == 0);
  const auto write = [](const std::string& file, std::string_view text) {
    const Fd to(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
    return ::write(to.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
  };
  CHECK(in_child([&]() -> std::string {
          MUST(write(inner + "/cgroup.procs", "0"));
          MUST(sys::process_room() > 1'000);
          MUST(write(outer + "/pids.max", "10"));
          MUST(sys::process_room() == 9);
          MUST(write(inner + "/pids.max", "5"));
          MUST(sys::process_room() == 4);
          MUST(write(outer + "/pids.max", "1"));
          MUST(sys::process_room() == 0);
          MUST(write(root + "/cgroup.procs", "0"));
          return {};
        }) == "");
  CHECK(::rmdir(inner.c_str()) == 0);
  CHECK(::rmdir(outer.c_str()) == 0);
}

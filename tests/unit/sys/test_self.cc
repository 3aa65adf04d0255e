#include "sys/self.h"

#include <limits.h>
#include <sys/resource.h>

#include "../support.h"

using namespace te;
using test::in_child;
using test::Tidy;

TEST_CASE_FIXTURE(Tidy, "open files: the soft limit goes up to the hard one, and the old one is told") {
  CHECK(in_child([]() -> std::string {
          rlimit limit{};
          MUST(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
          const rlim_t hard = limit.rlim_max;
          limit.rlim_cur = 200;
          MUST(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
          const sys::OpenFileLimits before = sys::raise_open_file_limit();
          MUST(before.soft == 200);
          MUST(before.hard == hard);
          MUST(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
          MUST(limit.rlim_cur == hard);
          MUST(sys::raise_open_file_limit().soft == hard);
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "absolute path: behind the working directory unless it is one already") {
  const test::TempDir dir;
  CHECK(in_child([&]() -> std::string {
          MUST(::chdir(dir.path().c_str()) == 0);
          MUST(*sys::absolute_path("/x/y") == "/x/y");
          MUST(*sys::absolute_path("x/y") == dir.path("x/y"));
          return {};
        }) == "");
  CHECK(in_child([]() -> std::string {
          const test::TempDir lost;
          MUST(::chdir(lost.path().c_str()) == 0);
          MUST(::rmdir(lost.path().c_str()) == 0);
          MUST(sys::absolute_path("x").error().code == ENOENT);
          MUST(*sys::absolute_path("/x") == "/x");
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "journal: standard error is told by device and inode") {
  CHECK(in_child([]() -> std::string {
          struct stat info {};
          MUST(::fstat(2, &info) == 0);
          ::unsetenv("JOURNAL_STREAM");
          MUST(!sys::stderr_is_journal());
          for (const char* wrong : {"", ":", "1:2", "x"}) {
            ::setenv("JOURNAL_STREAM", wrong, 1);
            MUST(!sys::stderr_is_journal());
          }
          const std::string right = std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino);
          ::setenv("JOURNAL_STREAM", right.c_str(), 1);
          MUST(sys::stderr_is_journal());
          ::close(2);
          MUST(!sys::stderr_is_journal());
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "write without waiting: a full pipe takes no more, and nobody hangs") {
  test::Pipe pipe;  // blocking: a plain write would never come back
  sys::write_now(pipe.in.get(), "first\n");
  const std::string much(1 << 20, 'x');
  sys::write_now(pipe.in.get(), much);
  sys::write_now(pipe.in.get(), much);
  pipe.in.reset();
  const std::string got = test::read_to_end(pipe.out.get());
  CHECK(got.starts_with("first\nxxx"));
  CHECK(got.size() >= PIPE_BUF);
  CHECK(got.size() < much.size());
  sys::write_now(-1, "nowhere");  // and no error
}

TEST_CASE_FIXTURE(Tidy, "environment: as it stands now") {
  CHECK(in_child([]() -> std::string {
          ::clearenv();
          MUST(sys::environment_value("UNIT") == nullptr);
          ::setenv("UNIT", "1", 1);
          MUST(std::string_view(sys::environment_value("UNIT")) == "1");
          MUST(std::string_view(sys::environment()[0]) == "UNIT=1");
          MUST(sys::environment()[1] == nullptr);
          return {};
        }) == "");
}

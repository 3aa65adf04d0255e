#include "sys/remove_tree.h"

#include <sys/resource.h>

#include "../support.h"
#include "base/size.h"

using namespace te;
using test::in_child;
using test::TempDir;
using test::Tidy;

TEST_CASE_FIXTURE(Tidy, "remove tree: all that is in it, and nothing that is only pointed to") {
  const TempDir outside;
  outside.write("kept", "kept");
  outside.make_dir("kept_dir");
  outside.write("kept_dir/file", "");
  const TempDir dir;
  dir.make_dir("a");
  dir.make_dir("a/b");
  dir.make_dir("a/b/c");
  dir.make_dir("empty");
  dir.write("a/b/c/file", "text");
  dir.write(".hidden", "");
  REQUIRE(::symlinkat(outside.path("kept_dir").c_str(), dir.fd(), "a/link_to_dir") == 0);
  REQUIRE(::symlinkat(outside.path("kept").c_str(), dir.fd(), "link_to_file") == 0);
  REQUIRE(::symlinkat("nowhere", dir.fd(), "dangling") == 0);
  REQUIRE(::mkfifoat(dir.fd(), "fifo", 0600) == 0);
  CHECK(sys::remove_contents(dir.fd()));
  CHECK(dir.names().empty());
  CHECK(outside.read("kept") == "kept");
  CHECK(outside.names("kept_dir") == std::vector<std::string>{"file"});
  CHECK(sys::remove_contents(dir.fd()));  // nothing to do is no error
}

TEST_CASE_FIXTURE(Tidy, "remove tree: a deep one") {
  const TempDir dir;
  std::string path = "d";
  for (int i = 0; i < 150; ++i) {
    dir.make_dir(path);
    path += "/d";
  }
  CHECK(sys::remove_contents(dir.fd()));
  CHECK(dir.names().empty());
}

TEST_CASE_FIXTURE(Tidy, "remove tree: a big file goes, but never another name's content") {
  const TempDir dir;
  dir.make_dir("trash");
  dir.write("trash/big", "head");
  dir.write("trash/shared", "head");
  constexpr auto kSize = static_cast<off_t>(70 * kMiB);
  for (const char* name : {"trash/big", "trash/shared"}) {
    const Result<Fd> file = sys::open_at(dir.fd(), name, O_RDWR);
    if (::fallocate(file->get(), 0, 0, kSize) != 0) return test::skip("blocks can't be allocated here");
  }
  REQUIRE(::linkat(dir.fd(), "trash/shared", dir.fd(), "other_name", 0) == 0);
  const Result<Fd> trash = sys::open_dir_at(dir.fd(), "trash");
  CHECK(sys::remove_contents(trash->get()));
  CHECK(dir.names("trash").empty());
  struct stat info {};
  REQUIRE(::fstatat(dir.fd(), "other_name", &info, 0) == 0);
  CHECK(info.st_size == kSize);
}

TEST_CASE_FIXTURE(Tidy, "remove tree: what can't be removed is told, and the rest goes all the same") {
  CHECK(in_child([]() -> std::string {
          if (test::is_root()) MUST(::setresgid(65534, 65534, 65534) == 0 && ::setresuid(65534, 65534, 65534) == 0);
          const TempDir dir;
          for (const char* name : {"a", "locked", "z"}) {
            dir.make_dir(name);
            dir.write(std::string(name) + "/file", "");
          }
          MUST(::fchmodat(dir.fd(), "locked", 0500, 0) == 0);
          const Result<void> removed = sys::remove_contents(dir.fd());
          MUST(!removed);
          MUST(removed.error().code == EACCES);
          MUST(dir.names() == std::vector<std::string>{"locked"});
          MUST(::fchmodat(dir.fd(), "locked", 0700, 0) == 0);
          MUST(sys::remove_contents(dir.fd()));
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "remove tree: out of the way of others") {
  CHECK(in_child([]() -> std::string {
          sys::lower_priority();
          MUST(::getpriority(PRIO_PROCESS, 0) >= 10);
          return {};
        }) == "");
}

#include "sys/atomic_file.h"

#include <sched.h>
#include <sys/mount.h>

#include "../support.h"

using namespace te;
using test::in_child;
using test::TempDir;
using test::Tidy;

using Names = std::vector<std::string>;

TEST_CASE_FIXTURE(Tidy, "atomic file: there whole, private, and without its temporary") {
  const TempDir dir;
  for (const bool durable : {true, false}) {
    CHECK(sys::write_atomic(dir.fd(), "x.tmp", "x", "first", durable));
    CHECK(dir.names() == Names{"x"});
    CHECK(dir.read("x") == "first");
    CHECK(sys::write_atomic(dir.fd(), "x.tmp", "x", "2", durable));
    CHECK(dir.read("x") == "2");
  }
  struct stat info {};
  REQUIRE(::fstatat(dir.fd(), "x", &info, 0) == 0);
  CHECK((info.st_mode & 07777U) == 0600);
}

TEST_CASE_FIXTURE(Tidy, "atomic file: what an earlier crash left under the temporary name is no part of the new one") {
  const TempDir dir;
  for (const bool durable : {true, false}) {
    dir.write("x.tmp", "a long text that a crash has left");
    REQUIRE(::linkat(dir.fd(), "x.tmp", dir.fd(), "seen", 0) == 0);
    CHECK(sys::write_atomic(dir.fd(), "x.tmp", "x", "short", durable));
    CHECK(dir.read("x") == "short");
    CHECK(dir.read("seen") == "a long text that a crash has left");  // another file: its old content can't come back
    REQUIRE(::unlinkat(dir.fd(), "seen", 0) == 0);
  }
  dir.write("elsewhere", "untouched");
  REQUIRE(::symlinkat("elsewhere", dir.fd(), "x.tmp") == 0);
  CHECK(sys::write_atomic(dir.fd(), "x.tmp", "x", "new", true));
  CHECK(dir.read("x") == "new");
  CHECK(dir.read("elsewhere") == "untouched");
}

TEST_CASE_FIXTURE(Tidy, "atomic file: a failure leaves the old file as it was") {
  const TempDir dir;
  dir.write("x", "old");
  dir.make_dir("x.tmp");
  CHECK(sys::write_atomic(dir.fd(), "x.tmp", "x", "new", true).error().code == EISDIR);
  CHECK(dir.read("x") == "old");
  dir.make_dir("folder");
  CHECK(sys::write_atomic(dir.fd(), "y.tmp", "folder", "new", true).error().code == EISDIR);
  CHECK(!sys::write_atomic(-1, "y.tmp", "y", "new", true));
}

TEST_CASE_FIXTURE(Tidy, "atomic file: a note stands beside the content, and goes with it") {
  const TempDir dir;
  dir.write("x", "content");
  const auto note = [&]() -> std::optional<std::string> {
    const Result<Fd> file = sys::open_at(dir.fd(), "x", O_RDONLY);
    REQUIRE(file);
    return sys::attribute(file->get(), "user.te.note");
  };
  CHECK(!note());
  const Result<void> added = sys::add_note(dir.fd(), "x", "user.te.note", "one");
  if (!added && added.error().code == EOPNOTSUPP) return test::skip("notes: this file system has no attributes");
  CHECK(note() == "one");
  CHECK(sys::add_note(dir.fd(), "x", "user.te.note", "two"));
  CHECK(note() == "two");
  CHECK(dir.read("x") == "content");
  CHECK(sys::add_note(dir.fd(), "x", "user.te.note", std::string(sys::kAttributeMax, 'x')));
  CHECK(note() == std::string(sys::kAttributeMax, 'x'));
  CHECK(sys::add_note(dir.fd(), "x", "user.te.note", std::string(sys::kAttributeMax + 1, 'x')));
  CHECK(!note());
  CHECK(sys::write_atomic(dir.fd(), "x.tmp", "x", "new", false));
  CHECK(!note());
  CHECK(sys::add_note(dir.fd(), "y", "user.te.note", "").error().code == ENOENT);
  CHECK(sys::announce(dir.fd(), "y").error().code == ENOENT);
  REQUIRE(::symlinkat("x", dir.fd(), "link") == 0);
  CHECK(!sys::add_note(dir.fd(), "link", "user.te.note", ""));
  CHECK(!sys::announce(dir.fd(), "link"));
}

TEST_CASE_FIXTURE(Tidy, "reserved file: its blocks become the file") {
  const TempDir dir;
  dir.write("r", std::string(4096, '\0'));
  struct stat reserved {};
  struct stat filled {};
  REQUIRE(::fstatat(dir.fd(), "r", &reserved, 0) == 0);
  CHECK(sys::fill_reserved(dir.fd(), "r", "x", "text"));
  CHECK(dir.names() == Names{"x"});
  CHECK(dir.read("x") == "text");
  REQUIRE(::fstatat(dir.fd(), "x", &filled, 0) == 0);
  CHECK(filled.st_ino == reserved.st_ino);
}

TEST_CASE_FIXTURE(Tidy, "reserved file: once it is there it stays, whatever is asked for later") {
  const TempDir dir;
  dir.write("r", std::string(4096, '\0'));
  CHECK(sys::fill_reserved(dir.fd(), "r", "x", "first"));
  CHECK(sys::fill_reserved(dir.fd(), "r", "x", "second"));
  CHECK(dir.read("x") == "first");
  CHECK(dir.names() == Names{"x"});
}

TEST_CASE_FIXTURE(Tidy, "reserved file: half written by a crash, or missing, it is written anew") {
  const TempDir dir;
  dir.write("r", "half of a longer te" + std::string(4077, '\0'));
  CHECK(sys::fill_reserved(dir.fd(), "r", "x", "text"));
  CHECK(dir.read("x") == "text");
  CHECK(sys::fill_reserved(dir.fd(), "r", "y", "other"));
  CHECK(dir.read("y") == "other");
}

TEST_CASE_FIXTURE(Tidy, "reserved file: works on a full disk, where a new file can't be written") {
  if (!test::is_root()) return test::skip("a full disk needs root, to mount one");
  const TempDir dir;
  const std::string said = in_child([&]() -> std::string {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", dir.path().c_str(), "tmpfs", 0, "size=64k") != 0) {
      return "no mount";
    }
    const Result<Fd> disk = sys::open_at(AT_FDCWD, dir.path(), O_RDONLY | O_DIRECTORY);
    MUST(disk);
    const int root = disk->get();
    {
      const Result<Fd> reserved = sys::open_at(root, "r", O_WRONLY | O_CREAT, 0600);
      MUST(sys::write_all(reserved->get(), std::string(4096, '\0')));
      const Result<Fd> filler = sys::open_at(root, "filler", O_WRONLY | O_CREAT, 0600);
      MUST(sys::write_all(filler->get(), std::string(256 * 1024, 'x')).error().code == ENOSPC);
    }
    MUST(sys::write_atomic(root, "y.tmp", "y", "text", true).error().code == ENOSPC);
    MUST(!sys::exists_at(root, "y"));
    MUST(sys::fill_reserved(root, "r", "x", "the end"));
    std::string text;
    const Result<sys::ReadSize> size = sys::read_file_at(root, "x", text, 4096, 0);
    MUST(size && text.substr(0, size->size) == "the end");
    return {};
  });
  if (said == "no mount") return test::skip("a full disk: file systems can't be mounted here");
  CHECK(said == "");
}

TEST_CASE_FIXTURE(Tidy, "reserved file: what is no file there makes room, and nobody waits for it") {
  const TempDir dir;
  REQUIRE(::mkfifoat(dir.fd(), "r", 0600) == 0);
  CHECK(sys::fill_reserved(dir.fd(), "r", "pipe", "text"));
  CHECK(dir.read("pipe") == "text");
  REQUIRE(::mkfifoat(dir.fd(), "r", 0600) == 0);
  {
    const Result<Fd> reader = sys::open_at(dir.fd(), "r", O_RDONLY | O_NONBLOCK);
    REQUIRE(reader);
    CHECK(sys::fill_reserved_over(dir.fd(), "r", "pipe", "again"));
    CHECK(dir.read("pipe") == "again");
  }
  dir.make_dir("r");
  dir.write("r/precious", "data");
  CHECK(sys::fill_reserved(dir.fd(), "r", "directory", "text"));
  CHECK(dir.read("directory") == "text");
  CHECK(dir.read("in_the_way/precious") == "data");
  dir.write("elsewhere", "untouched");
  REQUIRE(::symlinkat("elsewhere", dir.fd(), "r") == 0);
  CHECK(sys::fill_reserved(dir.fd(), "r", "link", "text"));
  CHECK(dir.read("link") == "text");
  CHECK(dir.read("elsewhere") == "untouched");
}

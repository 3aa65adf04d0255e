#include "sys/fs.h"

#include <cstring>

#include "../support.h"
#include "base/size.h"

using namespace te;
using test::in_child;
using test::TempDir;
using test::Tidy;

namespace {

bool is_close_on_exec(int fd) { return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0; }

}  // namespace

TEST_CASE("fs: a path is NUL-terminated, on the stack or not") {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{511}, size_t{512}, size_t{4000}}) {
    const std::string path(size, 'p');
    const sys::CPath c(std::string_view(path + "tail").substr(0, size));
    CHECK(std::string(c.c_str()) == path);
  }
}

TEST_CASE_FIXTURE(Tidy, "fs: what is opened is close-on-exec, and errors name the path") {
  const TempDir dir;
  dir.write("file", "text");
  const Result<Fd> file = sys::open_at(dir.fd(), "file", O_RDONLY);
  REQUIRE(file);
  CHECK(is_close_on_exec(file->get()));
  const Result<Fd> missing = sys::open_at(dir.fd(), "missing", O_RDONLY);
  REQUIRE(!missing);
  CHECK(missing.error().kind == ErrorKind::kSystem);
  CHECK(missing.error().code == ENOENT);
  CHECK(missing.error().text().find("missing") != std::string::npos);
}

TEST_CASE_FIXTURE(Tidy, "fs: a directory is opened only if it is one, not through a link") {
  const TempDir dir;
  dir.make_dir("inner");
  dir.write("file", "");
  REQUIRE(::symlinkat("inner", dir.fd(), "link") == 0);
  const Result<Fd> inner = sys::open_dir_at(dir.fd(), "inner");
  REQUIRE(inner);
  CHECK(is_close_on_exec(inner->get()));
  CHECK(sys::open_dir_at(dir.fd(), "file").error().code == ENOTDIR);
  const int code = sys::open_dir_at(dir.fd(), "link").error().code;
  CHECK((code == ELOOP || code == ENOTDIR));
}

TEST_CASE_FIXTURE(Tidy, "fs: make_dirs makes what is missing, and only that") {
  const TempDir dir;
  CHECK(sys::make_dirs(dir.path("a/b//c/")));
  CHECK(sys::make_dirs(dir.path("a/b/c")));
  struct stat info {};
  REQUIRE(::fstatat(dir.fd(), "a/b/c", &info, 0) == 0);
  CHECK((info.st_mode & 07777U) == 0700);
  dir.write("file", "kept");
  const Result<void> blocked = sys::make_dirs(dir.path("file/x"));
  REQUIRE(!blocked);
  CHECK(blocked.error().code == ENOTDIR);
  CHECK(dir.read("file") == "kept");
  CHECK(in_child([&]() -> std::string {
          MUST(::chdir(dir.path().c_str()) == 0);
          MUST(sys::make_dirs("relative/x"));
          return {};
        }) == "");
  CHECK(dir.has("relative/x"));
}

TEST_CASE_FIXTURE(Tidy, "fs: rename, exchange, unlink and rmdir") {
  const TempDir dir;
  dir.write("a", "A");
  dir.write("b", "B");
  CHECK(sys::exchange_at(dir.fd(), "a", dir.fd(), "b"));
  CHECK(dir.read("a") == "B");
  CHECK(dir.read("b") == "A");
  CHECK(sys::exchange_at(dir.fd(), "a", dir.fd(), "missing").error().code == ENOENT);
  CHECK(sys::rename_at(dir.fd(), "a", dir.fd(), "b"));
  CHECK(dir.names() == std::vector<std::string>{"b"});
  CHECK(dir.read("b") == "B");
  CHECK(sys::rename_at(dir.fd(), "a", dir.fd(), "b").error().code == ENOENT);
  dir.make_dir("d");
  dir.write("d/x", "");
  CHECK(sys::make_dir_at(dir.fd(), "d", 0700).error().code == EEXIST);
  CHECK(sys::remove_dir_at(dir.fd(), "d").error().code == ENOTEMPTY);
  CHECK(sys::unlink_at(dir.fd(), "d/x"));
  CHECK(sys::remove_dir_at(dir.fd(), "d"));
  CHECK(sys::unlink_at(dir.fd(), "d").error().code == ENOENT);
}

TEST_CASE_FIXTURE(Tidy, "fs: existence is that of the name, whatever a link points to") {
  const TempDir dir;
  REQUIRE(::symlinkat("nowhere", dir.fd(), "dangling") == 0);
  CHECK(sys::exists_at(dir.fd(), "dangling"));
  CHECK(!sys::exists_at(dir.fd(), "nowhere"));
}

TEST_CASE_FIXTURE(Tidy, "fs: a rename changes the inode's time") {
  const TempDir dir;
  dir.write("a", "");
  constexpr WallMicros kCoarse = 20'000;  // file systems stamp with the tick's clock
  const WallMicros before = sys::wall_now();
  REQUIRE(sys::rename_at(dir.fd(), "a", dir.fd(), "b"));
  const Result<WallMicros> changed = sys::change_time_at(dir.fd(), "b");
  REQUIRE(changed);
  CHECK(*changed >= before - kCoarse);
  CHECK(*changed <= sys::wall_now() + kCoarse);
  CHECK(sys::change_time_at(dir.fd(), "a").error().code == ENOENT);
}

TEST_CASE_FIXTURE(Tidy, "fs: a whole file is read, with the padding behind it") {
  const TempDir dir;
  std::string out;
  for (const size_t size : {size_t{100'000}, size_t{0}, size_t{1}, size_t{4095}, size_t{4096}, size_t{4097},
                            size_t{8192}, size_t{8193}, size_t{3}}) {
    CAPTURE(size);
    std::string text(size, '\0');
    for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i % 23);
    dir.write("file", text);
    for (const size_t padding : {size_t{0}, size_t{64}}) {
      std::string fresh;
      for (std::string* buffer : {&out, &fresh}) {
        const Result<sys::ReadSize> read = sys::read_file_at(dir.fd(), "file", *buffer, 1 * kMiB, padding);
        REQUIRE(read);
        CHECK(read->size == size);
        CHECK(std::string_view(*buffer).substr(0, read->size) == text);
        CHECK(buffer->size() >= size + padding);
      }
    }
  }
}

TEST_CASE_FIXTURE(Tidy, "fs: a file over the limit, a link and a directory are not read") {
  const TempDir dir;
  std::string out;
  dir.write("file", std::string(5000, 'x'));
  CHECK(sys::read_file_at(dir.fd(), "file", out, 5000, 0));
  const Result<sys::ReadSize> over = sys::read_file_at(dir.fd(), "file", out, 4999, 0);
  REQUIRE(!over);
  CHECK(over.error().kind == ErrorKind::kTooLarge);
  CHECK(sys::read_file_at(dir.fd(), "file", out, 0, 64).error().kind == ErrorKind::kTooLarge);
  REQUIRE(::symlinkat("file", dir.fd(), "link") == 0);
  CHECK(sys::read_file_at(dir.fd(), "link", out, 9999, 0).error().code == ELOOP);
  CHECK(sys::read_file_at(dir.fd(), ".", out, 9999, 0).error().code == EISDIR);
  CHECK(sys::read_file_at(dir.fd(), "missing", out, 9999, 0).error().code == ENOENT);
}

TEST_CASE_FIXTURE(Tidy, "fs: holes are punched, counted and found") {
  const TempDir dir;
  constexpr int64_t kK = 1024;
  dir.write("file", std::string(1024 * kK, 'd'));
  const Result<Fd> file = sys::open_at(dir.fd(), "file", O_RDWR);
  REQUIRE(file);
  const int64_t before = *sys::allocated_size(file->get());
  const Result<void> punched = sys::punch_hole(file->get(), 64 * kK, 512 * kK);
  if (!punched) return test::skip("holes: " + punched.error().text());
  CHECK(*sys::file_size(file->get()) == 1024 * kK);
  CHECK(*sys::allocated_size(file->get()) <= before - 400 * kK);
  char bytes[2] = {'?', '?'};
  CHECK(*sys::read_at(file->get(), bytes, 2, 64 * kK - 1) == 2);
  CHECK(bytes[0] == 'd');
  CHECK(bytes[1] == '\0');
  const sys::DataRange first = *sys::next_data(file->get(), 0, 1024 * kK);
  CHECK(first.start == 0);
  CHECK(first.end == 64 * kK);
  const sys::DataRange second = *sys::next_data(file->get(), 64 * kK, 1024 * kK);
  CHECK(second.start == 512 * kK);
  CHECK(second.end == 1024 * kK);
  REQUIRE(sys::truncate(file->get(), 2048 * kK));
  const sys::DataRange rest = *sys::next_data(file->get(), 1024 * kK, 2048 * kK);
  CHECK(rest.start == rest.end);
  // A file that grows while it is looked at: nothing behind the size that was asked for is promised.
  CHECK(sys::next_data(file->get(), 600 * kK, 700 * kK)->end == 700 * kK);
  const sys::DataRange hole = *sys::next_data(file->get(), 64 * kK, 128 * kK);
  CHECK(hole.start == 128 * kK);
  CHECK(hole.end == 128 * kK);
  CHECK(!sys::punch_hole(file->get(), 10, 10));
}

TEST_CASE_FIXTURE(Tidy, "fs: reserved space is there, and reads as nothing") {
  const TempDir dir;
  const Result<Fd> file = sys::open_at(dir.fd(), "file", O_RDWR | O_CREAT, 0600);
  REQUIRE(sys::reserve(file->get(), 4096));
  CHECK(*sys::allocated_size(file->get()) >= 4096);
  REQUIRE(sys::write_all(file->get(), "text"));
  CHECK(dir.read("file").starts_with("text"));
  CHECK(!sys::reserve(-1, 4096));
}

TEST_CASE_FIXTURE(Tidy, "fs: another content has another version") {
  const TempDir dir;
  dir.write("a", "");
  dir.write("b", "");
  const Result<Fd> a = sys::open_at(dir.fd(), "a", O_RDWR);
  const Result<Fd> b = sys::open_at(dir.fd(), "b", O_RDWR);
  const sys::FileVersion first = *sys::file_version(a->get());
  CHECK(*sys::file_version(a->get()) == first);
  CHECK(*sys::file_version(b->get()) != first);
  CHECK(test::eventually([&] {
    REQUIRE(sys::write_all(a->get(), "x"));
    return *sys::file_version(a->get()) != first;
  }));
  CHECK(sys::file_version(-1).error().code == EBADF);
}

TEST_CASE_FIXTURE(Tidy, "fs: read_at answers 0 at the end, and errors") {
  const TempDir dir;
  dir.write("file", "abc");
  const Result<Fd> file = sys::open_at(dir.fd(), "file", O_RDONLY);
  char bytes[8] = {};
  CHECK(*sys::read_at(file->get(), bytes, 8, 1) == 2);
  CHECK(std::string(bytes) == "bc");
  CHECK(*sys::read_at(file->get(), bytes, 8, 3) == 0);
  CHECK(*sys::read_at(file->get(), bytes, 8, 3000) == 0);
  CHECK(sys::read_at(dir.fd(), bytes, 8, 0).error().code == EISDIR);
  CHECK(sys::write_all(file->get(), "x").error().code == EBADF);
  CHECK(sys::sync(file->get()));
  CHECK(sys::sync(-1).error().code == EBADF);
}

TEST_CASE_FIXTURE(Tidy, "fs: a directory is listed as often as one likes") {
  const TempDir dir;
  CHECK(sys::list_dir(dir.fd())->empty());
  dir.make_dir("folder");
  dir.write("file", "");
  dir.write(".hidden", "");
  REQUIRE(::symlinkat("folder", dir.fd(), "link") == 0);
  for (int i = 0; i < 2; ++i) {
    const Result<std::vector<sys::DirEntry>> entries = sys::list_dir(dir.fd());
    REQUIRE(entries);
    CHECK(entries->size() == 4);
    for (const sys::DirEntry& entry : *entries) CHECK(entry.is_dir == (entry.name == "folder"));
  }
  const Result<Fd> file = sys::open_at(dir.fd(), "file", O_RDONLY);
  CHECK(sys::list_dir(file->get()).error().code == ENOTDIR);
}

TEST_CASE_FIXTURE(Tidy, "fs: a flock lives as long as any copy of its descriptor") {
  const TempDir dir;
  Result<Fd> first = sys::open_dir_at(dir.fd(), ".");
  const Result<Fd> second = sys::open_dir_at(dir.fd(), ".");
  CHECK(*sys::try_flock(first->get()));
  CHECK(*sys::try_flock(first->get()));  // it has it already
  CHECK(!*sys::try_flock(second->get()));
  test::Pipe hold;
  const pid_t pid = ::fork();
  if (pid == 0) {
    hold.in.reset();
    (void)test::read_to_end(hold.out.get());
    ::_exit(0);
  }
  first->reset();
  CHECK(!*sys::try_flock(second->get()));  // the child has a copy
  hold.in.reset();
  ::waitpid(pid, nullptr, 0);
  CHECK(*sys::try_flock(second->get()));
  CHECK(sys::try_flock(-1).error().code == EBADF);
}

TEST_CASE_FIXTURE(Tidy, "fs: a record lock belongs to one process and is not inherited") {
  const TempDir dir;
  dir.write("lock", "");
  Result<Fd> ours = sys::open_at(dir.fd(), "lock", O_RDWR);
  CHECK(*sys::try_record_lock(ours->get()));
  CHECK(*sys::try_record_lock(ours->get()));
  const auto taken_by_child = [&] {
    return in_child([&]() -> std::string {
      const Result<bool> taken = sys::try_record_lock(ours->get());
      return !taken ? "error" : *taken ? "taken" : "held by another";
    });
  };
  CHECK(taken_by_child() == "held by another");
  const Result<Fd> other = sys::open_at(dir.fd(), "lock", O_RDONLY);
  CHECK(sys::try_record_lock(other->get()).error().code == EBADF);  // a write lock needs a writable descriptor
  test::Pipe go;
  test::Pipe said;
  const pid_t pid = ::fork();
  if (pid == 0) {
    go.in.reset();
    (void)test::read_to_end(go.out.get());
    ::_exit(*sys::try_record_lock(ours->get()) ? 0 : 1);
  }
  struct flock unlock {};
  unlock.l_type = F_UNLCK;
  ::fcntl(ours->get(), F_SETLK, &unlock);
  go.in.reset();
  int status = 0;
  ::waitpid(pid, &status, 0);
  CHECK(status == 0);
}

TEST_CASE_FIXTURE(Tidy, "fs: a memory file holds its bytes and goes to no program by chance") {
  const std::string bytes = std::string("plan\0more", 9);
  const Result<Fd> file = sys::make_memfd("test", bytes);
  REQUIRE(file);
  CHECK(is_close_on_exec(file->get()));
  CHECK(*sys::file_size(file->get()) == 9);
  char back[9] = {};
  CHECK(*sys::read_at(file->get(), back, 9, 0) == 9);
  CHECK(std::memcmp(back, bytes.data(), 9) == 0);
}

TEST_CASE("fs: random digits") {
  std::string one(33, '!');
  std::string other(32, '!');
  CHECK(sys::random_hex(one.data(), 32));
  CHECK(sys::random_hex(other.data(), 32));
  CHECK(one[32] == '!');
  one.pop_back();
  CHECK(one != other);
  CHECK(one.find_first_not_of("0123456789abcdef") == std::string::npos);
  char odd[4] = {'!', '!', '!', '!'};
  CHECK(sys::random_hex(odd, 3));
  CHECK(odd[2] != '!');
  CHECK(odd[3] == '!');
  std::string many(200, '!');
  CHECK(sys::random_hex(many.data(), 128));
  CHECK(!sys::random_hex(many.data(), 130));
}

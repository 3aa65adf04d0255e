#include "sys/notify.h"

#include <poll.h>

#include "../support.h"
#include "sys/atomic_file.h"

using namespace te;
using test::TempDir;
using test::Tidy;

namespace {

struct Numbers final : sys::Notifier::Visitor {
  std::vector<int> seen;
  std::vector<std::string> names;
  void visit(int number, sys::Notifier::Change change, std::string_view name) override {
    seen.push_back(change == sys::Notifier::Change::kLost ? -1 : number);
    names.push_back((change == sys::Notifier::Change::kAttributes ? "of " : "") + std::string(name));
  }
};

Result<void> touch(const TempDir& dir, const char* name) { return sys::announce(dir.fd(), name); }

bool readable(const sys::Notifier& notifier) {
  pollfd ready{notifier.fd(), POLLIN, 0};
  return ::poll(&ready, 1, 0) == 1;
}

std::vector<int> events(sys::Notifier& notifier) {
  Numbers numbers;
  while (readable(notifier)) notifier.read(numbers);
  return numbers.seen;
}

}  // namespace

TEST_CASE_FIXTURE(Tidy, "notifier: the name of the file, and attributes that change") {
  const TempDir dir;
  dir.write("a longer name", "text");
  sys::Notifier notifier;
  REQUIRE(notifier.open());
  REQUIRE(notifier.add(dir.path().c_str()));
  REQUIRE(touch(dir, "a longer name"));
  REQUIRE(sys::set_times_now(dir.fd()));  // the directory itself: not told
  Numbers numbers;
  while (readable(notifier)) notifier.read(numbers);
  CHECK(numbers.names == std::vector<std::string>{"of a longer name"});
}

TEST_CASE_FIXTURE(Tidy, "notifier: attributes of files in a directory, and nothing else") {
  const TempDir dir;
  dir.make_dir("a");
  dir.make_dir("b");
  sys::Notifier notifier;
  REQUIRE(notifier.open());
  const Result<int> a = notifier.add(dir.path("a").c_str());
  const Result<int> b = notifier.add(dir.path("b").c_str());
  REQUIRE(a);
  REQUIRE(b);
  CHECK(*a != *b);
  CHECK(!readable(notifier));
  dir.write("a/x.tmp", "text");
  CHECK(events(notifier).empty());
  REQUIRE(sys::rename_at(dir.fd(), "a/x.tmp", dir.fd(), "a/x"));
  CHECK(events(notifier).empty());
  REQUIRE(touch(dir, "a/x"));
  CHECK(events(notifier) == std::vector<int>{*a});
  REQUIRE(sys::rename_at(dir.fd(), "a/x", dir.fd(), "b/x"));
  CHECK(events(notifier).empty());
  REQUIRE(touch(dir, "b/x"));
  CHECK(events(notifier) == std::vector<int>{*b});
  REQUIRE(sys::rename_at(dir.fd(), "b/x", dir.fd(), "x"));
  REQUIRE(touch(dir, "x"));
  CHECK(events(notifier).empty());
}

TEST_CASE_FIXTURE(Tidy, "notifier: a directory that is watched no more says nothing") {
  const TempDir dir;
  dir.make_dir("a");
  dir.write("x", "");
  sys::Notifier notifier;
  REQUIRE(notifier.open());
  const Result<int> a = notifier.add(dir.path("a").c_str());
  REQUIRE(a);
  notifier.remove(*a);
  notifier.remove(*a);  // twice does no harm
  REQUIRE(sys::rename_at(dir.fd(), "x", dir.fd(), "a/x"));
  REQUIRE(touch(dir, "a/x"));
  CHECK(events(notifier).empty());
}

TEST_CASE_FIXTURE(Tidy, "notifier: what is no directory can't be watched") {
  const TempDir dir;
  dir.write("file", "");
  REQUIRE(::symlinkat(".", dir.fd(), "link") == 0);
  sys::Notifier notifier;
  REQUIRE(notifier.open());
  CHECK(notifier.add(dir.path("missing").c_str()).error().code == ENOENT);
  CHECK(notifier.add(dir.path("file").c_str()).error().code == ENOTDIR);
  CHECK(!notifier.add(dir.path("link").c_str()));
}

TEST_CASE_FIXTURE(Tidy, "notifier: a bounded number at once; what is left makes it readable again") {
  const TempDir dir;
  dir.write("x", "");
  sys::Notifier notifier;
  REQUIRE(notifier.open());
  REQUIRE(notifier.add(dir.path().c_str()));
  dir.write("y", "");
  constexpr size_t kTouches = 1000;
  for (size_t i = 0; i < kTouches / 2; ++i) {
    REQUIRE(touch(dir, "x"));
    REQUIRE(touch(dir, "y"));  // of two that follow each other and are the same one is told
  }
  Numbers numbers;
  notifier.read(numbers);
  CHECK(!numbers.seen.empty());
  CHECK(numbers.seen.size() < kTouches);
  CHECK(readable(notifier));
  CHECK(numbers.seen.size() + events(notifier).size() == kTouches);
  numbers.seen.clear();
  notifier.read(numbers);  // nothing there: no wait, no event
  CHECK(numbers.seen.empty());
}

TEST_CASE_FIXTURE(Tidy, "notifier: lost events are told, so that one looks everywhere") {
  std::string limit;
  const Result<sys::ReadSize> read =
      sys::read_file_at(AT_FDCWD, "/proc/sys/fs/inotify/max_queued_events", limit, 100, 1);
  const int most = read ? std::atoi(limit.c_str()) : 0;
  if (most <= 0 || most > 50'000) return test::skip("the queue of inotify events is too long to be filled");
  const TempDir dir;
  dir.write("x", "");
  sys::Notifier notifier;
  REQUIRE(notifier.open());
  REQUIRE(notifier.add(dir.path().c_str()));
  dir.write("y", "");
  for (int i = 0; i <= most / 2; ++i) {
    REQUIRE(touch(dir, "x"));
    REQUIRE(touch(dir, "y"));
  }
  const std::vector<int> seen = events(notifier);
  REQUIRE(!seen.empty());
  CHECK(seen.back() == -1);
}

#include "store/log_bound.h"

#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <thread>

#include "sys/fs.h"

using namespace te;

namespace {

std::string numbers(int first, int last) {
  std::string text;
  for (int i = first; i <= last; ++i) text += std::to_string(i) + "\n";
  return text;
}

std::string content(const Fd& file) {
  std::string text(static_cast<size_t>(*sys::file_size(file.get())), '\0');
  const Result<size_t> read = sys::read_at(file.get(), text.data(), text.size(), 0);
  REQUIRE(read);
  REQUIRE(*read == text.size());
  return text;
}

Fd file_with(const std::string& text) {
  Result<Fd> file = sys::make_memfd("log", text);
  REQUIRE(file);
  return std::move(file).value();
}

size_t left_out(const std::string& text) {
  const size_t at = text.find("[... ");
  REQUIRE(at != std::string::npos);
  return std::stoul(text.substr(at + 5));
}

}  // namespace

TEST_CASE("a log under its bound is left alone") {
  bool more = false;
  const std::string text = numbers(1, 1000);
  const Fd file = file_with(text);
  CHECK(bound_log(file.get(), 1 << 20, LogKind::kText, more).ok());
  CHECK(cut_log(file.get(), 1 << 20, LogKind::kText).ok());
  CHECK(content(file) == text);
  CHECK(!more);
}

TEST_CASE("a hole takes the middle and keeps size, head and tail") {
  bool more = false;
  const std::string text = numbers(1, 100'000);
  const Fd file = file_with(text);
  REQUIRE(bound_log(file.get(), 65'536, LogKind::kText, more).ok());
  CHECK(*sys::allocated_size(file.get()) <= 65'536 + 2 * 4096);
  const std::string after = content(file);
  REQUIRE(after.size() == text.size());
  CHECK(after.substr(0, 32'768) == text.substr(0, 32'768));
  CHECK(after.substr(after.size() - 32'768) == text.substr(text.size() - 32'768));
  CHECK(after[text.size() / 2] == '\0');
  CHECK(!more);
}

TEST_CASE("what takes long is done in parts") {
  constexpr int64_t kSize = 40 << 20;
  const Fd file = file_with(std::string(kSize, 'x'));
  int calls = 0;
  for (bool more = true; more && calls < 20; ++calls) {
    more = false;
    const int64_t before = *sys::allocated_size(file.get());
    REQUIRE(bound_log(file.get(), 1 << 20, LogKind::kText, more).ok());
    CHECK(before - *sys::allocated_size(file.get()) <= 4 << 20);
  }
  CHECK(calls == 10);
  CHECK(*sys::allocated_size(file.get()) <= (1 << 20) + 2 * 4096);
  CHECK(*sys::file_size(file.get()) == kSize);
}

TEST_CASE("a log that is over its bound by less than a block keeps its content where there are holes") {
  bool more = false;
  const std::string text = numbers(1, 100'000).substr(0, 65'536 + 1000);
  const Fd file = file_with(text);
  REQUIRE(bound_log(file.get(), 65'536, LogKind::kText, more).ok());
  CHECK(content(file) == text);
  CHECK(!more);
}

TEST_CASE("a cut keeps head and tail and tells what is missing") {
  const std::string text = numbers(1, 20'000);
  const Fd file = file_with(text);
  REQUIRE(cut_log(file.get(), 20'000, LogKind::kText).ok());
  const std::string after = content(file);
  CHECK(after.size() <= 20'000);
  CHECK(after.substr(0, 10'000) == text.substr(0, 10'000));
  const std::string marker = "[... " + std::to_string(left_out(after)) + " bytes left out ...]\n";
  CHECK(after.substr(10'000, marker.size()) == marker);
  const std::string tail = after.substr(10'000 + marker.size());
  CHECK(text.ends_with(tail));
  CHECK(10'000 + left_out(after) + tail.size() == text.size());
}

TEST_CASE("a second cut counts on from the first") {
  std::string text = numbers(1, 20'000);
  const Fd file = file_with(text);
  REQUIRE(cut_log(file.get(), 20'000, LogKind::kText).ok());
  const std::string more = numbers(20'001, 30'000);
  REQUIRE(sys::write_all_at(file.get(), more, *sys::file_size(file.get())).ok());
  text += more;
  REQUIRE(cut_log(file.get(), 20'000, LogKind::kText).ok());
  const std::string after = content(file);
  CHECK(after.size() <= 20'000);
  const std::string marker = "[... " + std::to_string(left_out(after)) + " bytes left out ...]\n";
  const std::string tail = after.substr(10'000 + marker.size());
  CHECK(tail.find("[...") == std::string::npos);
  CHECK(text.ends_with(tail));
  CHECK(10'000 + left_out(after) + tail.size() == text.size());
}

TEST_CASE("a cut falls between entries, again and again") {
  std::string text = numbers(1, 20'000);
  const Fd file = file_with(text);
  for (int last = 30'000; last <= 50'000; last += 10'000) {
    REQUIRE(cut_log(file.get(), 20'000, LogKind::kEntries).ok());
    const std::string after = content(file);
    CHECK(after.size() <= 20'000);
    CHECK(after.substr(0, 10'000) == text.substr(0, 10'000));
    const std::string marker = "\n[... " + std::to_string(left_out(after)) + " bytes left out ...]\n";
    CHECK(after.substr(10'000, marker.size()) == marker);
    const std::string tail = after.substr(10'000 + marker.size());
    CHECK(tail.find("[...") == std::string::npos);
    CHECK(text.ends_with("\n" + tail));
    CHECK(10'000 + left_out(after) + tail.size() == text.size());
    const std::string more = numbers(last - 9'999, last);
    REQUIRE(sys::write_all_at(file.get(), more, *sys::file_size(file.get())).ok());
    text += more;
  }
}

TEST_CASE("a line like ours that the task wrote itself is not counted on from") {
  for (const std::string number : {"9223372036854775807", "-5"}) {
    std::string text = numbers(1, 20'000);
    text.replace(10'000, 60, "[... " + number + " bytes left out ...]\n");
    const Fd file = file_with(text);
    REQUIRE(cut_log(file.get(), 20'000, LogKind::kText).ok());
    const std::string after = content(file);
    const std::string tail = after.substr(after.find("...]\n") + 5);
    CHECK(10'000 + left_out(after) + tail.size() == text.size());
  }
}

TEST_CASE("a cut does not follow a writer that is faster") {
  constexpr int64_t kMax = 4 << 20;
  constexpr int64_t kMost = 64 * kMax;
  const Fd file = file_with(std::string(2 * kMax, 'x'));
  std::atomic<bool> stop = false;
  std::atomic<int64_t> written = 0;
  std::thread writer([&] {
    const std::string path = "/proc/self/fd/" + std::to_string(file.get());
    const Result<Fd> appender = sys::open_at(AT_FDCWD, path, O_WRONLY | O_APPEND);
    const std::string piece(65'536, 'y');
    while (!stop && written < kMost && sys::write_all(appender->get(), piece)) written += 65'536;
  });
  while (written == 0) std::this_thread::yield();
  CHECK(cut_log(file.get(), kMax, LogKind::kText).ok());
  const bool before_it_stopped = written < kMost;
  stop = true;
  writer.join();
  // On a busy machine the writer may have come to its end in one go; then what came is not all followed.
  const auto tells_what_it_missed = [&] {
    const std::string text = content(file);
    return text.find("[... ") != text.rfind("[... ");
  };
  CHECK((before_it_stopped || tells_what_it_missed()));
}

TEST_CASE("tiny bounds are no trouble") {
  for (const int64_t bound : {1, 2, 10, 100}) {
    const Fd file = file_with(numbers(1, 1000));
    CHECK(cut_log(file.get(), bound, LogKind::kText).ok());
    CHECK(content(file).find("bytes left out ...]\n") != std::string::npos);
    CHECK(*sys::file_size(file.get()) <= bound + 64);
  }
}

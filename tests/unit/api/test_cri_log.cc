#include "api/cri_log.h"

#include "../support.h"

using namespace te;
using namespace te::test;

namespace {

std::string line(std::string_view stream, std::string_view tag, std::string_view text) {
  return "2026-11-24T10:00:00.123456789Z " + std::string(stream) + " " + std::string(tag) + " " + std::string(text) +
         "\n";
}

/// The decoded log, and where reading has ended.
std::string decoded(const TempDir& dir, std::string_view raw, LogStream stream, std::optional<int64_t> tail = {},
                    int64_t since = 0) {
  dir.write("log", raw);
  const Result<Fd> file = sys::open_at(dir.fd(), "log", O_RDONLY);
  REQUIRE(file.ok());
  const Result<int64_t> size = cri_log_size(file->get());
  REQUIRE(size.ok());
  const Result<int64_t> start = cri_log_start(file->get(), *size, since, tail, stream);
  REQUIRE(start.ok());
  std::string out;
  int64_t position = *start;
  while (position < *size) {
    const int64_t before = position;
    REQUIRE(append_cri_log_piece(out, file->get(), position, *size, stream).ok());
    REQUIRE(position > before);
  }
  return out;
}

}  // namespace

TEST_CASE("An entry, and what is none") {
  const std::optional<CriLogEntry> entry = parse_cri_log("2026-11-24T10:00:00.5Z stderr P:x:y a  b ");
  REQUIRE(entry);
  CHECK(entry->is_stderr);
  CHECK(entry->partial);
  CHECK(entry->text == "a  b ");
  CHECK(parse_cri_log("2026-11-24T10:00:00Z stdout F ")->text.empty());
  for (const char* bad : {"", " ", "text", "2026-11-24T10:00:00Z", "2026-11-24T10:00:00Z stdout",
                          "2026-11-24T10:00:00Z stdlog F x", "2026-11-24T10:00:00Z stdout X x", "24 stdout F x"}) {
    CAPTURE(bad);
    CHECK(!parse_cri_log(bad));
  }
}

TEST_CASE("Streams are parted, and parts of lines joined") {
  const TempDir dir;
  const std::string raw = line("stdout", "F", "one") + line("stderr", "F", "problem") + line("stdout", "P", "two ") +
                          line("stdout", "F", "halves") + line("stdout", "P", "open");
  CHECK(decoded(dir, raw, LogStream::kStdout) == "one\ntwo halves\nopen");
  CHECK(decoded(dir, raw, LogStream::kStderr) == "problem\n");
  CHECK(decoded(dir, raw, LogStream::kBoth) == "one\nproblem\ntwo halves\nopen");
  CHECK(decoded(dir, raw, LogStream::kBoth, {}, static_cast<int64_t>(line("stdout", "F", "one").size())) ==
        "problem\ntwo halves\nopen");
}

TEST_CASE("An entry that is not whole yet waits, and one that is none is left out") {
  const TempDir dir;
  CHECK(decoded(dir, line("stdout", "F", "a") + "2026-11-24T10:00:00Z stdout F b", LogStream::kBoth) == "a\n");
  CHECK(decoded(dir, "of something\n" + line("stdout", "F", "a"), LogStream::kBoth) == "a\n");
  CHECK(decoded(dir, "", LogStream::kBoth).empty());
}

TEST_CASE("A tail counts lines of its stream, over many pieces") {
  const TempDir dir;
  std::string raw;
  for (int i = 0; i < 9000; ++i) {
    raw += line("stdout", "P", "l") + line("stdout", "F", std::to_string(i));
    if (i % 3 == 0) raw += line("stderr", "F", "e" + std::to_string(i));
  }
  CHECK(decoded(dir, raw, LogStream::kStdout, 2) == "l8998\nl8999\n");
  CHECK(decoded(dir, raw, LogStream::kStderr, 2) == "e8994\ne8997\n");
  CHECK(decoded(dir, raw, LogStream::kBoth, 3) == "e8997\nl8998\nl8999\n");
  CHECK(decoded(dir, raw, LogStream::kBoth, 0).empty());
  const std::string far = decoded(dir, raw, LogStream::kStdout, 8000);
  CHECK(far.starts_with("l1000\n"));
  const std::string all = decoded(dir, raw, LogStream::kStderr, 100'000);
  CHECK(all.starts_with("e0\n"));
}

TEST_CASE("A hole becomes a line of its own, whatever it has cut") {
  const TempDir dir;
  constexpr size_t kFrom = 4096;
  constexpr size_t kTo = size_t{3} * 4096;
  for (const char* tag : {"F", "P"}) {
    CAPTURE(std::string(tag));
    std::string raw;
    // Lines of one letter, so that what is left of a cut one is known; the streams take turns.
    while (raw.size() < 5 * 4096) raw += line("stdout", tag, std::string(90, 'o')) + line("stderr", "F", "problem");
    dir.write("log", raw);
    const Result<Fd> file = sys::open_at(dir.fd(), "log", O_RDWR);
    REQUIRE(file.ok());
    if (!sys::punch_hole(file->get(), kFrom, kTo).ok()) return skip("holes in " + dir.path());
    const size_t behind = raw.find('\n', kTo) + 1;
    const std::string marker = "[... " + std::to_string(behind - kFrom) + " bytes left out ...]\n";
    for (const LogStream stream : {LogStream::kStdout, LogStream::kStderr, LogStream::kBoth}) {
      std::string out;
      int64_t position = 0;
      const auto size = static_cast<int64_t>(raw.size());
      while (position < size) REQUIRE(append_cri_log_piece(out, file->get(), position, size, stream).ok());
      CHECK(out.find('\0') == std::string::npos);
      const size_t at = out.find(marker);
      REQUIRE(at != std::string::npos);
      REQUIRE(at > 0);
      CHECK(out[at - 1] == '\n');
      CHECK(out.find("[...", at + 1) == std::string::npos);
      const std::string head = out.substr(0, at);
      const std::string tail = out.substr(at + marker.size());
      // No time and no name of a stream is taken for text.
      CHECK(head.find("2026") == std::string::npos);
      CHECK(tail.find("2026") == std::string::npos);
      CHECK(tail.find("std") == std::string::npos);
      if (stream == LogStream::kStderr) CHECK(head.starts_with("problem\nproblem\n"));
      if (stream == LogStream::kStdout) CHECK(head.find_first_not_of("o\n") == std::string::npos);
    }
  }
}

TEST_CASE("What a cut has left shows as a line of its own, in each stream") {
  const TempDir dir;
  const std::string marker = "[... 77 bytes left out ...]\n";
  const std::string raw = line("stderr", "F", "e") + line("stdout", "P", "open") + line("stdout", "P", "cut") + marker +
                          line("stdout", "F", "end");
  CHECK(decoded(dir, raw, LogStream::kBoth) == "e\nopencut\n" + marker + "end\n");
  CHECK(decoded(dir, raw, LogStream::kStdout) == "opencut\n" + marker + "end\n");
  CHECK(decoded(dir, raw, LogStream::kStderr) == "e\n" + marker);
  // The rest of a cut entry whose time was cut too, and a container that says such a thing itself.
  CHECK(decoded(dir, "2026-11-24T10:0\n" + marker + line("stdout", "F", marker.substr(0, marker.size() - 1)),
                LogStream::kStdout) == marker + marker);
}

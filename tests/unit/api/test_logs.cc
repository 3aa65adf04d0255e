#include "api/logs.h"

#include "../support.h"

using namespace te;
using test::TempDir;
using test::Tidy;

namespace {

/// A task's directory "t" with logs.
struct Logs {
  Logs() { dir.make_dir("t"); }

  /// The whole answer; "refused: …" or "broken" when it can't be had.
  std::string get(const LogQuery& query) {
    HttpResponse response;
    const Result<void> served = serve_logs(dir.fd(), "t", query, response);
    if (!served) return "refused: " + served.error().text();
    CHECK(response.content_type == "text/plain; charset=utf-8");
    headers = response.headers;
    std::string out;
    if (response.stream) {
      while (!response.stream->done()) {
        const size_t before = out.size();
        if (!response.stream->next(out)) return "broken";
        CHECK(out.size() - before <= 64 * kKiB);
      }
    }
    CHECK(out.size() == response.stream_length);
    return out;
  }
  std::string tail(int64_t lines, LogStream stream = LogStream::kStdout) {
    LogQuery query;
    query.stream = stream;
    query.tail = lines;
    return get(query);
  }

  TempDir dir;
  std::string headers;
};

LogQuery only(LogStream stream) {
  LogQuery query;
  query.stream = stream;
  return query;
}

}  // namespace

TEST_CASE_FIXTURE(Tidy, "logs: stdout, then stderr, or one of them; and where to go on") {
  Logs logs;
  CHECK(logs.get({}).empty());
  CHECK(logs.headers == "Log-Next-Offset: 0,0\r\n");
  logs.dir.write("t/stdout.log", "out\n");
  logs.dir.write("t/stderr.log", "error\n");
  CHECK(logs.get({}) == "out\nerror\n");
  CHECK(logs.headers == "Log-Next-Offset: 4,6\r\n");
  CHECK(logs.get(only(LogStream::kStdout)) == "out\n");
  CHECK(logs.headers == "Log-Next-Offset: 4\r\n");
  CHECK(logs.get(only(LogStream::kStderr)) == "error\n");
  CHECK(logs.headers == "Log-Next-Offset: 6\r\n");
}

TEST_CASE_FIXTURE(Tidy, "logs: a link in a log's place is not followed") {
  Logs logs;
  logs.dir.write("secret", "secret");
  REQUIRE(::symlinkat("../secret", logs.dir.fd(), "t/stdout.log") == 0);
  CHECK(logs.get({}).starts_with("refused: "));
}

TEST_CASE_FIXTURE(Tidy, "logs: the last lines") {
  Logs logs;
  logs.dir.write("t/stdout.log", "1\n22\n\n4444\n");
  logs.dir.write("t/stderr.log", "a\nb\nno end");
  CHECK(logs.tail(0).empty());
  CHECK(logs.headers == "Log-Next-Offset: 11\r\n");
  CHECK(logs.tail(1) == "4444\n");
  CHECK(logs.tail(2) == "\n4444\n");
  CHECK(logs.tail(3) == "22\n\n4444\n");
  CHECK(logs.tail(4) == "1\n22\n\n4444\n");
  CHECK(logs.tail(5) == "1\n22\n\n4444\n");
  CHECK(logs.tail(INT64_MAX) == "1\n22\n\n4444\n");
  CHECK(logs.tail(1, LogStream::kStderr) == "no end");
  CHECK(logs.tail(2, LogStream::kStderr) == "b\nno end");
  CHECK(logs.tail(1, LogStream::kBoth) == "4444\nno end");
}

TEST_CASE_FIXTURE(Tidy, "logs: the last lines of a long log, over the edges of blocks") {
  Logs logs;
  std::string text;
  std::vector<size_t> starts;
  for (int i = 0; text.size() < 400'000; ++i) {
    starts.push_back(text.size());
    text += std::to_string(i) + std::string(static_cast<size_t>(i % 91), '.') + "\n";
  }
  logs.dir.write("t/stdout.log", text);
  for (const size_t lines :
       {size_t{1}, size_t{2}, size_t{500}, size_t{1234}, size_t{5000}, starts.size(), starts.size() - 1}) {
    CAPTURE(lines);
    CHECK((logs.tail(static_cast<int64_t>(lines)) == text.substr(starts[starts.size() - lines])));
  }
}

TEST_CASE_FIXTURE(Tidy, "logs: lines are looked for in the end of a log only") {
  Logs logs;
  logs.dir.write("t/stdout.log", std::string(kTailSearch, '\n') + std::string(kTailSearch, 'x') + "\nlast\n");
  CHECK(logs.tail(1) == "last\n");
  CHECK(logs.tail(2).size() == kTailSearch);
  CHECK(logs.tail(INT64_MAX).size() == kTailSearch);
  logs.dir.write("t/stdout.log", std::string(3 * kTailSearch, '\n'));
  CHECK(logs.tail(kTailSearch - 1).size() == kTailSearch - 1);
  CHECK(logs.tail(INT64_MAX).size() == kTailSearch);
}

TEST_CASE_FIXTURE(Tidy, "logs: from an offset on, one that is behind the end too") {
  Logs logs;
  logs.dir.write("t/stdout.log", "0123456789");
  logs.dir.write("t/stderr.log", "abc");
  LogQuery query;
  query.since = {4, 1};
  CHECK(logs.get(query) == "456789bc");
  CHECK(logs.headers == "Log-Next-Offset: 10,3\r\n");
  query.since = {10, 9999};
  CHECK(logs.get(query).empty());
  CHECK(logs.headers == "Log-Next-Offset: 10,3\r\n");
  query = only(LogStream::kStdout);
  query.since = {8, 8};
  query.tail = 5;  // not what has been seen already
  CHECK(logs.get(query) == "89");
}

TEST_CASE("logs: offsets as text") {
  LogQuery query;
  CHECK(parse_since("3,4", query));
  CHECK(query.since == std::array<int64_t, 2>{3, 4});
  query.stream = LogStream::kStderr;
  CHECK(parse_since("5", query));
  CHECK(query.since[1] == 5);
  for (const char* bad : {"", "-1", "x", "1,2", "1.0", " 1", "99999999999999999999"}) {
    CAPTURE(std::string(bad));
    CHECK(parse_since(bad, query).error().kind == ErrorKind::kInvalid);
  }
  query.stream = LogStream::kBoth;
  for (const char* bad : {"", "5", ",", "1,", ",1", "1,2,3", "-1,2", "1,-2", "a,b"}) {
    CAPTURE(std::string(bad));
    CHECK(parse_since(bad, query).error().kind == ErrorKind::kInvalid);
  }
}

TEST_CASE_FIXTURE(Tidy, "logs: a hole becomes one line that tells how much is missing") {
  Logs logs;
  constexpr int64_t kK = 1024;
  logs.dir.write("t/stdout.log", std::string(1024 * kK, 'd'));
  {
    const Result<Fd> file = sys::open_at(logs.dir.fd(), "t/stdout.log", O_RDWR);
    const Result<void> punched = sys::punch_hole(file->get(), 64 * kK, 960 * kK);
    if (!punched) return test::skip("holes: " + punched.error().text());
  }
  const std::string gap = "[... " + std::to_string(896 * kK) + " bytes left out ...]\n";
  const std::string side(64 * kK, 'd');
  CHECK((logs.get(only(LogStream::kStdout)) == side + gap + side));
  CHECK(logs.headers == "Log-Next-Offset: 1048576\r\n");
  LogQuery inside = only(LogStream::kStdout);
  inside.since = {512 * kK, 0};
  CHECK((logs.get(inside) == "[... " + std::to_string(448 * kK) + " bytes left out ...]\n" + side));
  {
    const Result<Fd> file = sys::open_at(logs.dir.fd(), "t/stdout.log", O_RDWR);
    REQUIRE(sys::truncate(file->get(), 2048 * kK));  // ends in a hole
  }
  CHECK((logs.get(only(LogStream::kStdout)) ==
         side + gap + side + "[... " + std::to_string(1024 * kK) + " bytes left out ...]\n"));
}

TEST_CASE_FIXTURE(Tidy, "logs: with more holes than are told the rest is given as it is") {
  Logs logs;
  constexpr int64_t kBlock = 64 * 1024;
  constexpr int64_t kHoles = 80;
  constexpr int64_t kTold = 32;  // each with the data before it
  logs.dir.write("t/stdout.log", std::string(2 * kHoles * kBlock, 'd'));
  const Result<Fd> file = sys::open_at(logs.dir.fd(), "t/stdout.log", O_RDWR);
  for (int64_t i = 0; i < kHoles; ++i) {
    const Result<void> punched = sys::punch_hole(file->get(), (2 * i + 1) * kBlock, (2 * i + 2) * kBlock);
    if (!punched) return test::skip("holes: " + punched.error().text());
  }
  const std::string whole = logs.get(only(LogStream::kStdout));
  CHECK(whole.starts_with(std::string(kBlock, 'd') + "[... 65536 bytes left out ...]\nd"));
  CHECK(whole.ends_with("d" + std::string(kBlock, '\0')));
  CHECK(whole.size() > (kHoles - kTold) * 2 * kBlock);
}

TEST_CASE_FIXTURE(Tidy, "logs: what is promised is not more than what was there, and a log that was cut breaks off") {
  Logs logs;
  logs.dir.write("t/stdout.log", "one\n");
  HttpResponse response;
  REQUIRE(serve_logs(logs.dir.fd(), "t", {}, response));
  {
    const Result<Fd> file = sys::open_at(logs.dir.fd(), "t/stdout.log", O_WRONLY | O_APPEND);
    REQUIRE(sys::write_all(file->get(), "two\n"));
  }
  std::string out;
  CHECK(response.stream->next(out));
  CHECK(out == "one\n");
  CHECK(response.stream->done());
  HttpResponse cut;
  REQUIRE(serve_logs(logs.dir.fd(), "t", {}, cut));
  logs.dir.write("t/stdout.log", "");
  CHECK(!cut.stream->next(out));
}

TEST_CASE_FIXTURE(Tidy, "logs: one piece of a container's log at a time, whatever is wanted of it") {
  Logs logs;
  std::string raw;
  while (raw.size() < 5 * kLogPiece) raw += "2026-11-24T10:00:00.5Z stdout F " + std::string(100, 'o') + "\n";
  logs.dir.write("t/c.log", raw + "2026-11-24T10:00:00.5Z stderr F found\n");
  LogQuery query = only(LogStream::kStderr);
  query.cri_file = "c.log";
  HttpResponse response;
  REQUIRE(serve_logs(logs.dir.fd(), "t", query, response));
  std::string out;
  int pieces = 0;
  for (; !response.stream->done(); ++pieces) REQUIRE(response.stream->next(out));
  CHECK(out == "found\n");
  CHECK(pieces >= 5);
}

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "wire/http1.h"

using te::HttpMethod;
using te::HttpParser;
using te::HttpRequest;
using Step = HttpParser::Step;

namespace {

constexpr size_t kMaxBody = 100;

/// Gives `bytes` to the parser, as much at a time as there is room; next() is called only behind the last.
void receive(HttpParser& parser, std::string_view bytes) {
  while (!bytes.empty()) {
    const std::span<char> room = parser.room();
    REQUIRE(!room.empty());
    const size_t count = std::min(room.size(), bytes.size());
    std::memcpy(room.data(), bytes.data(), count);
    parser.received(count);
    bytes.remove_prefix(count);
  }
}

Step feed(HttpParser& parser, std::string_view bytes) {
  receive(parser, bytes);
  return parser.next();
}

std::string describe(const HttpRequest& request) {
  std::string text = std::to_string(static_cast<int>(request.method)) + " ";
  text.append(request.target).append(" path=").append(request.path).append(" query=").append(request.query);
  text.append(request.keep_alive ? " keep-alive" : " close").append("\n");
  for (const te::HttpHeader& header : request.headers) {
    text.append(header.name).append("=[").append(header.value).append("]\n");
  }
  return text.append("body=[").append(request.body).append("]\n");
}

/// Everything that a parser makes of what it has, answered at once: requests, then the refusal or what is still open.
void drain(HttpParser& parser, std::string& out) {
  for (;;) {
    switch (parser.next()) {
      case Step::kNeedMore: return;
      case Step::kContinue: break;
      case Step::kRequest:
        out += describe(parser.request());
        parser.consume();
        break;
      case Step::kRefused: return;
    }
  }
}

std::string outcome(const std::vector<std::string_view>& pieces, size_t max_body = kMaxBody) {
  HttpParser parser(max_body);
  std::string out;
  for (const std::string_view piece : pieces) {
    receive(parser, piece);
    drain(parser, out);
  }
  if (parser.next() == Step::kRefused) {
    out += "refused " + std::to_string(parser.refusal().status) + " " + parser.refusal().message;
  } else {
    out += parser.in_body() ? "in body" : parser.in_request() ? "in head" : "idle";
  }
  return out;
}

std::string chunked(std::string_view framing) {
  return "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(framing);
}

std::string with_body(std::string_view fields, std::string_view body) {
  return "POST /tasks HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n" + std::string(body);
}

struct Bad {
  std::string bytes;
  int status;
};

std::vector<Bad> bad_requests() {
  const std::string long_line(te::kMaxHeadBytes, 'x');
  return {
      {"GET / HTTP/1.1\nHost: a\n\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
      {"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
      {" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n: a\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
      {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {with_body("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), 400},
      {with_body("Content-Length: 5, 5\r\n", "hello"), 400},
      {with_body("Content-Length: +5\r\n", "hello"), 400},
      {with_body("Content-Length: 18446744073709551616\r\n", ""), 400},
      {with_body("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
      {with_body("Transfer-Encoding: gzip\r\n", ""), 501},
      {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {with_body("Expect: tea\r\nContent-Length: 5\r\n", "hello"), 417},
      {with_body("Content-Length: 101\r\n", ""), 413},
      {with_body("Content-Length: 18446744073709551615\r\n", ""), 413},
      {with_body("Expect: 100-continue\r\nContent-Length: 101\r\n", ""), 413},
      {"GET /" + long_line + " HTTP/1.1\r\nHost: a\r\n\r\n", 431},
      {"GET / HTTP/1.1\r\nHost: a\r\nX: " + long_line, 431},
      {long_line + "x", 431},
      {chunked("x\r\n"), 400},
      {chunked("\r\n"), 400},
      {chunked("-1\r\n"), 400},
      {chunked("0x5\r\nhello\r\n0\r\n\r\n"), 400},
      {chunked("5 \r\nhello\r\n0\r\n\r\n"), 400},
      {chunked(" 5\r\nhello\r\n0\r\n\r\n"), 400},
      {chunked("5\nhello\r\n0\r\n\r\n"), 400},
      {chunked("5\rXhello\r\n0\r\n\r\n"), 400},
      {chunked("5;a\nb\r\nhello\r\n0\r\n\r\n"), 400},
      {chunked("5\r\nhelloXX0\r\n\r\n"), 400},
      {chunked("5\r\nhello\rX0\r\n\r\n"), 400},
      {chunked("5\r\nhello0\r\n\r\n"), 400},
      {chunked("0\r\nX : y\r\n\r\n"), 400},
      {chunked("0\r\nX: a\rb\r\n\r\n"), 400},
      {chunked("0\r\n X: a\r\n\r\n"), 400},
      {chunked("0\r\n\rX"), 400},
      {chunked("0000000000000005\r\nhello\r\n0\r\n\r\n"), 400},
      {chunked("fffffffffffffff\r\n"), 413},
      {chunked("ffffffffffffffff\r\n"), 400},
      {chunked("65\r\n"), 413},
      {chunked("65;x"), 413},
      {chunked("32\r\n" + std::string(50, 'x') + "\r\n33\r\n"), 413},
      {chunked("1;" + long_line), 413},
      {chunked("0\r\nX: " + long_line), 413},
  };
}

std::vector<std::string> good_requests() {
  return {
      "GET /health HTTP/1.1\r\nHost: localhost:5758\r\nUser-Agent: wrk\r\nAccept: */*\r\n\r\n",
      "\r\nGET /a?b HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET / HTTP/1.0\r\n\r\n",
      "BREW /pot HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
      "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
      with_body("Content-Length: 5\r\n", "hello"),
      with_body("Content-Length: 0\r\nX:\r\nY:  a b\t\r\n", ""),
      with_body("Expect: 100-continue\r\nContent-Length: 100\r\n", std::string(100, 'x')),
      chunked("0\r\n\r\n"),
      chunked("5\r\nhello\r\n6;a=b;c=\"d\"\r\n world\r\n000\r\nTrailer: x\r\nOther:\r\n\r\n"),
      chunked("1 ; x\r\na\r\n1\r\nb\r\nA\r\n0123456789\r\n0\r\n\r\n") + "GET /next HTTP/1.1\r\nHost: a\r\n\r\n",
      with_body("Content-Length: 2\r\n", "{}") +
          "DELETE /x HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /y HTTP/1.1\r\nHost: b\r\n\r\n",
      with_body("Content-Length: 9\r\n", "half"),
      chunked("5\r\nhe"),
      "GET / HT",
  };
}

}  // namespace

TEST_CASE("a plain request") {
  HttpParser parser(kMaxBody);
  CHECK(parser.memory() == 0);
  CHECK_FALSE(parser.in_request());
  CHECK(parser.next() == Step::kNeedMore);
  REQUIRE(feed(parser,
               "GET /tasks/x?tail=5 HTTP/1.1\r\nHost: a\r\n"
               "X-One:\t two words \r\nx-one: 3\r\nEmpty:\r\n\r\n") == Step::kRequest);
  const HttpRequest& request = parser.request();
  CHECK(request.method == HttpMethod::kGet);
  CHECK(request.target == "/tasks/x?tail=5");
  CHECK(request.path == "/tasks/x");
  CHECK(request.query == "tail=5");
  CHECK(request.headers.size() == 4);
  CHECK(request.header("x-ONE") == "two words");
  CHECK(request.headers[2].name == "x-one");
  CHECK(request.headers[2].value == "3");
  CHECK(request.has_header("empty"));
  CHECK(request.header("empty").empty());
  CHECK_FALSE(request.has_header("x-two"));
  CHECK(request.body.empty());
  CHECK(request.keep_alive);
  CHECK(parser.next() == Step::kRequest);
  parser.consume();
  CHECK(parser.next() == Step::kNeedMore);
  CHECK(parser.memory() <= 8192);
}

TEST_CASE("a body with a length stays where it came") {
  HttpParser parser(kMaxBody);
  CHECK(feed(parser, with_body("Content-Length: 7\r\n", "{\"a\"")) == Step::kNeedMore);
  CHECK(parser.in_request());
  CHECK(parser.in_body());
  REQUIRE(feed(parser, ":1}") == Step::kRequest);
  CHECK_FALSE(parser.in_request());
  CHECK(parser.request().method == HttpMethod::kPost);
  CHECK(parser.request().body == "{\"a\":1}");
  const char* behind = parser.request().body.data() + 7;
  CHECK(std::all_of(behind, behind + te::kBodyPadding, [](char byte) { return byte == 0; }));
}

TEST_CASE("a body on GET or DELETE is read") {
  HttpParser parser(kMaxBody);
  REQUIRE(feed(parser,
               "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcDELETE /b HTTP/1.1\r\nHost: a\r\n"
               "Transfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\n") == Step::kRequest);
  CHECK(parser.request().body == "abc");
  parser.consume();
  REQUIRE(parser.next() == Step::kRequest);
  CHECK(parser.request().method == HttpMethod::kDelete);
  CHECK(parser.request().body == "xy");
}

TEST_CASE("chunks are put together and their trailers dropped") {
  HttpParser parser(kMaxBody);
  REQUIRE(feed(parser, chunked("5\r\nhello\r\n6;a=b;c=\"d\"\r\n world\r\n0\r\nTrailer: x\r\n\r\n")) == Step::kRequest);
  CHECK(parser.request().body == "hello world");
  CHECK(parser.request().headers.size() == 2);
}

TEST_CASE("a method that nobody serves is still parsed") {
  for (const char* method : {"BREW", "CONNECT", "TRACE", "PRI", "SOURCE", "ANNOUNCE", "X!"}) {
    HttpParser parser(kMaxBody);
    REQUIRE(feed(parser, std::string(method) + " /pot HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx") ==
            Step::kRequest);
    CHECK(parser.request().method == HttpMethod::kOther);
    CHECK(parser.request().target == "/pot");
    CHECK(parser.request().body == "x");
  }
}

TEST_CASE("all that the strict check lets through, llhttp takes too") {
  std::string target = "/";
  for (char byte = 0x21; byte < 0x7f; ++byte) {
    if (byte != '#') target.push_back(byte);
  }
  std::string value;
  for (int byte = 0x21; byte < 0x100; ++byte) {
    if (byte != 0x7f) value.push_back(static_cast<char>(byte));
  }
  for (const std::string& line : {"GET " + target + " HTTP/1.1", "GET /?" + target + " HTTP/1.1",
                                  std::string("OPTIONS * HTTP/1.1"), std::string("GET http://[::1]:8/x HTTP/1.1"),
                                  std::string("PATCH http://h?x HTTP/1.1"), std::string("HEAD //x HTTP/1.0")}) {
    HttpParser parser(kMaxBody);
    const std::string fields = "Host: a\r\n!#$%&'*+-.^_`|~09azAZ: " + value + "\r\nTransfer-E: x\r\n";
    const Step step = feed(parser, line + "\r\n" + fields + "\r\n");
    CHECK_MESSAGE(step == Step::kRequest, line, ": ", parser.refusal().message);
    if (step == Step::kRequest) CHECK(parser.request().headers[1].value == value);
  }
  // But for tabs around the two values that frame the body: llhttp refuses those.
  for (const std::string fields :
       {"Content-Length:  3  \r\n", "Transfer-Encoding:  CHUNKED  \r\n", "Connection:\r\nTransfer-Encoding:chunked\r\n",
        "Upgrade: x\r\nContent-Length: 003\r\n",
        "Connection: upgrade, close\r\nUpgrade: h2c\r\nContent-Length: 3\r\n"}) {
    HttpParser parser(kMaxBody);
    CHECK_MESSAGE(feed(parser, with_body(fields, "")) == Step::kNeedMore, fields, ": ", parser.refusal().message);
    CHECK(parser.in_body());
  }
}

TEST_CASE("Expect: 100-continue") {
  const std::string head = with_body("Expect: 100-continue\r\nContent-Length: 5\r\n", "");
  SUBCASE("is answered while nothing of the body has come, once") {
    HttpParser parser(kMaxBody);
    CHECK(feed(parser, head) == Step::kContinue);
    CHECK(parser.in_body());
    CHECK(parser.next() == Step::kNeedMore);
    CHECK(feed(parser, "hel") == Step::kNeedMore);
    REQUIRE(feed(parser, "lo") == Step::kRequest);
    CHECK(parser.request().body == "hello");
  }
  SUBCASE("is not answered when the body is coming already") {
    HttpParser parser(kMaxBody);
    CHECK(feed(parser, head + "h") == Step::kNeedMore);
  }
  SUBCASE("is answered for chunks") {
    HttpParser parser(kMaxBody);
    CHECK(feed(parser, with_body("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", "")) == Step::kContinue);
    CHECK(feed(parser, "0\r\n\r\n") == Step::kRequest);
  }
  SUBCASE("is not answered without a body, nor in HTTP/1.0") {
    HttpParser parser(kMaxBody);
    CHECK(feed(parser, with_body("Expect: 100-continue\r\n", "")) == Step::kRequest);
    HttpParser old(kMaxBody);
    CHECK(feed(old, "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n") == Step::kNeedMore);
  }
}

TEST_CASE("three requests in one piece") {
  HttpParser parser(kMaxBody);
  REQUIRE(feed(parser, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n" + with_body("Content-Length: 2\r\n", "ab") +
                           "GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") == Step::kRequest);
  CHECK(parser.request().target == "/1");
  parser.consume();
  REQUIRE(parser.next() == Step::kRequest);
  CHECK(parser.request().body == "ab");
  parser.consume();
  CHECK(parser.in_request());
  REQUIRE(parser.next() == Step::kRequest);
  CHECK(parser.request().target == "/3");
  CHECK_FALSE(parser.request().keep_alive);
  parser.consume();
  CHECK_FALSE(parser.in_request());
  CHECK(parser.next() == Step::kNeedMore);
}

TEST_CASE("malformed requests are refused, with a reason") {
  for (const Bad& bad : bad_requests()) {
    HttpParser parser(kMaxBody);
    CHECK_MESSAGE(feed(parser, bad.bytes) == Step::kRefused, bad.bytes);
    CHECK_MESSAGE(parser.refusal().status == bad.status, bad.bytes, ": ", parser.refusal().message);
    CHECK_MESSAGE(!parser.refusal().message.empty(), bad.bytes);
    CHECK(feed(parser, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") == Step::kRefused);
  }
}

TEST_CASE("a length over the limit is refused before its body") {
  HttpParser parser(kMaxBody);
  CHECK(feed(parser, with_body("Content-Length: 101\r\n", "")) == Step::kRefused);
  HttpParser exact(kMaxBody);
  CHECK(feed(exact, with_body("Content-Length: 100\r\n", "")) == Step::kNeedMore);
}

TEST_CASE("a head of exactly the limit is taken") {
  std::string head = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  head.append(te::kMaxHeadBytes - head.size() - 4, 'x').append("\r\n\r\n");
  HttpParser parser(kMaxBody);
  REQUIRE(feed(parser, head) == Step::kRequest);
  head.insert(head.size() - 4, "x");
  parser.consume();
  CHECK(feed(parser, head) == Step::kRefused);
  CHECK(parser.refusal().status == 431);
}

TEST_CASE("every split gives the same") {
  std::vector<std::string> all = good_requests();
  for (Bad& bad : bad_requests()) {
    if (bad.bytes.size() < 1000) all.push_back(std::move(bad.bytes));
  }
  for (const std::string& text : all) {
    const std::string_view bytes = text;
    const std::string whole = outcome({bytes});
    for (size_t at = 1; at < bytes.size(); ++at) {
      REQUIRE(outcome({bytes.substr(0, at), bytes.substr(at)}) == whole);
    }
    std::vector<std::string_view> single;
    for (size_t at = 0; at < bytes.size(); ++at) single.push_back(bytes.substr(at, 1));
    REQUIRE(outcome(single) == whole);
  }
}

TEST_CASE("random splits of a long stream give the same") {
  std::string stream;
  for (int round = 0; round < 20; ++round) {
    const std::string number = std::to_string(round);
    stream += "GET /" + number + " HTTP/1.1\r\nHost: a\r\nX-Pad: " + std::string(static_cast<size_t>(round) * 97, 'p') +
              "\r\n\r\n";
    stream += with_body("Content-Length: 2000\r\n", std::string(2000, static_cast<char>('a' + round)));
    std::string chunks;
    for (int size = 1; size < 40; ++size) {
      constexpr char kHex[] = "0123456789abcdef";
      chunks.append({kHex[size / 16], kHex[size % 16]}).append(";n=" + number + "\r\n");
      chunks.append(static_cast<size_t>(size), static_cast<char>('A' + round)).append("\r\n");
    }
    stream += chunked(chunks + "0\r\nT: 1\r\n\r\n");
  }
  const std::string whole = outcome({stream}, 4096);
  CHECK(whole.ends_with("idle"));
  std::mt19937 random(20240229);
  for (int round = 0; round < 30; ++round) {
    std::vector<std::string_view> pieces;
    std::string_view rest = stream;
    const unsigned longest = 1U << (random() % 14);
    while (!rest.empty()) {
      const size_t count = std::min<size_t>(rest.size(), 1 + random() % longest);
      pieces.push_back(rest.substr(0, count));
      rest.remove_prefix(count);
    }
    REQUIRE(outcome(pieces, 4096) == whole);
  }
}

TEST_CASE("behind a big body in chunks no more comes at once than a bound") {
  constexpr size_t kSize = size_t{1} << 20;
  HttpParser parser(2 * kSize);
  Step step = feed(parser, with_body("Transfer-Encoding: chunked\r\n", "100000\r\n"));
  for (size_t sent = 0; sent < kSize && step == Step::kNeedMore;) {
    const std::span<char> room = parser.room();
    CHECK(room.size() <= 65'536);
    const size_t count = std::min(room.size(), kSize - sent);
    std::memset(room.data(), 'x', count);
    parser.received(count);
    sent += count;
    step = parser.next();
  }
  CHECK(parser.room().size() <= 65'536);
  CHECK(feed(parser, "\r\n0\r\n\r\n") == Step::kRequest);
  CHECK(parser.request().body.size() == kSize);
}

TEST_CASE("a body of 4 MiB; its memory grows with what has come, and goes with it") {
  constexpr size_t kSize = size_t{4} << 20;
  HttpParser parser(kSize);
  CHECK(feed(parser, with_body("Content-Length: 4194304\r\n", "")) == Step::kNeedMore);
  size_t sent = 0;
  while (sent < kSize) {
    const std::span<char> room = parser.room();
    CHECK(parser.memory() <= std::max<size_t>(8192, 2 * sent + 8192));
    const size_t count = std::min(room.size(), kSize - sent);
    for (size_t i = 0; i < count; ++i) room[i] = static_cast<char>('a' + (sent + i) % 23);
    parser.received(count);
    sent += count;
    CHECK(parser.next() == (sent < kSize ? Step::kNeedMore : Step::kRequest));
  }
  const std::string_view body = parser.request().body;
  REQUIRE(body.size() == kSize);
  size_t wrong = 0;
  for (size_t i = 0; i < kSize; ++i) wrong += body[i] != static_cast<char>('a' + i % 23);
  CHECK(wrong == 0);
  CHECK(parser.memory() < kSize + 32768);
  SUBCASE("all consumed") {
    parser.consume();
    CHECK(parser.memory() < 4096);
  }
  SUBCASE("with the beginning of another behind it") {
    receive(parser, "GET /next HTTP/1.1\r\n");
    CHECK(parser.request().body.size() == kSize);
    CHECK(parser.request().body.substr(0, 3) == "abc");
    parser.consume();
    CHECK(parser.memory() < 8192);
    REQUIRE(feed(parser, "Host: a\r\n\r\n") == Step::kRequest);
    CHECK(parser.request().target == "/next");
  }
}

TEST_CASE("memory does not grow over a thousand requests") {
  HttpParser parser(kMaxBody);
  const std::string text =
      good_requests()[0] + with_body("Content-Length: 5\r\n", "hello") + chunked("1\r\na\r\n0\r\n\r\n");
  size_t after_first = 0;
  for (int round = 0; round < 1000; ++round) {
    receive(parser, text);
    int requests = 0;
    while (parser.next() == Step::kRequest) {
      ++requests;
      parser.consume();
    }
    REQUIRE(requests == 3);
    if (round == 0) after_first = parser.memory();
    REQUIRE(parser.memory() == after_first);
  }
  CHECK(after_first <= 8192);
}

TEST_CASE("bytes behind an unanswered request neither move nor lose it") {
  HttpParser parser(kMaxBody);
  REQUIRE(feed(parser, with_body("Content-Length: 5\r\n", "hello")) == Step::kRequest);
  for (int i = 0; i < 50; ++i) receive(parser, good_requests()[0] + good_requests()[5]);
  CHECK(parser.request().body == "hello");
  CHECK(parser.request().header("host") == "a");
  int requests = 0;
  while (parser.next() == Step::kRequest) {
    ++requests;
    parser.consume();
  }
  CHECK(requests == 101);
  CHECK(parser.memory() <= 8192);
}

TEST_CASE("a head of thousands of fields leaves no memory behind") {
  std::string head = "GET / HTTP/1.1\r\nHost: a\r\n";
  while (head.size() < te::kMaxHeadBytes - 6) head += "a:\r\n";
  head += "\r\n";
  HttpParser parser(kMaxBody);
  REQUIRE(feed(parser, head) == Step::kRequest);
  CHECK(parser.request().headers.size() > 4000);
  parser.consume();
  CHECK(parser.memory() <= 8192);
}

TEST_CASE("single bytes in chunks are served, endless framing is not") {
  constexpr size_t kSize = 20000;
  std::string one_by_one;
  for (size_t i = 0; i < kSize; ++i) one_by_one += "1\r\nx\r\n";
  HttpParser parser(kSize);
  REQUIRE(feed(parser, chunked(one_by_one + "0\r\n\r\n")) == Step::kRequest);
  CHECK(parser.request().body.size() == kSize);

  HttpParser trailers(kSize);
  Step step = feed(trailers, chunked("0\r\n"));
  size_t sent = 0;
  for (; step == Step::kNeedMore && sent < 100000; sent += 6) step = feed(trailers, "a: b\r\n");
  CHECK(step == Step::kRefused);
  CHECK(trailers.refusal().status == 413);
  CHECK(sent <= te::kMaxHeadBytes + 6);
}

TEST_CASE("one empty line between requests is no request") {
  HttpParser parser(kMaxBody);
  CHECK(feed(parser, "\r\n") == Step::kNeedMore);
  CHECK_FALSE(parser.in_request());
  CHECK(feed(parser, "G") == Step::kNeedMore);
  CHECK(parser.in_request());
  CHECK_FALSE(parser.in_body());
}

TEST_CASE("status texts") {
  CHECK(te::http_status_text(201) == "201 Created");
  CHECK(te::http_status_text(400) == "400 Bad Request");
  for (const int status : {200, 204, 401, 403, 404, 405, 408, 409, 410, 413, 417, 431, 501, 503, 505, 507}) {
    CHECK(te::http_status_text(status).starts_with(std::to_string(status) + " "));
  }
}

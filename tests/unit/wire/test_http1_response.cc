#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "wire/http1_response.h"

using namespace te;

namespace {

/// Fed whole, and byte by byte: both must say the same.
template <class Check>
void with_splits(std::string_view bytes, Check check) {
  for (const size_t step : {bytes.size(), size_t{1}, size_t{3}}) {
    HttpResponseParser parser;
    std::string body;
    bool good = true;
    for (size_t at = 0; at < bytes.size() && good; at += step) good = parser.feed(bytes.substr(at, step), body).ok();
    check(parser, body, good);
  }
}

}  // namespace

TEST_CASE("a response with a length") {
  with_splits(
      "HTTP/1.1 201 Created\r\nContent-Length: 5\r\nX-A: \r\nWarning: 299 - \"a\"\r\nWarning: 299 - \"b\"\r\n\r\nhello",
      [](HttpResponseParser& parser, const std::string& body, bool good) {
        CHECK(good);
        CHECK(parser.done());
        CHECK(parser.status() == 201);
        CHECK(body == "hello");
        CHECK(parser.header("content-length") == "5");
        CHECK(parser.header("x-a").empty());
        CHECK(parser.header("Warning") == "299 - \"a\"");
        CHECK(parser.headers().size() == 4);
      });
}

TEST_CASE("chunks, a trailer, and what stands behind is not looked at") {
  with_splits(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00000003\r\nabc\r\n1\r\nd\r\n0\r\nLog-Next-Offset: "
      "4\r\n\r\n",
      [](HttpResponseParser& parser, const std::string& body, bool good) {
        CHECK(good);
        CHECK(parser.done());
        CHECK(body == "abcd");
        CHECK(parser.header("Log-Next-Offset") == "4");
        std::string more;
        CHECK(parser.feed("HTTP/1.1 200 OK\r\n\r\n", more).ok());
        CHECK(more.empty());
      });
}

TEST_CASE("an interim response stands before the real one") {
  with_splits("HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 204 No Content\r\nDate: now\r\n\r\n",
              [](HttpResponseParser& parser, const std::string& body, bool good) {
                CHECK(good);
                CHECK(parser.done());
                CHECK(parser.status() == 204);
                CHECK(parser.headers().size() == 1);
                CHECK(body.empty());
              });
}

TEST_CASE("without a length the end is the connection's") {
  with_splits("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc",
              [](HttpResponseParser& parser, const std::string& body, bool good) {
                CHECK(good);
                CHECK(parser.head_complete());
                CHECK_FALSE(parser.done());
                CHECK(parser.finish().ok());
                CHECK(parser.done());
                CHECK(body == "abc");
              });
}

TEST_CASE("an end in the middle is an error") {
  for (const std::string_view part :
       {"", "HTTP/1.1 200 OK\r\nContent-", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", "HTTP/1.1 100 Continue\r\n\r\n"}) {
    with_splits(part, [](HttpResponseParser& parser, const std::string&, bool) {
      CHECK_FALSE(parser.done());
      CHECK_FALSE(parser.finish().ok());
    });
  }
}

TEST_CASE("what is no HTTP is refused") {
  for (const std::string_view part : {"SSH-2.0-OpenSSH\r\n", "HTTP/1.1 abc\r\n\r\n"}) {
    with_splits(part, [](HttpResponseParser&, const std::string&, bool good) { CHECK_FALSE(good); });
  }
  HttpResponseParser parser;
  std::string body;
  CHECK_FALSE(parser.feed("HTTP/1.1 200 OK\r\nA: " + std::string(300'000, 'x'), body).ok());
}

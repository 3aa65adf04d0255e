#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "wire/http1_head_check.h"

using te::check_http_head;
using te::HttpHead;
using te::HttpMethod;
using te::HttpRefusal;

namespace {

std::string with_fields(std::string_view fields) {
  return "POST /tasks HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n";
}

int status_of(std::string_view head) {
  HttpHead out;
  HttpRefusal why;
  why.status = 0;
  if (check_http_head(head, out, why)) return 200;
  CHECK_MESSAGE(!why.message.empty(), std::string(head));
  return why.status;
}

HttpHead checked(std::string_view head) {
  HttpHead out;
  HttpRefusal why;
  CHECK_MESSAGE(check_http_head(head, out, why), std::string(head), ": ", why.message);
  return out;
}

}  // namespace

TEST_CASE("a request line is taken apart") {
  const std::string_view text = "DELETE /tasks/x?tail=5&b HTTP/1.1\r\nHost: a\r\n\r\n";
  const HttpHead head = checked(text);
  CHECK(head.method == HttpMethod::kDelete);
  CHECK(text.substr(0, head.method_size) == "DELETE");
  CHECK(text.substr(head.target_at, head.target_size) == "/tasks/x?tail=5&b");
  CHECK(text.substr(head.path_at, head.path_size) == "/tasks/x");
  CHECK(text.substr(head.query_at, head.query_size) == "tail=5&b");
  CHECK(head.minor == 1);
  CHECK(head.keep_alive);
}

TEST_CASE("targets in absolute form give their path") {
  struct Case {
    std::string_view target, path, query;
  };
  const Case cases[] = {
      {"http://host/path", "/path", ""},
      {"HTTP://host:80/a?b?c", "/a", "b?c"},
      {"http://host", "/", ""},
      {"http://host?x=1", "/", "x=1"},
      {"http://[::1]:8/", "/", ""},
      {"/", "/", ""},
      {"/a?", "/a", ""},
      {"//a", "//a", ""},
      {"/http://x", "/http://x", ""},
      {"/%2e%2e/\"<>\\^`{|}", "/%2e%2e/\"<>\\^`{|}", ""},
  };
  for (const Case& one : cases) {
    const std::string text = "GET " + std::string(one.target) + " HTTP/1.1\r\nHost: a\r\n\r\n";
    const std::string_view view = text;
    const HttpHead head = checked(view);
    CHECK(view.substr(head.path_at, head.path_size) == one.path);
    CHECK(view.substr(head.query_at, head.query_size) == one.query);
    CHECK(view.substr(head.target_at, head.target_size) == one.target);
  }
}

TEST_CASE("malformed request lines") {
  const std::string rest = "\r\nHost: a\r\n\r\n";
  for (const std::string line : {"GET  / HTTP/1.1",
                                 "GET /  HTTP/1.1",
                                 " GET / HTTP/1.1",
                                 "GET / HTTP/1.1 ",
                                 "GET\t/ HTTP/1.1",
                                 "GET /\tHTTP/1.1",
                                 "GET /",
                                 "GET",
                                 "",
                                 "GET / HTTP/1",
                                 "GET / http/1.1",
                                 "GET / HTTP/1.1x",
                                 "GET / HTTP/11",
                                 "GET / HTTP/a.1",
                                 "GET x HTTP/1.1",
                                 "GET * HTTP/1.1",
                                 "GET http:/x HTTP/1.1",
                                 "GET http:///x HTTP/1.1",
                                 "GET https://h/x HTTP/1.1",
                                 "CONNECT host:80 HTTP/1.1",
                                 "GET /a b HTTP/1.1",
                                 "GET /\x80 HTTP/1.1",
                                 "GET /\x7f HTTP/1.1",
                                 "GET /\x01 HTTP/1.1",
                                 "GET /a#b HTTP/1.1",
                                 "G(T / HTTP/1.1",
                                 "GET / HTTP/1.1\r",
                                 "GET /\r HTTP/1.1",
                                 "GET /\rx HTTP/1.1",
                                 "GET / \r HTTP/1.1",
                                 "G\rET / HTTP/1.1"}) {
    CHECK_MESSAGE(status_of(line + rest) == 400, line);
  }
  CHECK(status_of(std::string("GET /\0x HTTP/1.1", 16) + rest) == 400);
  for (const std::string line : {"GET / HTTP/2.0", "PRI * HTTP/2.0", "GET / HTTP/1.2", "GET / HTTP/0.9"}) {
    CHECK_MESSAGE(status_of(line + rest) == 505, line);
  }
}

TEST_CASE("methods") {
  struct Case {
    const char* name;
    HttpMethod method;
  };
  const Case cases[] = {{"GET", HttpMethod::kGet},     {"HEAD", HttpMethod::kHead},       {"POST", HttpMethod::kPost},
                        {"PUT", HttpMethod::kPut},     {"DELETE", HttpMethod::kDelete},   {"PATCH", HttpMethod::kPatch},
                        {"BREW", HttpMethod::kOther},  {"OPTIONS", HttpMethod::kOptions}, {"get", HttpMethod::kOther},
                        {"TRACE", HttpMethod::kOther}, {"G", HttpMethod::kOther}};
  for (const Case& one : cases) {
    CHECK(checked(std::string(one.name) + " / HTTP/1.1\r\nHost: a\r\n\r\n").method == one.method);
  }
  CHECK(checked("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").method == HttpMethod::kOptions);
}

TEST_CASE("malformed header fields") {
  for (const std::string fields :
       {"X : 1\r\n", "X\t: 1\r\n", " X: 1\r\n", "X: 1\r\n folded\r\n", "X: 1\r\n\tfolded\r\n", ": 1\r\n", "X\r\n",
        "X(: 1\r\n", "X\x80: 1\r\n", "X: a\rb\r\n", "X: a\r\r\n", "X\r: a\r\n", "X: a\nY: b\r\n", "X: \x01\r\n",
        "X: \x7f\r\n", "X: \x0b\r\n", "\r\nX: 1\r\n", "\rX: 1\r\n"}) {
    CHECK_MESSAGE(status_of(with_fields(fields)) == 400, fields);
  }
  using namespace std::string_view_literals;
  CHECK(status_of(with_fields("X: a\0b\r\n"sv)) == 400);
  CHECK(status_of(with_fields("X\0: b\r\n"sv)) == 400);
  CHECK(status_of("GET / HTTP/1.1\r\n folded\r\nHost: a\r\n\r\n") == 400);
  CHECK(status_of("GET / HTTP/1.1\r\nHost: a\r\n") == 400);
  CHECK(status_of("\r\n\r\n") == 400);
  CHECK(status_of("") == 400);
  CHECK(status_of(with_fields("X:\r\nY:\t \r\nZ: a\tb \x80\xff\r\n!#$%&'*+-.^_`|~0: 1\r\n")) == 200);
}

TEST_CASE("Host") {
  CHECK(status_of("GET / HTTP/1.1\r\n\r\n") == 400);
  CHECK(status_of("GET / HTTP/1.0\r\n\r\n") == 200);
  CHECK(status_of(with_fields("host: a\r\n")) == 400);
  CHECK(status_of("GET / HTTP/1.1\r\nHost:\r\n\r\n") == 200);
  CHECK(status_of("GET / HTTP/1.1\r\nHost: [::1]:8\r\n\r\n") == 200);
  CHECK(status_of("GET / HTTP/1.1\r\nHost: a b\r\n\r\n") == 400);
  CHECK(status_of("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n") == 400);
}

TEST_CASE("Content-Length") {
  for (const std::string value : {"5, 6", "5,5", "+5", "-5", "0x5", "5 5", "", " ", "5.0", "18446744073709551616",
                                  "99999999999999999999999999", "5;"}) {
    CHECK_MESSAGE(status_of(with_fields("Content-Length: " + value + "\r\n")) == 400, value);
  }
  CHECK(status_of(with_fields("Content-Length: 5\r\nContent-Length: 5\r\n")) == 400);
  CHECK(status_of(with_fields("Content-Length: 5\r\ncontent-length: 6\r\n")) == 400);
  CHECK(checked(with_fields("cOntent-lEngth: \t 007 \t\r\n")).content_length == 7);
  CHECK(checked(with_fields("Content-Length:18446744073709551615\r\n")).content_length == UINT64_MAX);
  CHECK(checked(with_fields("Content-Length: 0\r\n")).has_length);
  CHECK_FALSE(checked(with_fields("")).has_length);
}

TEST_CASE("Transfer-Encoding") {
  CHECK(checked(with_fields("Transfer-Encoding: chunked\r\n")).chunked);
  CHECK(checked(with_fields("transfer-encoding:\tChunked \r\n")).chunked);
  for (const std::string value :
       {"gzip", "gzip, chunked", "identity", "chunked, gzip", "xchunked", "chunked;q=1", "chun ked"}) {
    CHECK_MESSAGE(status_of(with_fields("Transfer-Encoding: " + value + "\r\n")) == 501, value);
  }
  for (const std::string value : {"", "chunked, chunked", "chunked,", ",chunked"}) {
    CHECK_MESSAGE(status_of(with_fields("Transfer-Encoding: " + value + "\r\n")) == 400, value);
  }
  CHECK(status_of(with_fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")) == 400);
  CHECK(status_of(with_fields("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n")) == 400);
  CHECK(status_of(with_fields("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")) == 400);
  CHECK(status_of(with_fields("Content-Length: 5\r\nTransfer-Encoding: gzip\r\n")) == 400);
  CHECK(status_of("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n") == 400);
}

TEST_CASE("Expect") {
  CHECK(checked(with_fields("Expect: 100-Continue\r\n")).wants_continue);
  CHECK_FALSE(checked("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").wants_continue);
  CHECK(status_of(with_fields("Expect: 200-ok\r\n")) == 417);
  CHECK(status_of(with_fields("Expect:\r\n")) == 417);
  CHECK(status_of(with_fields("Expect: 100-continue\r\nExpect: x\r\n")) == 417);
  CHECK(status_of(with_fields("Expect: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n")) == 400);
}

TEST_CASE("Connection decides about keep-alive") {
  struct Case {
    const char* version;
    const char* fields;
    bool keep_alive;
  };
  const Case cases[] = {{"1.1", "", true},
                        {"1.0", "", false},
                        {"1.1", "Connection: close\r\n", false},
                        {"1.1", "Connection: CLOSE\r\n", false},
                        {"1.1", "Connection: x, close ,y\r\n", false},
                        {"1.1", "Connection: x\r\nConnection: close\r\n", false},
                        {"1.1", "Connection: keep-alive, close\r\n", false},
                        {"1.1", "Connection: closed\r\n", true},
                        {"1.1", "Connection: Upgrade\r\nUpgrade: h2c\r\n", true},
                        {"1.1", "Proxy-Connection: close\r\n", true},
                        {"1.0", "Connection: Keep-Alive\r\n", true},
                        {"1.0", "Connection: keep-alive, close\r\n", false}};
  for (const Case& one : cases) {
    const std::string text = std::string("GET / HTTP/") + one.version + "\r\nHost: a\r\n" + one.fields + "\r\n";
    CHECK_MESSAGE(checked(text).keep_alive == one.keep_alive, text);
  }
}

#include "api/response.h"

#include <doctest/doctest.h>

using namespace te;

namespace {

std::string head(const HttpResponse& response, bool keep_alive = true, bool tell = false) {
  std::string out;
  append_head(out, response, "Tue, 24 Nov 2026 10:00:00 GMT", {false, keep_alive, tell});
  return out;
}

struct Pieces final : BodySource {
  bool next(std::string&) override { return false; }
  bool done() const override { return true; }
};

}  // namespace

TEST_CASE("head: status line, date, type and length") {
  HttpResponse response;
  response.body = "{}";
  CHECK(head(response) ==
        "HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2026 10:00:00 GMT\r\nContent-Type: application/json\r\n"
        "Content-Length: 2\r\n\r\n");
}

TEST_CASE("head: whether the connection goes on") {
  const HttpResponse response;
  CHECK(head(response, false).find("\r\nConnection: close\r\n") != std::string::npos);
  CHECK(head(response, false, true).find("\r\nConnection: close\r\n") != std::string::npos);
  CHECK(head(response, true, true).find("\r\nConnection: keep-alive\r\n") != std::string::npos);
  CHECK(head(response, true, false).find("Connection") == std::string::npos);
}

TEST_CASE("head: 204 has neither type nor length (RFC 9110, 8.6)") {
  HttpResponse response;
  response.status = 204;
  CHECK(head(response) == "HTTP/1.1 204 No Content\r\nDate: Tue, 24 Nov 2026 10:00:00 GMT\r\n\r\n");
}

TEST_CASE("head: the length of a stream is the one that was promised") {
  HttpResponse response;
  response.body = "ignored";
  response.stream = std::make_unique<Pieces>();
  response.stream_length = 5'000'000'000;
  CHECK(head(response).find("Content-Length: 5000000000\r\n") != std::string::npos);
}

TEST_CASE("head: more headers, in their order, inside the head") {
  HttpResponse response;
  response.add_header("Allow", "GET, HEAD");
  response.add_header("X-Two", "2");
  CHECK(head(response).ends_with("\r\nAllow: GET, HEAD\r\nX-Two: 2\r\n\r\n"));
}

TEST_CASE("warning: quoted, escaped, and never another header") {
  HttpResponse response;
  response.add_warning("unknown field \"spec.proces\"");
  CHECK(response.headers == "Warning: 299 - \"unknown field \\\"spec.proces\\\"\"\r\n");
  response.headers.clear();
  response.add_warning("a\\b\r\nSet-Cookie: x\x7F\x01\t\xC3\xA9");
  CHECK(response.headers == "Warning: 299 - \"a\\\\b??Set-Cookie: x???\xC3\xA9\"\r\n");
}

TEST_CASE("error: the status's text as code, and a message that may hold anything") {
  HttpResponse response;
  response.body = "half an answer";
  response.content_type = "text/plain";
  response.set_error(404, "no task \"x\"\n");
  CHECK(response.status == 404);
  CHECK(response.content_type == "application/json");
  CHECK(response.body == R"({"code":"Not Found","message":"no task \"x\"\n"})");
}

TEST_CASE("error: the status follows from the kind") {
  const struct {
    ErrorKind kind;
    int status;
  } kinds[] = {{ErrorKind::kInvalid, 400},  {ErrorKind::kUnsupported, 400}, {ErrorKind::kNotFound, 404},
               {ErrorKind::kConflict, 409}, {ErrorKind::kTooLarge, 413},    {ErrorKind::kSystem, 507},
               {ErrorKind::kCorrupt, 507}};
  for (const auto& [kind, status] : kinds) {
    HttpResponse response;
    response.set_error(Error{kind, kind == ErrorKind::kSystem ? ENOSPC : 0, "what was tried"});
    CHECK(response.status == status);
    CHECK(response.body.find("what was tried") != std::string::npos);
  }
  HttpResponse full;
  full.set_error(Error{ErrorKind::kSystem, ENOSPC, "write"});
  CHECK(full.body.find("the state can't be written: write: No space left on device (ENOSPC)") != std::string::npos);
  CHECK(full.body.find("\"code\":\"Insufficient Storage\"") != std::string::npos);
}

TEST_CASE("response: cleared, it is as new, and gives big memory back") {
  HttpResponse response;
  response.set_error(500, std::string(1 << 20, 'x'));
  response.add_header("A", "b");
  response.stream = std::make_unique<Pieces>();
  response.stream_length = 3;
  response.when = HttpResponse::When::kLongPoll;
  response.poll_deadline = 5;
  response.clear();
  CHECK(response.status == 200);
  CHECK(response.body.empty());
  CHECK(response.body.capacity() < 1000);
  CHECK(response.headers.empty());
  CHECK(response.stream == nullptr);
  CHECK(response.stream_length == 0);
  CHECK(response.when == HttpResponse::When::kNow);
  CHECK(response.poll_deadline == kNever);
}

TEST_CASE("warning: no more of them than clients take") {
  HttpResponse response;
  for (int i = 0; i < 1'000; ++i) response.add_warning("unknown query parameter \"x\"");
  const std::string text = head(response);
  CHECK(text.size() < 5'000);
  CHECK(text.ends_with("\"unknown query parameter \\\"x\\\"\"\r\n\r\n"));
}

#include "api/http_server.h"

#include <algorithm>

#include "http_client.h"

using namespace te;
using test::Client;
using test::Served;
using test::Tidy;

namespace {

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

/// A stream of `pieces` times 64 KiB that counts how much was asked of it; it may break off.
struct Stream final : BodySource {
  Stream(size_t pieces, size_t& asked, size_t breaks_at = SIZE_MAX)
      : left(pieces), asked_for(asked), break_at(breaks_at) {}
  bool next(std::string& out) override {
    if (asked_for == break_at) return false;
    ++asked_for;
    --left;
    out.append(64 * kKiB, 's');
    return true;
  }
  bool done() const override { return left == 0; }
  size_t left;
  size_t& asked_for;
  size_t break_at;
};

}  // namespace

TEST_CASE_FIXTURE(Tidy, "server: answers, and the connection is kept") {
  Served served;
  Client client(served);
  client.get("/a");
  CHECK(client.short_answer() == "200 you asked for /a");
  client.get("/b");
  CHECK(client.short_answer() == "200 you asked for /b");
  CHECK(served.server.requests_served() == 2);
  CHECK(served.server.connections() == 1);
  client.close();
  CHECK(served.until([&] { return served.server.connections() == 0; }));
}

TEST_CASE_FIXTURE(Tidy, "server: a request in many pieces") {
  Served served;
  Client client(served);
  for (const char byte : std::string_view("POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab")) {
    client.send({&byte, 1});
    REQUIRE(served.reactor.turn(false));
  }
  CHECK(served.handler.requests.empty());
  client.send("c");
  CHECK(client.short_answer() == "200 you asked for /p");
  CHECK(served.handler.bodies == std::vector<std::string>{"abc"});
}

TEST_CASE_FIXTURE(Tidy, "server: requests sent together are answered in their order") {
  Served served;
  Client client(served);
  std::string many;
  for (int i = 0; i < 100; ++i) many += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: x\r\n\r\n";
  client.send(many);
  for (int i = 0; i < 100; ++i) CHECK(client.short_answer() == "200 you asked for /" + std::to_string(i));
}

TEST_CASE_FIXTURE(Tidy, "server: of requests sent together a turn answers only some, and none is forgotten") {
  for (const size_t count : {1U, 15U, 16U, 17U, 32U, 100U}) {
    CAPTURE(count);
    Served served;
    Client client(served);
    REQUIRE(served.until([&] { return served.server.connections() == 1; }));
    std::string many;
    for (size_t i = 0; i < count; ++i) many += "HEAD /" + std::to_string(i) + " HTTP/1.1\r\nHost: x\r\n\r\n";
    client.send(many);
    client.shut();
    size_t most = 0;
    CHECK(test::eventually([&] {
      const size_t before = served.handler.requests.size();
      REQUIRE(served.reactor.turn(false));
      most = std::max(most, served.handler.requests.size() - before);
      return served.server.connections() == 0;
    }));
    CHECK(served.handler.requests.size() == count);
    CHECK(most <= 16);
    for (size_t i = 0; i < count; ++i) CHECK(client.answer(true).starts_with("HTTP/1.1 200 "));
    CHECK(client.ended());
  }
}

TEST_CASE_FIXTURE(Tidy, "server: of requests that take their time a turn answers one") {
  Served served;
  served.handler.answer = [](const HttpRequest&, HttpResponse&) { ::usleep(3'000); };
  Client client(served);
  REQUIRE(served.until([&] { return served.server.connections() == 1; }));
  std::string many;
  for (int i = 0; i < 5; ++i) many += "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n";
  client.send(many);
  for (size_t turn = 1; turn <= 5; ++turn) {
    CHECK(test::eventually([&] {
      REQUIRE(served.reactor.turn(false));
      return !served.handler.requests.empty();
    }));
    CHECK(served.handler.requests.size() <= turn);
  }
  for (int i = 0; i < 5; ++i) CHECK(client.answer(true).starts_with("HTTP/1.1 200 "));
}

TEST_CASE_FIXTURE(Tidy, "server: close when the client asks for it, keep-alive told when it asks for that") {
  Served served;
  Client client(served);
  client.send("GET /a HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n");
  CHECK(has(client.answer(), "\r\nConnection: keep-alive\r\n"));
  client.send("GET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /c HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(has(client.answer(), "\r\nConnection: close\r\n"));
  CHECK(client.ended());
  CHECK(served.handler.requests == std::vector<std::string>{"/a", "/b"});
  Client old(served);
  old.send("GET /d HTTP/1.0\r\n\r\n");
  CHECK(has(old.answer(), "\r\nConnection: close\r\n"));
  CHECK(old.ended());
}

TEST_CASE_FIXTURE(Tidy, "server: HEAD has the length and no body") {
  Served served;
  Client client(served);
  client.send("HEAD /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(has(client.answer(true), "Content-Length: 16\r\n"));
  CHECK(client.short_answer() == "200 you asked for /b");
}

TEST_CASE_FIXTURE(Tidy, "server: 100 Continue for who waits for it") {
  Served served;
  Client client(served);
  client.send("POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  CHECK(client.answer() == "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("ab");
  CHECK(client.short_answer() == "200 you asked for /p");
}

TEST_CASE_FIXTURE(Tidy, "server: what is no request gets its error, and the connection ends") {
  Served served({.max_body_bytes = 10});
  const struct {
    const char* bytes;
    const char* status;
  } bad[] = {{"nonsense\r\n\r\n", "400"},
             {"GET / HTTP/1.1\r\n\r\n", "400"},
             {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "400"},
             {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n", "413"}};
  for (const auto& one : bad) {
    CAPTURE(std::string(one.bytes));
    Client client(served);
    client.send(one.bytes);
    const std::string answer = client.answer();
    CHECK(answer.substr(9, 3) == one.status);
    CHECK(has(answer, "\r\nConnection: close\r\n"));
    CHECK(has(answer, "{\"code\":\""));
    CHECK(client.ended());
    CHECK(!client.was_reset());
    client.close();
  }
  CHECK(served.handler.requests.empty());
  CHECK(served.until([&] { return served.server.connections() == 0; }));
}

TEST_CASE_FIXTURE(Tidy, "server: the rest of a refused request does not turn its answer into a reset") {
  Served served({.max_body_bytes = 10});
  Client client(served);
  client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
  client.send_some(std::string(300'000, 'x'));
  CHECK(client.answer().starts_with("HTTP/1.1 413 "));
  CHECK(client.ended());
  CHECK(!client.was_reset());
}

TEST_CASE_FIXTURE(Tidy, "server: a client that sends its end gets its answers first") {
  Served served;
  Client client(served);
  client.get("/a");
  client.get("/b");
  client.shut();
  CHECK(client.short_answer() == "200 you asked for /a");
  CHECK(client.short_answer() == "200 you asked for /b");
  CHECK(client.ended());
  Client half(served);
  half.send("GET /half");
  half.shut();
  CHECK(half.ended());
  CHECK(served.until([&] { return served.server.connections() == 0; }));
}

TEST_CASE_FIXTURE(Tidy, "server: an answer that comes later, while what is behind it waits") {
  Served served;
  Client client(served);
  served.handler.answer = [](const HttpRequest& request, HttpResponse& response) {
    if (request.path == "/later") response.when = HttpResponse::When::kLater;
    response.body = request.path;
  };
  client.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(served.until([&] { return served.handler.tickets.size() == 1; }));
  REQUIRE(served.reactor.turn(false));
  client.take();
  CHECK(client.received().empty());
  CHECK(served.handler.requests.size() == 1);
  HttpResponse& response = served.server.scratch();
  response.body = "at last";
  served.server.answer(served.handler.tickets[0], response);
  CHECK(client.short_answer() == "200 at last");
  CHECK(client.short_answer() == "200 /next");
}

TEST_CASE_FIXTURE(Tidy, "server: an answer for a client that has gone reaches nobody, not even its successor") {
  Served served;
  served.handler.answer = [](const HttpRequest& request, HttpResponse& response) {
    if (request.path == "/later") response.when = HttpResponse::When::kLater;
    response.body = "own";
  };
  Client first(served);
  first.get("/later");
  CHECK(served.until([&] { return served.handler.tickets.size() == 1; }));
  const linger at_once{1, 0};
  ::setsockopt(first.fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);  // a reset, not only an end
  first.close();
  CHECK(served.until([&] { return served.server.connections() == 0; }));
  Client second(served);  // in the same slot
  second.get("/now");
  CHECK(second.short_answer() == "200 own");
  HttpResponse& response = served.server.scratch();
  response.body = "not for you";
  served.server.answer(served.handler.tickets[0], response);
  served.server.answer(UINT64_MAX, response);
  REQUIRE(served.reactor.turn(false));
  second.take();
  CHECK(second.received().empty());
}

TEST_CASE_FIXTURE(Tidy, "long poll: answered at its deadline") {
  Served served;
  Client client(served);
  served.handler.answer = [&](const HttpRequest&, HttpResponse& response) {
    response.when = HttpResponse::When::kLongPoll;
    response.poll_deadline = sys::mono_now() + 2 * kMillisecond;
  };
  client.get("/poll");
  CHECK(client.short_answer() == "200 deadline");
  CHECK(served.handler.deadlines == served.handler.tickets);
  CHECK(served.handler.abandoned.empty());
}

TEST_CASE_FIXTURE(Tidy, "long poll: answered before, then never again") {
  Served served;
  Client client(served);
  served.handler.answer = [&](const HttpRequest&, HttpResponse& response) {
    response.when = HttpResponse::When::kLongPoll;
    response.poll_deadline = sys::mono_now() + 1000 * kSecond;
  };
  client.get("/poll");
  CHECK(served.until([&] { return served.handler.tickets.size() == 1; }));
  HttpResponse& response = served.server.scratch();
  response.body = "news";
  served.server.answer(served.handler.tickets[0], response);
  CHECK(client.short_answer() == "200 news");
  served.handler.answer = [](const HttpRequest&, HttpResponse& next) { next.body = "next"; };
  client.get("/x");
  CHECK(client.short_answer() == "200 next");
  CHECK(served.handler.deadlines.empty());
}

TEST_CASE_FIXTURE(Tidy, "long poll: a client that sends no more is answered at once, and one that has gone is closed") {
  Served served;
  served.handler.answer = [&](const HttpRequest&, HttpResponse& response) {
    response.when = HttpResponse::When::kLongPoll;
  };
  Client client(served);
  client.get("/poll");
  CHECK(served.until([&] { return served.handler.tickets.size() == 1; }));
  client.close();
  CHECK(served.until([&] { return served.server.connections() == 0; }));
  CHECK(served.handler.deadlines == served.handler.tickets);
}

TEST_CASE_FIXTURE(Tidy, "back-pressure: who does not read is not read from, and no more of the stream is made") {
  Served served;
  size_t asked = 0;
  constexpr size_t kPieces = 1000;  // 64 MB
  served.handler.answer = [&](const HttpRequest&, HttpResponse& response) {
    response.stream = std::make_unique<Stream>(kPieces, asked);
    response.stream_length = kPieces * 64 * kKiB;
  };
  Client client(served, 16'384);
  client.get("/big");
  CHECK(served.until([&] { return asked > 0; }));
  size_t last = 0;
  // Until the kernel's buffers are full: then nothing moves, however often the loop turns.
  CHECK(served.until([&] { return asked == std::exchange(last, asked); }));
  for (int i = 0; i < 50; ++i) REQUIRE(served.reactor.turn(false));
  CHECK(asked == last);
  CHECK(asked < kPieces);
  int64_t taken = 0;
  const std::string junk(1 << 20, 'j');
  for (int i = 0; i < 50; ++i) {
    taken += std::max<int64_t>(client.send_some(junk), 0);
    REQUIRE(served.reactor.turn(false));
  }
  CHECK(taken < 50 * (1 << 20));  // only what the kernel holds
  CHECK(served.handler.requests.size() == 1);
  client.close();
  CHECK(served.until([&] { return served.server.connections() == 0; }));
}

TEST_CASE_FIXTURE(Tidy, "stream: given out whole, and then the next request has its turn") {
  Served served;
  size_t asked = 0;
  served.handler.answer = [&](const HttpRequest& request, HttpResponse& response) {
    response.body = "small";
    if (request.path != "/big") return;
    response.stream = std::make_unique<Stream>(40, asked);
    response.stream_length = 40 * 64 * kKiB;
  };
  Client client(served);
  client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\nGET /small HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string answer = client.answer();
  CHECK(answer.size() == answer.find("\r\n\r\n") + 4 + 40 * 64 * kKiB);
  CHECK(asked == 40);
  CHECK(client.short_answer() == "200 small");
}

TEST_CASE_FIXTURE(Tidy, "stream: one that can't keep its promise breaks the connection off") {
  Served served;
  size_t asked = 0;
  served.handler.answer = [&](const HttpRequest&, HttpResponse& response) {
    response.stream = std::make_unique<Stream>(40, asked, 3);
    response.stream_length = 40 * 64 * kKiB;
  };
  Client client(served);
  client.get("/big");
  CHECK(client.answer() == "(none)");
  CHECK(served.until([&] { return served.server.connections() == 0; }));
}

TEST_CASE_FIXTURE(Tidy, "a big body comes through whole") {
  Served served;
  std::string body;
  for (int i = 0; body.size() < 3'000'000; ++i) body += std::to_string(i) + ",";
  served.handler.answer = [&](const HttpRequest&, HttpResponse& response) { response.body = body; };
  Client client(served);
  client.get("/list");
  CHECK((client.short_answer() == "200 " + body));
  client.get("/list");
  CHECK((client.short_answer() == "200 " + body));
}

TEST_CASE_FIXTURE(Tidy, "limit: the oldest idle connection makes room") {
  Served served({.max_connections = 2});
  Client first(served);
  first.get("/1");
  CHECK(first.short_answer() == "200 you asked for /1");
  Client second(served);
  second.get("/2");
  CHECK(second.short_answer() == "200 you asked for /2");
  first.get("/3");  // now the second one is idle for longer
  CHECK(first.short_answer() == "200 you asked for /3");
  Client third(served);
  third.get("/4");
  CHECK(third.short_answer() == "200 you asked for /4");
  CHECK(second.ended());
  first.get("/5");
  CHECK(first.short_answer() == "200 you asked for /5");
  CHECK(served.server.connections() == 2);
}

TEST_CASE_FIXTURE(Tidy, "limit: with none idle, 503") {
  Served served({.max_connections = 1});
  served.handler.answer = [](const HttpRequest&, HttpResponse& response) {
    response.when = HttpResponse::When::kLongPoll;
  };
  Client busy(served);
  busy.get("/poll");
  CHECK(served.until([&] { return served.handler.tickets.size() == 1; }));
  Client refused(served);
  const std::string answer = refused.answer();
  CHECK(answer.starts_with("HTTP/1.1 503 "));
  CHECK(has(answer, "\r\nConnection: close\r\n"));
  CHECK(refused.ended());
  CHECK(served.server.connections() == 1);
  CHECK(served.handler.abandoned.empty());
}

TEST_CASE_FIXTURE(Tidy, "shutdown: idle ones go, long polls get their answer, the rest theirs and then goes") {
  Served served;
  Client idle(served);
  idle.get("/idle");
  CHECK(idle.short_answer() == "200 you asked for /idle");
  served.handler.answer = [](const HttpRequest& request, HttpResponse& response) {
    response.when = request.path == "/poll" ? HttpResponse::When::kLongPoll : HttpResponse::When::kLater;
  };
  Client poll(served);
  poll.get("/poll");
  Client later(served);
  later.get("/later");
  CHECK(served.until([&] { return served.handler.tickets.size() == 3; }));
  served.server.begin_shutdown();
  CHECK(idle.ended());
  const std::string polled = poll.answer();
  CHECK(has(polled, "deadline"));
  CHECK(has(polled, "\r\nConnection: close\r\n"));
  CHECK(poll.ended());
  CHECK(!served.server.all_closed());
  const bool later_is_last = served.handler.requests.back() == "/later";
  HttpResponse& response = served.server.scratch();
  response.body = "done";
  served.server.answer(served.handler.tickets[later_is_last ? 2 : 1], response);
  const std::string answered = later.answer();
  CHECK(has(answered, "done"));
  CHECK(has(answered, "\r\nConnection: close\r\n"));
  CHECK(later.ended());
  CHECK(served.until([&] { return served.server.all_closed(); }));
}

TEST_CASE_FIXTURE(Tidy, "shutdown: what is left is abandoned, answered or not") {
  Served served;
  served.handler.answer = [](const HttpRequest&, HttpResponse& response) {
    response.when = HttpResponse::When::kLater;
  };
  Client client(served);
  client.get("/later");
  CHECK(served.until([&] { return served.handler.tickets.size() == 1; }));
  served.server.begin_shutdown();
  CHECK(!served.server.all_closed());
  served.server.abandon_all();
  served.server.end_turn();
  CHECK(served.server.all_closed());
  CHECK(client.ended());
}

TEST_CASE_FIXTURE(Tidy, "many clients at once, each with its own answers") {
  Served served;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(std::make_unique<Client>(served));
    clients.back()->get("/" + std::to_string(i));
  }
  for (size_t i = 0; i < clients.size(); ++i) {
    CHECK(clients[i]->short_answer() == "200 you asked for /" + std::to_string(i));
  }
  CHECK(served.server.connections() == 100);
  clients.clear();
  CHECK(served.until([&] { return served.server.connections() == 0; }));
}

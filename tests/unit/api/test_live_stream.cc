// Answers whose length nobody knows: how a connection frames them, waits for them and lets them go.
#include <doctest/doctest.h>

#include <algorithm>

#include "http_client.h"

using namespace te;
using test::Client;
using test::Served;
using test::Tidy;

namespace {

/// A source that the test holds in its hand.
struct Script {
  std::string pending;
  bool ended = false;
  bool broken = false;
  int stops = 0;
  int alive = 0;
};

class ScriptedSource final : public BodySource {
 public:
  explicit ScriptedSource(Script& script) : script_(script) { ++script_.alive; }
  ~ScriptedSource() override { --script_.alive; }
  bool next(std::string& out) override {
    if (script_.broken) return false;
    out += std::exchange(script_.pending, {});
    return true;
  }
  bool done() const override { return script_.ended && script_.pending.empty(); }
  bool ready() const override { return script_.ended || script_.broken || !script_.pending.empty(); }
  void add_trailer(std::string& out) const override { out += "X-End: yes\r\n"; }
  void stop() override {
    ++script_.stops;
    script_.ended = true;
  }

 private:
  Script& script_;
};

/// Has a thousand pieces to look at, with nothing in them but in the last one.
class EmptySource final : public BodySource {
 public:
  explicit EmptySource(int& asked) : asked_(asked) {}
  bool next(std::string& out) override {
    if (++asked_ == kPieces) out += "found";
    return true;
  }
  bool done() const override { return asked_ == kPieces; }

  static constexpr int kPieces = 1'000;

 private:
  int& asked_;
};

struct Live {
  explicit Live() {
    served.handler.answer = [this](const HttpRequest& request, HttpResponse& response) {
      if (request.path != "/live") {
        response.body = "plain";
        return;
      }
      response.live = true;
      response.stream = std::make_unique<ScriptedSource>(script);
    };
  }
  void wake() { served.server.wake(served.handler.tickets.back()); }
  /// What has come behind the head, once there are `size` bytes of it.
  std::string body(Client& client, size_t size) {
    std::string out;
    served.until([&] {
      client.take();
      const size_t end = client.received().find("\r\n\r\n");
      if (end == std::string::npos) return false;
      out = client.received().substr(end + 4);
      return out.size() >= size;
    });
    return out;
  }

  Script script;
  Served served;
};

}  // namespace

TEST_CASE_FIXTURE(Tidy, "live: chunks as they come, a trailer, and the connection goes on") {
  Live live;
  Client client(live.served);
  client.get("/live");
  CHECK(live.served.until([&] { return live.script.alive == 1; }));
  CHECK(live.body(client, 0).empty());
  CHECK(client.received().find("\r\nTransfer-Encoding: chunked\r\n") != std::string::npos);
  CHECK(client.received().find("Content-Length") == std::string::npos);
  live.script.pending = "hello";
  live.wake();
  const std::string first = "00000005\r\nhello\r\n";
  CHECK(live.body(client, first.size()) == first);
  live.script.pending = std::string(1000, 'x');
  live.script.ended = true;
  live.wake();
  const std::string all = first + "000003e8\r\n" + std::string(1000, 'x') + "\r\n0\r\nX-End: yes\r\n\r\n";
  CHECK(live.body(client, all.size()) == all);
  CHECK(live.script.alive == 0);
  client.get("/plain");
  CHECK(live.body(client, all.size() + 10).find("\r\n\r\nplain") != std::string::npos);
}

TEST_CASE_FIXTURE(Tidy, "live: a source that has ended at once, and requests behind it") {
  Live live;
  live.script.ended = true;
  Client client(live.served);
  client.send(
      "GET /live HTTP/1.1\r\nHost: x\r\n\r\nHEAD /live HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string end = "0\r\nX-End: yes\r\n\r\n";
  CHECK(live.served.until([&] {
    client.take();
    return client.received().ends_with("\r\n\r\nplain");
  }));
  const size_t first = client.received().find(end);
  CHECK(first != std::string::npos);
  CHECK(client.received().find(end, first + 1) == std::string::npos);  // HEAD has none
  CHECK(live.script.alive == 0);
}

TEST_CASE_FIXTURE(Tidy, "live: a source that only HEAD has asked for is gone at once") {
  Live live;
  Client client(live.served);
  client.send("HEAD /live HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(client.answer(true).ends_with("\r\n\r\n"));
  CHECK(live.script.alive == 0);
}

TEST_CASE_FIXTURE(Tidy, "live: HTTP/1.0 is told the end by the connection's") {
  Live live;
  live.script.pending = "hello";
  live.script.ended = true;
  Client client(live.served);
  client.send("GET /live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  CHECK(live.served.until([&] {
    client.take();
    return client.received().ends_with("\r\n\r\nhello");
  }));
  CHECK(client.received().find("chunked") == std::string::npos);
  CHECK(client.received().find("Connection: close") != std::string::npos);
  CHECK(live.served.until([&] { return live.served.server.connections() == 0; }));
}

TEST_CASE_FIXTURE(Tidy, "live: a source that breaks off ends the connection without a last chunk") {
  Live live;
  live.script.pending = "hello";
  Client client(live.served);
  client.get("/live");
  CHECK(live.body(client, 17) == "00000005\r\nhello\r\n");
  live.script.broken = true;
  live.wake();
  CHECK(live.served.until([&] { return live.served.server.connections() == 0; }));
  client.take();
  CHECK_FALSE(client.received().ends_with("0\r\n\r\n"));
  CHECK(live.script.alive == 0);
}

TEST_CASE_FIXTURE(Tidy, "live: a client that goes while nothing is said is noticed") {
  Live live;
  Client client(live.served);
  client.get("/live");
  CHECK(live.served.until([&] { return live.script.alive == 1; }));
  client.close();
  CHECK(live.served.until([&] { return live.served.server.connections() == 0; }));
  CHECK(live.script.alive == 0);
  live.wake();  // harms nobody
}

TEST_CASE_FIXTURE(Tidy, "live: the end of the agent ends it properly") {
  Live live;
  Client client(live.served);
  client.get("/live");
  CHECK(live.served.until([&] { return live.script.alive == 1; }));
  live.served.server.begin_shutdown();
  CHECK(live.script.stops == 1);
  CHECK(live.served.until([&] { return live.served.server.all_closed(); }));
  client.take();
  CHECK(client.received().ends_with("\r\n\r\n0\r\nX-End: yes\r\n\r\n"));
}

TEST_CASE_FIXTURE(Tidy, "live: what is looked through in vain leaves others their turns") {
  Live live;
  int asked = 0;
  live.served.handler.answer = [&](const HttpRequest&, HttpResponse& response) {
    response.live = true;
    response.stream = std::make_unique<EmptySource>(asked);
  };
  Client client(live.served);
  client.get("/live");
  int most = 0;
  while (asked < EmptySource::kPieces) {
    const int before = asked;
    REQUIRE(live.served.reactor.turn(false));
    most = std::max(most, asked - before);
  }
  CHECK(most <= 16);
  const std::string all = "00000005\r\nfound\r\n0\r\n\r\n";
  CHECK(live.body(client, all.size()) == all);
}

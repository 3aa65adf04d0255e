// Followed logs of tasks whose files can't be had as they should.
#include <algorithm>
#include <cstdlib>
#include <utility>

#include "task_api_world.h"

using namespace te;
using test::Api;
using test::Client;
using test::TempDir;
using test::Tidy;

namespace {

/// A task "t" that has been started and has written "begin", and a client that follows its output.
struct Followed {
  explicit Followed(bool bounded = false) : api(options(bounded)), client(api.served) {}

  TaskApiOptions options(bool bounded) const {
    dir.make_dir("t");
    dir.write("t/stdout.log", "begin");
    TaskApiOptions out;
    out.data_dir = dir.path();
    out.data_root = dir.fd();
    out.logs_bounded = bounded;
    return out;
  }
  void follow(std::string_view first = "begin\r\n") {
    REQUIRE(api.ask("POST /tasks", R"({"name":"t","process":{"command":["x"]}})").starts_with("201 "));
    REQUIRE(api.served.until([&] { return api.runtime.starts.size() == 1; }));
    Api::send(client, "GET /tasks/t/logs?stream=stdout&follow=true");
    REQUIRE(api.served.until([&] { return client.take(), client.received().ends_with(first); }));
  }
  void append(std::string_view text) const {
    const Result<Fd> file = sys::open_at(dir.fd(), "t/stdout.log", O_WRONLY | O_APPEND);
    REQUIRE(sys::write_all(file->get(), text));
  }
  /// What the agent has opened to read the log.
  int descriptor() const {
    for (const std::string& one : test::open_descriptors()) {
      if (one.ends_with("/t/stdout.log")) return std::atoi(one.c_str());
    }
    return -1;
  }

  TempDir dir;
  Api api;
  Client client;
};

}  // namespace

TEST_CASE_FIXTURE(Tidy, "follow: a log that can't be read any more breaks off, and is not asked for ever") {
  // What a disk's EIO does: pread(2) fails of one, lseek(2) too of the other; both have a size.
  for (const int flags : {O_WRONLY, O_PATH}) {
    CAPTURE(flags);
    Followed followed;
    followed.follow();
    const size_t had = followed.client.received().size();
    const int log = followed.descriptor();
    REQUIRE(log >= 0);
    const Fd other(::open(followed.dir.path("t/stdout.log").c_str(), flags | O_CLOEXEC));
    REQUIRE(::dup3(other.get(), log, O_CLOEXEC) >= 0);
    followed.append("more");
    CHECK(followed.api.served.until([&] { return followed.api.served.server.connections() == 0; }));
    followed.client.take();
    CHECK(followed.client.received().size() == had);
  }
}

TEST_CASE_FIXTURE(Tidy, "follow: a log that has become shorter goes on with what comes") {
  Followed followed;
  followed.follow();
  followed.dir.write("t/stdout.log", "");
  for (int i = 0; i < 10; ++i) REQUIRE(followed.api.served.reactor.turn(false));
  followed.append("again");
  CHECK(followed.api.served.until(
      [&] { return followed.client.take(), followed.client.received().ends_with("again\r\n"); }));
}

TEST_CASE_FIXTURE(Tidy, "follow: what a task writes into a log that it has emptied comes from its beginning") {
  for (const char* text : {"new", "again"}) {  // shorter than what was sent, and as long
    CAPTURE(std::string(text));
    Followed followed;
    followed.follow();
    followed.dir.write("t/stdout.log", "");
    if (std::string_view(text) == "again") {
      for (int i = 0; i < 20; ++i) {
        REQUIRE(followed.api.served.reactor.turn(false));
        ::usleep(5'000);
      }
    }
    followed.append(text);
    CHECK(followed.api.served.until(
        [&] { return followed.client.take(), followed.client.received().ends_with(std::string(text) + "\r\n"); }));
  }
}

TEST_CASE_FIXTURE(Tidy, "follow: of a bounded log that was cut comes what was not sent yet") {
  Followed followed(true);
  followed.follow();
  followed.dir.write("t/stdout.log", "gin");  // its tail
  for (int i = 0; i < 10; ++i) REQUIRE(followed.api.served.reactor.turn(false));
  followed.append("more");
  CHECK(followed.api.served.until(
      [&] { return followed.client.take(), followed.client.received().ends_with("\r\nmore\r\n"); }));
}

TEST_CASE_FIXTURE(Tidy, "follow: a crowd that follows the same task is served over several turns") {
  Followed followed;
  followed.follow();
  constexpr size_t kClients = 200;
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<Client>(followed.api.served));
    Api::send(*clients.back(), "GET /tasks/t/logs?stream=stdout&follow=true&tail=0");
  }
  REQUIRE(followed.api.served.until([&] {
    return std::ranges::all_of(clients, [](const auto& one) { return one->take(), !one->received().empty(); });
  }));
  for (int i = 0; i < 20; ++i) {  // the pause behind the start is over
    REQUIRE(followed.api.served.reactor.turn(false));
    ::usleep(5'000);
  }
  followed.append(std::string(200'000, 'y'));
  size_t most = 0;
  size_t served = 0;
  for (int turn = 0; turn < 10'000 && served < kClients; ++turn) {
    const size_t before = std::exchange(served, 0);
    for (const auto& one : clients) {
      one->take();
      if (one->received().find("yyy") != std::string::npos) ++served;
    }
    most = std::max(most, served - before);
    REQUIRE(followed.api.served.reactor.turn(false));
  }
  CHECK(served == kClients);
  CHECK(most < kClients);
}

TEST_CASE_FIXTURE(Tidy, "follow: when the agent stops, what was there is sent before the stream breaks off") {
  Followed followed;
  followed.follow();
  followed.append("last");
  followed.api.served.server.begin_shutdown();
  CHECK(followed.api.served.until([&] { return followed.api.served.server.connections() == 0; }));
  followed.client.take();
  CHECK(followed.client.received().ends_with("\r\nlast\r\n"));
}

TEST_CASE_FIXTURE(Tidy, "follow: a log that can't be opened at the end is not told as complete") {
  for (const bool in_the_way : {true, false}) {
    CAPTURE(in_the_way);
    Followed followed;
    REQUIRE(::unlinkat(followed.dir.fd(), "t/stdout.log", 0) == 0);
    followed.follow("\r\n\r\n");
    if (in_the_way) followed.dir.make_dir("t/stdout.log");  // in place of what opening may fail with
    followed.api.end("t", 0);
    const std::string last = "0\r\nLog-Next-Offset: 0\r\n\r\n";
    CHECK(followed.api.served.until([&] {
      followed.client.take();
      return followed.client.received().ends_with(last) || followed.api.served.server.connections() == 0;
    }));
    followed.client.take();
    CHECK(followed.client.received().ends_with(last) == !in_the_way);
  }
}

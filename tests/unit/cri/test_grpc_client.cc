#include <doctest/doctest.h>

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <string>
#include <vector>

#include "../../verdict_name.h"
#include "cri/grpc_client.h"
#include "raw_server.h"
#include "sys/net.h"

using namespace te;
using namespace te::cri;

namespace {

/// A client at a raw server, and what it is told, a line each.
class Fixture : private RuntimeObserver,
                private EventHandler,
                private Handler<ContainerStatusResponse>,
                private Handler<StartContainerResponse>,
                private Handler<StopContainerResponse>,
                private Handler<RunPodSandboxResponse>,
                private Handler<PullImageResponse> {
 public:
  explicit Fixture(MonoNanos patience = kDefaultPatience, Http2Options http2 = {}) {
    GrpcClientOptions options;
    options.channel.socket_path = server.path();
    options.channel.first_back_off = 5 * kMillisecond;
    options.channel.last_back_off = 20 * kMillisecond;
    options.channel.max_message = 1'000;
    options.channel.http2 = http2;
    options.patience = patience;
    options.figures = &figures;
    client = std::make_unique<GrpcClient>(*reactor, options, static_cast<RuntimeObserver&>(*this));
  }

  void turn_until(const std::function<bool()>& done) { ::turn_until(*reactor, server, done); }
  void connect() {
    client->start();
    turn_until([&] { return client->runtime() != nullptr; });
    told.clear();
  }
  void wait_told(size_t lines = 1) {
    turn_until([&] { return told.size() >= lines; });
  }
  Call status(std::string id) { return client->container_status({std::move(id)}, *this); }
  Call start(std::string id) { return client->start_container({std::move(id)}, *this); }
  Call stop(std::string id, int64_t grace) { return client->stop_container({std::move(id), grace}, *this); }
  Call run() { return client->run_pod_sandbox({}, *this); }
  Call pull() { return client->pull_image({}, *this); }
  Call events() { return client->watch_events(*this); }
  SeenRequest* wait_request(std::string_view method) {
    turn_until([&] { return !server.links.empty() && server.last().find(method) != nullptr; });
    return server.last().find(method);
  }
  /// A request for that path on any connection.
  size_t requests(std::string_view method) {
    size_t count = 0;
    for (const auto& link : server.links) {
      for (const SeenRequest& request : link->requests) count += request.path.ends_with(method) ? 1U : 0U;
    }
    return count;
  }

  Result<Reactor> reactor = Reactor::create();
  RawServer server;
  ClientFigures figures;
  std::unique_ptr<GrpcClient> client;
  std::vector<std::string> told;
  std::function<void()> in_handler;

 private:
  void tell(std::string line) {
    told.push_back(std::move(line));
    if (in_handler) in_handler();
  }
  template <class Response>
  void tell(const Outcome<Response>& outcome, std::string good) {
    if (outcome.ok()) return tell(std::move(good));
    constexpr std::string_view kOrigins[] = {"server", "not sent", "lost", "local"};
    tell(std::string(verdict_name(outcome.failure->verdict)) + ", " +
         std::string(kOrigins[static_cast<size_t>(outcome.failure->status.origin)]) + ", " + outcome.failure->text());
  }
  void on_runtime_up(const VersionResponse& runtime) override { tell("up " + runtime.runtime_name); }
  void on_runtime_down(std::string_view why) override { tell("down " + std::string(why)); }
  void on_container_event(const ContainerEvent& event) override { tell("event " + event.container_id); }
  void on_events_end(const Failure& failure) override {
    tell("events end: " + std::string(verdict_name(failure.verdict)) + ", " + failure.text());
  }
  void on_reply(CallId, Outcome<ContainerStatusResponse>& outcome) override {
    tell(outcome, "status " + outcome.response.status.id);
  }
  void on_reply(CallId, Outcome<StartContainerResponse>& outcome) override { tell(outcome, "started"); }
  void on_reply(CallId, Outcome<StopContainerResponse>& outcome) override { tell(outcome, "stopped"); }
  void on_reply(CallId, Outcome<RunPodSandboxResponse>& outcome) override {
    tell(outcome, "sandbox " + outcome.response.pod_sandbox_id);
  }
  void on_reply(CallId, Outcome<PullImageResponse>& outcome) override { tell(outcome, "pulled"); }
};

/// A listening socket that is full of connections which nobody accepts.
class FullQueue {
 public:
  explicit FullQueue(const std::string& path)
      : listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::copy(path.begin(), path.end(), address.sun_path);
    REQUIRE(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener_.get(), 1) == 0);
    for (;;) {
      Result<Fd> client = sys::connect_to("unix:" + path, 0);
      if (!client) {
        CHECK(client.error().code == EAGAIN);
        return;
      }
      clients_.push_back(std::move(client).value());
    }
  }
  void accept_one() const {
    if (Fd taken(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)); taken.valid()) ++accepted_;
  }
  size_t size() const { return clients_.size(); }
  size_t accepted() const { return accepted_; }

 private:
  Fd listener_;
  std::vector<Fd> clients_;
  mutable size_t accepted_ = 0;
};

std::string status_message(std::string_view id) {
  std::string out;
  ProtoWriter(out).message(1, [&](ProtoWriter& status) { status.text(1, id); });
  return out;
}

}  // namespace

TEST_CASE("grpc client: Version first, then the calls that wait") {
  Fixture f;
  f.server.greets = false;
  f.client->start();
  const Call call = f.status("a");
  f.wait_request("/Version");
  CHECK(f.server.last().requests.size() == 1);
  CHECK(f.client->runtime() == nullptr);
  f.server.last().answer_version();
  const SeenRequest* request = f.wait_request("/ContainerStatus");
  CHECK(f.told == std::vector<std::string>{"up raw"});
  CHECK(f.client->runtime()->runtime_version == "2.0");
  CHECK(f.client->trouble().empty());
  CHECK(to_hex(request->message) == "0a0161");
  f.server.last().answer(request->stream, status_message("a"));
  f.wait_told(2);
  CHECK(f.told[1] == "status a");
}

TEST_CASE("grpc client: it counts calls by their end, and connections") {
  Fixture f;
  f.connect();
  CHECK(f.figures.ended(Method::kVersion, GrpcCode::kOk) == 1);
  CHECK(f.figures.connects == 1);
  const Call answered = f.status("a");
  f.server.last().answer(f.wait_request("/ContainerStatus")->stream, status_message("a"));
  f.wait_told();
  Call dropped = f.pull();
  Call forgotten = f.start("b");
  f.wait_request("/PullImage");
  f.wait_request("/StartContainer");
  CHECK(f.client->calls() == 2);
  dropped.reset();
  forgotten.reset();
  CHECK(f.figures.ended(Method::kPullImage, GrpcCode::kCancelled) == 1);
  CHECK(f.client->calls() == 1);  // it goes on, though nobody waits
  f.server.stop();
  f.wait_told(2);
  CHECK(f.told[1].starts_with("down "));
  f.turn_until([&] { return f.client->calls() == 0; });
  CHECK(f.figures.ended(Method::kContainerStatus, GrpcCode::kOk) == 1);
  CHECK(f.figures.ended(Method::kStartContainer, GrpcCode::kUnavailable) == 1);
  CHECK(f.figures.connects == 1);
  CHECK(f.figures.disconnects == 1);
}

TEST_CASE("grpc client: many calls at once, answered in any order") {
  Fixture f;
  f.connect();
  std::vector<Call> calls;
  for (int i = 0; i < 50; ++i) calls.push_back(f.status(std::to_string(i)));
  f.turn_until([&] { return f.requests("/ContainerStatus") == 50; });
  for (auto at = f.server.last().requests.rbegin(); at != f.server.last().requests.rend(); ++at) {
    if (at->path.ends_with("/ContainerStatus"))
      f.server.last().answer(at->stream, status_message(at->message.substr(2)));
  }
  f.wait_told(50);
  CHECK(f.told.front() == "status 49");
  CHECK(f.told.back() == "status 0");
}

TEST_CASE("grpc client: no more streams than the server allows") {
  Fixture f;
  f.connect();
  f.server.last().send(settings({{te::setting::kMaxConcurrentStreams, 2}}));
  f.turn_until(
      [&] { return f.server.last().others.find("SETTINGS flags=1 stream=0 size=0\nSETTINGS") != std::string::npos; });
  std::vector<Call> calls;
  for (int i = 0; i < 5; ++i) calls.push_back(f.status(std::to_string(i)));
  f.turn_until([&] { return f.requests("/ContainerStatus") == 2; });
  for (size_t i = 0; i < 5; ++i) {
    f.turn_until([&] { return f.server.last().requests.size() > i + 1 && f.server.last().requests[i + 1].complete; });
    CHECK(f.requests("/ContainerStatus") == std::min<size_t>(i + 2, 5));
    f.server.last().answer(f.server.last().requests[i + 1].stream, status_message("x"));
    f.wait_told(i + 1);
  }
}

TEST_CASE("grpc client: no server, then one") {
  Fixture f;
  f.server.stop();
  f.client->start();
  const Call call = f.status("a");
  f.wait_told();
  CHECK(f.told[0] == "retry, not sent, ContainerStatus: UNAVAILABLE: connect to unix:" + f.server.path() +
                         ": No such file or directory (ENOENT)");
  CHECK(f.client->trouble() == "connect to unix:" + f.server.path() + ": No such file or directory (ENOENT)");
  f.server.listen();
  f.wait_told(2);
  CHECK(f.told[1] == "up raw");
}

TEST_CASE("grpc client: a server whose queue is full is tried until it has room") {
  Fixture f;
  f.server.stop();
  const FullQueue queue(f.server.path());
  f.client->start();
  const Call call = f.status("a");
  const MonoNanos later = sys::mono_now() + 60 * kMillisecond;
  f.turn_until([&] { return sys::mono_now() > later; });
  CHECK(f.told.empty());  // no failure, and none of the call
  f.turn_until([&] {
    queue.accept_one();
    return queue.accepted() > queue.size();
  });
  CHECK(f.told.empty());
}

TEST_CASE("grpc client: the end of a connection is ambiguous for what was on it, and the next one follows") {
  Fixture f;
  f.connect();
  const Call run = f.run();
  const Call status = f.status("a");
  f.wait_request("/ContainerStatus");
  f.server.last().close();
  f.wait_told(3);
  const std::string why = "the connection ended before the answer: the runtime closed the connection";
  CHECK(f.told[0] == "down the runtime closed the connection");
  CHECK(f.told[1] == "look again, lost, RunPodSandbox: UNAVAILABLE: " + why);
  CHECK(f.told[2] == "retry, lost, ContainerStatus: UNAVAILABLE: " + why);
  f.wait_told(4);
  CHECK(f.told[3] == "up raw");
  CHECK(f.server.links.size() == 2);
}

TEST_CASE("grpc client: a runtime that is not initialized yet is tried again") {
  Fixture f;
  f.server.greets = false;
  f.client->start();
  for (size_t i = 1; i <= 2; ++i) {
    f.turn_until([&] { return f.server.links.size() == i; });
    const SeenRequest* version = f.wait_request("/Version");
    f.server.last().fail(version->stream, "2", "server is not initialized yet");
  }
  f.turn_until([&] { return f.server.links.size() == 3; });
  CHECK(f.client->trouble() == "Version: UNKNOWN: server is not initialized yet");
  CHECK(f.told.empty());
  f.wait_request("/Version");
  f.server.last().answer_version();
  f.wait_told();
  CHECK(f.told[0] == "up raw");
}

TEST_CASE("grpc client: a runtime without CRI v1, one that refuses, one that never answers") {
  Fixture f(50 * kMillisecond);
  f.server.greets = false;
  f.client->start();
  SeenRequest* version = f.wait_request("/Version");
  f.server.last().fail(version->stream, "12", "unknown service");
  f.turn_until([&] { return f.server.links.size() == 2; });
  CHECK(f.client->trouble() == "the runtime does not speak CRI v1");
  version = f.wait_request("/Version");
  f.server.last().send(rst(version->stream, Http2Code::kRefusedStream));
  f.turn_until([&] { return f.server.links.size() == 3; });
  CHECK(f.client->trouble() == "Version: UNAVAILABLE: the stream was reset: REFUSED_STREAM");
  f.wait_request("/Version");
  f.turn_until([&] { return f.server.links.size() == 4; });
  CHECK(f.client->trouble() == "Version: DEADLINE_EXCEEDED: no answer in time");
  f.wait_request("/Version");
  f.server.last().send(goaway(0));
  f.turn_until([&] { return f.server.links.size() == 5; });
  f.wait_request("/Version");
  f.server.last().answer_version();
  f.wait_told();
  CHECK(f.told[0] == "up raw");
}

TEST_CASE("grpc client: GOAWAY twice; what is above goes out again, the rest ends where it is") {
  Fixture f;
  f.connect();
  ServerLink& old = f.server.last();
  const Call first = f.status("first");
  const Call second = f.run();
  f.turn_until([&] { return old.find("/RunPodSandbox") != nullptr; });
  const uint32_t low = old.find("/ContainerStatus")->stream;
  old.send(goaway(0x7fffffff, Http2Code::kEnhanceYourCalm, "too_many_pings"));
  f.wait_told();
  CHECK(f.told[0] == "down the connection takes no more calls: GOAWAY ENHANCE_YOUR_CALM too_many_pings");
  const Call third = f.status("third");
  f.turn_until([&] { return f.server.links.size() == 2 && f.server.last().find("/ContainerStatus") != nullptr; });
  CHECK(f.told[1] == "up raw");
  old.send(goaway(low));
  f.wait_told(3);
  CHECK(f.told[2] == "retry, not sent, RunPodSandbox: UNAVAILABLE: the stream was reset: REFUSED_STREAM");
  old.answer(low, status_message("first"));
  f.wait_told(4);
  CHECK(f.told[3] == "status first");
  f.turn_until([&] { return old.closed_by_client; });
  f.server.last().answer(f.server.last().find("/ContainerStatus")->stream, status_message("third"));
  f.wait_told(5);
  CHECK(f.told[4] == "status third");
}

TEST_CASE("grpc client: a GOAWAY that refuses all that is under way is told to each at once") {
  Fixture f;
  f.connect();
  const Call first = f.status("first");
  const Call second = f.run();
  f.turn_until([&] { return f.requests("/RunPodSandbox") == 1; });
  ServerLink& old = f.server.last();
  old.send(goaway(old.find("/Version")->stream));
  f.wait_told(3);
  REQUIRE(f.told.size() >= 3);
  CHECK(f.told[0] == "down the connection takes no more calls: GOAWAY NO_ERROR");
  std::sort(f.told.begin() + 1, f.told.begin() + 3);
  CHECK(f.told[1] == "retry, not sent, ContainerStatus: UNAVAILABLE: the stream was reset: REFUSED_STREAM");
  CHECK(f.told[2] == "retry, not sent, RunPodSandbox: UNAVAILABLE: the stream was reset: REFUSED_STREAM");
  f.turn_until([&] { return old.closed_by_client; });
}

TEST_CASE("grpc client: what drains and then ends is lost") {
  Fixture f;
  f.connect();
  ServerLink& old = f.server.last();
  const Call call = f.start("a");
  f.wait_request("/StartContainer");
  old.send(goaway(0x7fffffff));
  f.wait_told(2);  // down, up
  old.close();
  f.wait_told(3);
  CHECK(f.told[2].starts_with("look again, lost, StartContainer: UNAVAILABLE"));
}

TEST_CASE("grpc client: only so many connections are drained at once") {
  Fixture f;
  f.connect();
  std::vector<Call> calls;
  Call again;
  f.in_handler = [&] {
    if (f.told.back().starts_with("look again")) again = f.status("again");
  };
  for (size_t i = 1; i <= 5; ++i) {
    calls.push_back(f.run());
    f.turn_until([&] { return f.server.last().find("/RunPodSandbox") != nullptr; });
    f.server.last().send(goaway(0x7fffffff));
    f.turn_until([&] { return f.server.links.size() == i + 1 && f.client->runtime() != nullptr; });
  }
  const auto lost = std::count(f.told.begin(), f.told.end(),
                               "look again, lost, RunPodSandbox: UNAVAILABLE: the connection ended before the answer: "
                               "too many connections are being drained");
  CHECK(lost == 1);
  CHECK(f.server.links[0]->closed_by_client);
  CHECK_FALSE(f.server.links[1]->closed_by_client);
  f.turn_until([&] { return f.server.last().find("/ContainerStatus") != nullptr; });
}

TEST_CASE("grpc client: a deadline is told to the server and kept by ourselves") {
  Fixture f(120 * kMillisecond);
  f.connect();
  const Call call = f.status("a");
  const SeenRequest* request = f.wait_request("/ContainerStatus");
  CHECK(request->timeout.size() >= 2);
  CHECK(request->timeout.size() <= 9);
  const uint32_t stream = request->stream;
  f.wait_told();
  CHECK(f.told[0] == "retry, local, ContainerStatus: DEADLINE_EXCEEDED: no answer in time");
  f.turn_until([&] {
    return f.server.last().others.ends_with("RST_STREAM flags=0 stream=" + std::to_string(stream) + " value=8\n");
  });
  f.server.last().answer(stream, status_message("late"));
  const Call next = f.status("b");
  f.turn_until([&] { return f.requests("/ContainerStatus") == 2; });
  f.server.last().answer(f.server.last().find("/ContainerStatus")->stream, status_message("b"));
  f.wait_told(2);
  CHECK(f.told[1] == "status b");
}

TEST_CASE("grpc client: StartContainer is never cancelled") {
  Fixture f(20 * kMillisecond);
  f.connect();
  const Call call = f.start("a");
  const SeenRequest* request = f.wait_request("/StartContainer");
  CHECK(request->timeout.empty());
  const uint32_t stream = request->stream;
  f.wait_told();
  CHECK(f.told[0] == "look again, local, StartContainer: DEADLINE_EXCEEDED: no answer in time");
  f.server.last().answer(stream, "");
  const Call other = f.status("b");
  f.wait_request("/ContainerStatus");
  CHECK(f.server.last().others.find("RST_STREAM") == std::string::npos);
  CHECK(f.told.size() == 1);
}

TEST_CASE("grpc client: the grace of StopContainer is added to its deadline") {
  Fixture f;
  f.connect();
  const Call call = f.stop("a", 30);
  const SeenRequest* request = f.wait_request("/StopContainer");
  CHECK(to_hex(request->message) == "0a0161101e");
  // A little less than 150 s, which is written in milliseconds or microseconds.
  REQUIRE(request->timeout.size() > 1);
  const double value = std::stod(request->timeout.substr(0, request->timeout.size() - 1));
  CHECK(request->timeout.back() == 'm');
  CHECK(value > 149'000);
  CHECK(value <= 150'000);
}

TEST_CASE("grpc client: dropping a call") {
  Fixture f;
  f.connect();
  {
    const Call reading = f.status("a");
    const Call pulling = f.pull();
    const Call running = f.run();
    f.wait_request("/RunPodSandbox");
  }
  f.turn_until([&] { return f.server.last().others.find("stream=5 value=8") != std::string::npos; });
  CHECK(f.server.last().others.find("stream=3 value=8") != std::string::npos);
  CHECK(f.server.last().others.find("stream=7 value=8") == std::string::npos);
  f.server.last().answer(7, "");
  const Call next = f.status("b");
  f.turn_until([&] { return f.requests("/ContainerStatus") == 2; });
  f.server.last().answer(f.server.last().find("/ContainerStatus")->stream, status_message("b"));
  f.wait_told();
  CHECK(f.told == std::vector<std::string>{"status b"});
  // One that still waits for a connection.
  f.server.stop();
  f.turn_until([&] { return f.client->runtime() == nullptr; });
  { const Call waiting = f.status("c"); }
  f.server.listen();
  f.wait_told(3);
  CHECK(f.told[2] == "up raw");
  CHECK(f.requests("/ContainerStatus") == 0);
}

TEST_CASE("grpc client: calls may be made and dropped in handlers") {
  Fixture f;
  f.connect();
  Call doomed = f.status("doomed");
  Call call = f.status("a");
  Call next;
  bool once = true;
  f.in_handler = [&] {
    if (!std::exchange(once, false)) return;
    doomed.reset();
    call.reset();
    next = f.status("b");
  };
  f.turn_until([&] { return f.requests("/ContainerStatus") == 2; });
  f.server.last().answer(5, status_message("a"));
  f.turn_until([&] { return f.requests("/ContainerStatus") == 3; });
  f.server.last().answer(7, status_message("b"));
  f.wait_told(2);
  CHECK(f.told == std::vector<std::string>{"status a", "status b"});
  CHECK(f.server.last().others.find("RST_STREAM flags=0 stream=3 value=8\n") != std::string::npos);
}

TEST_CASE("grpc client: calls that are made when a connection ends wait for the next") {
  Fixture f;
  f.connect();
  Call call = f.status("a");
  Call again;
  f.in_handler = [&] {
    if (f.told.back().starts_with("retry")) again = f.status("again");
  };
  f.wait_request("/ContainerStatus");
  f.server.last().close();
  f.turn_until([&] { return f.server.links.size() == 2 && f.server.last().find("/ContainerStatus") != nullptr; });
  CHECK(f.server.last().find("/ContainerStatus")->message.substr(2) == "again");
}

TEST_CASE("grpc client: answers that are none") {
  Fixture f;
  f.connect();
  const auto outcome = [&](const std::function<std::string(uint32_t)>& answer) {
    f.told.clear();
    const size_t before = f.requests("/ContainerStatus");
    const Call call = f.status("a");
    f.turn_until([&] { return f.requests("/ContainerStatus") > before && f.server.last().requests.back().complete; });
    f.server.last().send(answer(f.server.last().requests.back().stream));
    f.wait_told();
    return f.told[0];
  };
  using S = uint32_t;
  CHECK(outcome([](S s) { return ok_headers(s) + trailers(s); }) ==
        "retry, local, ContainerStatus: INTERNAL: the answer has no message");
  CHECK(outcome([](S s) {
          return ok_headers(s) + data(s, frame_grpc_message("") + frame_grpc_message("")) + trailers(s);
        }) == "retry, local, ContainerStatus: INTERNAL: the answer has more than one message");
  CHECK(outcome([](S s) { return ok_headers(s) + data(s, frame_grpc_message("\x0a\x05")) + trailers(s); }) ==
        "retry, local, ContainerStatus: INTERNAL: the answer can't be read: a field is cut off");
  CHECK(outcome([](S s) { return ok_headers(s) + data(s, frame_grpc_message("")) + trailers(s, "5"); }) ==
        "gone, server, ContainerStatus: NOT_FOUND");
  CHECK(outcome([](S s) { return ok_headers(s) + data(s, from_hex("0000000005") + "ab") + trailers(s); }) ==
        "retry, local, ContainerStatus: INTERNAL: the message is cut off");
  CHECK(outcome([](S s) { return ok_headers(s) + data(s, from_hex("0100000001") + "a"); }) ==
        "retry, local, ContainerStatus: INTERNAL: a compressed message came");
  CHECK(outcome([](S s) { return ok_headers(s) + data(s, from_hex("00000003e9") + "a"); }) ==
        "retry, local, ContainerStatus: RESOURCE_EXHAUSTED: the message is too large");
  CHECK(outcome([](S s) { return ok_headers(s) + data(s, frame_grpc_message(""), kEndStream); }) ==
        "retry, server, ContainerStatus: UNKNOWN: the answer has no grpc-status");
  CHECK(outcome([](S s) {
          return headers(s, {{":status", "200"}}, kBothEnds);
        }) == "retry, server, ContainerStatus: UNKNOWN: the answer has no grpc-status");
  CHECK(outcome([](S s) {
          return headers(s, {{":status", "503"}, {"content-type", "text/html"}}) + data(s, "<html>", kEndStream);
        }) == "retry, server, ContainerStatus: UNAVAILABLE: HTTP status 503");
  CHECK(outcome([](S s) {
          return headers(s, {{":status", "404"}}, kBothEnds);
        }) == "unsupported, server, ContainerStatus: UNIMPLEMENTED: HTTP status 404");
  CHECK(outcome([](S s) { return ok_headers(s) + rst(s, Http2Code::kInternalError); }) ==
        "retry, server, ContainerStatus: INTERNAL: the stream was reset: INTERNAL_ERROR");
  CHECK(outcome([](S s) { return headers(s, {{"x", "y"}}); }) == "retry, local, ContainerStatus: INTERNAL: no :status");
  // The two that we gave up ourselves were reset.
  CHECK(f.server.last().others.find("RST_STREAM") != std::string::npos);
  CHECK(f.server.links.size() == 1);
}

TEST_CASE("grpc client: a peer that breaks the protocol is left with a GOAWAY, and tried again") {
  Fixture f;
  f.connect();
  const Call call = f.run();
  f.wait_request("/RunPodSandbox");
  ServerLink& old = f.server.last();
  old.send(data(99, "x"));
  f.wait_told(2);
  CHECK(f.told[0] == "down the runtime broke the protocol: DATA on a stream that was never opened");
  CHECK(f.told[1].starts_with("look again, lost, RunPodSandbox: UNAVAILABLE"));
  f.turn_until([&] { return old.closed_by_client; });
  CHECK(old.others.find("GOAWAY") != std::string::npos);
  f.wait_told(3);
  CHECK(f.told[2] == "up raw");
}

TEST_CASE("grpc client: a server that is no HTTP/2 server") {
  Fixture f;
  f.server.greets = false;
  f.client->start();
  f.turn_until([&] { return !f.server.links.empty(); });
  f.server.last().send("SSH-2.0-OpenSSH_9.2p1 Debian\r\n");
  f.turn_until([&] { return f.client->trouble().starts_with("the runtime broke the protocol"); });
  f.server.greets = true;
  f.wait_told();
  CHECK(f.told[0] == "up raw");
}

TEST_CASE("grpc client: one that is out of stream ids connects anew") {
  Http2Options options;
  options.first_stream = 0x7ffffffb;  // three are left, one of them for Version
  Fixture f(kDefaultPatience, options);
  f.connect();
  std::vector<Call> calls;
  for (int i = 0; i < 4; ++i) calls.push_back(f.status(std::to_string(i)));
  f.turn_until([&] { return f.server.links.size() == 2 && f.server.last().requests.size() == 3; });
  CHECK(f.server.links[0]->requests.size() == 3);
  CHECK(f.server.links[0]->requests[2].stream == 0x7fffffff);
  for (size_t link = 0; link < 2; ++link) {
    for (size_t i = 1; i <= 2; ++i) {
      f.server.links[link]->answer(f.server.links[link]->requests[i].stream, status_message("x"));
    }
  }
  f.turn_until([&] { return std::count(f.told.begin(), f.told.end(), "status x") == 4; });
  f.turn_until([&] { return f.server.links[0]->closed_by_client; });
}

TEST_CASE("grpc client: events stream in until they end, or nobody wants them") {
  Fixture f;
  f.connect();
  Call stream = f.events();
  SeenRequest* request = f.wait_request("/GetContainerEvents");
  CHECK(request->timeout.empty());
  CHECK(request->message.empty());
  const auto event = [](std::string_view id) {
    std::string out;
    ProtoWriter(out).text(1, id);
    return frame_grpc_message(out);
  };
  const uint32_t id = request->stream;
  const std::string two = event("b") + event("c");
  f.server.last().send(ok_headers(id) + data(id, event("a")) + data(id, two.substr(0, 7)));
  f.wait_told();
  f.server.last().send(data(id, two.substr(7)) + data(id, frame_grpc_message("\x0a\x7f")) + trailers(id));
  f.wait_told(4);
  CHECK(f.told ==
        std::vector<std::string>{"event a", "event b", "event c",
                                 "events end: retry, GetContainerEvents: UNAVAILABLE: the runtime ended the stream"});
  stream = f.events();
  f.turn_until([&] { return f.requests("/GetContainerEvents") == 2; });
  const uint32_t next = f.server.last().requests.back().stream;
  f.in_handler = [&] { stream.reset(); };
  f.server.last().send(ok_headers(next) + data(next, event("d") + event("e")));
  f.turn_until([&] {
    return f.server.last().others.ends_with("RST_STREAM flags=0 stream=" + std::to_string(next) + " value=8\n");
  });
  CHECK(f.told.size() == 5);
}

TEST_CASE("grpc client: a large request waits for the server's window") {
  Fixture f;
  f.connect();
  PullImageRequest large;
  large.image = std::string(300'000, 'i');
  class Silent final : public Handler<PullImageResponse> {
   public:
    void on_reply(CallId, Outcome<PullImageResponse>&) override {}
  } silent;
  const Call call = f.client->pull_image(large, silent);
  const auto size = [&] { return f.server.last().requests.back().message.size(); };
  f.turn_until([&] { return size() >= 65'000; });
  f.server.last().send(window_update(0, 1'000'000) + settings({{te::setting::kInitialWindowSize, 1'000'000}}));
  f.turn_until([&] { return f.server.last().requests.back().complete; });
  CHECK(size() > 300'000);
}

TEST_CASE("grpc client: a call that waits for SETTINGS to let it through goes then") {
  Fixture f;
  f.connect();
  f.server.last().send(settings({{3, 0}}));  // MAX_CONCURRENT_STREAMS
  const auto turn_for = [&](int turns) {
    for (int i = 0; i < turns; ++i) {
      (void)f.reactor->turn(false);
      f.server.turn();
      ::usleep(500);
    }
  };
  turn_for(20);
  const Call call = f.status("a");
  turn_for(20);
  CHECK(f.requests("/ContainerStatus") == 0);
  f.server.last().send(settings({{3, 100}}));
  f.turn_until([&] { return f.requests("/ContainerStatus") == 1; });
  CHECK(f.requests("/ContainerStatus") == 1);
}

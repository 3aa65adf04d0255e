// The API over a manager on a fake disk, behind a real server.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "api/task_api.h"
#include "http_client.h"

namespace te::test {

struct FakeReadiness final : Readiness {
  Result<void> ready() override {
    if (why.empty()) return {};
    return invalid(why);
  }
  const Histogram& loop_turns() const override { return turns; }
  const Histogram& durable_writes() const override { return turns; }
  size_t supervisors() const override { return 0; }
  bool records_watched() const override { return true; }
  std::optional<RuntimeFigures> container_runtime() const override { return std::nullopt; }
  std::string why;
  Histogram turns;
};

struct Api {
  explicit Api(TaskApiOptions options = {})
      : api(std::make_unique<TaskApi>(std::move(options), readiness, clock)), served({}, api.get()) {
    clock.now = sys::mono_now();  // the server's deadlines are real ones
    manager = std::make_unique<Manager>(ManagerOptions{}, store, runtime, *api, clock, log);
    api->bind(*manager, served.server, served.reactor);
    served.step = [this] {
      const bool more = !held && manager->step();
      return api->end_turn() || more;
    };
  }

  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;
  // Streams know the API, which knows the loop.
  ~Api() {
    served.server.abandon_all();
    served.server.end_turn();
    api.reset();
  }

  /// Method, path and perhaps a body; "STATUS BODY" with the head in `head`.
  std::string ask(std::string_view what, std::string_view body = "", std::string_view headers = "") {
    Client client(served);
    send(client, what, body, headers);
    const std::string answer = client.answer();
    const size_t end = answer.find("\r\n\r\n");
    if (end == std::string::npos) return answer;
    head = answer.substr(0, end + 2);
    return answer.substr(9, 3) + " " + answer.substr(end + 4);
  }
  static void send(Client& client, std::string_view what, std::string_view body = "", std::string_view headers = "") {
    std::string text(what);
    text += " HTTP/1.1\r\nHost: x\r\n";
    text += headers;
    if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    client.send(text + "\r\n" + std::string(body));
  }
  /// A task whose JSON has about that size.
  void create_big(const std::string& name, size_t size) {
    const std::string body =
        R"({"name":")" + name + R"(","process":{"command":["x"],"args":[")" + std::string(size, 'x') + "\"]}}";
    Client client(served);
    std::string request = "POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size());
    request += "\r\n\r\n" + body;
    for (size_t sent = 0; sent < request.size();) {
      sent += static_cast<size_t>(client.send_some(std::string_view(request).substr(sent)));
      REQUIRE(served.reactor.turn(false));
    }
    REQUIRE(client.answer().starts_with("HTTP/1.1 201 "));
  }
  /// What a supervisor does.
  void end(std::string_view name, int code) {
    fake::Dir& dir = store.live.at(std::string(name));
    RunRecord run;
    run.supervisor = {100, 1};
    run.process = {101, 1};
    run.started_at = run.execed_at = clock.wall();
    dir.run = run;
    ExitRecord end;
    end.wait_status = code << 8;
    end.finished_at = clock.wall();
    dir.exit = end;
    dir.locked = dir.marked = false;
    manager->on_record(dir.sequence);
    manager->on_supervisor_end(dir.sequence, true);
  }

  fake::Journal journal;
  fake::FakeClock clock;
  fake::NullSink sink;
  Log log{sink, clock};
  fake::FakeStore store{journal, clock};
  fake::FakeRuntime runtime{journal, store};
  FakeReadiness readiness;
  std::unique_ptr<TaskApi> api;
  Served served;
  std::unique_ptr<Manager> manager;
  std::string head;
  bool held = false;  ///< the manager has no turn
};

}  // namespace te::test

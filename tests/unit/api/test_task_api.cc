#include <algorithm>
#include <utility>

#include "task_api_world.h"

using namespace te;
using test::Api;
using test::Client;
using test::Served;
using test::Tidy;

namespace {

constexpr std::string_view kTask = R"({"name":"t","process":{"command":["x"]}})";
constexpr std::string_view kOther = R"({"name":"t","process":{"command":["y"]}})";
constexpr std::string_view kNew =
    R"({"name":"t","process":{"command":["x"]},"processStatus":{"waiting":{"reason":"Initialized"}}})";

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE_FIXTURE(Tidy, "api: create, again, differently, get, list, delete") {
  Api api;
  CHECK(api.ask("POST /tasks", kTask) == "201 " + std::string(kNew));
  CHECK(api.ask("POST /tasks", kTask).starts_with("200 "));
  CHECK(api.ask("POST /tasks", kOther).starts_with("409 {\"code\":\"Conflict\""));
  CHECK(api.ask("GET /tasks/t").starts_with("200 {\"name\":\"t\""));
  CHECK(api.ask("GET /getTasks").starts_with("200 [{\"name\":\"t\""));
  CHECK(api.ask("GET /tasks") == api.ask("GET /getTasks"));
  CHECK(api.ask("DELETE /tasks/t") == "204 ");
  CHECK(api.ask("DELETE /tasks/unknown") == "204 ");
  CHECK(api.ask("GET /tasks/unknown").starts_with("404 {\"code\":\"Not Found\""));
}

TEST_CASE_FIXTURE(Tidy, "api: the durable write comes before the answer") {
  Api api;
  api.held = true;
  Client client(api.served);
  Api::send(client, "POST /tasks", kTask);
  CHECK(api.served.until([&] { return api.served.server.requests_served() == 1; }));
  for (int i = 0; i < 10; ++i) REQUIRE(api.served.reactor.turn(false));
  client.take();
  CHECK(client.received().empty());
  api.held = false;
  CHECK(client.answer().starts_with("HTTP/1.1 201 "));
}

TEST_CASE_FIXTURE(Tidy, "api: a set, what it leaves alone, and what it replaces") {
  Api api;
  CHECK(api.ask("POST /setTasks", "[" + std::string(kTask) + "]") == "200 [" + std::string(kNew) + "]");
  CHECK(api.ask("POST /setTasks", "[" + std::string(kOther) + "]").starts_with("200 "));
  CHECK(has(api.head, "\r\nWarning: 299 - \""));
  CHECK(has(api.ask("GET /tasks/t"), "[\"x\"]"));
  CHECK(has(api.ask("POST /setTasks?onSpecChange=replace", "[" + std::string(kOther) + "]"), "[\"y\"]"));
  CHECK(has(api.ask("GET /tasks/t"), "[\"y\"]"));
  CHECK(api.ask("POST /setTasks?onSpecChange=maybe", "[]") ==
        R"(400 {"code":"Bad Request","message":"onSpecChange: must be keep or replace"})");
  CHECK(has(api.ask("POST /setTasks?onSpecChange=replace&onSpecChange=keep", "[" + std::string(kTask) + "]"),
            "[\"y\"]"));  // the last word counts
  CHECK(api.ask("POST /setTasks", "null").starts_with("400 "));
  CHECK(has(api.ask("GET /tasks/t"), "[\"y\"]"));  // a bad set has changed nothing
}

TEST_CASE_FIXTURE(Tidy, "api: a list of few but big tasks is never held whole") {
  Api api;
  constexpr size_t kSize = 100'000;
  constexpr int kTasks = 10;
  for (int i = 0; i < kTasks; ++i) api.create_big("t" + std::to_string(i), kSize);
  Client client(api.served);
  Api::send(client, "GET /tasks");
  REQUIRE(api.served.until([&] { return client.take(), client.received().ends_with("\r\n0\r\n\r\n"); }));
  const std::string& answer = client.received();
  size_t at = answer.find("\r\n\r\n") + 4;
  std::string body;
  for (size_t size = 1; size > 0;) {
    size = std::strtoul(answer.c_str() + at, nullptr, 16);
    CHECK(size < 3 * kSize);
    at = answer.find("\r\n", at) + 2;
    body += answer.substr(at, size);
    at += size + 2;
  }
  std::string names;
  for (size_t name = body.find("\"name\":"); name != std::string::npos; name = body.find("\"name\":", name + 1)) {
    names += body.substr(name + 8, 2);
  }
  CHECK(names == "t0t1t2t3t4t5t6t7t8t9");
  CHECK(body.starts_with("[{"));
  CHECK(body.ends_with("}]"));
}

TEST_CASE_FIXTURE(Tidy, "api: a long poll ends with the task, the deletion or its time") {
  Api api;
  REQUIRE(api.ask("POST /tasks", kTask).starts_with("201 "));
  Client waits(api.served);
  Client too(api.served);
  Api::send(waits, "GET /tasks/t?wait=terminated&timeout=87600h");
  Api::send(too, "GET /tasks/t?wait=terminated");
  CHECK(api.served.until([&] { return api.served.server.requests_served() == 3; }));
  CHECK(api.served.until([&] { return api.runtime.starts.size() == 1; }));
  waits.take();
  CHECK(waits.received().empty());
  api.end("t", 3);
  CHECK(has(waits.answer(), "\"exitCode\":3"));
  CHECK(has(too.answer(), "\"exitCode\":3"));
  CHECK(has(api.ask("GET /tasks/t?wait=terminated"), "\"exitCode\":3"));  // at once
  REQUIRE(api.ask("POST /tasks", R"({"name":"u","process":{"command":["x"]}})").starts_with("201 "));
  CHECK(api.ask("GET /tasks/u?wait=terminated&timeout=0").starts_with("200 {\"name\":\"u\""));
  CHECK(api.ask("GET /tasks/u?wait=running").starts_with("400 "));
  CHECK(api.ask("GET /tasks/u?wait=terminated&timeout=soon").starts_with("400 "));
}

TEST_CASE_FIXTURE(Tidy, "api: a crowd that waits for the same end is answered over several turns") {
  Api api;
  api.create_big("t", 400'000);
  REQUIRE(api.served.until([&] { return api.runtime.starts.size() == 1; }));
  constexpr size_t kClients = 120;
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<Client>(api.served));
    Api::send(*clients.back(), i % 2 == 0 ? "GET /tasks/t?wait=terminated" : "GET /tasks?wait=all-terminated");
  }
  REQUIRE(api.served.until([&] { return api.served.server.requests_served() == 1 + kClients; }));
  api.end("t", 3);
  size_t most = 0;
  size_t answered = 0;
  for (int turn = 0; turn < 10'000 && answered < kClients; ++turn) {
    const size_t before = std::exchange(answered, 0);
    for (const auto& client : clients) {
      client->take();
      if (has(client->received(), "\"exitCode\":3")) ++answered;
    }
    most = std::max(most, answered - before);
    REQUIRE(api.served.reactor.turn(false));
  }
  CHECK(answered == kClients);
  CHECK(most < kClients / 2);
}

TEST_CASE_FIXTURE(Tidy, "api: who waits for all is told of the last end, and of nothing before") {
  Api api;
  for (const char* name : {"a", "b", "c"}) api.create_big(name, 1);
  REQUIRE(api.served.until([&] { return api.runtime.starts.size() == 3; }));
  Client all(api.served);
  Api::send(all, "GET /tasks?wait=all-terminated");
  REQUIRE(api.served.until([&] { return api.served.server.requests_served() == 4; }));
  for (const char* name : {"c", "a"}) {
    api.end(name, 0);
    for (int i = 0; i < 10; ++i) REQUIRE(api.served.reactor.turn(false));
    all.take();
    CHECK(all.received().empty());
  }
  CHECK(api.ask("DELETE /tasks/c") == "204 ");  // it was waited for, and is no more
  api.end("b", 0);
  CHECK(has(all.answer(), "\"b\""));
}

TEST_CASE_FIXTURE(Tidy, "api: an end that was waited for does not end the client's next poll") {
  Api api;
  for (const char* name : {"a", "b"}) api.create_big(name, 1);
  REQUIRE(api.served.until([&] { return api.runtime.starts.size() == 2; }));
  Client client(api.served);
  Api::send(client, "GET /tasks/a?wait=terminated");
  Api::send(client, "GET /tasks/b?wait=terminated");
  REQUIRE(api.served.until([&] { return api.served.server.requests_served() == 3; }));
  api.end("a", 1);
  CHECK(has(client.answer(), "\"exitCode\":1"));
  REQUIRE(api.served.until([&] { return api.served.server.requests_served() == 4; }));
  CHECK(api.ask("DELETE /tasks/a") == "204 ");
  for (int i = 0; i < 10; ++i) REQUIRE(api.served.reactor.turn(false));
  client.take();
  CHECK(client.received().empty());
  api.end("b", 2);
  CHECK(has(client.answer(), "\"exitCode\":2"));
}

TEST_CASE_FIXTURE(Tidy, "api: a client that leaves its long poll does no harm") {
  Api api;
  REQUIRE(api.ask("POST /tasks", kTask).starts_with("201 "));
  {
    Client leaves(api.served);
    Api::send(leaves, "GET /tasks/t?wait=terminated");
    CHECK(api.served.until([&] { return api.served.server.requests_served() == 2; }));
  }
  CHECK(api.served.until([&] { return api.served.server.connections() == 0; }));
  api.end("t", 0);
  CHECK(has(api.ask("GET /tasks/t"), "Succeeded"));
}

TEST_CASE_FIXTURE(Tidy, "api: paths, names and methods that are not to be had") {
  Api api;
  CHECK(api.ask("GET /nowhere").starts_with("404 "));
  CHECK(api.ask("GET /tasks/t/nowhere").starts_with("404 "));
  for (const char* path : {"/tasks/", "/tasks/..", "/tasks/%2e%2e", "/tasks/.lock", "/tasks/a%2fb", "/tasks/-a"}) {
    CAPTURE(std::string(path));
    CHECK(api.ask("GET " + std::string(path)).starts_with("400 "));
    CHECK(api.ask("DELETE " + std::string(path)).starts_with("400 "));
  }
  const std::pair<const char*, const char*> wrong[] = {
      {"DELETE /tasks", "GET, HEAD, POST"},   {"PUT /setTasks", "POST"},       {"POST /getTasks", "GET, HEAD"},
      {"POST /tasks/t", "GET, HEAD, DELETE"}, {"POST /health", "GET, HEAD"},   {"POST /tasks/t/logs", "GET, HEAD"},
      {"POST /metrics", "GET, HEAD"},         {"DELETE /version", "GET, HEAD"}};
  for (const auto& one : wrong) {
    CAPTURE(std::string(one.first));
    CHECK(api.ask(one.first).starts_with("405 "));
    CHECK(has(api.head, "\r\nAllow: " + std::string(one.second) + "\r\n"));
  }
}

TEST_CASE_FIXTURE(Tidy, "api: requests of web pages are refused everywhere") {
  Api api;
  for (const char* path : {"GET /health", "GET /tasks", "GET /readyz"}) {
    CHECK(api.ask(path, "", "Origin: http://localhost\r\n").starts_with("403 "));
    CHECK(api.ask(path, "", "Origin: null\r\n").starts_with("403 "));
    CHECK(api.ask(path, "", "sec-fetch-site: same-origin\r\n").starts_with("403 "));
    CHECK(api.ask(path, "", "Sec-Fetch-Site: none\r\n").starts_with("200 "));
  }
  CHECK(api.ask("POST /tasks", kTask, "Origin: http://x\r\n").starts_with("403 "));
  CHECK(api.ask("GET /getTasks") == "200 []");
}

TEST_CASE_FIXTURE(Tidy, "api: the token is asked for everywhere but for health and readiness") {
  const test::TempDir dir;
  dir.write("token", "sesame");
  TaskApiOptions options;
  options.token = std::move(TokenFile::open(dir.path("token"))).value();
  options.version_json = "{}";
  Api api(std::move(options));
  CHECK(api.ask("GET /health") == R"(200 {"status":"healthy"})");
  CHECK(api.ask("GET /readyz").starts_with("200 "));
  for (const char* what : {"GET /tasks", "GET /tasks/t", "GET /metrics", "GET /version", "GET /nowhere"}) {
    CHECK(api.ask(what).starts_with("401 "));
    CHECK(has(api.head, "\r\nWWW-Authenticate: Bearer\r\n"));
    CHECK(api.ask(what, "", "Authorization: Bearer wrong\r\n").starts_with("401 "));
    CHECK(!api.ask(what, "", "Authorization: Bearer sesame\r\n").starts_with("401 "));
  }
  CHECK(api.ask("POST /tasks", kTask).starts_with("401 "));
  CHECK(api.ask("GET /tasks", "", "Authorization: Bearer sesame\r\n") == "200 []");
}

TEST_CASE_FIXTURE(Tidy, "api: a full disk is 507 and leaves nothing; readiness says why") {
  Api api;
  api.store.fail(fake::Call::kCreate);
  CHECK(api.ask("POST /tasks", kTask).starts_with("507 {\"code\":\"Insufficient Storage\""));
  CHECK(api.ask("GET /getTasks") == "200 []");
  api.readiness.why = "the disk is full";
  CHECK(api.ask("GET /readyz") == R"(503 {"code":"Service Unavailable","message":"the disk is full"})");
  CHECK(api.ask("GET /health").starts_with("200 "));
}

TEST_CASE_FIXTURE(Tidy, "api: unknown fields and parameters are named in warnings") {
  Api api;
  CHECK(api.ask("POST /tasks?dryRun=1", R"({"name":"t","proces":1,"process":{"command":["x"]}})").starts_with("201 "));
  CHECK(has(api.head, "\r\nWarning: 299 - \"unknown field \\\"proces\\\"\"\r\n"));
  CHECK(has(api.head, "\r\nWarning: 299 - \"unknown query parameter \\\"dryRun\\\"\"\r\n"));
  CHECK(api.ask("GET /tasks/t?color=1").starts_with("200 "));
  CHECK(has(api.head, "unknown query parameter \\\"color\\\""));
  CHECK(api.ask("GET /tasks/t?a=%zz").starts_with("400 "));
  CHECK(api.ask("GET /tasks/t").starts_with("200 "));
  CHECK(!has(api.head, "Warning"));
  CHECK(api.ask("DELETE /tasks/t?a=%zz").starts_with("400 "));
  CHECK(api.ask("DELETE /tasks/t?gracePeriodSeconds=0").starts_with("204"));
  CHECK(has(api.head, "unknown query parameter \\\"gracePeriodSeconds\\\""));
}

TEST_CASE_FIXTURE(Tidy, "api: a log that can't be opened is no matter of the state") {
  const test::TempDir dir;
  dir.make_dir("t");
  dir.make_dir("t/stdout.log");  // in place of what opening may fail with
  TaskApiOptions options;
  options.data_dir = dir.path();
  options.data_root = dir.fd();
  Api api(std::move(options));
  REQUIRE(api.ask("POST /tasks", kTask).starts_with("201 "));
  const std::string answer = api.ask("GET /tasks/t/logs");
  CHECK(answer.starts_with("500 "));
  CHECK(has(answer, "t/stdout.log"));
  CHECK(!has(answer, "state"));
}

TEST_CASE_FIXTURE(Tidy, "api: logs, with what may be asked of them") {
  const test::TempDir dir;
  dir.make_dir("t");
  dir.write("t/stdout.log", "1\n2\n");
  dir.write("t/stderr.log", "e\n");
  TaskApiOptions options;
  options.data_root = dir.fd();
  Api api(std::move(options));
  CHECK(api.ask("GET /tasks/t/logs").starts_with("404 "));
  REQUIRE(api.ask("POST /tasks", kTask).starts_with("201 "));
  CHECK(api.ask("GET /tasks/t/logs") == "200 1\n2\ne\n");
  CHECK(api.ask("GET /tasks/t/logs?stream=stdout&tail=1") == "200 2\n");
  CHECK(api.ask("GET /tasks/t/logs?stream=stderr") == "200 e\n");
  CHECK(api.ask("GET /tasks/t/logs?since=2,2") == "200 2\n");
  CHECK(api.ask("GET /tasks/t/logs?since=2&stream=stdout") == "200 2\n");
  for (const char* bad : {"stream=all", "tail=-1", "tail=x", "since=1", "since=-1,0", "container=c"}) {
    CAPTURE(std::string(bad));
    CHECK(api.ask("GET /tasks/t/logs?" + std::string(bad)).starts_with("400 "));
  }
}

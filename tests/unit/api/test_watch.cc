// Watches, over the whole way from a change to a reader.
#include <cstdlib>
#include <memory>

#include "task_api_world.h"

using namespace te;
using test::Api;
using test::Client;
using test::Tidy;

namespace {

/// A turn of the loop with one more change in it.
void change(Api& api, int number) {
  NewTask task;
  task.name = "t" + std::to_string(number);
  task.spec.process.command.add("x");
  api.manager->create(0, std::move(task));
  REQUIRE(api.served.reactor.turn(false));
}

}  // namespace

TEST_CASE_FIXTURE(Tidy, "watch: the last of many readers has its turn while every turn has a change") {
  Api api;
  constexpr int kReaders = 200;
  std::vector<std::unique_ptr<Client>> readers;
  for (int i = 0; i < kReaders; ++i) {
    readers.push_back(std::make_unique<Client>(api.served));
    Api::send(*readers.back(), "GET /tasks?watch=true");
    REQUIRE(api.served.until([&] { return readers.back()->take(), readers.back()->received().ends_with("}}\n\r\n"); }));
  }
  int number = 0;
  for (; number < 50; ++number) change(api, number);
  for (const auto& reader : readers) {
    reader->take();
    CHECK(reader->received().find("\"ADDED\"") != std::string::npos);
  }
  // And all of it comes, once it is quiet.
  const std::string last = "\"name\":\"t" + std::to_string(number - 1) + "\"";
  CHECK(api.served.until([&] {
    readers.back()->take();
    return readers.back()->received().find(last) != std::string::npos;
  }));
}

TEST_CASE_FIXTURE(Tidy, "watch: nothing of a big set is dropped before its readers could take it") {
  Api api;
  Client reader(api.served);
  Api::send(reader, "GET /tasks?watch=true");
  REQUIRE(api.served.until([&] { return reader.take(), reader.received().ends_with("}}\n\r\n"); }));
  constexpr int kTasks = 300;
  std::string body = "[";
  for (int i = 0; i < kTasks; ++i) {
    body += R"({"name":"t)" + std::to_string(i) + R"(","process":{"command":["x"],"args":[")" +
            std::string(10 * kKiB, 'x') + "\"]}},";
  }
  body.back() = ']';
  Client writer(api.served);
  std::string request = "POST /setTasks HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size());
  request += "\r\n\r\n" + body;
  for (size_t sent = 0; sent < request.size();) {
    sent += static_cast<size_t>(writer.send_some(std::string_view(request).substr(sent)));
    REQUIRE(api.served.reactor.turn(false));
  }
  const auto has = [&](std::string_view part) { return reader.received().find(part) != std::string::npos; };
  CHECK(api.served.until([&] { return reader.take(), has("\"t299\"") || has("\"ERROR\""); }));
  CHECK_FALSE(has("\"ERROR\""));
  for (int i = 0; i < kTasks; ++i) CHECK(has("\"name\":\"t" + std::to_string(i) + "\""));
}

TEST_CASE_FIXTURE(Tidy, "watch: nobody goes on behind a part of the list") {
  Api api;
  for (int i = 0; i < 3; ++i) change(api, i);
  Client reader(api.served);
  Api::send(reader, "GET /tasks?watch=true");
  REQUIRE(api.served.until([&] { return reader.take(), reader.received().ends_with("{}}\n\r\n"); }));
  const std::string& seen = reader.received();
  constexpr std::string_view kLine = R"({"type":"ADDED","revision":0,)";
  size_t lines = 0;
  for (size_t at = seen.find("\"ADDED\""); at != std::string::npos; at = seen.find("\"ADDED\"", at + 1)) {
    CHECK(seen.substr(at - 8, kLine.size()) == kLine);
    ++lines;
  }
  CHECK(lines == 3);
  CHECK(api.ask("GET /tasks?watch=true&revision=0").starts_with("410 "));
  const size_t bookmark = seen.find("\"BOOKMARK\",\"revision\":");
  REQUIRE(bookmark != std::string::npos);
  const std::string revision = std::to_string(std::strtoull(seen.c_str() + bookmark + 22, nullptr, 10));
  Client next(api.served);
  Api::send(next, "GET /tasks?watch=true&revision=" + revision);
  change(api, 3);
  CHECK(api.served.until([&] { return next.take(), next.received().find("\"t3\"") != std::string::npos; }));
}

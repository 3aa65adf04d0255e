// Watches, over the whole way from a change to a reader.
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

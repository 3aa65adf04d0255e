#include <doctest/doctest.h>

#include <string>

#include "api/event_log.h"

using namespace te;

namespace {

Task task_named(std::string name, size_t argument_size = 0) {
  Task task;
  task.name = std::move(name);
  task.spec.process.command.add("true");
  if (argument_size > 0) task.spec.process.args.add(std::string(argument_size, 'x'));
  return task;
}

}  // namespace

TEST_CASE("revisions go up by one from the base") {
  EventLog log(1000);
  CHECK(log.revision() == 1000);
  CHECK(log.reaches(1000));
  CHECK_FALSE(log.reaches(999));
  CHECK_FALSE(log.reaches(1001));
  log.add(EventType::kAdded, task_named("a"));
  log.add(EventType::kDeleted, task_named("a"));
  CHECK(log.revision() == 1002);
  CHECK(log.reaches(1000));
  CHECK(log.reaches(1002));
  CHECK_FALSE(log.reaches(1003));
  CHECK(log.line(1001) ==
        R"({"type":"ADDED","revision":1001,"object":{"name":"a","spec":{"process":{"command":["true"]}},)"
        R"("status":{"state":{"waiting":{"reason":"Initialized"}}}}})"
        "\n");
  CHECK(log.line(1002).substr(0, 33) == R"({"type":"DELETED","revision":1002)");
}

TEST_CASE("the oldest lines make room, the newest always stays") {
  EventLog log(0);
  const auto add = [&](const char* name, size_t size) {
    log.add(EventType::kModified, task_named(name, size));
    log.taken(log.revision());
  };
  for (int i = 0; i < 100; ++i) add("a", 10 * kKiB);
  CHECK_FALSE(log.reaches(90));
  CHECK(log.reaches(95));
  log.widen();
  for (int i = 0; i < 100; ++i) add("a", 10 * kKiB);
  CHECK(log.revision() == 200);
  CHECK_FALSE(log.reaches(101));
  CHECK(log.reaches(160));
  CHECK(log.line(200).size() > 10 * kKiB);
  add("big", 2 * EventLog::kMostBytes);
  CHECK(log.revision() == 201);
  CHECK(log.reaches(200));
  CHECK_FALSE(log.reaches(199));
  CHECK(log.line(201).size() > 2 * EventLog::kMostBytes);
  add("a", 0);
  CHECK(log.reaches(201));
  CHECK_FALSE(log.reaches(200));
}

TEST_CASE("lines stay until they are taken, but not above the ceiling") {
  EventLog log(0);
  log.widen();
  constexpr int kLines = 7;
  for (int i = 0; i < kLines; ++i) log.add(EventType::kAdded, task_named("a", kMiB));
  CHECK(log.reaches(0));
  log.taken(3);
  CHECK(log.reaches(3));
  CHECK_FALSE(log.reaches(2));
  for (int i = 0; i < 2 * kLines; ++i) log.add(EventType::kAdded, task_named("a", kMiB));
  CHECK_FALSE(log.reaches(3));
  CHECK(log.reaches(log.revision() - kLines));
  log.taken(log.revision());
  CHECK_FALSE(log.reaches(log.revision() - 2));
}

TEST_CASE("bookmark and error are lines of their own") {
  std::string out;
  append_bookmark(out, 7);
  append_watch_error(out, 8, "too slow");
  CHECK(out ==
        "{\"type\":\"BOOKMARK\",\"revision\":7,\"object\":{}}\n"
        "{\"type\":\"ERROR\",\"revision\":8,\"object\":{\"code\":\"Gone\",\"message\":\"too slow\"}}\n");
}

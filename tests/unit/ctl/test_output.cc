#include <doctest/doctest.h>

#include <string>

#include "ctl/client.h"
#include "ctl/output.h"

using namespace te;
using namespace te::ctl;

TEST_CASE("a table is as wide as its widest field") {
  Table table({"A", "LONG", "C"});
  table.add({"123", "x", ""});
  table.add({"1", "123456", "z"});
  CHECK(table.text() == "A    LONG    C\n123  x\n1    123456  z\n");
}

TEST_CASE("rows of both wire forms") {
  const Result<std::vector<TaskRow>> rows = read_rows(
      R"([{"name":"a","spec":{"process":{"command":["x"]}},"status":{"state":{"terminated":{"exitCode":3,"signal":1,)"
      R"("reason":"Failed","message":"m","startedAt":"s","finishedAt":"f"}},"usage":{"userCpuMs":1}}},)"
      R"({"name":"b","process":{"command":["x"]},"processStatus":{"running":{"startedAt":"t"}},)"
      R"("deletionTimestamp":"d"},{"name":"c","status":{"state":{"waiting":{"reason":"Queued"}},"pid":7}}])");
  REQUIRE(rows);
  REQUIRE(rows->size() == 3);
  const TaskRow& a = rows->at(0);
  CHECK(a.ended());
  CHECK(a.exit_code == 3);
  CHECK(a.reason == "Failed");
  CHECK(a.message == "m");
  CHECK(a.started == "s");
  CHECK(a.finished == "f");
  CHECK(rows->at(1).state == "running");
  CHECK(rows->at(1).deleting);
  CHECK_FALSE(rows->at(1).exit_code.has_value());
  CHECK(rows->at(2).reason == "Queued");
  CHECK(rows->at(2).pid == 7);
  CHECK(read_rows(R"({"name":"one"})")->size() == 1);
  CHECK_FALSE(read_rows("[1]").ok());
  const std::string deep = std::string(kJsonMaxDepth - 1, '[') + std::string(kJsonMaxDepth - 1, ']');
  CHECK(read_rows(R"([{"name":"deep","x":)" + deep + "}]").ok());  // a task as deep as a request may be
  CHECK_FALSE(read_rows("{").ok());
  CHECK(task_table(*rows) ==
        "NAME  STATE             REASON  EXIT  STARTED  FINISHED\n"
        "a     terminated        Failed  3     s        f\n"
        "b     running,deleting                t\n"
        "c     waiting           Queued\n");
}

TEST_CASE("rows of pods") {
  const auto row = [](std::string_view status) {
    return read_rows(R"([{"name":"p","podTemplateSpec":{},"podStatus":{)" + std::string(status) + "}}]")->front();
  };
  const auto containers = [](std::string_view kind, int first, int second) {
    const auto state = [](int code) {
      return R"({"name":"c","state":{"terminated":{"exitCode":)" + std::to_string(code) +
             R"(,"reason":"Error","finishedAt":"2026-01-01T00:00:0)" + std::to_string(code) + R"(Z"}}})";
    };
    return ",\"" + std::string(kind) + "\":[" + state(first) + "," + state(second) + "]";
  };
  const TaskRow waiting = row(R"("phase":"Pending","message":"m")");
  CHECK(waiting.state == "waiting");
  CHECK(waiting.message == "m");
  const TaskRow running = row(R"("phase":"Running","startTime":"s")" + containers("initContainerStatuses", 0, 0));
  CHECK(running.state == "running");
  CHECK(running.started == "s");
  CHECK(running.finished.empty());
  CHECK_FALSE(running.exit_code);
  const TaskRow failed =
      row(R"("phase":"Failed")" + containers("initContainerStatuses", 0, 3) + containers("containerStatuses", 4, 0));
  CHECK(failed.ended());
  CHECK(failed.reason == "Failed");
  CHECK(failed.exit_code == 3);
  CHECK(failed.finished == "2026-01-01T00:00:04Z");
  CHECK(exit_status(failed) == 3);
  const TaskRow good = row(R"("phase":"Succeeded")" + containers("containerStatuses", 0, 0));
  CHECK(good.exit_code == 0);
  CHECK(exit_status(good) == 0);
  CHECK(exit_status(row(R"("phase":"Failed","reason":"StartError")")) == 125);
  CHECK(exit_status(row(R"("phase":"Failed","reason":"DeadlineExceeded")" + containers("containerStatuses", 0, 0))) ==
        143);
}

TEST_CASE("an end that was no success is never told as 0") {
  const auto status = [](std::string_view terminated) {
    const std::string json = R"({"name":"a","status":{"state":{"terminated":{)" + std::string(terminated) + "}}}}";
    return exit_status(read_rows(json)->front());
  };
  CHECK(status(R"("exitCode":0,"reason":"Succeeded")") == 0);
  CHECK(status(R"("exitCode":7,"reason":"Failed")") == 7);
  CHECK(status(R"("exitCode":0,"reason":"TaskTimeout")") == 143);
  CHECK(status(R"("exitCode":3,"reason":"TaskTimeout")") == 3);
  CHECK(status(R"("exitCode":0,"reason":"PreStartHookError")") == 125);
  CHECK(status(R"("exitCode":256,"reason":"Failed")") == 125);  // exit(3) takes eight bits
  CHECK(status(R"("reason":"Lost")") == 125);
}

TEST_CASE("elements of an array as they were written") {
  const std::vector<std::string_view> none = array_elements(" [ ] ");
  CHECK(none.empty());
  const std::vector<std::string_view> some = array_elements(R"( [ {"a":[1,2],"b":"],[\"},"} ,[3], 4,"x,y" ] )");
  REQUIRE(some.size() == 4);
  CHECK(some[0] == R"({"a":[1,2],"b":"],[\"},"})");
  CHECK(some[1] == "[3]");
  CHECK(some[2] == "4");
  CHECK(some[3] == R"("x,y")");
}

TEST_CASE("the message of an error, or whatever came") {
  CHECK(error_message(R"({"code":"Not Found","message":"there is no task"})") == "there is no task");
  CHECK(error_message("<html>") == "<html>");
  CHECK(error_message(R"({"code":"x"})") == R"({"code":"x"})");
}

TEST_CASE("addresses of servers") {
  CHECK(address_of("http://127.0.0.1:5758") == "127.0.0.1:5758");
  CHECK(address_of("http://localhost:5758/") == "localhost:5758");
  CHECK(address_of("[::1]:80") == "[::1]:80");
  CHECK(address_of("unix:/run/x.sock") == "unix:/run/x.sock");
  CHECK(address_of("unix:///run/x.sock") == "unix:/run/x.sock");
  std::string out;
  append_escaped(out, "a-Z.9_~/ %\xC3");
  CHECK(out == "a-Z.9_~%2F%20%25%C3");
}

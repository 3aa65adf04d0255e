#include "specs.h"
#include "task/task.h"

using namespace te;
using test::read_one;
using test::rewritten;
using test::spec_text;

namespace {

Task task_of(std::string_view text) {
  Result<TaskRequests> read = read_one(text);
  REQUIRE(read);
  Task task;
  task.name = read->tasks[0].name;
  task.spec = std::move(read->tasks[0].spec);
  task.accepted_at = 1'765'965'600'000'000;  // 2025-12-17T10:00:00Z
  return task;
}

std::string written(const Task& task) {
  std::string out;
  JsonWriter json(out);
  write_task(json, task);
  return out;
}

constexpr std::string_view kGuide = R"({"name":"t","spec":{"process":{"command":["x"]}}})";
constexpr std::string_view kController = R"({"name":"t","process":{"command":["x"]}})";
constexpr WallMicros kTen = 1'765'965'600'000'000;

void run(Task& task) {
  task.phase = TaskPhase::kRunning;
  task.run.supervisor = {11, 1};
  task.run.process = {12, 2};
  task.run.spawned_at = kTen + 1'000;
  task.run.started_at = kTen + 2'000;
  task.run.execed_at = kTen + 3'000;
}

void end(Task& task, int wait_status, EndCause cause = EndCause::kEnded) {
  task.phase = TaskPhase::kEnded;
  task.end = std::make_unique<ExitRecord>();
  task.end->cause = cause;
  task.end->wait_status = wait_status;
  task.end->started_at = kTen + 2'000;
  task.end->execed_at = kTen + 3'000;
  task.end->finished_at = kTen + 5'000'000;
}

}  // namespace

TEST_CASE("writer: a spec comes back as it was written, in both forms") {
  for (const std::string_view text : {test::kFullGuide, test::kFullController, kGuide, kController}) {
    CHECK(rewritten(text) == text);
  }
}

TEST_CASE("writer: what is read from what was written is the same") {
  for (const std::string_view text : {test::kFullGuide, test::kFullController, kGuide, kController}) {
    const Result<TaskRequests> first = read_one(text);
    REQUIRE(first);
    const Result<TaskRequests> second = read_one(spec_text("again", first->tasks[0].spec));
    REQUIRE(second);
    CHECK(second->warnings.empty());
    CHECK(same_spec(first->tasks[0].spec, second->tasks[0].spec));
    CHECK(first->tasks[0].spec.form == second->tasks[0].spec.form);
  }
}

TEST_CASE("writer: seconds of 0 that were asked for are shown, absent ones are not") {
  constexpr std::string_view kZero =
      R"({"name":"t","process":{"command":["x"],"timeoutSeconds":0,"terminationGracePeriodSeconds":0}})";
  CHECK(rewritten(kZero) == kZero);
}

TEST_CASE("writer: strings are escaped") {
  constexpr std::string_view kText = R"({"name":"t","process":{"command":["\"\\\n\t\u0001","/"],"workingDir":"/a b"}})";
  const Result<TaskRequests> first = read_one(kText);
  REQUIRE(first);
  const Result<TaskRequests> second = read_one(spec_text("t", first->tasks[0].spec));
  REQUIRE(second);
  CHECK(*second->tasks[0].spec.process.command.begin() == "\"\\\n\t\x01");
}

TEST_CASE("writer: a new task waits, with nothing beside its state") {
  CHECK(written(task_of(kGuide)) ==
        R"({"name":"t","spec":{"process":{"command":["x"]}},"status":{"state":{"waiting":{"reason":"Initialized"}}}})");
  CHECK(written(task_of(kController)) ==
        R"({"name":"t","process":{"command":["x"]},"processStatus":{"waiting":{"reason":"Initialized"}}})");
}

TEST_CASE("writer: a running task, with more in the guide's form only") {
  Task guide = task_of(kGuide);
  run(guide);
  CHECK(written(guide).find(R"("status":{"state":{"running":{"startedAt":"2025-12-17T10:00:00Z"}},"pid":12,)") !=
        std::string::npos);
  CHECK(written(guide).find(R"("timings":{)") != std::string::npos);
  Task controller = task_of(kController);
  run(controller);
  CHECK(written(controller).ends_with(R"("processStatus":{"running":{"startedAt":"2025-12-17T10:00:00Z"}}})"));
}

TEST_CASE("writer: an ended task tells its code, even 0") {
  Task task = task_of(kController);
  run(task);
  end(task, 0);
  CHECK(written(task).ends_with(
      R"("processStatus":{"terminated":{"exitCode":0,"reason":"Succeeded","message":"Task completed successfully",)"
      R"("startedAt":"2025-12-17T10:00:00Z","finishedAt":"2025-12-17T10:00:05Z"}}})"));
  end(task, 9);  // killed by SIGKILL
  CHECK(written(task).find(R"("exitCode":137,"signal":9,"reason":"Failed")") != std::string::npos);
  end(task, 0, EndCause::kTimeout);
  CHECK(written(task).find(R"("exitCode":143,"reason":"TaskTimeout")") != std::string::npos);
  Task guide = task_of(kGuide);
  run(guide);
  end(guide, 0, EndCause::kTimeout);
  CHECK(written(guide).find(R"("exitCode":0,"reason":"TaskTimeout")") != std::string::npos);
  CHECK(written(guide).find(R"("usage":{"userCpuMs":0)") != std::string::npos);
}

TEST_CASE("writer: the time of deletion stands in both forms, at the top") {
  for (const std::string_view text : {kGuide, kController}) {
    Task task = task_of(text);
    CHECK(written(task).find("deletionTimestamp") == std::string::npos);
    task.deleted_at = kTen + 60'000'000;
    CHECK(written(task).ends_with(R"(,"deletionTimestamp":"2025-12-17T10:01:00Z"})"));
  }
}

TEST_CASE("writer: an answer of ours can be sent back as it is") {
  for (const std::string_view text : {kGuide, kController, test::kFullGuide}) {
    Task task = task_of(text);
    run(task);
    end(task, 3 << 8);
    task.deleted_at = kTen;
    const Result<TaskRequests> back = read_one(written(task));
    REQUIRE(back);
    CHECK(back->warnings.empty());
    CHECK(same_spec(back->tasks[0].spec, task.spec));
  }
}

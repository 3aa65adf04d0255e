// Hooks in specs and in what is told of a task.
#include <doctest/doctest.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <string>

#include "task/status.h"
#include "task/task.h"

using namespace te;

namespace {

std::unique_ptr<Hook> hook(std::string_view command) {
  auto out = std::make_unique<Hook>();
  if (!command.empty()) out->command.add(command);
  return out;
}

TaskSpec minimal() {
  TaskSpec spec;
  spec.process.command.add("run");
  return spec;
}

Task failed(const HookEnd& pre_start, std::string output = {}, WireForm form = WireForm::kGuide) {
  Task task;
  task.spec = minimal();
  task.spec.form = form;
  task.spec.process.pre_start = hook("before");
  task.spec.process.pre_start->timeout_seconds = 7;
  task.phase = TaskPhase::kEnded;
  task.run.supervisor = {10, 1};
  task.end = std::make_unique<ExitRecord>();
  task.end->cause = EndCause::kPreStart;
  task.end->pre_start = pre_start;
  task.end->output = std::move(output);
  task.end->finished_at = 1;
  return task;
}

constexpr HookEnd exited(int code) { return {HookOutcome::kEnded, StartStage::kNone, 0, code << 8}; }
constexpr HookEnd timed_out(int wait_status) { return {HookOutcome::kTimeout, StartStage::kNone, 0, wait_status}; }

}  // namespace

TEST_CASE("hooks: what validate refuses") {
  const auto refusal = [](auto change) {
    TaskSpec spec = minimal();
    change(spec.process);
    const Result<void> valid = validate(spec, "process");
    return valid ? std::string() : valid.error().text();
  };
  CHECK(refusal([](ProcessSpec& p) { p.pre_start = hook("x"); }).empty());
  CHECK(refusal([](ProcessSpec& p) { p.pre_start = hook(""); }) ==
        "process.lifecycle.preStart.exec.command: required, and not empty");
  CHECK(refusal([](ProcessSpec& p) {
          p.post_stop = hook("");
          p.post_stop->command.add("");
        }) == "process.lifecycle.postStop.exec.command[0]: must not be empty");
  CHECK(refusal([](ProcessSpec& p) {
          p.post_stop = hook("x");
          p.post_stop->timeout_seconds = -1;
        }) == "process.lifecycle.postStop.timeoutSeconds: must not be negative");
}

TEST_CASE("hooks: same_spec looks at them, behind their defaults") {
  const auto same = [](auto change_a, auto change_b) {
    TaskSpec a = minimal();
    TaskSpec b = minimal();
    a.process.pre_start = hook("x");
    b.process.pre_start = hook("x");
    a.process.post_stop = hook("y");
    b.process.post_stop = hook("y");
    change_a(a.process);
    change_b(b.process);
    return same_spec(a, b) && same_spec(b, a);
  };
  const auto nothing = [](ProcessSpec&) {};
  CHECK(same(nothing, nothing));
  CHECK(!same([](ProcessSpec& p) { p.pre_start.reset(); }, nothing));
  CHECK(!same([](ProcessSpec& p) { p.post_stop->command.add("more"); }, nothing));
  CHECK(!same([](ProcessSpec& p) { p.post_stop->exec_mode = ExecMode::kRemote; }, nothing));
  CHECK(same([](ProcessSpec& p) { p.post_stop->exec_mode = ExecMode::kLocal; }, nothing));
  CHECK(same([](ProcessSpec& p) { p.pre_start->timeout_seconds = 0; }, nothing));
  CHECK(same([](ProcessSpec& p) { p.post_stop->timeout_seconds = 30; }, nothing));
  CHECK(!same([](ProcessSpec& p) { p.post_stop->timeout_seconds = 0; }, nothing));
}

TEST_CASE("hooks: a preStart that failed tells its code and its last words") {
  const Status status = status_of(failed(exited(3), "no such database\n"));
  CHECK(status.state == StateKind::kTerminated);
  CHECK(status.reason == "PreStartHookError");
  CHECK(status.exit_code == 3);
  CHECK(status.message == "preStart hook exited with code 3: no such database\n");
  CHECK(status.started_at == 0);
  CHECK(!status.has_usage);
  const Status killed = status_of(failed({HookOutcome::kEnded, StartStage::kNone, 0, SIGKILL}));
  CHECK(killed.exit_code == 137);
  CHECK(killed.signal == 9);
}

TEST_CASE("hooks: a preStart that ran out of time, or could not run") {
  const Status late = status_of(failed(timed_out(SIGTERM)));
  CHECK(late.message == "preStart hook timed out after 7 s and was killed by signal 15 (SIGTERM)");
  CHECK(late.exit_code == 143);
  Task task = failed({HookOutcome::kStartError, StartStage::kExec, ENOENT, 0});
  task.end->object = "before";
  const Status missing = status_of(task);
  CHECK(missing.exit_code == 127);
  CHECK(missing.signal == 0);
  CHECK(missing.message == "preStart hook could not run: can't exec before: No such file or directory (ENOENT)");
  task.end->pre_start = {HookOutcome::kStartError, StartStage::kTarget, ESRCH, 0};
  task.end->object = "app";
  CHECK(status_of(task).exit_code == 128);
  CHECK(status_of(task).message.find("SANDBOX_MAIN_CONTAINER=app") != std::string::npos);
}

TEST_CASE("hooks: the controller form never reads 0 for a preStart that failed") {
  for (const HookEnd& end : {timed_out(0), exited(0)}) {  // the second was stopped before main could start
    CHECK(status_of(failed(end)).exit_code == 0);
    const Status status = status_of(failed(end, {}, WireForm::kController));
    CHECK(status.exit_code == 143);
    CHECK(status.reason == "PreStartHookError");
    CHECK(status.message.find("exited with code 0") != std::string::npos);
    CHECK(status.message.find("143") != std::string::npos);
  }
}

TEST_CASE("hooks: a failing postStop is added to whatever was told") {
  Task task = failed(exited(3));
  task.spec.process.post_stop = hook("after");
  const std::string before = status_of(task).message;
  task.run.post_stop = exited(0);
  CHECK(status_of(task).message == before);
  task.run.post_stop = timed_out(SIGKILL);
  CHECK(status_of(task).message ==
        before + "; postStop hook timed out after 30 s and was killed by signal 9 (SIGKILL)");
  task.run.post_stop = {HookOutcome::kStartError, StartStage::kExec, EACCES, 0};
  CHECK(status_of(task).message ==
        before + "; postStop hook could not run: can't exec after: Permission denied (EACCES)");
  CHECK(status_of(task).exit_code == 3);
  task.run.post_stop = {HookOutcome::kStartError, StartStage::kTarget, ESRCH, 0};
  CHECK(status_of(task).message.find("SANDBOX_MAIN_CONTAINER in its environment") != std::string::npos);
}

TEST_CASE("status: a main container that is not there is named") {
  Task task = failed({});
  task.end->cause = EndCause::kStartError;
  task.end->stage = StartStage::kTarget;
  task.end->error = ESRCH;
  task.end->object = "app";
  const Status status = status_of(task);
  CHECK(status.reason == "StartError");
  CHECK(status.exit_code == 128);
  CHECK(status.message.starts_with("can't find main container app: no process of this Pod has "));
  task.end->stage = StartStage::kNamespaces;
  task.end->error = EPERM;
  CHECK(status_of(task).message == "can't enter main container app: Operation not permitted (EPERM)");
}

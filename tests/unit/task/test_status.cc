#include <doctest/doctest.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <string>

#include "task/status.h"
#include "task/task.h"

using te::EndCause;
using te::StartStage;
using te::StateKind;
using te::Status;
using te::Task;
using te::TaskPhase;
using te::WireForm;

namespace {

constexpr te::WallMicros kAcceptedAt = 1'765'965'600'000'000;

// Wait statuses as wait(2) has them on Linux.
constexpr int exited(int code) { return code << 8; }
constexpr int killed(int signal) { return signal; }
constexpr int dumped_core(int signal) { return signal | 0x80; }

Task accepted(WireForm form = WireForm::kGuide) {
  Task task;
  task.name = "a";
  task.accepted_at = kAcceptedAt;
  task.spec.form = form;
  task.spec.process.command.add("sleep");
  return task;
}

Task running(WireForm form = WireForm::kGuide) {
  Task task = accepted(form);
  task.phase = TaskPhase::kRunning;
  task.persisted_at = kAcceptedAt + 100;
  task.run.supervisor = {10, 1};
  task.run.process = {11, 2};
  task.run.spawned_at = kAcceptedAt + 200;
  task.run.started_at = kAcceptedAt + 300;
  task.run.execed_at = kAcceptedAt + 400;
  return task;
}

Task ended(EndCause cause, int wait_status, WireForm form = WireForm::kGuide) {
  Task task = running(form);
  task.phase = TaskPhase::kEnded;
  task.recorded_at = kAcceptedAt + 2'000'100;
  task.end = std::make_unique<te::ExitRecord>();
  task.end->cause = cause;
  task.end->wait_status = wait_status;
  task.end->spawned_at = task.run.spawned_at;
  task.end->started_at = task.run.started_at;
  task.end->execed_at = task.run.execed_at;
  task.end->finished_at = kAcceptedAt + 2'000'000;
  return task;
}

Status start_error(StartStage stage, int error, const std::string& object = {}) {
  Task task = ended(EndCause::kStartError, 0);
  task.end->stage = stage;
  task.end->error = error;
  task.end->object = object;
  task.end->started_at = 0;
  task.end->execed_at = 0;
  return te::status_of(task);
}

}  // namespace

TEST_CASE("status: exit codes and signals out of wait statuses") {
  for (const int code : {0, 1, 3, 42, 127, 128, 137, 255}) {
    CHECK(te::exit_code_of(exited(code)) == code);
    CHECK(te::signal_of(exited(code)) == 0);
  }
  for (int signal = 1; signal <= 64; ++signal) {
    CHECK(te::exit_code_of(killed(signal)) == 128 + signal);
    CHECK(te::signal_of(killed(signal)) == signal);
    CHECK(te::exit_code_of(dumped_core(signal)) == 128 + signal);
    CHECK(te::signal_of(dumped_core(signal)) == signal);
  }
}

TEST_CASE("status: waiting") {
  Task task = accepted();
  for (const TaskPhase phase : {TaskPhase::kAccepted, TaskPhase::kStarting}) {
    task.phase = phase;
    const Status status = te::status_of(task);
    CHECK(status.state == StateKind::kWaiting);
    CHECK(status.reason == "Initialized");
    CHECK(status.message.empty());
    CHECK(!status.started);
  }
  task.phase = TaskPhase::kQueued;
  task.wait_message = "no slot";
  CHECK(te::status_of(task).state == StateKind::kWaiting);
  CHECK(te::status_of(task).reason == "Queued");
  CHECK(te::status_of(task).message == "no slot");
}

TEST_CASE("status: running") {
  Task task = running();
  task.leftover = 2;
  const Status status = te::status_of(task);
  CHECK(status.state == StateKind::kRunning);
  CHECK(status.started_at == kAcceptedAt + 300);
  CHECK(status.finished_at == 0);
  CHECK(status.started);
  CHECK(status.pid == 11);
  CHECK(status.leftover == 2);
  CHECK(!status.has_usage);
  CHECK(status.timings.persisted == 100);
  CHECK(status.timings.spawned == 200);
  CHECK(status.timings.execed == 400);
  CHECK(status.timings.reaped == 0);
  CHECK(status.timings.recorded == 0);
}

TEST_CASE("status: timings that are not known are 0, and those that are never") {
  Task task = running();
  task.persisted_at = 0;                     // by an earlier agent
  task.run.spawned_at = kAcceptedAt;         // within the same microsecond
  task.run.execed_at = kAcceptedAt - 5'000;  // the clock was set back
  const Status status = te::status_of(task);
  CHECK(status.timings.persisted == 0);
  CHECK(status.timings.spawned == 1);
  CHECK(status.timings.execed == 1);
}

TEST_CASE("status: ended by itself") {
  for (const WireForm form : {WireForm::kGuide, WireForm::kController}) {
    const Status good = te::status_of(ended(EndCause::kEnded, exited(0), form));
    CHECK(good.state == StateKind::kTerminated);
    CHECK(good.exit_code == 0);
    CHECK(good.signal == 0);
    CHECK(good.reason == "Succeeded");
    CHECK(good.message == "Task completed successfully");
    CHECK(good.started_at == kAcceptedAt + 300);
    CHECK(good.finished_at == kAcceptedAt + 2'000'000);
    const Status bad = te::status_of(ended(EndCause::kEnded, exited(3), form));
    CHECK(bad.exit_code == 3);
    CHECK(bad.signal == 0);
    CHECK(bad.reason == "Failed");
    CHECK(bad.message == "Process exited with code 3");
  }
}

TEST_CASE("status: ended by a signal") {
  const Status status = te::status_of(ended(EndCause::kEnded, killed(SIGKILL)));
  CHECK(status.exit_code == 137);
  CHECK(status.signal == 9);
  CHECK(status.reason == "Failed");  // never guessed to be OOMKilled
  CHECK(status.message == "Process was killed by signal 9 (SIGKILL)");
  CHECK(te::status_of(ended(EndCause::kEnded, dumped_core(SIGSEGV))).message ==
        "Process was killed by signal 11 (SIGSEGV)");
  const Status nameless = te::status_of(ended(EndCause::kEnded, killed(40)));
  CHECK(nameless.exit_code == 168);
  CHECK(nameless.message == "Process was killed by signal 40");
}

TEST_CASE("status: usage and timings of a task that ended") {
  Task task = ended(EndCause::kEnded, exited(0));
  task.end->user_cpu_us = 1'999;
  task.end->system_cpu_us = 2'000'000;
  task.end->max_rss_kib = 1'234;
  const Status status = te::status_of(task);
  CHECK(status.started);
  CHECK(status.pid == 0);
  CHECK(status.has_usage);
  CHECK(status.user_cpu_ms == 1);
  CHECK(status.system_cpu_ms == 2'000);
  CHECK(status.max_rss_kib == 1'234);
  CHECK(status.timings.persisted == 100);
  CHECK(status.timings.spawned == 200);
  CHECK(status.timings.execed == 400);
  CHECK(status.timings.reaped == 2'000'000);
  CHECK(status.timings.recorded == 2'000'100);
}

TEST_CASE("status: a timeout stays one, whatever the code") {
  for (const int wait_status : {exited(0), exited(1), killed(SIGTERM), killed(SIGKILL)}) {
    Task task = ended(EndCause::kTimeout, wait_status);
    task.spec.process.timeout_seconds = 5;
    const Status status = te::status_of(task);
    CHECK(status.reason == "TaskTimeout");
    CHECK(status.exit_code == te::exit_code_of(wait_status));
    CHECK(status.signal == te::signal_of(wait_status));
    CHECK(status.message.starts_with("Task timed out after 5 s; the process "));
    CHECK(status.has_usage);
  }
}

TEST_CASE("status: a timeout never reads as 0 in the controller form") {
  const Status status = te::status_of(ended(EndCause::kTimeout, exited(0), WireForm::kController));
  CHECK(status.reason == "TaskTimeout");
  CHECK(status.exit_code == 143);
  CHECK(status.signal == 0);
  CHECK(status.message.find("exited with code 0") != std::string::npos);
  CHECK(status.message.find("143") != std::string::npos);
  CHECK(te::status_of(ended(EndCause::kTimeout, exited(7), WireForm::kController)).exit_code == 7);
  const Status killed_one = te::status_of(ended(EndCause::kTimeout, killed(SIGKILL), WireForm::kController));
  CHECK(killed_one.exit_code == 137);
  CHECK(killed_one.signal == 9);
  CHECK(killed_one.message.find("143") == std::string::npos);
}

TEST_CASE("status: start errors have the codes of shells") {
  CHECK(start_error(StartStage::kExec, ENOENT).exit_code == 127);
  CHECK(start_error(StartStage::kExec, ENOTDIR).exit_code == 127);
  CHECK(start_error(StartStage::kExec, EACCES).exit_code == 126);
  CHECK(start_error(StartStage::kExec, ENOEXEC).exit_code == 126);
  CHECK(start_error(StartStage::kExec, EPERM).exit_code == 126);
  CHECK(start_error(StartStage::kExec, E2BIG).exit_code == 128);
  CHECK(start_error(StartStage::kExec, ENOMEM).exit_code == 128);
  for (const StartStage stage : {StartStage::kNone, StartStage::kFork, StartStage::kRecord, StartStage::kLog,
                                 StartStage::kWorkingDir, StartStage::kCredentials}) {
    for (const int error : {ENOENT, EACCES, EPERM, ENOSPC}) {
      const Status status = start_error(stage, error);
      CHECK(status.exit_code == 128);
      CHECK(status.reason == "StartError");
      CHECK(status.state == StateKind::kTerminated);
      CHECK(status.signal == 0);
    }
  }
}

TEST_CASE("status: start errors name the stage, the path and the errno") {
  CHECK(start_error(StartStage::kExec, ENOENT, "nope").message ==
        "can't exec nope: No such file or directory (ENOENT)");
  CHECK(start_error(StartStage::kWorkingDir, ENOTDIR, "/x").message ==
        "can't change to working directory /x: Not a directory (ENOTDIR)");
  CHECK(start_error(StartStage::kCredentials, EPERM).message ==
        "can't take on credentials: Operation not permitted (EPERM)");
  CHECK(start_error(StartStage::kFork, EAGAIN).message == "can't fork: Resource temporarily unavailable (EAGAIN)");
  CHECK(start_error(StartStage::kRecord, ENOSPC).message == "can't write run.json: No space left on device (ENOSPC)");
  CHECK(start_error(StartStage::kLog, EROFS, "stdout.log").message ==
        "can't open log file stdout.log: Read-only file system (EROFS)");
}

TEST_CASE("status: a task that never started has no startedAt, usage or exec time") {
  const Status status = start_error(StartStage::kExec, ENOENT, "nope");
  CHECK(status.started_at == 0);
  CHECK(status.finished_at == kAcceptedAt + 2'000'000);
  CHECK(!status.has_usage);
  CHECK(status.timings.execed == 0);
  CHECK(status.timings.reaped == 0);
  CHECK(status.timings.recorded != 0);
}

TEST_CASE("status: a lost task tells that its code is none") {
  for (const WireForm form : {WireForm::kGuide, WireForm::kController}) {
    const Status status = te::status_of(ended(EndCause::kLost, 0, form));
    CHECK(status.exit_code == 137);
    CHECK(status.signal == 0);
    CHECK(status.reason == "Lost");
    CHECK(status.message.find("not known") != std::string::npos);
    CHECK(!status.has_usage);
    CHECK(status.timings.reaped == 0);
  }
}

// Lifecycle hooks in JSON, and how they ended in state files.
#include <doctest/doctest.h>

#include <cerrno>
#include <string>

#include "../padded_copy.h"
#include "codec/state_file.h"
#include "codec/task_json.h"

using namespace te;

namespace {

std::string task_with(std::string_view lifecycle) {
  return R"({"name":"a","spec":{"process":{"command":["true"],"lifecycle":)" + std::string(lifecycle) + "}}}";
}

Result<TaskRequests> read(const std::string& text, bool sidecar = false) {
  JsonParser parser;
  const PaddedCopy copy(text);
  return read_task(parser, copy.text(), {.sidecar_mode = sidecar, .container_mode = false});
}

std::string refusal(std::string_view lifecycle) {
  const Result<TaskRequests> result = read(task_with(lifecycle));
  return result ? std::string() : result.error().text();
}

std::string written(const TaskRequest& request) {
  std::string text;
  JsonWriter json(text);
  json.begin_object();
  write_spec(json, request.name, request.spec);
  json.end_object();
  return text;
}

}  // namespace

TEST_CASE("hooks: read and written as they came") {
  const std::string text =
      task_with(R"({"preStart":{"exec":{"command":["sh","-c","x"]},"execMode":"Remote","timeoutSeconds":0},)"
                R"("postStop":{"exec":{"command":["y"]},"execMode":"Local"}})");
  Result<TaskRequests> result = read(text, true);
  REQUIRE(result);
  CHECK(result->warnings.empty());
  const ProcessSpec& process = result->tasks[0].spec.process;
  REQUIRE(process.pre_start != nullptr);
  REQUIRE(process.post_stop != nullptr);
  CHECK(process.pre_start->command.size() == 3);
  CHECK(process.pre_start->remote());
  CHECK(process.pre_start->timeout_seconds == 0);
  CHECK(!process.post_stop->remote());
  CHECK(!process.post_stop->timeout_seconds);
  CHECK(result->tasks[0].spec.post_stop_seconds() == 30);
  CHECK(written(result->tasks[0]) == text);
}

TEST_CASE("hooks: none at all") {
  for (const std::string_view none : {"null", "{}", R"({"preStart":null})"}) {
    const Result<TaskRequests> result = read(task_with(none));
    REQUIRE(result);
    CHECK(result->tasks[0].spec.process.pre_start == nullptr);
    CHECK(written(result->tasks[0]) == R"({"name":"a","spec":{"process":{"command":["true"]}}})");
  }
}

TEST_CASE("hooks: what is refused names its field") {
  const std::string path = "spec.process.lifecycle.";
  CHECK(refusal(R"({"preStart":{}})") == path + "preStart.exec.command: required, and not empty");
  CHECK(refusal(R"({"preStart":{"exec":{"command":[""]}}})") == path + "preStart.exec.command[0]: must not be empty");
  CHECK(refusal(R"({"preStart":{"exec":{"command":["x"]},"execMode":"Remote"}})") ==
        path + "preStart.execMode: Remote needs an agent with --enable-sidecar-mode");
  CHECK(refusal(R"({"postStop":{"httpGet":{}}})") == path + "postStop.httpGet: only exec is supported for a hook");
  CHECK(refusal(R"({"postStop":{"exec":{"command":["x"]},"timeoutSeconds":-1}})") ==
        path + "postStop.timeoutSeconds: must not be negative");
}

TEST_CASE("hooks: unknown fields are named") {
  const Result<TaskRequests> result =
      read(task_with(R"({"preStop":{},"postStop":{"exec":{"command":["x"],"tty":true},"retry":1}})"));
  REQUIRE(result);
  REQUIRE(result->warnings.size() == 3);
  CHECK(result->warnings[0] == "unknown field \"spec.process.lifecycle.preStop\"");
  CHECK(result->warnings[1] == "unknown field \"spec.process.lifecycle.postStop.exec.tty\"");
  CHECK(result->warnings[2] == "unknown field \"spec.process.lifecycle.postStop.retry\"");
}

TEST_CASE("exit record: a failed preStart with what it said") {
  ExitRecord record;
  record.cause = EndCause::kPreStart;
  record.pre_start = {HookOutcome::kTimeout, StartStage::kNone, 0, 15};
  record.output = "line\n\"quoted\" \x01 end";
  record.object = "object";
  record.finished_at = 7;
  const PaddedCopy copy(encode_exit(record));
  JsonParser parser;
  const Result<ExitRecord> back = decode_exit(parser, copy.text());
  REQUIRE(back);
  CHECK(back->cause == EndCause::kPreStart);
  CHECK(back->pre_start == record.pre_start);
  CHECK(back->output == record.output);
  CHECK(back->object == "object");
  CHECK(back->finished_at == 7);
}

TEST_CASE("exit record: the end of a hook's stderr always fits what was reserved, and whole") {
  for (const char byte : {'x', '\n', '\x01', '"', '\xFF'}) {
    ExitRecord record;
    record.cause = EndCause::kPreStart;
    record.output = std::string(kHookOutputMax, byte);
    const std::string text = encode_exit(record);
    CHECK(text.size() <= kExitRecordWithHookMax);
    const PaddedCopy copy(text);
    JsonParser parser;
    const Result<ExitRecord> back = decode_exit(parser, copy.text());
    REQUIRE(back);
    if (byte != '\xFF') CHECK(back->output == record.output);
  }
  ExitRecord record;
  record.cause = EndCause::kPreStart;
  record.object = std::string(kExitRecordWithHookMax, '\x01');
  record.output = "the end";
  CHECK(encode_exit(record).size() <= kExitRecordWithHookMax);
}

TEST_CASE("run record: how postStop ended") {
  RunRecord record;
  record.phase = RunPhase::kPostStop;
  record.supervisor = {10, 20};
  CHECK(encode_run(record).find("postStop\":{") == std::string::npos);
  record.post_stop = {HookOutcome::kStartError, StartStage::kNamespaces, EPERM, 0};
  const PaddedCopy copy(encode_run(record));
  JsonParser parser;
  const Result<RunRecord> back = decode_run(parser, copy.text());
  REQUIRE(back);
  CHECK(back->phase == RunPhase::kPostStop);
  CHECK(back->post_stop == record.post_stop);
}

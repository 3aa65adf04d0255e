// Writing state files. Apart from reading, because the supervisor writes two of them and is to stay small.
#include <span>

#include "base/crc32c.h"
#include "codec/state_file.h"
#include "codec/state_names.h"
#include "wire/json_writer.h"

namespace te {

namespace {

void begin(JsonWriter& json, std::string_view kind) {
  json.begin_object().key("format").number(kStateFormat).key("kind").string(kind);
}

// Every file has a field before the trailer, so that its comma is right.
std::string sealed(std::string text) {
  const uint32_t sum = crc32c(text);
  text += ",\"crc32c\":\"";
  append_hex32(text, sum);
  text += "\"}\n";
  return text;
}

void write_process(JsonWriter& json, std::string_view key, const ProcessId& id) {
  json.key(key).begin_object().key("pid").number(id.pid);
  json.key("startTicks").number(static_cast<int64_t>(id.start_ticks)).end_object();
}

void write_hook_end(JsonWriter& json, std::string_view key, const HookEnd& end) {
  if (end.outcome == HookOutcome::kNone) return;
  json.key(key).begin_object().key("outcome").string(name_of(kHookOutcomeNames, end.outcome));
  json.key("stage").string(name_of(kStartStageNames, end.stage)).key("errno").number(end.error);
  json.key("waitStatus").number(end.wait_status).end_object();
}

constexpr size_t kReasonMin = 32;  ///< what is told of the task goes by it

/// `longest`: of each text that somebody else has written.
void write_pod(JsonWriter& json, const PodRecord& pod, size_t longest) {
  const auto text = [&](std::string_view key, const std::string& value, size_t limit) {
    if (!value.empty()) json.key(key).string(std::string_view(value).substr(0, limit));
  };
  const auto number = [&](std::string_view key, int64_t value) {
    if (value != 0) json.key(key).number(value);
  };
  json.key("pod").begin_object().key("step").string(name_of(kPodStepNames, pod.step));
  number("attempt", pod.attempt);
  text("sandbox", pod.sandbox_id, std::string::npos);
  text("runtime", pod.runtime, longest);
  text("failure", pod.failure, longest);
  number("begunAt", pod.begun_at);
  number("cpuUs", pod.cpu_us);
  number("memoryKiB", pod.memory_kib);
  json.key("containers").begin_array();
  for (const ContainerRecord& one : pod.containers) {
    json.begin_object().key("stage").string(name_of(kContainerStageNames, one.stage));
    text("id", one.id, std::string::npos);
    if (one.begun) json.key("begun").boolean(true);
    text("reason", one.reason, std::max(longest, kReasonMin));
    text("message", one.message, longest);
    text("imageId", one.image_id, longest);
    number("exitCode", one.exit_code);
    number("startedAt", one.started_at);
    number("finishedAt", one.finished_at);
    json.end_object();
  }
  json.end_array().end_object();
}

std::string encode_exit_with(const ExitRecord& record, std::string_view object, std::string_view output,
                             size_t longest) {
  std::string text;
  JsonWriter json(text);
  begin(json, "exit");
  json.key("cause").string(name_of(kEndCauseNames, record.cause)).key("waitStatus").number(record.wait_status);
  json.key("stage").string(name_of(kStartStageNames, record.stage)).key("errno").number(record.error);
  json.key("object").string(object);
  if (record.cause == EndCause::kPreStart) {
    write_hook_end(json, "preStart", record.pre_start);
    json.key("output").string(output);
  }
  json.key("userCpuUs").number(record.user_cpu_us).key("systemCpuUs").number(record.system_cpu_us);
  json.key("maxRssKiB").number(record.max_rss_kib);
  json.key("spawnedAt").number(record.spawned_at).key("startedAt").number(record.started_at);
  json.key("execedAt").number(record.execed_at).key("finishedAt").number(record.finished_at);
  if (record.tree_gone) json.key("treeGone").boolean(true);
  if (record.pod) write_pod(json, *record.pod, longest);
  return sealed(std::move(text));
}

}  // namespace

std::string encode_task_file(const Task& task) {
  std::string text;
  JsonWriter json(text);
  begin(json, "task");
  json.key("uid").string(task.uid.view()).key("sequence").number(static_cast<int64_t>(task.sequence));
  json.key("acceptedAt").number(task.accepted_at).key("task").begin_object();
  write_spec(json, task.name, task.spec);
  json.end_object();
  return sealed(std::move(text));
}

std::string encode_run(const RunRecord& record) {
  std::string text;
  JsonWriter json(text);
  begin(json, "run");
  json.key("phase").string(name_of(kRunPhaseNames, record.phase)).key("attempt").number(record.attempt);
  write_process(json, "supervisor", record.supervisor);
  write_process(json, "process", record.process);
  json.key("spawnedAt").number(record.spawned_at).key("startedAt").number(record.started_at);
  json.key("execedAt").number(record.execed_at);
  write_hook_end(json, "postStop", record.post_stop);
  if (record.pod) write_pod(json, *record.pod, kPodTextMax);
  return sealed(std::move(text));
}

std::string encode_execed(const RunRecord& record) { return std::to_string(record.execed_at); }

std::string encode_exit(const ExitRecord& record) {
  std::string_view object = record.object;
  std::string_view output = record.output;
  const bool big = record.cause == EndCause::kPreStart || record.pod;
  const size_t limit = big ? kExitRecordWithHookMax : kExitRecordMax;
  size_t longest = kPodTextMax;
  std::string text = encode_exit_with(record, object, output, longest);
  while (text.size() > limit && longest > 0) {
    longest /= 2;
    object = object.substr(0, object.size() / 2);
    output.remove_prefix(output.size() / 2);
    text = encode_exit_with(record, object, output, longest);
  }
  return text;
}

}  // namespace te

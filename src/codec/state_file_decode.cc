// Reading state files. Nothing in one is trusted before its checksum is right, and nothing much after that.
#include <optional>

#include "base/crc32c.h"
#include "codec/spec_reader.h"
#include "codec/state_file.h"
#include "codec/state_names.h"

namespace te {

namespace {

Error corrupt(std::string message) { return {ErrorKind::kCorrupt, 0, std::move(message)}; }

Result<void> check_seal(std::string_view text) {
  if (text.size() <= kTrailerSize) return corrupt("too short for a state file");
  const std::string_view body = text.substr(0, text.size() - kTrailerSize);
  std::string trailer = ",\"crc32c\":\"";
  append_hex32(trailer, crc32c(body));
  trailer += "\"}\n";
  if (text.substr(body.size()) != trailer) return corrupt("the checksum is wrong");
  return {};
}

template <class Enum, size_t N>
Result<void> read_name(JsonValue& value, const std::array<std::string_view, N>& names, Enum& out) {
  const std::string_view text = TRY(value.string());
  for (size_t i = 0; i < N; ++i) {
    if (names[i] != text) continue;
    out = static_cast<Enum>(i);
    return {};
  }
  return value.error("unknown word");
}

template <class T>
Result<void> read_number(JsonValue& value, T& out) {
  const int64_t number = TRY(value.integer());
  if constexpr (sizeof(T) < sizeof(int64_t)) {
    if (number < INT32_MIN || number > INT32_MAX) return value.error("out of range");
  }
  out = static_cast<T>(number);
  return {};
}

Result<void> read_process_id(JsonValue& value, ProcessId& out) {
  return value.object([&](std::string_view name, JsonValue& inner) -> Result<void> {
    if (name == "pid") return read_number(inner, out.pid);
    if (name == "startTicks") return read_number(inner, out.start_ticks);
    return {};
  });
}

Result<void> read_hook_end(JsonValue& value, HookEnd& out) {
  return value.object([&](std::string_view name, JsonValue& inner) -> Result<void> {
    if (name == "outcome") return read_name(inner, kHookOutcomeNames, out.outcome);
    if (name == "stage") return read_name(inner, kStartStageNames, out.stage);
    if (name == "errno") return read_number(inner, out.error);
    if (name == "waitStatus") return read_number(inner, out.wait_status);
    return {};
  });
}

Result<void> read_text(JsonValue& value, std::string& out) {
  out = TRY(value.string());
  return {};
}

Result<void> read_container(JsonValue& value, ContainerRecord& out) {
  return value.object([&](std::string_view name, JsonValue& inner) -> Result<void> {
    if (name == "stage") return read_name(inner, kContainerStageNames, out.stage);
    if (name == "id") return read_text(inner, out.id);
    if (name == "begun") {
      out.begun = TRY(inner.boolean());
      return {};
    }
    if (name == "reason") return read_text(inner, out.reason);
    if (name == "message") return read_text(inner, out.message);
    if (name == "imageId") return read_text(inner, out.image_id);
    if (name == "exitCode") return read_number(inner, out.exit_code);
    if (name == "startedAt") return read_number(inner, out.started_at);
    if (name == "finishedAt") return read_number(inner, out.finished_at);
    return {};
  });
}

Result<void> read_pod(JsonValue& value, Box<PodRecord>& out) {
  PodRecord pod;
  TRY(value.object([&](std::string_view name, JsonValue& inner) -> Result<void> {
    if (name == "step") return read_name(inner, kPodStepNames, pod.step);
    if (name == "attempt") return read_number(inner, pod.attempt);
    if (name == "sandbox") return read_text(inner, pod.sandbox_id);
    if (name == "runtime") return read_text(inner, pod.runtime);
    if (name == "failure") return read_text(inner, pod.failure);
    if (name == "begunAt") return read_number(inner, pod.begun_at);
    if (name == "cpuUs") return read_number(inner, pod.cpu_us);
    if (name == "memoryKiB") return read_number(inner, pod.memory_kib);
    if (name != "containers") return {};
    return inner.array([&](JsonValue& one) { return read_container(one, pod.containers.emplace_back()); });
  }));
  out = std::move(pod);
  return {};
}

/// Seal, format and kind; all other fields go to `field`. Ones that it does not know are left alone: a later version
/// of the same format may have them.
Result<void> read_file(JsonParser& parser, PaddedText text, std::string_view kind, JsonValue::FieldHandler field) {
  TRY(check_seal({text.data, text.size}));
  bool right_format = false;
  bool right_kind = false;
  const Result<void> read = parser.parse(text, kJsonOwnDepth, [&](JsonValue& root) {
    return root.object([&](std::string_view name, JsonValue& value) -> Result<void> {
      if (name == "format") {
        right_format = TRY(value.integer()) == kStateFormat;
        return right_format ? Result<void>() : value.error("of another version of this program");
      }
      if (name == "kind") {
        right_kind = TRY(value.string()) == kind;
        return {};
      }
      return field(name, value);
    });
  });
  if (!read) return corrupt(read.error().text());
  if (!right_format || !right_kind) return corrupt("not a file of this kind");
  return {};
}

}  // namespace

Result<TaskFile> decode_task_file(JsonParser& parser, PaddedText text) {
  TaskFile out;
  std::optional<TaskRequest> request;
  // What was accepted once is taken back whatever this agent's flags are.
  const SpecOptions anything{
      .sidecar_mode = true, .container_mode = true, .volumes = {}, .any_volume = true, .registry_auth = true};
  TRY(read_file(parser, text, "task", [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name == "uid") {
      out.uid = Uid::from(TRY(value.string()));
      return {};
    }
    if (name == "sequence") return read_number(value, out.sequence);
    if (name == "acceptedAt") return read_number(value, out.accepted_at);
    if (name == "task") {
      std::vector<std::string> warnings;
      request = TRY(read_task_value(value, anything, warnings));
    }
    return {};
  }));
  if (out.uid.empty() || out.sequence == 0 || !request) return corrupt("a field is missing");
  out.name = std::move(request->name);
  out.spec = std::move(request->spec);
  return out;
}

Result<RunRecord> decode_run(JsonParser& parser, PaddedText text) {
  RunRecord out;
  TRY(read_file(parser, text, "run", [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name == "phase") return read_name(value, kRunPhaseNames, out.phase);
    if (name == "attempt") return read_number(value, out.attempt);
    if (name == "supervisor") return read_process_id(value, out.supervisor);
    if (name == "process") return read_process_id(value, out.process);
    if (name == "postStop") return read_hook_end(value, out.post_stop);
    if (name == "pod") return read_pod(value, out.pod);
    if (name == "spawnedAt") return read_number(value, out.spawned_at);
    if (name == "startedAt") return read_number(value, out.started_at);
    if (name == "execedAt") return read_number(value, out.execed_at);
    return {};
  }));
  if ((out.supervisor.pid <= 0 && !out.pod) || out.attempt < 1) return corrupt("a field is missing");
  return out;
}

void decode_execed(std::string_view note, RunRecord& record) {
  const std::optional<int64_t> at = parse_int(note);
  if (at && *at > 0) record.execed_at = *at;
}

Result<ExitRecord> decode_exit(JsonParser& parser, PaddedText text) {
  ExitRecord out;
  bool has_cause = false;
  TRY(read_file(parser, text, "exit", [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name == "cause") {
      has_cause = true;
      return read_name(value, kEndCauseNames, out.cause);
    }
    if (name == "waitStatus") return read_number(value, out.wait_status);
    if (name == "stage") return read_name(value, kStartStageNames, out.stage);
    if (name == "errno") return read_number(value, out.error);
    if (name == "object") return read_text(value, out.object);
    if (name == "preStart") return read_hook_end(value, out.pre_start);
    if (name == "output") return read_text(value, out.output);
    if (name == "pod") return read_pod(value, out.pod);
    if (name == "userCpuUs") return read_number(value, out.user_cpu_us);
    if (name == "systemCpuUs") return read_number(value, out.system_cpu_us);
    if (name == "maxRssKiB") return read_number(value, out.max_rss_kib);
    if (name == "spawnedAt") return read_number(value, out.spawned_at);
    if (name == "startedAt") return read_number(value, out.started_at);
    if (name == "execedAt") return read_number(value, out.execed_at);
    if (name == "finishedAt") return read_number(value, out.finished_at);
    if (name == "treeGone") {
      out.tree_gone = TRY(value.boolean());
      return {};
    }
    return {};
  }));
  if (!has_cause) return corrupt("a field is missing");
  return out;
}

}  // namespace te

// Answers (task_json.h).
#include "codec/pod_writer.h"
#include "codec/task_json.h"
#include "task/capability.h"

namespace te {

namespace {

void write_strings(JsonWriter& json, std::string_view key, const StringList& list) {
  if (list.empty()) return;
  json.key(key).begin_array();
  for (const std::string_view text : list) json.string(text);
  json.end_array();
}

void write_number(JsonWriter& json, std::string_view key, int64_t value) {
  if (value != 0) json.key(key).number(value);
}

void write_capabilities(JsonWriter& json, std::string_view key, uint64_t bits) {
  if (bits == 0) return;
  json.key(key).begin_array();
  if (bits == kAllCapabilities) {
    json.string("ALL");
  } else {
    for (size_t i = 0; i < kCapabilityNames.size(); ++i) {
      if ((bits >> i & 1U) != 0) json.string(kCapabilityNames[i]);
    }
  }
  json.end_array();
}

void write_security(JsonWriter& json, const SecurityContext& security) {
  json.key("securityContext").begin_object();
  if (security.run_as_user) json.key("runAsUser").number(*security.run_as_user);
  if (security.run_as_group) json.key("runAsGroup").number(*security.run_as_group);
  if (!security.supplemental_groups.empty()) {
    json.key("supplementalGroups").begin_array();
    for (const uint32_t group : security.supplemental_groups) json.number(group);
    json.end_array();
  }
  if (security.no_new_privileges) json.key("noNewPrivileges").boolean(*security.no_new_privileges);
  if (security.drop_capabilities != 0 || security.add_capabilities != 0) {
    json.key("capabilities").begin_object();
    write_capabilities(json, "drop", security.drop_capabilities);
    write_capabilities(json, "add", security.add_capabilities);
    json.end_object();
  }
  json.end_object();
}

void write_env(JsonWriter& json, const StringList& env) {
  if (env.empty()) return;
  json.key("env").begin_array();
  for (const std::string_view entry : env) {
    const size_t equals = entry.find('=');
    json.begin_object().key("name").string(entry.substr(0, equals));
    json.key("value").string(entry.substr(equals + 1)).end_object();
  }
  json.end_array();
}

void write_exec_mode(JsonWriter& json, ExecMode mode) {
  switch (mode) {
    case ExecMode::kDefault: break;
    case ExecMode::kLocal: json.key("execMode").string("Local"); break;
    case ExecMode::kRemote: json.key("execMode").string("Remote"); break;
  }
}

void write_hook(JsonWriter& json, std::string_view key, const Hook* hook) {
  if (hook == nullptr) return;
  json.key(key).begin_object().key("exec").begin_object();
  write_strings(json, "command", hook->command);
  json.end_object();
  write_exec_mode(json, hook->exec_mode);
  if (hook->timeout_seconds) json.key("timeoutSeconds").number(*hook->timeout_seconds);
  json.end_object();
}

void write_lifecycle(JsonWriter& json, const ProcessSpec& process) {
  if (process.pre_start == nullptr && process.post_stop == nullptr) return;
  json.key("lifecycle").begin_object();
  write_hook(json, "preStart", process.pre_start.get());
  write_hook(json, "postStop", process.post_stop.get());
  json.end_object();
}

void write_process(JsonWriter& json, const ProcessSpec& process) {
  json.key("process").begin_object();
  write_strings(json, "command", process.command);
  write_strings(json, "args", process.args);
  write_env(json, process.env);
  if (!process.working_dir.empty()) json.key("workingDir").string(process.working_dir);
  if (process.timeout_seconds && !process.timeout_at_spec) json.key("timeoutSeconds").number(*process.timeout_seconds);
  if (process.grace_seconds && !process.grace_at_spec) {
    json.key("terminationGracePeriodSeconds").number(*process.grace_seconds);
  }
  write_exec_mode(json, process.exec_mode);
  write_lifecycle(json, process);
  if (process.security != nullptr) write_security(json, *process.security);
  json.end_object();
}

void write_state(JsonWriter& json, const Status& status) {
  switch (status.state) {
    case StateKind::kWaiting:
      json.key("waiting").begin_object().key("reason").string(status.reason);
      if (!status.message.empty()) json.key("message").string(status.message);
      json.end_object();
      break;
    case StateKind::kRunning:
      json.key("running").begin_object();
      write_time(json, "startedAt", status.started_at);
      json.end_object();
      break;
    case StateKind::kTerminated:
      json.key("terminated").begin_object().key("exitCode").number(status.exit_code);
      write_number(json, "signal", status.signal);
      json.key("reason").string(status.reason);
      if (!status.message.empty()) json.key("message").string(status.message);
      write_time(json, "startedAt", status.started_at);
      write_time(json, "finishedAt", status.finished_at);
      json.end_object();
      break;
  }
}

void write_extras(JsonWriter& json, const Status& status) {
  if (!status.started) return;
  write_number(json, "pid", status.pid);
  if (status.has_usage) {
    json.key("usage").begin_object().key("userCpuMs").number(status.user_cpu_ms);
    json.key("systemCpuMs").number(status.system_cpu_ms).key("maxRssKiB").number(status.max_rss_kib).end_object();
  }
  if (status.has_pod_usage) {
    json.key("usage").begin_object().key("cpuMs").number(status.cpu_ms);
    json.key("maxMemoryKiB").number(status.max_memory_kib).end_object();
  }
  write_number(json, "leftover", status.leftover);
  json.key("timings").begin_object();
  write_number(json, "persisted", status.timings.persisted);
  write_number(json, "spawned", status.timings.spawned);
  write_number(json, "execed", status.timings.execed);
  write_number(json, "reaped", status.timings.reaped);
  write_number(json, "recorded", status.timings.recorded);
  json.end_object();
}

}  // namespace

void write_spec(JsonWriter& json, std::string_view name, const TaskSpec& spec) {
  json.key("name").string(name);
  if (spec.pod) return write_pod_spec(json, spec);
  switch (spec.form) {
    case WireForm::kController: write_process(json, spec.process); break;
    case WireForm::kGuide:
      json.key("spec").begin_object();
      write_process(json, spec.process);
      if (spec.process.timeout_at_spec) json.key("timeoutSeconds").number(spec.timeout_seconds());
      if (spec.process.grace_at_spec) json.key("terminationGracePeriodSeconds").number(spec.grace_seconds());
      json.end_object();
      break;
  }
}

void write_task(JsonWriter& json, const Task& task) {
  json.begin_object();
  write_spec(json, task.name, task.spec);
  if (task.spec.form == WireForm::kController && task.spec.pod) {
    write_pod_status(json, task);
    write_time(json, "deletionTimestamp", task.deleted_at);
    json.end_object();
    return;
  }
  const Status status = status_of(task);
  switch (task.spec.form) {
    case WireForm::kController:
      json.key("processStatus").begin_object();
      write_state(json, status);
      json.end_object();
      break;
    case WireForm::kGuide:
      json.key("status").begin_object().key("state").begin_object();
      write_state(json, status);
      json.end_object();
      write_extras(json, status);
      json.end_object();
      break;
  }
  write_time(json, "deletionTimestamp", task.deleted_at);
  json.end_object();
}

}  // namespace te

#include "codec/pod_writer.h"

#include "task/status.h"

namespace te {

namespace {

void write_text(JsonWriter& json, std::string_view key, std::string_view text) {
  if (!text.empty()) json.key(key).string(text);
}

void write_condition(JsonWriter& json, std::string_view type, bool is_true, std::string_view reason, WallMicros at) {
  json.begin_object().key("type").string(type).key("status").string(is_true ? "True" : "False");
  json.key("lastProbeTime").raw("null");
  if (at != 0) {
    write_time(json, "lastTransitionTime", at);
  } else {
    json.key("lastTransitionTime").raw("null");
  }
  write_text(json, "reason", reason);
  json.end_object();
}

void write_container_state(JsonWriter& json, const ContainerRecord& one, const std::string& id) {
  json.key("state").begin_object();
  switch (one.stage) {
    case ContainerStage::kWaiting:
      json.key("waiting").begin_object().key("reason").string(one.reason.empty() ? "PodInitializing" : one.reason);
      write_text(json, "message", one.message);
      json.end_object();
      break;
    case ContainerStage::kRunning:
      json.key("running").begin_object();
      write_time(json, "startedAt", one.started_at);
      json.end_object();
      break;
    case ContainerStage::kTerminated:
      json.key("terminated").begin_object().key("exitCode").number(one.exit_code);
      write_text(json, "reason", one.reason);
      write_text(json, "message", one.message);
      write_time(json, "startedAt", one.started_at);
      write_time(json, "finishedAt", one.finished_at);
      write_text(json, "containerID", id);
      json.end_object();
      break;
  }
  json.end_object();
}

void write_container(JsonWriter& json, const PodRecord& pod, const ContainerRecord& one, const ContainerSpec& spec,
                     bool init) {
  const std::string id = one.id.empty() ? std::string() : pod.runtime + "://" + one.id;
  const bool running = one.stage == ContainerStage::kRunning;
  json.begin_object().key("name").string(spec.name);
  write_container_state(json, one, id);
  json.key("lastState").begin_object().end_object();
  json.key("ready").boolean(init ? one.ended() && one.exit_code == 0 : running);
  json.key("restartCount").number(0).key("image").string(spec.image).key("imageID").string(one.image_id);
  write_text(json, "containerID", id);
  json.key("started").boolean(running).end_object();
}

void write_conditions(JsonWriter& json, const Task& task, const PodRecord* pod, std::string_view phase) {
  const PodSpec& spec = task.spec.pod->pod;
  bool initialized = pod != nullptr;
  bool ready = phase == "Running";
  WallMicros initialized_at = pod != nullptr ? pod->begun_at : 0;
  for (size_t i = 0; pod != nullptr && i < pod->containers.size(); ++i) {
    const ContainerRecord& one = pod->containers[i];
    if (!spec.is_init(i)) {
      ready = ready && one.stage == ContainerStage::kRunning;
    } else {
      initialized = initialized && one.ended() && one.exit_code == 0;
      if (one.finished_at != 0) initialized_at = one.finished_at;
    }
  }
  std::string_view why;
  WallMicros changed_at = main_started_at(task);
  if (phase == "Succeeded") why = "PodCompleted";
  if (phase == "Failed") why = "PodFailed";
  if (task.end != nullptr) changed_at = task.end->finished_at;
  if (why.empty() && !ready) why = "ContainersNotReady";
  json.key("conditions").begin_array();
  write_condition(json, "Initialized", initialized, initialized ? "" : "ContainersNotInitialized", initialized_at);
  write_condition(json, "Ready", ready, why, changed_at);
  write_condition(json, "ContainersReady", ready, why, changed_at);
  write_condition(json, "PodScheduled", true, {}, task.accepted_at);
  json.end_array();
}

/// A pod's own reason: a failure that no container has to tell of.
void write_reason(JsonWriter& json, const Task& task) {
  if (task.end == nullptr) {
    write_text(json, "message", task.wait_message);
    return;
  }
  const Status status = status_of(task);
  switch (task.end->cause) {
    case EndCause::kEnded:
    case EndCause::kPreStart: return;
    case EndCause::kTimeout:
      json.key("reason").string("DeadlineExceeded");
      json.key("message").string("Pod was active on the node longer than the specified deadline");
      return;
    case EndCause::kStartError:
    case EndCause::kLost:
      json.key("reason").string(status.reason);
      json.key("message").string(status.message);
      return;
  }
}

}  // namespace

void write_time(JsonWriter& json, std::string_view key, WallMicros at) {
  if (at == 0) return;
  std::string text;
  append_rfc3339(text, at);
  json.key(key).string(text);
}

void write_pod_spec(JsonWriter& json, const TaskSpec& spec) {
  const PodTask& task = *spec.pod;
  if (task.pod.is_template) {
    json.key("podTemplateSpec").raw(task.json);
    return;
  }
  json.key("spec").begin_object().key("container").raw(task.json);
  if (!task.volumes.empty()) json.key("volumes").raw(task.volumes);
  if (task.timeout_at_spec) json.key("timeoutSeconds").number(spec.timeout_seconds());
  if (task.grace_at_spec) json.key("terminationGracePeriodSeconds").number(spec.grace_seconds());
  json.end_object();
}

void write_pod_status(JsonWriter& json, const Task& task) {
  const PodSpec& spec = task.spec.pod->pod;
  const PodRecord* pod = task.end != nullptr ? task.end->pod.get() : task.run.pod.get();
  if (pod != nullptr && pod->containers.size() != spec.size()) pod = nullptr;  // a record that lies
  const std::string_view phase = pod_phase(task);
  json.key("podStatus").begin_object().key("phase").string(phase);
  write_conditions(json, task, pod, phase);
  write_reason(json, task);
  write_time(json, "startTime", pod != nullptr ? pod->begun_at : 0);
  for (const bool init : {true, false}) {
    if (pod == nullptr || (init && spec.init_containers.empty())) continue;
    json.key(init ? "initContainerStatuses" : "containerStatuses").begin_array();
    for (size_t i = 0; i < spec.size(); ++i) {
      if (spec.is_init(i) == init) write_container(json, *pod, pod->containers[i], spec.container(i), init);
    }
    json.end_array();
  }
  json.end_object();
}

}  // namespace te

#include "task/status.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/result.h"
#include "base/text.h"
#include "task/task.h"

namespace te {

namespace {

constexpr int kNotExecutable = 126;  // as shells have it
constexpr int kNotFound = 127;
constexpr int kCannotStart = 128;
constexpr int kKilled = 137;
constexpr int kTerminatedByTimeout = 143;

/// `exited with code 3` or `was killed by signal 9 (SIGKILL)`.
std::string how_it_ended(int wait_status) {
  std::string text;
  const int signal = signal_of(wait_status);
  if (signal == 0) {
    text = "exited with code ";
    append_int(text, exit_code_of(wait_status));
    return text;
  }
  text = "was killed by signal ";
  append_int(text, signal);
  if (const char* name = sigabbrev_np(signal)) {
    text += " (SIG";
    text += name;
    text += ')';
  }
  return text;
}

std::string_view doing(StartStage stage) {
  switch (stage) {
    case StartStage::kNone: return "start";
    case StartStage::kFork: return "fork";
    case StartStage::kRecord: return "write run.json";
    case StartStage::kLog: return "open log file";
    case StartStage::kWorkingDir: return "change to working directory";
    case StartStage::kCredentials: return "take on credentials";
    case StartStage::kExec: return "exec";
    case StartStage::kTarget: return "find main container";
    case StartStage::kNamespaces: return "enter main container";
  }
  return "start";
}

int code_of_start_error(StartStage stage, int error) {
  if (stage != StartStage::kExec) return kCannotStart;
  switch (error) {
    case ENOENT:
    case ENOTDIR: return kNotFound;
    case EACCES:
    case ENOEXEC:
    case EPERM: return kNotExecutable;
    default: return kCannotStart;
  }
}

/// `can't exec /no/such: No such file or directory (ENOENT)`
std::string why_it_did_not_start(StartStage stage, int error, std::string_view object) {
  std::string text = "can't ";
  text += doing(stage);
  if (!object.empty()) {
    text += ' ';
    text += object;
  }
  if (stage == StartStage::kTarget && error == ESRCH) {
    text += ": no process of this Pod has SANDBOX_MAIN_CONTAINER";
    if (!object.empty()) {
      text += '=';
      text += object;
    }
    text += " in its environment (is shareProcessNamespace set?)";
    return text;
  }
  text += ": " + errno_text(error);
  return text;
}

/// What a hook that did not do well did.
std::string how_it_failed(const HookEnd& hook, int64_t timeout_seconds, std::string_view object) {
  std::string text;
  switch (hook.outcome) {
    case HookOutcome::kNone: return "ended in a way that is not known";
    case HookOutcome::kEnded: return how_it_ended(hook.wait_status);
    case HookOutcome::kTimeout:
      text = "timed out after ";
      append_int(text, timeout_seconds);
      text += " s and " + how_it_ended(hook.wait_status);
      return text;
    case HookOutcome::kStartError:
      text = "could not run: ";
      text += why_it_did_not_start(hook.stage, hook.error, object);
      return text;
  }
  return text;
}

void tell_pre_start(const Task& task, Status& out) {
  const ExitRecord& end = *task.end;
  const HookEnd& hook = end.pre_start;
  if (hook.outcome == HookOutcome::kStartError) {
    out.exit_code = code_of_start_error(hook.stage, hook.error);
  } else {
    out.exit_code = exit_code_of(hook.wait_status);
    out.signal = signal_of(hook.wait_status);
  }
  out.message = "preStart hook " + how_it_failed(hook, task.spec.pre_start_seconds(), end.object);
  if (hook.good()) out.message += ", and the task was stopped before its main process could start";
  if (!end.output.empty()) out.message += ": " + end.output;
}

/// In the controller form a code of 0 is success to its readers.
void leave_no_zero(const Task& task, Status& out) {
  if (out.exit_code != 0 || task.spec.form != WireForm::kController) return;
  out.exit_code = kTerminatedByTimeout;
  out.message += "; 143 stands here because readers of this form take 0 for success";
}

/// A runtime tells in words why a container's command could not be run.
int code_of_container_error(std::string_view text) {
  const auto says = [&](std::string_view part) { return text.find(part) != std::string_view::npos; };
  if (says("permission denied") || says("exec format error")) return kNotExecutable;
  if (says("executable file not found") || (says("exec: ") && says("no such file or directory"))) return kNotFound;
  return kCannotStart;
}

/// The container whose end is the pod's: the first that failed, else the last one.
const ContainerRecord* telling_container(const PodRecord& pod) {
  for (const ContainerRecord& one : pod.containers) {
    if (one.ended() && one.exit_code != 0) return &one;
  }
  return pod.containers.empty() ? nullptr : &pod.containers.back();
}

bool out_of_memory(const PodRecord& pod) {
  const ContainerRecord* told = telling_container(pod);
  return told != nullptr && told->reason == "OOMKilled";
}

void tell_pod_end(const Task& task, Status& out) {
  const ExitRecord& end = *task.end;
  const ContainerRecord* told = telling_container(*end.pod);
  out.exit_code = told != nullptr ? told->exit_code : 0;
  std::string how = "the container exited with code ";
  append_int(how, out.exit_code);
  if (told != nullptr && !told->message.empty()) how += ": " + told->message;
  switch (end.cause) {
    case EndCause::kEnded:
    case EndCause::kPreStart:
    case EndCause::kLost:
      if (out.exit_code == 0) {
        out.message = "Task completed successfully";
        if (out_of_memory(*end.pod)) out.message += "; one of its processes was killed for lack of memory";
      } else {
        out.message = std::move(how);
      }
      break;
    case EndCause::kTimeout:
      out.message = "Task timed out after ";
      append_int(out.message, task.spec.timeout_seconds());
      out.message += " s; ";
      out.message += told != nullptr && told->ended() ? how : "its container was never started";
      leave_no_zero(task, out);
      break;
    case EndCause::kStartError:
      out.exit_code = code_of_container_error(end.pod->failure);
      out.message = end.pod->failure;
      break;
  }
}

void tell_end(const Task& task, Status& out) {
  const ExitRecord& end = *task.end;
  out.started_at = end.started_at;
  out.finished_at = end.finished_at;
  if (end.pod) return tell_pod_end(task, out);
  switch (end.cause) {
    case EndCause::kEnded:
      out.exit_code = exit_code_of(end.wait_status);
      out.signal = signal_of(end.wait_status);
      out.message = out.exit_code == 0 ? "Task completed successfully" : "Process " + how_it_ended(end.wait_status);
      break;
    case EndCause::kTimeout:
      out.exit_code = exit_code_of(end.wait_status);
      out.signal = signal_of(end.wait_status);
      out.message = "Task timed out after ";
      append_int(out.message, task.spec.timeout_seconds());
      out.message += " s; the process " + how_it_ended(end.wait_status);
      leave_no_zero(task, out);
      break;
    case EndCause::kStartError:
      out.exit_code = code_of_start_error(end.stage, end.error);
      out.message = why_it_did_not_start(end.stage, end.error, end.object);
      break;
    case EndCause::kPreStart:
      tell_pre_start(task, out);
      leave_no_zero(task, out);
      break;
    case EndCause::kLost:
      out.exit_code = kKilled;
      out.message =
          task.spec.pod != nullptr
              ? "the container is gone and the runtime does not know how it ended (the runtime or its host restarted, "
                "or somebody removed it)"
              : "the task's supervisor died without a record of the end (killed, or its container or host restarted)";
      out.message += ": the exit code is not known, 137 stands here because the field must be a number";
      break;
  }
}

void tell_post_stop(const Task& task, Status& out) {
  const HookEnd& hook = task.run.post_stop;
  if (hook.outcome == HookOutcome::kNone || hook.good()) return;
  std::string_view command;
  if (hook.stage == StartStage::kExec && task.spec.process.post_stop != nullptr) {
    command = *task.spec.process.post_stop->command.begin();
  } else if (hook.stage == StartStage::kWorkingDir) {
    command = task.spec.process.working_dir;
  }
  out.message += "; postStop hook " + how_it_failed(hook, task.spec.post_stop_seconds(), command);
}

int64_t since(WallMicros accepted, WallMicros then) { return then == 0 ? 0 : std::max<int64_t>(1, then - accepted); }

void tell_extras(const Task& task, Status& out) {
  const ExitRecord* end = task.end.get();
  out.started = true;
  out.leftover = task.leftover;
  const WallMicros from = task.accepted_at;
  out.timings.persisted = since(from, task.persisted_at);
  out.timings.spawned = since(from, end != nullptr ? end->spawned_at : task.run.spawned_at);
  out.timings.execed = since(from, end != nullptr ? end->execed_at : task.run.execed_at);
  const PodRecord* pod = end != nullptr ? end->pod.get() : task.run.pod.get();
  if (pod != nullptr && pod->memory_kib != 0) {
    out.has_pod_usage = true;
    out.cpu_ms = pod->cpu_us / 1'000;
    out.max_memory_kib = pod->memory_kib;
  }
  if (end == nullptr) {
    out.pid = task.run.process.pid;
    return;
  }
  out.timings.recorded = since(from, task.recorded_at);
  if (end->cause != EndCause::kEnded && end->cause != EndCause::kTimeout) return;
  out.timings.reaped = since(from, end->finished_at);
  if (pod != nullptr) return;
  out.has_usage = true;
  out.user_cpu_ms = end->user_cpu_us / 1'000;
  out.system_cpu_ms = end->system_cpu_us / 1'000;
  out.max_rss_kib = end->max_rss_kib;
}

}  // namespace

int signal_of(int wait_status) { return WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0; }

int exit_code_of(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

namespace {

bool in_pre_start(const Task& task) {
  return task.phase == TaskPhase::kStarting && task.run.supervisor.pid != 0 && task.run.phase == RunPhase::kPreStart;
}

/// The first container that has not been started, of a pod on its way.
const ContainerRecord* waiting_container(const Task& task) {
  if (!task.run.pod) return nullptr;
  for (const ContainerRecord& one : task.run.pod->containers) {
    if (one.stage == ContainerStage::kWaiting && !one.reason.empty()) return &one;
  }
  return nullptr;
}

void tell_pod_wait(const Task& task, Status& out) {
  if (const ContainerRecord* one = waiting_container(task)) out.message = one->message;
}

std::string_view start_reason(const Task& task) {
  if (in_pre_start(task)) return "PreStartHook";
  const ContainerRecord* one = task.phase == TaskPhase::kStarting ? waiting_container(task) : nullptr;
  return one != nullptr ? std::string_view(one->reason) : "Initialized";
}

}  // namespace

WallMicros main_started_at(const Task& task) {
  const PodRecord* pod = task.run.pod.get();
  if (pod == nullptr || task.spec.pod == nullptr) return 0;
  for (size_t i = task.spec.pod->pod.init_containers.size(); i < pod->containers.size(); ++i) {
    if (pod->containers[i].started_at != 0) return pod->containers[i].started_at;
  }
  return 0;
}

std::string_view pod_phase(const Task& task) {
  switch (task.phase) {
    case TaskPhase::kAccepted:
    case TaskPhase::kQueued:
    case TaskPhase::kStarting: return "Pending";
    case TaskPhase::kRunning: return "Running";
    case TaskPhase::kEnded: break;
  }
  const PodRecord* pod = task.end->pod.get();
  if (pod == nullptr || task.end->cause != EndCause::kEnded) return "Failed";
  return telling_container(*pod)->exit_code == 0 ? "Succeeded" : "Failed";
}

std::string_view reason_of(const Task& task) {
  switch (task.phase) {
    case TaskPhase::kAccepted:
    case TaskPhase::kStarting: return start_reason(task);
    case TaskPhase::kQueued: return "Queued";
    case TaskPhase::kRunning: return "";
    case TaskPhase::kEnded: break;
  }
  switch (task.end->cause) {
    case EndCause::kEnded:
      if (exit_code_of(task.end->wait_status) == 0) return "Succeeded";
      return task.end->pod && out_of_memory(*task.end->pod) ? "OOMKilled" : "Failed";
    case EndCause::kTimeout: return "TaskTimeout";
    case EndCause::kStartError: return "StartError";
    case EndCause::kPreStart: return "PreStartHookError";
    case EndCause::kLost: return "Lost";
  }
  return "";
}

Status status_of(const Task& task) {
  Status out;
  out.reason = reason_of(task);
  switch (task.phase) {
    case TaskPhase::kAccepted:
    case TaskPhase::kStarting:
      out.message = task.wait_message;
      if (task.phase == TaskPhase::kStarting) tell_pod_wait(task, out);
      break;
    case TaskPhase::kQueued: out.message = task.wait_message; break;
    case TaskPhase::kRunning:
      out.state = StateKind::kRunning;
      out.started_at = task.run.started_at;
      tell_extras(task, out);
      break;
    case TaskPhase::kEnded:
      out.state = StateKind::kTerminated;
      tell_end(task, out);
      tell_post_stop(task, out);
      tell_extras(task, out);
      break;
  }
  return out;
}

}  // namespace te

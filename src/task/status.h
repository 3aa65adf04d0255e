// What the wire says of a task, derived from the facts (contract, section 1, Status).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/time.h"
#include "task/record.h"
#include "task/spec.h"

namespace te {

struct Task;

enum class StateKind : uint8_t { kWaiting, kRunning, kTerminated };

/// Times from the request's acceptance, in microseconds; 0 where not known.
struct Timings {
  int64_t persisted = 0;
  int64_t spawned = 0;
  int64_t execed = 0;
  int64_t reaped = 0;
  int64_t recorded = 0;
};

/// One answer's worth of status. Strings that are empty and numbers that are 0 are left out on the wire, but for
/// `exit_code` of a terminated task, which always stands.
struct Status {
  StateKind state = StateKind::kWaiting;
  std::string_view reason;  ///< waiting and terminated
  std::string message;      ///< waiting and terminated
  WallMicros started_at = 0;
  WallMicros finished_at = 0;
  int exit_code = 0;
  int signal = 0;

  // Beside the state, guide form only, and only once the task has been started.
  bool started = false;
  int32_t pid = 0;
  bool has_usage = false;
  int64_t user_cpu_ms = 0;
  int64_t system_cpu_ms = 0;
  int64_t max_rss_kib = 0;
  uint32_t leftover = 0;
  bool has_pod_usage = false;  ///< of containers, as last measured
  int64_t cpu_ms = 0;
  int64_t max_memory_kib = 0;
  Timings timings;
};

/// `task` as its own wire form tells it: in the controller form a code of 0 under TaskTimeout reads 143.
Status status_of(const Task& task);

/// The reason of waiting or of the end; empty for a running task. The same as in status_of(), without its texts.
std::string_view reason_of(const Task& task);
/// "Pending", "Running", "Succeeded" or "Failed" (core/v1 PodPhase).
std::string_view pod_phase(const Task& task);
/// When the first container that is not an init container was started; 0: not yet.
WallMicros main_started_at(const Task& task);

/// 0 to 255: the exit status, or 128 + the signal number.
int exit_code_of(int wait_status);
/// The signal that ended the process, or 0.
int signal_of(int wait_status);

}  // namespace te

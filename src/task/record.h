// The facts of a run as they stand on disk: run.json and exit.json, written by the supervisor, read by the agent. A run
// in containers has no supervisor: there the agent writes both.
//
// Status is derived from these (status.h) and nothing stores it a second time.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/box.h"
#include "base/process_id.h"
#include "base/time.h"
#include "task/pod_record.h"

namespace te {

/// Identity of one task, and of the mark TASK_EXECUTOR_RUN that all of its processes carry: 32 hexadecimal digits.
struct Uid {
  std::array<char, 32> digits{};

  std::string_view view() const { return {digits.data(), digits.size()}; }
  bool empty() const { return digits[0] == '\0'; }
  bool operator==(const Uid&) const = default;
  bool operator<(const Uid& other) const { return view() < other.view(); }
  /// From 32 lower-case hexadecimal digits; an empty Uid when `text` is anything else.
  static Uid from(std::string_view text);
};

/// Environment entry that every process of a run inherits.
constexpr std::string_view kRunMark = "TASK_EXECUTOR_RUN";

enum class RunPhase : uint8_t { kPreStart, kMain, kPostStop };

/// What failed on the way to exec.
enum class StartStage : uint8_t {
  kNone,
  kFork,
  kRecord,  ///< run.json could not be made durable
  kLog,     ///< stdout.log or stderr.log
  kWorkingDir,
  kCredentials,  ///< groups, uid, gid, capabilities
  kExec,
  kTarget,      ///< the main container's process is not there (ESRCH) or can't be looked at
  kNamespaces,  ///< its namespaces and its root
};

enum class HookOutcome : uint8_t {
  kNone,  ///< none that is known: it runs, or there is none
  kEnded,
  kTimeout,
  kStartError,
};

/// How a lifecycle hook ended.
struct HookEnd {
  HookOutcome outcome = HookOutcome::kNone;
  StartStage stage = StartStage::kNone;  ///< kStartError
  int32_t error = 0;                     ///< kStartError: errno
  int32_t wait_status = 0;               ///< else, as wait4(2) gave it

  bool good() const { return outcome == HookOutcome::kEnded && wait_status == 0; }
  bool operator==(const HookEnd&) const = default;
};

/// run.json: durable before the process that it names may exec.
struct RunRecord {
  RunPhase phase = RunPhase::kMain;
  int32_t attempt = 1;
  ProcessId supervisor;
  ProcessId process;          ///< the process of `phase`
  WallMicros spawned_at = 0;  ///< the supervisor was running
  WallMicros started_at = 0;  ///< the process was let go; what the wire calls startedAt
  WallMicros execed_at = 0;   ///< the exec is known to have succeeded; 0 before that
  HookEnd post_stop;          ///< kPostStop: how the hook ended
  Box<PodRecord> pod;         ///< of a run in containers; then no process stands here

  bool begun() const { return supervisor.pid != 0 || pod; }
};

enum class EndCause : uint8_t {
  kEnded,       ///< main ended by itself or by a signal
  kTimeout,     ///< timeoutSeconds ran out; sticky, whatever the code
  kStartError,  ///< the command could not be exec'd
  kLost,        ///< the supervisor died without a record (written by the agent, that holds the dead one's lock)
  kPreStart,    ///< the preStart hook failed, or the task was stopped while it ran: main never started
};

/// exit.json: the end of a run, once and for all.
struct ExitRecord {
  EndCause cause = EndCause::kEnded;
  int32_t wait_status = 0;  ///< as wait4(2) gave it; meaningless for kStartError and kLost
  StartStage stage = StartStage::kNone;
  int32_t error = 0;   ///< errno of the failed stage
  std::string object;  ///< the path that the failed stage was about; kTarget and kNamespaces: the container
  HookEnd pre_start;   ///< kPreStart: how the hook ended
  std::string output;  ///< kPreStart: the end of the hook's stderr
  int64_t user_cpu_us = 0;
  int64_t system_cpu_us = 0;
  int64_t max_rss_kib = 0;
  WallMicros spawned_at = 0;
  WallMicros started_at = 0;  ///< 0: never started
  WallMicros execed_at = 0;
  WallMicros finished_at = 0;  ///< reaped, or found lost
  bool durable = false;        ///< not in the file: no power loss can take it any more
  bool tree_gone = false;      ///< nothing of what main had started was left by then
  Box<PodRecord> pod;          ///< of a run in containers; then there is no wait status, stage or errno
};

}  // namespace te

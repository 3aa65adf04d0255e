// The plan: what the agent hands to a supervisor, as flat bytes in a sealed-off memory file.
//
// Both ends are the same binary, so the layout is a struct and a block of NUL-terminated strings behind it. The
// supervisor maps it and reads strings where they stand.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "base/time.h"
#include "sys/process.h"
#include "task/task.h"

namespace te {

/// `count` strings, one behind the other, each followed by a NUL.
struct StringRun {
  uint32_t offset = 0;  ///< from the beginning of the plan
  uint32_t count = 0;
};

/// One process of the plan: main, or a hook.
struct PlanProcess {
  StringRun argv;               ///< none: there is no such process
  int64_t timeout_seconds = 0;  ///< 0: none
  bool remote = false;          ///< in the main container
  bool in_working_dir = false;  ///< workingDir counts: it runs where main does
};

struct PlanHeader {
  static constexpr uint32_t kMagic = 0x54455032;  // "TEP2"

  uint32_t magic = kMagic;
  uint32_t size = 0;  ///< of the whole plan
  int32_t attempt = 1;
  RunPhase first = RunPhase::kMain;      ///< kPostStop: all else is over
  std::array<PlanProcess, 3> processes;  ///< by RunPhase

  int64_t grace_seconds = 0;
  uint64_t nofile_soft = 0;  ///< RLIMIT_NOFILE of the task
  uint64_t nofile_hard = 0;
  uint64_t drop_capabilities = 0;
  uint64_t add_capabilities = 0;
  sys::ProgramFile program;  ///< the agent's own: such a process is no main container
  uint32_t user = 0;
  uint32_t group = 0;
  uint32_t group_count = 0;   ///< supplementary groups, right behind the header
  StringRun local_env;        ///< of processes beside the agent, whole
  StringRun own_env;          ///< of those in the main container: what is added to that one's
  StringRun working_dir;      ///< one string
  StringRun container;        ///< one string: the main container's name
  bool has_security = false;  ///< the fields about identity and rights count
  bool has_user = false;
  bool has_group = false;
  bool no_new_privileges = false;
  bool agent_user = false;  ///< in the main container, too, user and groups are the agent's
};

/// What the agent adds to a task's own environment: its own, less what is not the task's business.
class BaseEnvironment {
 public:
  /// `environment` is NULL-terminated, as environ(7). Left out: NOTIFY_SOCKET, LISTEN_*, WATCHDOG_*, AUTH_TOKEN*, the
  /// agent's own settings that name secrets, and TASK_EXECUTOR_RUN.
  explicit BaseEnvironment(const char* const* environment);
  const std::vector<std::string>& entries() const { return entries_; }

 private:
  std::vector<std::string> entries_;
};

struct PlanLimits {
  uint64_t nofile_soft;
  uint64_t nofile_hard;
};

/// Sidecar mode: tasks run in the main container unless they say otherwise.
struct SidecarOptions {
  bool enabled = false;
  std::string container;     ///< its name, as in SANDBOX_MAIN_CONTAINER
  bool agent_user = false;   ///< tasks in there keep the agent's user and groups
  sys::ProgramFile program;  ///< the agent's own
};

/// The plan of the next run of `task`; of its postStop hook alone where the task has ended or is lost. The mark
/// TASK_EXECUTOR_RUN=<uid> comes first in the environment; of entries with the same name the last one is kept, the
/// task's own behind the agent's.
std::string encode_plan(const Task& task, int32_t attempt, const BaseEnvironment& base, const PlanLimits& limits,
                        const SidecarOptions& sidecar = {});

/// A plan as the supervisor sees it; views into the mapped bytes.
class PlanView {
 public:
  /// False when the bytes are not a plan of this binary.
  bool decode(std::string_view bytes);

  const PlanHeader& header() const { return *reinterpret_cast<const PlanHeader*>(bytes_.data()); }
  const PlanProcess& process(RunPhase phase) const { return header().processes[static_cast<size_t>(phase)]; }
  bool has(RunPhase phase) const { return process(phase).argv.count != 0; }
  const uint32_t* groups() const { return reinterpret_cast<const uint32_t*>(bytes_.data() + sizeof(PlanHeader)); }
  /// The first string of a run.
  const char* text(StringRun run) const { return bytes_.data() + run.offset; }
  /// All strings of a run, appended.
  void collect(StringRun run, std::vector<const char*>& out) const;

 private:
  std::string_view bytes_;
};

/// The name of an environment entry.
inline std::string_view env_name(std::string_view entry) { return entry.substr(0, entry.find('=')); }

}  // namespace te

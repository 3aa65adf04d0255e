// What a task is asked to be: the parsed specification, one model for both wire forms (contract, section 1).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/text.h"
#include "task/pod_spec.h"

namespace te {

/// How the task was written, and so how every answer shows it.
enum class WireForm : uint8_t {
  kGuide,       ///< spec.process and status.state
  kController,  ///< process and processStatus at the top level
};

/// Where a process runs: beside the agent, or in the main container (sidecar mode).
enum class ExecMode : uint8_t { kDefault, kLocal, kRemote };

constexpr int64_t kDefaultGraceSeconds = 10;

constexpr int64_t kDefaultPostStopSeconds = 30;

/// A command that runs before main or after the whole tree is gone.
struct Hook {
  StringList command;                       ///< never empty in a valid spec
  ExecMode exec_mode = ExecMode::kDefault;  ///< absent means Local, with or without sidecar mode
  std::optional<int64_t> timeout_seconds;   ///< 0: none; absent: none before main, kDefaultPostStopSeconds behind it

  bool remote() const { return exec_mode == ExecMode::kRemote; }
};

/// Identity and rights of the process; numbers only, as no user database is asked.
struct SecurityContext {
  std::optional<uint32_t> run_as_user;
  std::optional<uint32_t> run_as_group;
  std::vector<uint32_t> supplemental_groups;
  std::optional<bool> no_new_privileges;
  uint64_t drop_capabilities = 0;  ///< bit n is capability n (capability.h); kAllCapabilities for "ALL"
  uint64_t add_capabilities = 0;

  bool operator==(const SecurityContext&) const = default;
};

struct ProcessSpec {
  StringList command;                      ///< argv[0] and on; never empty in a valid spec
  StringList args;                         ///< appended to command
  StringList env;                          ///< "NAME=VALUE", as written, duplicates too (the last one wins when run)
  std::string working_dir;                 ///< empty: the agent's own
  std::optional<int64_t> timeout_seconds;  ///< absent or 0: none
  std::optional<int64_t> grace_seconds;    ///< absent: kDefaultGraceSeconds
  bool timeout_at_spec = false;            ///< guide form: written at `spec`, not in `spec.process`
  bool grace_at_spec = false;
  ExecMode exec_mode = ExecMode::kDefault;
  std::unique_ptr<SecurityContext> security;  ///< none: as the agent, or as the main container; hooks have it too
  std::unique_ptr<Hook> pre_start;
  std::unique_ptr<Hook> post_stop;
};

struct TaskSpec {
  WireForm form = WireForm::kGuide;
  ProcessSpec process;           ///< of a task that is a process
  std::unique_ptr<PodTask> pod;  ///< of one that runs in containers; then `process` is empty

  int64_t timeout_seconds() const { return (pod ? pod->pod.timeout_seconds : process.timeout_seconds).value_or(0); }
  int64_t grace_seconds() const {
    if (!pod) return process.grace_seconds.value_or(kDefaultGraceSeconds);
    return pod->pod.grace_seconds.value_or(pod->pod.is_template ? kDefaultPodGraceSeconds : kDefaultGraceSeconds);
  }
  /// 0: none, of a hook that is not there too.
  int64_t pre_start_seconds() const {
    return process.pre_start != nullptr ? process.pre_start->timeout_seconds.value_or(0) : 0;
  }
  int64_t post_stop_seconds() const {
    return process.post_stop != nullptr ? process.post_stop->timeout_seconds.value_or(kDefaultPostStopSeconds) : 0;
  }
};

/// Whether both ask for the same thing, after defaulting; the wire form and the place of a field do not count.
bool same_spec(const TaskSpec& a, const TaskSpec& b);

/// 1 to 253 of A-Za-z0-9._- with alphanumeric ends; such a name is also a safe directory name.
bool valid_task_name(std::string_view name);
constexpr std::string_view kTaskNameRule =
    "must be 1 to 253 characters of A-Za-z0-9._- and begin and end with a letter or digit";

/// Values a field may have, whatever form it came in. `path` names the process object ("spec.process").
Result<void> validate(const TaskSpec& spec, std::string_view path);

}  // namespace te

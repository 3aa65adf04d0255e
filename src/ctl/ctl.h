// taskctl, the client: the same binary under another name. man/taskctl.1 tells what its users may rely on.
#pragma once

#include <string_view>

#include "ctl/options.h"

namespace te::ctl {

constexpr std::string_view kProgramName = "taskctl";

// Exit statuses; `run` and `wait` end with the task's own.
constexpr int kFailed = 1;                 ///< the agent said no
constexpr int kUsage = 2;                  ///< a wrong command line
constexpr int kNotFound = 3;               ///< there is no such task
constexpr int kUnreachable = 4;            ///< the agent can't be reached
constexpr int kTimedOut = 124;             ///< wait: the time was over before the tasks were
constexpr int kOwnFailure = 125;           ///< run and wait: whatever else failed
constexpr int kTerminatedByTimeout = 143;  ///< run and wait: its time was over, and it said 0

/// The whole program; the value is its exit status.
int run_taskctl(int argc, const char* const* argv);

/// The command `run` (run.cc).
int run_task(const Options& options);

}  // namespace te::ctl

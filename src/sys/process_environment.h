// Environments of other processes (/proc/PID/environ, proc(5)), and how processes are found by an entry in theirs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/function_ref.h"
#include "base/result.h"
#include "base/time.h"

namespace te::sys {

/// The value of `name` in a NUL-separated environment as /proc/PID/environ has it; nothing when it is not in there.
std::optional<std::string_view> value_in_environment(std::string_view environment, std::string_view name);
/// A process between two programs (exec(2)) shows no environment. So long it is worth to wait for it, where one may
/// wait at all: the program's pages may come from a slow disk.
constexpr MonoNanos kExecPatience = kSecond;

/// Into `buffer`, of process `pid`, whose directory of /proc is `proc`; the view is into it. Empty: it has none, or is
/// a thread of the kernel, or is between two programs for longer than `patience`.
Result<std::string_view> await_environment(int proc, int32_t pid, MonoNanos patience, std::string& buffer);
/// Calls visit(pid, environment) for every process whose environment can be read. The pid alone is no identity.
/// `patience`: altogether, with those that are between two programs. Error: some process could not be looked at, for
/// want of memory or descriptors.
Result<void> visit_environments(MonoNanos patience, FunctionRef<void(int32_t pid, std::string_view environment)> visit);

class MarkVisitor {
 public:
  virtual ~MarkVisitor() = default;
  virtual void visit(int pidfd, std::string_view value) = 0;
};
/// The same, with kExecPatience, for every process whose environment has `name`=value, the caller left out. What forks
/// meanwhile may be missed; who needs all of them asks again.
Result<void> visit_marked(std::string_view name, MarkVisitor& visitor);

}  // namespace te::sys

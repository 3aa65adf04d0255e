// Children of the agent: its own program under another argv[0], by clone(2) in the caller's memory and execveat(2).
//
// They inherit the blocked signals of the caller, so that a signal sent at once waits until the program asks for it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "sys/fd.h"

namespace te::sys {

/// `from` of the caller becomes `to` of the child.
struct FdMap {
  int from;
  int to;
};

struct SpawnPlan {
  int exe;                  ///< descriptor of the program; no path is needed
  const char* const* argv;  ///< NULL-terminated
  const char* const* envp;
  std::span<const FdMap> fds;  ///< at most 8; all other descriptors of the child are CLOEXEC ones
};

struct Spawned {
  int32_t pid;
  Fd pidfd;
};

/// Returns when the program runs (CLONE_VFORK). Errors: clone's and exec's errno.
Result<Spawned> spawn(const SpawnPlan& plan);

/// The same without waiting for exec, which takes longer than all the rest and much longer on a busy machine. Until
/// then the child shares our memory and has a copy of the plan in it, with a stack of its own. A few may be under way
/// at once; more would only fill a busy machine with processes that wait for their exec, and for the next one we wait
/// then.
class Spawner {
 public:
  static constexpr int kExecFailed = 127;

  Spawner();
  Spawner(const Spawner&) = delete;
  Spawner& operator=(const Spawner&) = delete;
  ~Spawner();  ///< waits for those that have not got to exec

  /// start() would not wait.
  bool ready() const;
  /// Of `plan` nothing is needed any more on return. Errors: clone's errno. An exec that fails is a child that exits
  /// with kExecFailed.
  Result<Spawned> start(const SpawnPlan& plan);

 private:
  struct Start;
  static constexpr size_t kStarts = 4;

  std::unique_ptr<std::array<Start, kStarts>> starts_;
};

}  // namespace te::sys

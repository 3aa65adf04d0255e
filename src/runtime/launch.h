// Launch: one process from plan to exec, held back until its record is durable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "runtime/plan.h"
#include "sys/fd.h"
#include "sys/process.h"
#include "task/record.h"

namespace te {

struct StartFailure {
  StartStage stage = StartStage::kNone;  ///< kNone: no failure
  int32_t error = 0;                     ///< errno
};

class TargetEntry;

/// Used by the supervisor: load_plan; then, for each of its processes, fork_held and release or abandon.
class Launch {
 public:
  bool load_plan(int fd);
  const PlanView& plan() const { return plan_; }
  /// The plan's memory goes; with its descriptor when it is not needed any more.
  void unload_plan(bool for_good);

  /// The child exists, has everything of its own but the program, and waits. `error_output` is its standard error; -1:
  /// the log file. A process in the main container is in there already: what stands in the way fails here.
  StartFailure fork_held(RunPhase phase, int error_output);
  /// Let it exec. No failure: the program runs. Else the child has been reaped.
  StartFailure release();
  /// The child goes without having run anything, and is reaped.
  void abandon();

  /// The process, as our PID namespace numbers it.
  int32_t child() const { return child_; }
  /// The inner subreaper between it and us (inner_reaper.h), and our child in its stead; 0: there is none.
  int32_t inner() const { return inner_; }
  /// How the process ended, as the inner subreaper tells it; nothing: not yet, or never.
  std::optional<sys::ChildEnd> inner_report();
  /// The inner subreaper is dead, and the process with it: what the kernel knows of its end, if it does.
  std::optional<sys::ChildEnd> end_without_report() const;
  void forget_inner();
  /// The path that a failure of this stage is about.
  std::string object_of(RunPhase phase, StartStage stage) const;

 private:
  [[noreturn]] void run_child(RunPhase phase, int error_output);
  StartFailure prepare(RunPhase phase, int error_output, TargetEntry* target);
  StartFailure open_logs(RunPhase phase, int error_output, const TargetEntry* target);
  StartFailure enter(TargetEntry& target);
  StartFailure take_credentials(const TargetEntry* target);
  StartFailure die_with_supervisor() const;
  StartFailure await_entry();
  StartFailure early_end(int error) const;
  bool was_execed() const;
  Result<int64_t> hear(const Fd& socket, char* to, size_t size);
  template <class Message>
  bool hear_message(Message& message);
  int exec_command(RunPhase phase, const TargetEntry* target);

  std::string_view bytes_;
  PlanView plan_;
  Fd channel_;  ///< child: reads its release, writes its failure; exec closes it
  Fd report_;   ///< of a process in the main container: HeldMessages, then its end
  Fd pidfd_;    ///< of the process behind an inner subreaper
  int32_t child_ = 0;
  int32_t inner_ = 0;
  MonoNanos give_up_at_ = kNever;  ///< killed on its way then; kNever: when we are asked to stop
  bool stopped_ = false;           ///< that has been done
  int32_t parent_ = 0;             ///< child: what getppid(2) must say
};

}  // namespace te

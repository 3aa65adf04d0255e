// Runtime: what the manager needs of the world in which tasks run. Implemented in runtime/; faked by the tests.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "task/record.h"
#include "task/task.h"

namespace te {

/// What happens to a run, told to the manager; `id` is Task::sequence.
class RuntimeEvents {
 public:
  /// Something may be new in run.json or exit.json.
  virtual void on_record(uint64_t id) = 0;
  /// exit.json has appeared, and its supervisor has done with it.
  virtual void on_end(uint64_t id) = 0;
  /// The supervisor has gone. `clean`: by itself, having seen that nothing of the tree is left.
  virtual void on_supervisor_end(uint64_t id, bool clean) = 0;
  /// Nothing carries the task's mark any more.
  virtual void on_swept(uint64_t id) = 0;
  /// Something that carries it would not die; the sweep is tried again, until on_swept.
  virtual void on_sweep_put_off(uint64_t id) { (void)id; }
  /// A run that the agent itself supervises has something to write before it goes on: take_step() is to be called in a
  /// turn that has no other durable write.
  virtual void on_step_due(uint64_t id) = 0;
  /// What such a run is doing.
  virtual void on_pod(uint64_t id, const PodRecord& pod) = 0;
  /// A task with that uid has a run that adopt() may not have been able to take up yet.
  virtual bool is_supervised(std::string_view uid) const = 0;

 protected:
  ~RuntimeEvents() = default;
};

class Runtime {
 public:
  virtual ~Runtime() = default;

  /// `coming` starts are about to follow, this one or one like it among them; something may be made ready meanwhile.
  virtual void expect_start(const Task& task, size_t coming) { (void)task, (void)coming; }
  /// start() would not have to wait for earlier ones. Where it would, the loop turns again when it is time to ask
  /// again.
  virtual bool can_start(const Task& task) {
    (void)task;
    return true;
  }
  /// Start a supervisor; for a task that has ended or is lost, one that runs its postStop hook and no more. An error is
  /// one of this machine at this moment (EAGAIN, ENOMEM): try again later, nothing has been started. False: it has been
  /// started, and is to be adopted.
  virtual Result<bool> start(const Task& task, int32_t attempt) = 0;
  /// Take up a supervisor of an earlier agent, or one that start() could not watch. False: that process is not there
  /// any more, or not known yet. An error is as of start(): nothing has been found out.
  virtual Result<bool> adopt(const Task& task) = 0;
  /// Ask the supervisor to stop main (SIGTERM).
  virtual void stop(const Task& task) = 0;
  /// Ask the supervisor to stop and sweep everything (SIGUSR1).
  virtual void sweep(const Task& task) = 0;
  /// A supervisor that somebody has stopped (SIGSTOP) goes on.
  virtual void wake(const Task& task) = 0;
  /// Without a supervisor: KILL whatever carries the task's mark; on_swept when nothing does.
  virtual void sweep_by_mark(const Task& task) = 0;
  /// Living processes of the supervisor's tree, main not counted.
  virtual uint32_t count_leftovers(const Task& task) = 0;
  /// The durable write that on_step_due() asked for. An error leaves it due.
  virtual Result<void> take_step(const Task& task) {
    (void)task;
    return {};
  }
  /// There is something in the trash.
  virtual void empty_trash() = 0;
};

}  // namespace te

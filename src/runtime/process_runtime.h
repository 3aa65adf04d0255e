// ProcessRuntime: tasks as processes of this machine, each under its supervisor.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/log.h"
#include "reactor/child.h"
#include "reactor/reactor.h"
#include "runtime/plan.h"
#include "runtime/supervisor_stock.h"
#include "sys/notify.h"
#include "sys/spawn.h"
#include "task/runtime.h"

namespace te {

struct ProcessRuntimeOptions {
  std::string data_dir;       ///< absolute
  int root = -1;              ///< the same, open; borrowed
  const Fd* trash = nullptr;  ///< its .trash; borrowed, and another one when somebody has removed it
  PlanLimits limits{};
  SidecarOptions sidecar{};
  size_t starts_at_once = 4;                  ///< that have not got to their command's exec
  MonoNanos start_takes = 20 * kMillisecond;  ///< one that takes longer does not count for that
};

class ProcessRuntime final : public Runtime, private IoHandler, private TimerHandler, private ChildHandler {
 public:
  ProcessRuntime(Reactor& reactor, Log& log, ProcessRuntimeOptions options, BaseEnvironment environment);
  ~ProcessRuntime() override;
  Result<void> open(RuntimeEvents& events);

  void expect_start(const Task& task, size_t coming) override;
  bool can_start(const Task& task) override;
  Result<bool> start(const Task& task, int32_t attempt) override;
  Result<bool> adopt(const Task& task) override;
  void stop(const Task& task) override;
  void sweep(const Task& task) override;
  void wake(const Task& task) override;
  void sweep_by_mark(const Task& task) override;
  uint32_t count_leftovers(const Task& task) override;
  void empty_trash() override;

  size_t supervisors() const { return runs_.size(); }
  /// Whether records were watched when that was last tried; if not, the tick looks at them.
  bool records_watched() const { return records_watched_; }
  /// Whether that process is a supervisor or helper of ours, whose end is waited for.
  bool awaits(int32_t pid) const;
  /// There may be a child of ours that nobody knows.
  bool strays_possible() const { return stock_.strays_possible(); }

 private:
  struct Run;

  bool room_to_begin();
  void on_io(uint32_t events) override;
  void on_timer() override;
  ChildHandler& child_handler() { return *this; }
  void on_child_end(Child& child, const std::optional<sys::ChildEnd>& end) override;
  Result<bool> start_supervisor(const Task& task, int32_t attempt);
  Result<std::unique_ptr<Child>> new_supervisor(const std::string& name, int dir, int plan);
  Result<void> hold(const Task& task, std::unique_ptr<Child> child, int watch_number);
  void turn_at(MonoNanos when);
  int watch_records(const Task& task);
  Result<int> add_watch(const Task& task);
  void tell_watching(const Error* trouble);
  void unwatch_records(int number);
  void signal(const Task& task, int number);
  Result<std::unique_ptr<Child>> spawn_helper(const std::vector<const char*>& argv, int fd);
  void helper_due(MonoNanos at);
  void start_sweeper();
  void sweeper_ended(bool well);
  void start_unlinker();

  Reactor& reactor_;
  Log& log_;
  ProcessRuntimeOptions options_;
  BaseEnvironment environment_;
  RuntimeEvents* events_ = nullptr;
  Fd self_;
  Fd null_;
  sys::Spawner spawner_;
  SupervisorStock stock_;
  sys::Notifier notifier_;
  Watch notifier_watch_;
  bool records_watched_ = true;
  /// Another turn of the loop, in which starts that wait are tried again.
  struct Turn final : TimerHandler {
    void on_timer() override {}
  } turn_;
  Timer start_timer_;
  std::vector<uint64_t> beginning_;  ///< started a moment ago, and nothing was heard of them yet
  Timer helper_timer_;
  std::unordered_map<uint64_t, std::unique_ptr<Run>> runs_;
  std::unordered_map<int, uint64_t> watched_;  ///< notifier's number to task

  struct Sweep {
    uint64_t id;
    Uid uid;
  };
  std::vector<Sweep> sweeps_due_;
  std::vector<Sweep> sweeps_running_;
  std::vector<Sweep> sweeps_put_off_;  ///< something would not die; after all others
  MonoNanos put_off_until_ = 0;
  MonoNanos sweep_pause_;  ///< after the next that is put off; it doubles
  Fd sweeper_left_;        ///< where the sweeper says what it could not do
  std::unique_ptr<Child> sweeper_;
  std::unique_ptr<Child> unlinker_;
  bool trash_due_ = false;
  MonoNanos trash_pause_;  ///< after the next failure; it doubles
};

/// The uids of all tasks of which some process is seen alive.
Result<std::vector<std::string>> living_marks();

}  // namespace te

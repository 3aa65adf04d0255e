// The agent of the simulated world: the real store, manager, reactor and process runtime, wired as app/agent.cc wires
// them. Instead of the HTTP server there is whoever calls.
#pragma once

#include <memory>

#include "base/log.h"
#include "reactor/reactor.h"
#include "runtime/container_runtime.h"
#include "runtime/process_runtime.h"
#include "runtime/task_router.h"
#include "store/file_store.h"
#include "sys/clock.h"
#include "task/manager.h"

namespace te::world {

constexpr const char* kDataDir = "/tasks";

class Agent final : private BeforeSleep, private TimerHandler {
 public:
  Agent(const ManagerOptions& options, Observer& observer, CriConnector& connector, LogSink& sink);
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  /// All but what recovery has to wait for. An error: such an agent ends, and its service manager starts it again.
  Result<void> boot();
  Result<void> turn();
  /// Requests may be answered.
  bool recovered() const { return recovered_; }
  /// There is more to do at once.
  bool busy() const { return busy_ || falls_asleep_; }
  void poke() { busy_ = true; }
  Manager& manager() { return *manager_; }

 private:
  Result<void> look_for_quiet_ones(std::vector<Recovered>& found);
  bool before_sleep() override;
  void on_timer() override;

  sys::SystemClock clock_;
  Log log_;
  ManagerOptions options_;
  Observer& observer_;
  CriConnector& connector_;
  std::unique_ptr<Reactor> reactor_;
  std::unique_ptr<Timer> timer_;
  std::unique_ptr<FileStore> store_;
  std::unique_ptr<ProcessRuntime> processes_;
  std::unique_ptr<ContainerRuntime> containers_;
  std::unique_ptr<TaskRouter> runtime_;
  std::unique_ptr<Manager> manager_;
  bool recovered_ = false;
  bool busy_ = true;
  bool falls_asleep_ = false;  ///< the deadline is armed where the next turn begins
};

}  // namespace te::world

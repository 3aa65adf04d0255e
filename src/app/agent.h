// Agent: all parts put together, from the lock on the data directory to the last answer.
#pragma once

#include <memory>
#include <vector>

#include "api/http_server.h"
#include "api/task_api.h"
#include "app/config.h"
#include "base/histogram.h"
#include "base/log.h"
#include "cri/grpc_client.h"
#include "reactor/reactor.h"
#include "reactor/signals.h"
#include "runtime/connection_keeper.h"
#include "runtime/container_runtime.h"
#include "runtime/preflight.h"
#include "runtime/process_runtime.h"
#include "runtime/task_router.h"
#include "store/file_store.h"
#include "sys/self.h"
#include "task/manager.h"

namespace te {

class Watchdog;

class Agent final : private BeforeSleep,
                    private TimerHandler,
                    private SignalHandler,
                    private Readiness,
                    private CriConnector {
 public:
  Agent(Config config, const Clock& clock, Log& log);
  ~Agent();

  /// Until a signal ends it. An error is one that kept it from starting, or of epoll itself.
  Result<void> run();

 private:
  Result<void> build();
  Result<void> build_runtimes(const sys::OpenFileLimits& limits);
  Result<std::vector<sys::Listener>> listen();
  Result<void> look_for_quiet_ones(std::vector<Recovered>& found);
  Result<void> recover();
  Result<void> open_doors(std::vector<sys::Listener> listeners);
  void shut_down(int signal);
  Result<void> watch_orphans();
  bool reap_orphans();
  void trim_after_crowd();

  bool before_sleep() override;
  void on_timer() override;
  void on_signal(int signal) override;
  cri::Client& connect(cri::RuntimeObserver& observer) override;
  void release() override;
  Result<void> container_runtime_ready();
  Result<void> ready() override;
  const Histogram& loop_turns() const override { return turns_; }
  const Histogram& durable_writes() const override { return store_->durable_writes(); }
  std::optional<RuntimeFigures> container_runtime() const override;
  size_t supervisors() const override { return processes_->supervisors(); }
  bool records_watched() const override { return processes_->records_watched(); }

  Config config_;
  const Clock& clock_;
  Log& log_;
  std::unique_ptr<Reactor> reactor_;
  std::unique_ptr<Timer> timer_;  ///< the manager's next deadline, or the shutdown's
  std::unique_ptr<SignalWatch> signals_;
  std::unique_ptr<SignalWatch> orphan_signals_;  ///< as process 1, or where a child may be that nobody knows
  std::unique_ptr<Watchdog> watchdog_;
  std::unique_ptr<FileStore> store_;
  std::unique_ptr<ConnectionKeeper> keeper_;
  std::unique_ptr<cri::ClientFigures> cri_figures_;  ///< from the first connection on
  std::unique_ptr<cri::GrpcClient> cri_;             ///< while a container task needs it
  std::unique_ptr<ProcessRuntime> processes_;
  std::unique_ptr<ContainerRuntime> containers_;
  std::unique_ptr<TaskRouter> runtime_;
  std::unique_ptr<Preflight> preflight_;  ///< in sidecar mode
  std::unique_ptr<TaskApi> api_;
  std::unique_ptr<Manager> manager_;
  std::unique_ptr<HttpServer> server_;
  Histogram turns_;
  MonoNanos durable_before_ = 0;
  size_t crowd_ = 0;          ///< most tasks and connections since the heap was last trimmed
  bool orphans_due_ = false;  ///< some child has ended
  Result<void> probed_;       ///< whether the disk takes tasks
  MonoNanos probed_at_ = -kSecond * 3'600;
  bool recovered_ = false;
  bool shutting_down_ = false;
  bool stop_tasks_ = false;
  MonoNanos give_up_at_ = kNever;
};

}  // namespace te

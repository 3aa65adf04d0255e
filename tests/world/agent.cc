#include "agent.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "kernel.h"

namespace te::world {

Agent::Agent(const ManagerOptions& options, Observer& observer, CriConnector& connector, LogSink& sink)
    : log_(sink, clock_), options_(options), observer_(observer), connector_(connector) {}

Result<void> Agent::boot() {
  reactor_ = std::make_unique<Reactor>(TRY(Reactor::create()));
  reactor_->set_before_sleep(*this);
  timer_ = std::make_unique<Timer>(*reactor_, static_cast<TimerHandler&>(*this));
  store_ = TRY(FileStore::open(kDataDir, clock_, log_));
  ProcessRuntimeOptions runtime;
  runtime.data_dir = kDataDir;
  runtime.root = store_->root();
  runtime.trash = &store_->trash();
  runtime.limits = {1024, 1024};
  processes_ = std::make_unique<ProcessRuntime>(*reactor_, log_, std::move(runtime), BaseEnvironment(nullptr));
  PodSettings pods;
  pods.data_dir = kDataDir;
  pods.root = store_->root();
  pods.tick = options_.tick_interval;
  containers_ = std::make_unique<ContainerRuntime>(std::move(pods), connector_, *store_, clock_, log_);
  runtime_ = std::make_unique<TaskRouter>(*processes_, *containers_);
  manager_ = std::make_unique<Manager>(options_, *store_, *runtime_, observer_, clock_, log_);
  TRY(processes_->open(*manager_));
  containers_->open(*manager_);
  std::vector<Recovered> found = TRY(store_->scan());
  TRY(look_for_quiet_ones(found));
  manager_->recover(std::move(found));
  return {};
}

Result<void> Agent::look_for_quiet_ones(std::vector<Recovered>& found) {
  const auto may_wait = [](const Recovered& one) {
    return one.has_run && !one.locked && one.task->spec.process.post_stop != nullptr;
  };
  if (std::none_of(found.begin(), found.end(), may_wait)) return {};
  const std::vector<std::string> marks = TRY(living_marks());
  const std::unordered_set<std::string_view> marked(marks.begin(), marks.end());
  for (Recovered& one : found) one.quiet = may_wait(one) && !marked.contains(one.task->uid.view());
  return {};
}

Result<void> Agent::turn() {
  const bool was_busy = busy_;
  busy_ = false;
  const bool woken = was_busy || Kernel::get().agent_is_woken();
  TRY(reactor_->turn(false));
  falls_asleep_ = woken || busy_ || Kernel::get().agent_met_deadline();
  if (recovered_ || !manager_->settled()) return {};
  recovered_ = true;
  falls_asleep_ = true;
  if (!store_->trash_is_empty()) runtime_->empty_trash();
  return {};
}

void Agent::on_timer() {
  manager_->tick();
  containers_->tick();
}

bool Agent::before_sleep() {
  busy_ = manager_->step();
  const MonoNanos next = std::min(manager_->next_deadline(), containers_->next_deadline());
  if (next == kNever) {
    timer_->cancel();
  } else if (!timer_->armed() || timer_->deadline() != next) {
    timer_->set(next);
  }
  return busy_;
}

}  // namespace te::world

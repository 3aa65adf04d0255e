#include "task/manager.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "task/manager_command.h"
#include "task/status.h"

namespace te {

Manager::Manager(const ManagerOptions& options, Store& store, Runtime& runtime, Observer& observer, const Clock& clock,
                 Log& log)
    : options_(options), store_(store), runtime_(runtime), observer_(observer), clock_(clock), log_(log) {}

Manager::~Manager() = default;

Task* Manager::by_id(uint64_t id) const {
  const auto at = by_id_.find(id);
  return at == by_id_.end() ? nullptr : at->second.get();
}

const Task* Manager::find(std::string_view name) const {
  const auto at = names_.find(name);
  if (at == names_.end()) return nullptr;
  return at->second.next != nullptr ? at->second.next : at->second.current;
}

const Task* Manager::find_current(std::string_view name) const {
  const auto at = names_.find(name);
  return at == names_.end() ? nullptr : at->second.current;
}

std::vector<const Task*> Manager::list() const {
  std::vector<const Task*> out;
  out.reserve(by_id_.size());
  for (const auto& [id, task] : by_id_) {
    if (!task->deleting()) out.push_back(task.get());
  }
  for (const auto& [id, task] : by_id_) {
    if (task->deleting()) out.push_back(task.get());
  }
  return out;
}

const Task* Manager::next_after(uint64_t id) const {
  const auto at = by_id_.upper_bound(id);
  return at == by_id_.end() ? nullptr : at->second.get();
}

const Task* Manager::find_unfinished() const {
  for (auto at = by_id_.rbegin(); at != by_id_.rend(); ++at) {
    const Task* task = at->second.get();
    if (task->phase != TaskPhase::kEnded) return task;
  }
  return nullptr;
}

Task& Manager::insert(std::unique_ptr<Task> task, Place place) {
  Task& kept = *task;
  Name& name = names_[kept.name];
  (place == Place::kLive ? name.current : name.next) = &kept;
  by_id_[kept.sequence] = std::move(task);
  return kept;
}

// The name goes with its last task; a successor comes into its own.
void Manager::forget(Task& task) {
  leave_slot(task);
  active_.erase(task.sequence);
  if (task.expires) expiries_.erase(task.expiry);
  const auto at = names_.find(task.name);
  Task* successor = nullptr;
  if (at->second.next == &task) {
    at->second.next = nullptr;
  } else {
    at->second.current = nullptr;
    successor = at->second.next;
  }
  if (at->second.current == nullptr && at->second.next == nullptr) names_.erase(at);
  observer_.on_gone(task);
  ++counters_.deleted;
  by_id_.erase(task.sequence);
  if (successor != nullptr) add_chore(Chore::kPromote, *successor);
}

void Manager::recover(std::vector<Recovered> found) {
  constexpr MonoNanos kPatience = 4 * kSecond;
  patience_ends_ = clock_.mono() + kPatience;
  std::sort(found.begin(), found.end(),
            [](const Recovered& a, const Recovered& b) { return a.task->sequence < b.task->sequence; });
  std::vector<uint64_t> order;
  for (Recovered& one : found) {
    Task& task = insert(std::move(one.task), one.place);
    order.push_back(task.sequence);
    if (one.place == Place::kLive) recover_one(task, one);
  }
  for (const uint64_t id : order) {
    Task& task = *by_id(id);
    const Name& name = names_.find(task.name)->second;
    if (name.next != &task) {
      advance(task);
    } else if (name.current == nullptr) {
      add_chore(Chore::kPromote, task);
    } else if (!name.current->deleting()) {
      add_chore(Chore::kDiscardNext, task);  // its command never came to the point of being answered
    }
  }
  if (!store_.clear_way({})) obstructed();
}

void Manager::recover_one(Task& task, const Recovered& found) {
  // Where something has run, one look at all processes can't tell that nothing of it is left: that takes a sweep.
  task.stray = !found.locked && found.has_run;
  task.swept = !found.locked && !found.has_run;
  task.quiet = found.quiet;
  task.supervised = found.locked;
  if (!found.locked) {
    if (found.has_run) bound_logs(task);
    return conclude(task, true);  // the scan has seen to that
  }
  task.phase = TaskPhase::kStarting;
  take_slot(task);
  activate(task);
  task.end_due = found.ended;  // an earlier agent may have told it, marked as durable or not
  if (look_at_records(task, found.ended) == Told::kUnclear) return look_later(task);
  if (found.has_run) {
    const Result<bool> adopted = runtime_.adopt(task);
    task.held = adopted.ok() && *adopted;
  }
}

// What the facts ask for next. Called after every change; asks for nothing twice.
void Manager::advance(Task& task) {
  const auto at = names_.find(task.name);
  if (at->second.current != &task) return;  // a successor waits for its promotion
  if (task.unclear && !task.deleting()) return;
  if (task.supervised) {
    if (task.deleting()) runtime_.sweep(task);
    return;
  }
  if (!task.deleting() && !task.lost) {
    if (task.phase == TaskPhase::kAccepted) queue_start(task);
    // What main left behind runs on without a supervisor here; the hook waits for its end, which is DELETE's affair.
    if (task.phase != TaskPhase::kEnded || !(task.swept || task.quiet)) return;
  } else {
    if (!task.swept) return sweep_marked(task);
    if (!task.deleting()) return resolve_lost(task);
    if (task.unclear && task.spec.process.post_stop != nullptr) return;  // its end may be there, and the hook due
  }
  const Result<bool> hook = post_stop_due(task);
  if (!hook) return look_later(task);
  if (*hook) {
    add_chore(Chore::kPostStop, task);
  } else if (task.deleting()) {
    add_chore(Chore::kDiscard, task);
  }
}

void Manager::sweep_marked(Task& task) {
  if (task.sweeping) return;
  task.sweeping = true;
  ++sweeping_;
  runtime_.sweep_by_mark(task);
}

// The supervisor runs the hook itself; this is for one that died before. Where run.json says that the hook has begun,
// or is broken and so might say it, the hook is not run: never twice.
Result<bool> Manager::post_stop_due(const Task& task) {
  if (task.spec.process.post_stop == nullptr) return false;
  if (task.end == nullptr && !task.lost) return false;  // nothing was ever begun
  const Result<std::optional<RunRecord>> run = store_.read_run(task);
  if (!run && run.error().kind == ErrorKind::kSystem) return run.error();
  if (!run || *run) return run.ok() && (*run)->phase != RunPhase::kPostStop;
  const Result<bool> unlocked = store_.unlocked(task);
  return unlocked || unlocked.error().code != ENOENT;  // with its directory taken away there is nowhere to say so
}

void Manager::resolve_lost(Task& task) {
  OnLost what = options_.on_lost;
  if (what == OnLost::kAuto) what = task.spec.form == WireForm::kController ? OnLost::kForget : OnLost::kFail;
  switch (what) {
    case OnLost::kAuto:
    case OnLost::kFail: add_chore(Chore::kRecordLost, task); break;
    case OnLost::kForget: add_chore(Chore::kForget, task); break;
    case OnLost::kRestart: add_chore(Chore::kClearRun, task); break;
  }
}

void Manager::on_record(uint64_t id) {
  Task* task = by_id(id);
  if (task == nullptr || task->dirty) return;
  task->dirty = true;
  dirty_.push_back(id);
}

void Manager::on_end(uint64_t id) {
  if (Task* task = by_id(id)) task->end_due = true;
  on_record(id);
}

void Manager::on_supervisor_end(uint64_t id, bool clean) {
  Task* task = by_id(id);
  if (task == nullptr) return;
  task->supervised = false;
  task->held = false;
  task->stray = task->stray || !clean;
  task->swept = !task->stray;
  active_.erase(id);
  if (std::exchange(task->leftover, 0) != 0) observer_.on_changed(*task);
  bound_logs(*task);  // what was written since the last tick
  after_supervisor(*task);
}

void Manager::after_supervisor(Task& task) {
  const bool was_lost = task.lost;
  conclude(task);
  if (task.phase == TaskPhase::kEnded || was_lost) {
    const Result<bool> hook = task.post_stop_tried ? post_stop_due(task) : Result<bool>(false);
    if (!hook) {
      look_later(task);
    } else if (*hook) {  // not even begun: once a tick is often enough
      task.chore_due = true;
      failed_chores_.push_back({Chore::kPostStop, task.sequence});
      tick_soon();
    }
  } else if (task.lost) {
    ++counters_.lost;
    log_.warning("supervisor lost", {{"task", task.name}});
  } else if (!task.unclear) {
    // Nothing was released to run; a supervisor that keeps ending is tried once a tick.
    leave_slot(task);
    task.stray = false;
    task.swept = true;
    task.phase = TaskPhase::kAccepted;
    const bool in_containers = static_cast<bool>(task.run.pod);  // that looks otherwise than having been accepted
    task.run = {};
    if (!task.deleting()) {
      try_start_later(task, "the supervisor ended before the start; it is tried again");
    } else if (in_containers) {
      observer_.on_changed(task);
    }
  }
  advance(task);
}

// With the next tick, before all that came later. False: it has failed so before, which is no news.
bool Manager::try_start_later(Task& task, std::string why) {
  const bool is_news = task.wait_message != why || task.phase != TaskPhase::kAccepted;
  task.wait_message = std::move(why);
  task.phase = TaskPhase::kAccepted;
  task.start_due = true;
  failed_starts_.push_back(task.sequence);
  tick_soon();
  if (is_news) observer_.on_changed(task);
  return is_news;
}

void Manager::obstructed() {
  obstructed_ = true;
  tick_soon();
}

void Manager::look_at_obstacles() {
  if (!obstructed_) return;
  if (!store_.clear_way({})) return obstructed();
  obstructed_ = false;
  runtime_.empty_trash();
}

void Manager::tick_soon() { next_tick_ = std::min(next_tick_, clock_.mono() + options_.tick_interval); }

void Manager::on_swept(uint64_t id) {
  Task* task = by_id(id);
  if (task == nullptr || !task->sweeping) return;
  task->sweeping = false;
  if (!std::exchange(task->sweep_put_off, false)) --sweeping_;
  task->stray = false;
  task->swept = true;
  advance(*task);
}

// Nobody else has to wait for it, least of all an agent that starts.
void Manager::on_sweep_put_off(uint64_t id) {
  Task* task = by_id(id);
  if (task == nullptr || !task->sweeping || std::exchange(task->sweep_put_off, true)) return;
  --sweeping_;
  log_.warning("processes of a task can't be killed; it is tried again", {{"task", task->name}});
}

void Manager::on_step_due(uint64_t id) {
  if (Task* task = by_id(id)) add_chore(Chore::kStep, *task);
}

// Asked for what looks like an orphan, which is rare: no index for it.
bool Manager::is_supervised(std::string_view uid) const {
  return std::ranges::any_of(
      by_id_, [&](const auto& entry) { return entry.second->supervised && entry.second->uid.view() == uid; });
}

void Manager::on_pod(uint64_t id, const PodRecord& pod) {
  Task* task = by_id(id);
  if (task == nullptr || task->phase == TaskPhase::kEnded) return;
  task->run.pod = pod;
  const WallMicros started_at = main_started_at(*task);
  if (task->phase == TaskPhase::kStarting && started_at != 0) {
    task->phase = TaskPhase::kRunning;
    task->run.started_at = started_at;
    task->run.execed_at = started_at;
  }
  observer_.on_changed(*task);
}

void Manager::take_slot(Task& task) {
  if (task.in_slot) return;
  task.in_slot = true;
  ++running_;
}

void Manager::leave_slot(Task& task) {
  if (!task.in_slot) return;
  task.in_slot = false;
  --running_;
}

void Manager::activate(Task& task) {
  active_.insert(task.sequence);
  tick_soon();
}

void Manager::stop_all() {
  stopping_ = true;
  for (const uint64_t id : active_) {
    if (const Task* task = by_id(id)) runtime_.stop(*task);
  }
}

}  // namespace te

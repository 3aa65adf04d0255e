// Manager: what one turn of the loop does, and what a tick looks after.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "task/manager.h"
#include "task/manager_command.h"

namespace te {

namespace {

// What one tick looks at; the rest has its turn in the next ones.
constexpr size_t kTickBatch = 128;        ///< tasks
constexpr uint32_t kTickLeftovers = 256;  ///< processes that they have left, as far as one knows
constexpr int kTurnLooks = 64;            ///< at records, in one turn

/// Nothing of main's tree is left when its end says so, or postStop has begun: that is no leftover itself.
bool leaves_any(const Task& task) { return !task.end->tree_gone && task.run.phase != RunPhase::kPostStop; }

}  // namespace

void Manager::queue_start(Task& task) {
  if (task.start_due) return;
  task.start_due = true;
  if (start_queue_.size() > 2 * by_id_.size()) drop_forgotten_starts();
  start_queue_.push_back(task.sequence);
  if (options_.max_concurrent != 0 && running_ + start_queue_.size() > options_.max_concurrent) {
    task.phase = TaskPhase::kQueued;
    observer_.on_changed(task);
  }
}

// Those that went while they waited; most often the queue's front gets to them.
void Manager::drop_forgotten_starts() {
  for (size_t i = start_queue_.size(); i > 0; --i) {
    const uint64_t id = start_queue_.front();
    start_queue_.pop_front();
    if (by_id(id) != nullptr) start_queue_.push_back(id);
  }
}

void Manager::expect_start(const Task& task, size_t coming) {
  const size_t free =
      options_.max_concurrent == 0 ? coming : options_.max_concurrent - std::min(running_, options_.max_concurrent);
  if (free > 0 && !stopping_) runtime_.expect_start(task, std::min(coming, free));
}

// One start a turn: it costs as much as a durable write. True: another one could follow at once.
bool Manager::start_next() {
  while (!start_queue_.empty() && !stopping_) {
    Task* task = by_id(start_queue_.front());
    const bool wanted = task != nullptr && !task->deleting() && !task->supervised &&
                        (task->phase == TaskPhase::kAccepted || task->phase == TaskPhase::kQueued);
    if (wanted && options_.max_concurrent != 0 && running_ >= options_.max_concurrent) return false;
    if (wanted && !runtime_.can_start(*task)) return false;
    start_queue_.pop_front();
    if (task != nullptr) task->start_due = false;
    if (!wanted) continue;
    const bool told = task->phase == TaskPhase::kQueued || !task->wait_message.empty();
    const Result<bool> started = runtime_.start(*task, task->attempt);
    if (!started) {
      if (try_start_later(*task, started.error().text())) {
        log_.error("task can't be started now", {{"task", task->name}, {"error", task->wait_message}});
      }
    } else {
      task->wait_message.clear();
      task->phase = TaskPhase::kStarting;
      task->supervised = true;
      task->held = *started;
      task->swept = false;
      ++counters_.started;
      take_slot(*task);
      activate(*task);
    }
    // Starting looks like having been accepted, but in containers.
    if (started && (told || task->run.pod)) observer_.on_changed(*task);
    if (!start_queue_.empty()) {
      if (const Task* next = by_id(start_queue_.front())) expect_start(*next, start_queue_.size());
    }
    return !start_queue_.empty() && (options_.max_concurrent == 0 || running_ < options_.max_concurrent);
  }
  return false;
}

bool& Manager::due_flag(Chore chore, Task& task) { return chore == Chore::kStep ? task.step_due : task.chore_due; }

void Manager::add_chore(Chore chore, Task& task) {
  bool& due = due_flag(chore, task);
  if (due) return;
  due = true;
  chores_.push_back({chore, task.sequence});
}

Result<void> Manager::noted(Result<void> result) {
  if (!result) ++counters_.store_errors;
  return result;
}

Result<void> Manager::mark(Task& task) {
  TRY(noted(store_.mark_deleted(task)));
  observer_.on_changed(task);
  advance(task);
  return {};
}

void Manager::run_chore(ChoreItem item) {
  Task* task = by_id(item.id);
  if (task == nullptr) return;
  due_flag(item.chore, *task) = false;
  const std::string name = task->name;
  const Result<void> done = do_chore(item.chore, *task);
  if (done) return;
  if (std::exchange(item.told, done.error().code) != done.error().code) {
    log_.error("state can't be written; it is tried again", {{"task", name}, {"error", done.error().text()}});
  }
  due_flag(item.chore, *task) = true;
  failed_chores_.push_back(item);
  tick_soon();
}

Result<void> Manager::do_chore(Chore chore, Task& task) {
  switch (chore) {
    case Chore::kDiscard:
      TRY(noted(store_.discard(task, Place::kLive)));
      runtime_.empty_trash();
      forget(task);
      return {};
    case Chore::kDiscardNext:
      TRY(noted(store_.discard(task, Place::kNext)));
      runtime_.empty_trash();
      forget(task);
      return {};
    case Chore::kPromote: {
      TRY(noted(store_.promote(task)));
      Name& name = names_.find(task.name)->second;
      name.current = &task;
      name.next = nullptr;
      advance(task);
      return {};
    }
    case Chore::kRecordLost: {
      // Deleted meanwhile: there is nobody to tell.
      if (task.deleting() || TRY(ended_after_all(task))) break;
      ExitRecord end;
      end.cause = EndCause::kLost;
      end.spawned_at = task.run.spawned_at;
      if (task.run.phase == RunPhase::kMain) {
        end.started_at = task.run.started_at;
        end.execed_at = task.run.execed_at;
      }
      end.finished_at = clock_.wall();
      TRY(noted(store_.record_lost(task, end)));
      task.lost = false;
      set_ended(task, std::move(end));
      break;
    }
    case Chore::kForget:
      if (task.deleting() || TRY(ended_after_all(task))) break;
      if (task.lost) log_.warning("lost task is forgotten", {{"task", task.name}});
      return mark(task);
    case Chore::kClearRun: {
      if (task.deleting() || TRY(ended_after_all(task))) break;
      const Result<void> cleared = noted(store_.clear_run(task));
      if (!cleared && cleared.error().code == ENOENT) return do_chore(Chore::kRecordLost, task);  // nowhere to run it
      TRY(cleared);
      log_.warning("lost task is run again", {{"task", task.name}});
      task.lost = false;
      task.run = {};
      ++task.attempt;
      task.post_stop_tried = false;
      try_start_later(task, "run again, because its supervisor was lost");  // not faster than it can be lost
      return {};
    }
    case Chore::kPostStop:
      if (task.supervised || !(task.swept || task.quiet) || !TRY(post_stop_due(task))) break;
      task.held = TRY(runtime_.start(task, task.attempt));
      task.post_stop_tried = true;
      task.supervised = true;
      task.swept = false;
      activate(task);
      return {};
    case Chore::kStep: return noted(runtime_.take_step(task));
  }
  advance(task);
  return {};
}

void Manager::expire() {
  while (!expiries_.empty() && expiries_.begin()->first <= clock_.mono()) {
    Task* task = by_id(expiries_.begin()->second);
    expiries_.erase(expiries_.begin());
    if (task == nullptr) continue;
    task->expires = false;
    if (task->deleting()) continue;
    if (task->chore_due) {  // its postStop hook, say
      expire_at(*task, clock_.mono() + options_.tick_interval);
      continue;
    }
    log_.debug("finished task has expired", {{"task", task->name}});
    add_chore(Chore::kForget, *task);
  }
}

// Up to the first end, which costs a durable write, but not too many. False: there was none.
bool Manager::look_at_dirty() {
  for (int looks = 0; looks < kTurnLooks && !dirty_.empty(); ++looks) {
    Task* task = by_id(dirty_.front());
    dirty_.pop_front();
    if (task == nullptr) continue;
    task->dirty = false;
    const bool had_ended = task->phase == TaskPhase::kEnded;
    if (task->unclear) {
      look_at_unclear(*task);
    } else {
      look_at_records(*task);
    }
    if (!had_ended && task->phase == TaskPhase::kEnded) return true;
  }
  return false;
}

// One durable write at most. False: there was nothing of this kind to write.
bool Manager::take(Due kind) {
  switch (kind) {
    case Due::kEnd: return look_at_dirty();
    case Due::kChore: {
      if (chores_.empty()) return false;
      const ChoreItem item = chores_.front();
      chores_.pop_front();
      run_chore(item);
      return true;
    }
    case Due::kCommand:
      if (commands_.empty()) return false;
      run_command();
      return true;
  }
  return false;
}

bool Manager::step() {
  expire();
  // The kinds take turns, so that no flood of one starves the others.
  constexpr unsigned kKinds = 3;
  for (unsigned i = 0; i < kKinds; ++i) {
    const Due kind = next_due_;
    next_due_ = static_cast<Due>((static_cast<unsigned>(kind) + 1) % kKinds);
    if (take(kind)) break;
  }
  bound_first_log();
  const bool more_starts = start_next();
  return more_starts || !chores_.empty() || !commands_.empty() || !dirty_.empty() || !logs_due_.empty();
}

void Manager::look_again(Task& task) {
  const uint64_t id = task.sequence;
  if (look_at_records(task) == Told::kNotYet) {
    on_end(id);  // its supervisor has had time enough for the sync; the next turns do it, one in each
  }
  if (!task.held) {
    // A supervisor of an earlier agent that had not named itself yet, or one that could not be watched.
    const Result<bool> adopted = runtime_.adopt(task);
    task.held = adopted.ok() && *adopted;
    const Result<bool> unlocked = adopted && !task.held ? store_.unlocked(task) : Result<bool>(false);
    if (unlocked && *unlocked) {
      on_supervisor_end(id, false);
      return;
    }
    // One that never names itself can't be asked; it goes when nothing of its task is left.
    if (!task.held && task.deleting()) sweep_marked(task);
  }
  if (task.held) runtime_.wake(task);
  if (task.held && stopping_) runtime_.stop(task);  // again: a signal of somebody else may have been in its way
  if (task.deleting()) runtime_.sweep(task);
  if (task.phase == TaskPhase::kEnded) {
    const uint32_t leftover = leaves_any(task) ? runtime_.count_leftovers(task) : 0;
    if (std::exchange(task.leftover, leftover) != leftover) observer_.on_changed(task);
  }
  bound_logs(task);
}

// One part a turn: the disk may take as long for it as for a durable write.
void Manager::bound_logs(Task& task) {
  if (options_.log_max_bytes == 0 || std::exchange(task.log_due, true)) return;
  logs_due_.push_back(task.sequence);
}

void Manager::bound_first_log() {
  if (logs_due_.empty()) return;
  Task* task = by_id(logs_due_.front());
  logs_due_.pop_front();
  if (task == nullptr) return;
  task->log_due = false;
  if (store_.bound_logs(*task, options_.log_max_bytes)) bound_logs(*task);
}

void Manager::tick() {
  if (clock_.mono() < next_tick_) return;
  next_tick_ = kNever;
  look_at_obstacles();
  for (const ChoreItem& item : failed_chores_) chores_.push_back(item);
  failed_chores_.clear();
  for (auto at = failed_starts_.rbegin(); at != failed_starts_.rend(); ++at) start_queue_.push_front(*at);
  failed_starts_.clear();
  for (const uint64_t id : std::exchange(unclear_, {})) {
    if (Task* task = by_id(id)) task->look_due = false;
    on_record(id);
  }
  std::vector<uint64_t> batch;
  auto at = active_.lower_bound(tick_cursor_);
  for (; at != active_.end() && batch.size() < kTickBatch; ++at) batch.push_back(*at);
  tick_cursor_ = at == active_.end() ? 0 : *at;
  uint32_t counted = 0;
  for (const uint64_t id : batch) {
    Task* task = by_id(id);
    if (task == nullptr) continue;
    if (counted != 0 && counted + task->leftover > kTickLeftovers) {
      tick_cursor_ = id;
      break;
    }
    look_again(*task);
    counted += task->leftover;
  }
  if (!active_.empty()) tick_soon();
}

MonoNanos Manager::next_deadline() const {
  return expiries_.empty() ? next_tick_ : std::min(next_tick_, expiries_.begin()->first);
}

}  // namespace te

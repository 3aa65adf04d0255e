#include "task/manager.h"

#include <algorithm>

#include "task/manager_command.h"
#include "task/status.h"

namespace te {

namespace {

constexpr size_t kTickBatch = 128;  ///< tasks that one tick looks at; the others have theirs in the next ones

/// Between two times of the wall clock, which may have been set back meanwhile, or are what a container runtime says.
void add_span(Histogram& histogram, WallMicros from, WallMicros to) {
  constexpr WallMicros kLongest = 366LL * 24 * 3'600 * 1'000'000;
  if (from != 0 && to != 0) histogram.add(std::clamp<WallMicros>(to - from, 0, kLongest) * 1'000);
}

}  // namespace

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

const Task* Manager::find_unfinished(const Task* except) const {
  for (auto at = by_id_.rbegin(); at != by_id_.rend(); ++at) {
    const Task* task = at->second.get();
    if (task->phase != TaskPhase::kEnded && task != except) return task;
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
  std::sort(expiries_.begin(), expiries_.end());
  while (!chores_.empty()) {
    const ChoreItem item = chores_.front();
    chores_.pop_front();
    run_chore(item);
  }
}

void Manager::recover_one(Task& task, const Recovered& found) {
  // Where something has run, one look at all processes can't tell that nothing of it is left: that takes a sweep.
  task.stray = !found.locked && found.has_run;
  task.swept = !found.locked && !found.has_run;
  task.quiet = found.quiet;
  task.supervised = found.locked;
  if (!found.locked) return conclude(task, true);  // the scan has seen to that
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
    if (task.phase == TaskPhase::kEnded && (task.swept || task.quiet) && post_stop_due(task)) {
      add_chore(Chore::kPostStop, task);
    }
    return;
  }
  if (!task.swept) return sweep_marked(task);
  if (!task.deleting()) {
    resolve_lost(task);
  } else {
    add_chore(post_stop_due(task) ? Chore::kPostStop : Chore::kDiscard, task);
  }
}

void Manager::sweep_marked(Task& task) {
  if (task.sweeping) return;
  task.sweeping = true;
  ++sweeping_;
  runtime_.sweep_by_mark(task);
}

// The supervisor runs the hook itself; this is for one that died before. Where run.json says that the hook has begun,
// or can't be read and so might say it, the hook is not run: never twice.
bool Manager::post_stop_due(const Task& task) {
  if (task.spec.process.post_stop == nullptr) return false;
  if (task.end == nullptr && !task.lost) return false;  // nothing was ever begun
  const Result<std::optional<RunRecord>> run = store_.read_run(task);
  return run.ok() && (!*run || (*run)->phase != RunPhase::kPostStop);
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

// The end has been told; how the postStop hook ended is added when it is known.
void Manager::look_at_post_stop(Task& task) {
  if (task.spec.process.post_stop == nullptr || task.run.post_stop.outcome != HookOutcome::kNone) return;
  const Result<std::optional<RunRecord>> run = store_.read_run(task);
  if (!run || !*run || (*run)->post_stop.outcome == HookOutcome::kNone) return;
  task.run.post_stop = (*run)->post_stop;
  observer_.on_changed(task);
}

// An end is told when no power loss can take it back. As long as its supervisor lives that one sees to it; should it be
// slow in that, or not come to it any more, we do.
Result<bool> Manager::is_tellable(const Task& task) {
  if (store_.exit_is_durable(task)) return true;
  if (task.supervised && !task.end_due) return false;
  TRY(noted(store_.make_exit_durable(task)));
  return true;
}

Manager::Told Manager::look_at_records(Task& task, bool durable) {
  if (task.phase == TaskPhase::kEnded) {
    look_at_post_stop(task);
    return Told::kEnded;
  }
  Result<std::optional<ExitRecord>> end = store_.read_exit(task);
  if (end && *end) {
    const Result<bool> tellable = durable ? Result<bool>(true) : is_tellable(task);
    if (!tellable) return Told::kUnclear;
    if (!*tellable) return Told::kNotYet;
    if (!task.started()) {
      const Result<std::optional<RunRecord>> run = store_.read_run(task);
      if (run && *run) task.run = **run;
    }
    set_ended(task, std::move(**end));
    return Told::kEnded;
  }
  if (!end) {
    log_.error("exit record can't be read", {{"task", task.name}, {"error", end.error().text()}});
    if (end.error().kind == ErrorKind::kSystem) return Told::kUnclear;
  }
  const Result<std::optional<RunRecord>> run = store_.read_run(task);
  if (!run) return run.error().kind == ErrorKind::kSystem ? Told::kUnclear : Told::kBegun;
  if (!*run) return Told::kNotBegun;
  if (!(*run)->begun()) return Told::kBegun;
  if ((*run)->pod) {
    if (!task.run.pod) task.run = **run;  // later news come by on_pod()
    task.attempt = task.run.attempt;
    return Told::kBegun;
  }
  const bool was_in_hook = task.run.supervisor.pid != 0 && task.run.phase == RunPhase::kPreStart;
  task.run = **run;
  task.attempt = task.run.attempt;
  const bool runs = task.run.phase == RunPhase::kMain && task.run.execed_at != 0;
  if (runs && task.phase != TaskPhase::kRunning) {
    task.phase = TaskPhase::kRunning;
    if (task.persisted_at != 0) add_span(counters_.create_to_exec, task.accepted_at, task.run.execed_at);
    observer_.on_changed(task);
  } else if (was_in_hook != (task.run.phase == RunPhase::kPreStart)) {
    observer_.on_changed(task);
  }
  return Told::kBegun;
}

// There is no supervisor any more: what is on disk is all that will ever be. Nothing is concluded from records that
// can't be read just now (out of descriptors, say): a true end must not become a lost one, nor be run again.
void Manager::conclude(Task& task, bool durable) {
  task.unclear = false;
  switch (look_at_records(task, durable)) {
    case Told::kEnded:
    case Told::kNotBegun:
    case Told::kNotYet: break;
    case Told::kBegun:
      leave_slot(task);
      task.lost = true;
      break;
    case Told::kUnclear: look_later(task); break;
  }
}

void Manager::look_later(Task& task) {
  task.unclear = true;
  unclear_.push_back(task.sequence);
  tick_soon();
}

void Manager::count_end(std::string_view reason) {
  ++counters_.ended;
  for (ManagerCounters::Ends& ends : counters_.ended_by_reason) {
    if (ends.reason != reason) continue;
    ++ends.count;
    return;
  }
  counters_.ended_by_reason.push_back({reason, 1});
}

void Manager::set_ended(Task& task, ExitRecord end) {
  if (task.persisted_at != 0) {
    // One that ended at once was never seen running.
    if (task.phase != TaskPhase::kRunning) add_span(counters_.create_to_exec, task.accepted_at, end.execed_at);
    add_span(counters_.exit_to_recorded, end.finished_at, clock_.wall());
  }
  task.phase = TaskPhase::kEnded;
  task.recorded_at = task.persisted_at != 0 ? clock_.wall() : 0;
  const WallMicros finished_at = end.finished_at;
  task.end = std::make_unique<ExitRecord>(std::move(end));
  task.wait_message.clear();
  task.leftover = task.supervised && task.held ? runtime_.count_leftovers(task) : 0;
  leave_slot(task);
  if (options_.ttl_after_finished > 0) {
    const WallMicros age = std::max<WallMicros>(0, clock_.wall() - finished_at) * 1'000;
    expiries_.emplace_back(clock_.mono() + std::max<MonoNanos>(0, options_.ttl_after_finished - age), task.sequence);
  }
  const Status status = status_of(task);
  count_end(status.reason);
  log_.info("task ended", {{"task", task.name}, {"reason", status.reason}, {"code", status.exit_code}});
  observer_.on_changed(task);
}

void Manager::on_supervisor_end(uint64_t id, bool clean) {
  Task* task = by_id(id);
  if (task == nullptr) return;
  task->supervised = false;
  task->held = false;
  task->stray = task->stray || !clean;
  task->swept = !task->stray;
  task->leftover = 0;
  active_.erase(id);
  // What was written since the last tick; nothing looks at it any more.
  if (options_.log_max_bytes > 0) store_.bound_logs(*task, options_.log_max_bytes);
  after_supervisor(*task);
}

void Manager::after_supervisor(Task& task) {
  const bool was_lost = task.lost;
  conclude(task);
  if (task.phase == TaskPhase::kEnded || was_lost) {
    if (task.post_stop_tried && post_stop_due(task)) {  // not even begun: once a tick is often enough
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

// With the next tick, before all that came later.
void Manager::try_start_later(Task& task, std::string why) {
  task.wait_message = std::move(why);
  task.phase = TaskPhase::kAccepted;
  task.start_due = true;
  failed_starts_.push_back(task.sequence);
  tick_soon();
  observer_.on_changed(task);
}

void Manager::tick_soon() { next_tick_ = std::min(next_tick_, clock_.mono() + options_.tick_interval); }

void Manager::on_swept(uint64_t id) {
  Task* task = by_id(id);
  if (task == nullptr || !task->sweeping) return;
  task->sweeping = false;
  --sweeping_;
  task->stray = false;
  task->swept = true;
  advance(*task);
}

void Manager::on_step_due(uint64_t id) {
  if (Task* task = by_id(id)) add_chore(Chore::kStep, *task);
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

void Manager::queue_start(Task& task) {
  if (task.start_due) return;
  task.start_due = true;
  start_queue_.push_back(task.sequence);
  if (options_.max_concurrent != 0 && running_ + start_queue_.size() > options_.max_concurrent) {
    task.phase = TaskPhase::kQueued;
    observer_.on_changed(task);
  }
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
      try_start_later(*task, started.error().text());
      log_.error("task can't be started now", {{"task", task->name}, {"error", task->wait_message}});
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
  if (result) {
    store_error_.clear();
  } else {
    ++counters_.store_errors;
    store_error_ = result.error().text();
  }
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
  log_.error("state can't be written; it is tried again", {{"task", name}, {"error", done.error().text()}});
  due_flag(item.chore, *task) = true;
  failed_chores_.push_back(item);
  tick_soon();
}

// The last look before a lost run is told, forgotten or run again: its end would make it another story.
Result<bool> Manager::ended_after_all(Task& task) {
  if (!task.lost) return false;
  Result<std::optional<ExitRecord>> end = store_.read_exit(task);
  if (!end && end.error().kind == ErrorKind::kSystem) return std::move(end).error();
  if (!end || !*end || !TRY(is_tellable(task))) return false;
  task.lost = false;
  set_ended(task, std::move(**end));
  return true;
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
    case Chore::kClearRun:
      if (task.deleting() || TRY(ended_after_all(task))) break;
      TRY(noted(store_.clear_run(task)));
      log_.warning("lost task is run again", {{"task", task.name}});
      task.lost = false;
      task.run = {};
      ++task.attempt;
      task.post_stop_tried = false;
      try_start_later(task, "run again, because its supervisor was lost");  // not faster than it can be lost
      return {};
    case Chore::kPostStop:
      if (task.supervised || !(task.swept || task.quiet) || !post_stop_due(task)) break;
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
  while (!expiries_.empty() && expiries_.front().first <= clock_.mono()) {
    Task* task = by_id(expiries_.front().second);
    expiries_.pop_front();
    if (task == nullptr || task->deleting()) continue;
    if (task->chore_due) {  // its postStop hook, say
      expiries_.emplace_back(clock_.mono() + options_.tick_interval, task->sequence);
      std::sort(expiries_.begin(), expiries_.end());
      continue;
    }
    log_.debug("finished task has expired", {{"task", task->name}});
    add_chore(Chore::kForget, *task);
  }
}

// Up to the first end, which costs a durable write. False: there was none.
bool Manager::look_at_dirty() {
  while (!dirty_.empty()) {
    Task* task = by_id(dirty_.front());
    dirty_.pop_front();
    if (task == nullptr) continue;
    task->dirty = false;
    const bool had_ended = task->phase == TaskPhase::kEnded;
    look_at_records(*task);
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
  const bool more_starts = start_next();
  return more_starts || !chores_.empty() || !commands_.empty() || !dirty_.empty();
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
    if (task.held && stopping_) runtime_.stop(task);
    // One that never names itself can't be asked; it goes when nothing of its task is left.
    if (!task.held && task.deleting()) sweep_marked(task);
  }
  if (task.held) runtime_.wake(task);
  if (task.deleting()) runtime_.sweep(task);
  if (task.phase == TaskPhase::kEnded) {
    const uint32_t leftover = runtime_.count_leftovers(task);
    if (leftover != task.leftover) {
      task.leftover = leftover;
      observer_.on_changed(task);
    }
  }
  if (options_.log_max_bytes > 0) store_.bound_logs(task, options_.log_max_bytes);
}

void Manager::tick() {
  if (clock_.mono() < next_tick_) return;
  next_tick_ = kNever;
  for (const ChoreItem& item : failed_chores_) chores_.push_back(item);
  failed_chores_.clear();
  start_queue_.insert(start_queue_.begin(), failed_starts_.begin(), failed_starts_.end());
  failed_starts_.clear();
  std::vector<uint64_t> unclear;
  unclear.swap(unclear_);
  for (const uint64_t id : unclear) {
    Task* task = by_id(id);
    if (task == nullptr || !task->unclear) continue;
    if (!task->supervised) {
      after_supervisor(*task);
    } else {
      task->unclear = false;
      if (look_at_records(*task, false) == Told::kUnclear) look_later(*task);
    }
  }
  std::vector<uint64_t> batch;
  auto at = active_.lower_bound(tick_cursor_);
  for (; at != active_.end() && batch.size() < kTickBatch; ++at) batch.push_back(*at);
  tick_cursor_ = at == active_.end() ? 0 : *at;
  for (const uint64_t id : batch) {
    if (Task* task = by_id(id)) look_again(*task);
  }
  if (!active_.empty()) tick_soon();
}

MonoNanos Manager::next_deadline() const {
  return expiries_.empty() ? next_tick_ : std::min(next_tick_, expiries_.front().first);
}

void Manager::stop_all() {
  stopping_ = true;
  for (const uint64_t id : active_) {
    if (const Task* task = by_id(id)) runtime_.stop(*task);
  }
}

}  // namespace te

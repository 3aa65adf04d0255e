// The manager: desired tasks against actual ones.
//
// Commands (create, delete, set) come from the API and are carried out one after the other, in the order in which they
// came, one durable write a turn, which creations that follow each other share; facts come from the runtime. Both only
// change state here; step() then does the next durable thing, starts what may start, and tells the observer. Everything
// is level-triggered: advance(task) looks at the facts and queues what is due, so that an event lost or told twice does
// no harm, and recovery is the same code.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/histogram.h"
#include "base/log.h"
#include "base/result.h"
#include "base/time.h"
#include "task/runtime.h"
#include "task/store.h"
#include "task/task.h"

namespace te {

enum class OnLost : uint8_t { kAuto, kFail, kForget, kRestart };

struct ManagerOptions {
  uint32_t max_concurrent = 0;       ///< 0: no limit
  MonoNanos ttl_after_finished = 0;  ///< 0: keep
  OnLost on_lost = OnLost::kAuto;
  MonoNanos tick_interval = 500 * kMillisecond;
  int64_t log_max_bytes = 0;  ///< 0: no limit
};

/// One wish of a client. The manager answers through Observer::on_reply with the same ticket, in this turn or a later
/// one; a ticket whose client has gone is answered all the same.
struct NewTask {
  std::string name;
  TaskSpec spec;
};

enum class OnSpecChange : uint8_t { kKeep, kReplace };

struct Reply {
  enum class Kind : uint8_t {
    kCreated,  ///< `task` is new
    kExists,   ///< `task` is there already, with the same spec
    kDeleted,  ///< the mark is durable, or there is no such task
    kSet,      ///< the list is as wished
    kFailed,   ///< `error`
  };
  Kind kind = Kind::kFailed;
  const Task* task = nullptr;
  Error error;
  std::vector<std::string> warnings;
};

class Observer {
 public:
  virtual void on_reply(uint64_t ticket, const Reply& reply) = 0;
  /// It is there from now on.
  virtual void on_added(const Task& task) { on_changed(task); }
  virtual void on_changed(const Task& task) = 0;
  /// The task is no more; the pointer is valid for the last time.
  virtual void on_gone(const Task& task) = 0;

 protected:
  ~Observer() = default;
};

/// A task as recovery found it.
struct Recovered {
  std::unique_ptr<Task> task;  ///< identity, spec, deleted_at
  Place place = Place::kLive;
  bool locked = false;   ///< a supervisor holds the directory
  bool has_run = false;  ///< run.json or exit.json is there, readable or not
  bool ended = false;    ///< exit.json is there, readable or not, and durable
  bool quiet = false;    ///< no process was seen that carries its mark
};

struct ManagerCounters {
  uint64_t created = 0;
  uint64_t started = 0;
  uint64_t ended = 0;
  uint64_t lost = 0;
  uint64_t deleted = 0;
  uint64_t store_errors = 0;
  struct Ends {
    std::string_view reason;
    uint64_t count;
  };
  std::vector<Ends> ended_by_reason;  ///< those that there were
  // Of tasks that this agent has accepted itself.
  Histogram create_to_durable;
  Histogram create_to_exec;
  Histogram exit_to_recorded;
};

class Manager final : public RuntimeEvents {
 public:
  Manager(const ManagerOptions& options, Store& store, Runtime& runtime, Observer& observer, const Clock& clock,
          Log& log);
  ~Manager();
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  /// Before anything else: take up what is on disk, and queue what is due: to end what is lost, to finish what was
  /// being deleted. Starts nothing yet.
  void recover(std::vector<Recovered> found);

  void create(uint64_t ticket, NewTask wish);
  void remove(uint64_t ticket, std::string_view name);
  void set(uint64_t ticket, std::vector<NewTask> wishes, OnSpecChange on_change);

  /// The task of that name: the successor if there is one.
  const Task* find(std::string_view name) const;
  /// The task whose files stand under that name; not a successor.
  const Task* find_current(std::string_view name) const;
  const Task* find_id(uint64_t id) const { return by_id(id); }
  /// Live ones first, in order of creation, those being deleted last.
  std::vector<const Task*> list() const;
  /// In order of creation: the task behind `id`, or null.
  const Task* next_after(uint64_t id) const;
  /// Some task that has not ended, or null.
  const Task* find_unfinished() const;
  size_t size() const { return by_id_.size(); }

  /// One step of the before-sleep: at most one durable write and one start. True: there is more to do at once.
  bool step();
  /// The safety net; due at next_deadline().
  void tick();
  MonoNanos next_deadline() const;

  /// Recovery has nothing left to do that anybody has to wait for: requests may be answered.
  bool settled() const {
    const bool clear = unclear_.empty() || clock_.mono() >= patience_ends_;
    const auto is_discard = [](const ChoreItem& item) { return item.chore == Chore::kDiscard; };
    return sweeping_ == 0 && std::ranges::all_of(chores_, is_discard) && dirty_.empty() && clear;
  }

  /// Stop what runs (--on-shutdown=stop); nothing is started any more.
  void stop_all();
  /// Some supervisor lives: its task runs, or has left processes behind.
  bool anything_running() const { return !active_.empty(); }

  const ManagerCounters& counters() const { return counters_; }

  void on_record(uint64_t id) override;
  void on_end(uint64_t id) override;
  void on_supervisor_end(uint64_t id, bool clean) override;
  void on_swept(uint64_t id) override;
  void on_sweep_put_off(uint64_t id) override;
  void on_step_due(uint64_t id) override;
  void on_pod(uint64_t id, const PodRecord& pod) override;
  bool is_supervised(std::string_view uid) const override;

 private:
  struct Command;
  struct Made;
  struct Name {
    Task* current = nullptr;
    Task* next = nullptr;
  };
  /// What is due for a task; one durable write each, or one start.
  enum class Chore : uint8_t { kDiscard, kDiscardNext, kPromote, kRecordLost, kForget, kClearRun, kPostStop, kStep };
  /// What waits for its durable write.
  enum class Due : uint8_t { kEnd, kChore, kCommand };
  /// What the records say of a run.
  enum class Told : uint8_t {
    kEnded,
    kNotYet,  ///< its end is there, and its supervisor still has to sync it
    kBegun,
    kNotBegun,
    kUnclear,
  };
  struct ChoreItem {
    Chore chore;
    uint64_t id;
    int told = -1;  ///< errno of the failure that was logged last
  };
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  // manager.cc: facts, and what they ask for
  Task* by_id(uint64_t id) const;
  Task& insert(std::unique_ptr<Task> task, Place place);
  void forget(Task& task);
  void recover_one(Task& task, const Recovered& found);
  void advance(Task& task);
  void sweep_marked(Task& task);
  Result<bool> post_stop_due(const Task& task);
  void resolve_lost(Task& task);
  void after_supervisor(Task& task);
  bool try_start_later(Task& task, std::string why);
  void tick_soon();
  void obstructed();
  void look_at_obstacles();
  void take_slot(Task& task);
  void leave_slot(Task& task);
  void activate(Task& task);

  // manager_records.cc: what the records say of a run, and its end
  void look_at_post_stop(Task& task);
  Result<bool> is_tellable(const Task& task, const ExitRecord& end);
  Told look_at_records(Task& task, bool found = false);
  void conclude(Task& task, bool found = false);
  void look_later(Task& task);
  void look_at_unclear(Task& task);
  void expire_at(Task& task, MonoNanos when);
  void count_end(std::string_view reason);
  void set_ended(Task& task, ExitRecord end, bool found = false);
  Result<bool> ended_after_all(Task& task);

  // manager_turn.cc: starts, chores, the step of a turn and the tick
  void queue_start(Task& task);
  void drop_forgotten_starts();
  void expect_start(const Task& task, size_t coming);
  bool start_next();
  static bool& due_flag(Chore chore, Task& task);
  void add_chore(Chore chore, Task& task);
  Result<void> noted(Result<void> result);
  Result<void> mark(Task& task);
  void run_chore(ChoreItem item);
  Result<void> do_chore(Chore chore, Task& task);
  void expire();
  bool look_at_dirty();
  bool take(Due kind);
  void look_again(Task& task);
  void bound_logs(Task& task);
  void bound_first_log();

  // manager_commands.cc: what clients ask for
  void run_command();
  std::vector<NewTask*> first_creations();
  void answer_first(Reply answer);
  bool step_create(Command& command, Reply& answer);
  bool step_remove(Command& command, Reply& answer);
  bool step_set(Command& command, Reply& answer);
  void plan_set(Command& command);
  bool create_some(Command& command, Reply& answer);
  bool undo_one(Command& command, Reply& answer);
  bool remove_one(Command& command, Reply& answer);
  Result<Made> prepare(NewTask& wish);
  std::vector<Result<Made>> make(const std::vector<NewTask*>& wishes);
  Result<Made> make_instead(NewTask& wish, const Task& old);
  void adapt_group(size_t count, MonoNanos took);
  void show(Made made, Command& command);
  Task* unmarked_predecessor(std::string_view name);
  Result<void> remove_task(Task& task);

  ManagerOptions options_;
  Store& store_;
  Runtime& runtime_;
  Observer& observer_;
  const Clock& clock_;
  Log& log_;

  std::map<uint64_t, std::unique_ptr<Task>> by_id_;
  std::unordered_map<std::string, Name, TextHash, std::equal_to<>> names_;
  std::deque<std::unique_ptr<Command>> commands_;
  std::deque<ChoreItem> chores_;
  std::vector<ChoreItem> failed_chores_;
  std::deque<uint64_t> dirty_;
  std::set<uint64_t> active_;  ///< supervised: what a tick looks at
  uint64_t tick_cursor_ = 0;
  std::deque<uint64_t> start_queue_;
  std::vector<uint64_t> failed_starts_;
  std::vector<uint64_t> unclear_;  ///< with records that can't be read now; without a supervisor, or found with one
  MonoNanos patience_ends_ = 0;    ///< of recovery with them: one bad sector must not keep all the others away
  std::multimap<MonoNanos, uint64_t> expiries_;
  std::deque<uint64_t> logs_due_;  ///< a turn bounds the first one
  MonoNanos next_tick_ = kNever;
  bool obstructed_ = false;  ///< something may stand in the way of a task (Store::clear_way)
  uint32_t running_ = 0;     ///< tasks that take a slot
  uint32_t sweeping_ = 0;    ///< tasks whose mark is being swept, those put off left out
  size_t group_limit_ = 1;   ///< creations that one durable write may take
  Due next_due_ = Due::kEnd;
  bool stopping_ = false;
  ManagerCounters counters_;
};

}  // namespace te

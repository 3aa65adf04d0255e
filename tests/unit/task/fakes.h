// A world in memory for the manager: a disk that may fail, supervisors that the test moves by hand, a clock to turn.
#pragma once

#include <doctest/doctest.h>

#include <cerrno>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"
#include "task/manager.h"
#include "task/status.h"

namespace te::fake {

class FakeClock final : public Clock {
 public:
  MonoNanos mono() const override {
    ++asked;
    return now;
  }
  WallMicros wall() const override { return 1'700'000'000'000'000 + now / 1'000 + jumped; }
  MonoNanos now = 1'000 * kSecond;
  WallMicros jumped = 0;
  mutable int asked = 0;  ///< how often somebody looked at it
};

class NullSink final : public LogSink {
 public:
  void write(LogLevel level, std::string_view) override { errors += level == LogLevel::kError; }
  size_t errors = 0;
};

inline ProcessSpec copy_of(const ProcessSpec& from) {
  ProcessSpec to;
  to.command = from.command;
  to.args = from.args;
  to.env = from.env;
  to.working_dir = from.working_dir;
  to.timeout_seconds = from.timeout_seconds;
  to.grace_seconds = from.grace_seconds;
  to.exec_mode = from.exec_mode;
  if (from.pre_start) to.pre_start = std::make_unique<Hook>(*from.pre_start);
  if (from.post_stop) to.post_stop = std::make_unique<Hook>(*from.post_stop);
  if (from.security) to.security = std::make_unique<SecurityContext>(*from.security);
  return to;
}

inline TaskSpec spec_of(std::string_view command, WireForm form = WireForm::kGuide) {
  TaskSpec spec;
  spec.form = form;
  spec.process.command.add(command);
  return spec;
}

/// What everybody did, in order: "create a", "reply 1 created a", "start a".
using Journal = std::vector<std::string>;

/// A creation by itself.
inline Result<void> create_one(Store& store, Task& task, Place place) {
  Creation creation{&task, place, {}};
  store.create({&creation, 1});
  return creation.result;
}

/// A task's directory on the fake disk.
struct Dir {
  std::string name;
  Uid uid;
  uint64_t sequence = 0;
  WireForm form = WireForm::kGuide;
  ProcessSpec process;
  WallMicros accepted_at = 0;
  WallMicros deleted_at = 0;
  std::optional<RunRecord> run;
  std::optional<ExitRecord> exit;
  bool exit_durable = false;
  bool locked = false;  ///< a supervisor lives
  bool marked = false;  ///< some process carries the mark
  bool run_unreadable = false;
  bool exit_unreadable = false;
};

enum class Call : uint8_t {
  kIdentify,
  kCreate,
  kReplaceNext,
  kMark,
  kDiscard,
  kPromote,
  kRecordLost,
  kClearRun,
  kConfirm
};

class FakeStore final : public Store {
 public:
  explicit FakeStore(Journal& journal, const Clock& clock) : journal_(journal), clock_(clock) {}

  Result<void> identify(Task& task) override {
    TRY(attempt(Call::kIdentify, task.name));
    char digits[33];
    std::snprintf(digits, sizeof digits, "%032llx", static_cast<unsigned long long>(next_sequence_));
    task.uid = Uid::from(digits);
    task.sequence = next_sequence_++;
    if (task.accepted_at == 0) task.accepted_at = clock_.wall();
    return {};
  }

  void create(std::span<Creation> creations) override {
    groups.push_back(creations.size());
    if (during_create) during_create();
    for (Creation& creation : creations) creation.result = make_dir(*creation.task, creation.place);
    ++writes;
  }

  Result<void> make_dir(const Task& task, Place place) {
    TRY(attempt(Call::kCreate, task.name));
    TRY(clear_way(task.name));
    journal_.push_back("create " + task.name);
    auto& places = folder(place);
    expect(places.find(task.name) == places.end(), "create where a directory stands: " + task.name);
    places[task.name] = dir_of(task);
    return {};
  }

  Result<void> replace_next(Task& next_task, const Task& old) override {
    TRY(write(Call::kReplaceNext, "replace_next", next_task.name));
    expect(holds(next, old), "replace_next of what does not stand there: " + old.name);
    trash.push_back(old.uid);
    next[next_task.name] = dir_of(next_task);
    return {};
  }

  Result<void> mark_deleted(Task& task) override {
    TRY(write(Call::kMark, "mark", task.name));
    expect(holds(live, task), "mark of what does not stand there: " + task.name);
    task.deleted_at = clock_.wall();
    live[task.name].deleted_at = task.deleted_at;
    return {};
  }

  Result<void> discard(const Task& task, Place place) override {
    TRY(write(Call::kDiscard, place == Place::kLive ? "discard" : "discard_next", task.name));
    auto& places = folder(place);
    expect(holds(places, task), "discard of what does not stand there: " + task.name);
    if (place == Place::kLive) expect(!places[task.name].locked, "discard under a living supervisor: " + task.name);
    places.erase(task.name);
    trash.push_back(task.uid);
    return {};
  }

  Result<void> take_back(const Task& task, Place place) override {
    Result<void> discarded = discard(task, place);
    if (!discarded) not_taken_back.emplace(task.name, place);
    return discarded;
  }

  Result<void> clear_way(std::string_view name) override {
    for (auto at = not_taken_back.begin(); at != not_taken_back.end();) {
      const auto one = at++;
      if (!name.empty() && one->first != name) continue;
      TRY(attempt(Call::kDiscard, one->first));
      journal_.push_back("discard " + one->first);
      folder(one->second).erase(one->first);
      not_taken_back.erase(one);
    }
    const bool is_clear = name.empty() ? in_the_way.empty() : in_the_way.count(name) == 0;
    return is_clear ? Result<void>() : system_error("lock", name, EWOULDBLOCK);
  }

  Result<void> promote(const Task& task) override {
    TRY(write(Call::kPromote, "promote", task.name));
    expect(holds(next, task), "promote of what does not stand there: " + task.name);
    expect(live.find(task.name) == live.end(), "promote over a live one: " + task.name);
    live[task.name] = std::move(next[task.name]);
    next.erase(task.name);
    return {};
  }

  Result<void> record_lost(const Task& task, const ExitRecord& end) override {
    if (taken_away) return {};
    TRY(write(Call::kRecordLost, "record_lost", task.name));
    expect(holds(live, task), "record_lost of what does not stand there: " + task.name);
    Dir& dir = live[task.name];
    expect(!dir.locked, "record_lost under a living supervisor: " + task.name);
    expect(!dir.marked, "record_lost while processes carry the mark: " + task.name);
    expect(!dir.exit, "record_lost over a true end: " + task.name);
    dir.exit = end;
    dir.exit_durable = true;
    return {};
  }

  Result<void> clear_run(const Task& task) override {
    if (taken_away) return system_error("open", task.name, ENOENT);
    TRY(write(Call::kClearRun, "clear_run", task.name));
    expect(holds(live, task), "clear_run of what does not stand there: " + task.name);
    expect(!live[task.name].marked, "clear_run while processes carry the mark: " + task.name);
    live[task.name].run.reset();
    live[task.name].exit_unreadable = false;
    return {};
  }

  Result<std::optional<RunRecord>> read_run(const Task& task) override {
    ++run_reads;
    if (read_error != 0) return system_error("read", "run.json", read_error);
    const Dir* dir = find(task);
    if (dir != nullptr && dir->run_unreadable) return Error{ErrorKind::kCorrupt, 0, "run.json"};
    return dir == nullptr ? std::nullopt : dir->run;
  }

  Result<std::optional<ExitRecord>> read_exit(const Task& task) override {
    if (read_error != 0) return system_error("read", "exit.json", read_error);
    const Dir* dir = find(task);
    if (dir != nullptr && dir->exit_unreadable) return Error{ErrorKind::kCorrupt, 0, "exit.json"};
    std::optional<ExitRecord> end = dir == nullptr ? std::nullopt : dir->exit;
    if (end) end->durable = dir->exit_durable;
    return end;
  }

  Result<void> make_exit_durable(const Task& task) override {
    TRY(attempt(Call::kConfirm, task.name));
    journal_.push_back("confirm " + task.name);
    ++writes;
    if (Dir* dir = find(task)) dir->exit_durable = true;
    return {};
  }

  Result<bool> unlocked(const Task& task) override {
    const Dir* dir = find(task);
    return dir == nullptr || !dir->locked;
  }

  bool bound_logs(const Task& task, int64_t) override {
    journal_.push_back("bound_logs " + task.name);
    return logs_left > 0 && --logs_left > 0;
  }

  /// The directory under the name of `task`, if it is really that task's.
  Dir* find(const Task& task) {
    const auto at = live.find(task.name);
    return at != live.end() && at->second.uid == task.uid ? &at->second : nullptr;
  }

  /// What recovery would find: as if the agent had been killed just now.
  std::vector<Recovered> scan() const {
    std::vector<Recovered> found;
    for (const auto& [name, dir] : live) found.push_back(recovered(dir, Place::kLive));
    for (const auto& [name, dir] : next) found.push_back(recovered(dir, Place::kNext));
    return found;
  }

  /// The next `times` calls of that kind fail.
  void fail(Call call, int times = 1, int code = ENOSPC) { failures_[call] = {times, code, 0}; }
  /// `after` calls of that kind succeed, the next one fails.
  void fail_after(Call call, int after) { failures_[call] = {1, ENOSPC, after}; }
  void heal() { failures_.clear(); }

  std::map<std::string, Dir> live;
  std::map<std::string, Dir> next;
  std::vector<Uid> trash;
  std::set<std::string, std::less<>> in_the_way;
  bool taken_away = false;  ///< the directories, by hand
  std::map<std::string, Place, std::less<>> not_taken_back;
  std::vector<size_t> groups;  ///< creations of each durable write
  std::vector<std::string> violations;
  std::function<bool(Call)> chance;  ///< may let any call fail
  uint64_t writes = 0;
  int read_error = 0;
  uint64_t run_reads = 0;
  int logs_left = 0;  ///< calls of bound_logs() until all is done
  std::function<void()> during_create;

 private:
  struct Failure {
    int times = 0;
    int code = 0;
    int after = 0;
  };

  static bool holds(const std::map<std::string, Dir>& places, const Task& task) {
    const auto at = places.find(task.name);
    return at != places.end() && at->second.uid == task.uid;
  }

  static Dir dir_of(const Task& task) {
    Dir dir;
    dir.name = task.name;
    dir.uid = task.uid;
    dir.sequence = task.sequence;
    dir.form = task.spec.form;
    dir.process = copy_of(task.spec.process);
    dir.accepted_at = task.accepted_at;
    return dir;
  }

  static Recovered recovered(const Dir& dir, Place place) {
    Recovered one;
    one.task = std::make_unique<Task>();
    one.task->name = dir.name;
    one.task->uid = dir.uid;
    one.task->sequence = dir.sequence;
    one.task->spec.form = dir.form;
    one.task->spec.process = copy_of(dir.process);
    one.task->accepted_at = dir.accepted_at;
    one.task->deleted_at = dir.deleted_at;
    one.place = place;
    one.locked = dir.locked;
    one.ended = dir.exit.has_value() || dir.exit_unreadable;
    one.has_run = dir.run.has_value() || dir.run_unreadable || one.ended;
    one.quiet = !dir.marked;
    return one;
  }

  std::map<std::string, Dir>& folder(Place place) { return place == Place::kLive ? live : next; }

  void expect(bool good, const std::string& what) {
    if (!good) violations.push_back(what);
  }

  Result<void> attempt(Call call, const std::string& name) {
    const auto at = failures_.find(call);
    if (at != failures_.end() && at->second.after-- <= 0 && at->second.times > 0) {
      --at->second.times;
      journal_.push_back("fail " + name);
      return system_error("write", name, at->second.code);
    }
    if (chance && chance(call)) return system_error("write", name, ENOSPC);
    return {};
  }

  Result<void> write(Call call, const char* verb, const std::string& name) {
    ++writes;
    TRY(attempt(call, name));
    journal_.push_back(std::string(verb) + " " + name);
    return {};
  }

  Journal& journal_;
  const Clock& clock_;
  std::map<Call, Failure> failures_;
  uint64_t next_sequence_ = 1;
};

/// Supervisors are entries of `alive`, by uid; they outlive the manager, as real ones do.
class FakeRuntime final : public Runtime {
 public:
  FakeRuntime(Journal& journal, FakeStore& store) : journal_(journal), store_(store) {}

  void expect_start(const Task& task, size_t) override {
    expected.push_back(std::to_string(journal_.size()) + " " + task.name);
  }
  bool can_start(const Task&) override { return ready; }
  Result<bool> start(const Task& task, int32_t attempt) override {
    if (start_error != 0) {
      journal_.push_back("start_fails " + task.name);
      return system_error("vfork", {}, start_error);
    }
    const bool post_stop = task.end != nullptr || task.lost;
    journal_.push_back((post_stop ? "post_stop " : "start ") + task.name);
    Dir* dir = store_.find(task);
    if (dir == nullptr) {
      store_.violations.push_back("start without a directory: " + task.name);
      return held_at_once;
    }
    if (dir->locked) store_.violations.push_back("two supervisors: " + task.name);
    if (post_stop) {
      if (dir->run && dir->run->phase == RunPhase::kPostStop) store_.violations.push_back("hook twice: " + task.name);
      if (dir->marked) store_.violations.push_back("hook while the tree is there: " + task.name);
      dir->locked = true;
      dir->marked = true;
      return held_at_once;
    }
    if (dir->run || dir->exit) store_.violations.push_back("runs twice: " + task.name);
    if (dir->deleted_at != 0) store_.violations.push_back("start of a deleted one: " + task.name);
    dir->locked = true;
    dir->marked = true;
    attempts[task.uid] = attempt;
    ++starts[task.uid];
    return held_at_once;
  }

  Result<bool> adopt(const Task& task) override {
    journal_.push_back("adopt " + task.name);
    if (by_run && (store_.find(task) == nullptr || !store_.find(task)->run ||
                   task.run.supervisor != store_.find(task)->run->supervisor)) {
      return false;
    }
    if (adopt_error != 0) return Error{ErrorKind::kSystem, adopt_error, "adopt"};
    const Dir* dir = store_.find(task);
    return dir != nullptr && dir->locked;
  }

  void stop(const Task& task) override { journal_.push_back("stop " + task.name); }
  void sweep(const Task& task) override {
    journal_.push_back("sweep " + task.name);
    swept_by_supervisor.insert(task.sequence);
  }
  void wake(const Task& task) override { woken.insert(task.sequence); }
  void sweep_by_mark(const Task& task) override {
    journal_.push_back("sweep_by_mark " + task.name);
    sweeping.insert(task.sequence);
  }
  uint32_t count_leftovers(const Task&) override {
    counted += leftovers;
    return leftovers;
  }
  void empty_trash() override { ++trash_calls; }

  int start_error = 0;
  int adopt_error = 0;
  bool held_at_once = true;
  bool by_run = false;   ///< a supervisor is adopted only by the name that stands in run.json
  uint64_t counted = 0;  ///< processes
  std::set<uint64_t> woken;
  uint32_t leftovers = 0;
  int trash_calls = 0;
  bool ready = true;                  ///< a start would not wait
  std::vector<std::string> expected;  ///< "N a": start of `a` expected when the journal had N lines
  std::map<Uid, int> starts;
  std::map<Uid, int32_t> attempts;
  std::set<uint64_t> sweeping;             ///< wait for on_swept
  std::set<uint64_t> swept_by_supervisor;  ///< were asked to sweep

 private:
  Journal& journal_;
  FakeStore& store_;
};

struct SeenReply {
  Reply::Kind kind = Reply::Kind::kFailed;
  std::string name;
  uint64_t id = 0;
  std::string reason;  ///< of the status, at the time of the answer
  int error_code = 0;
  ErrorKind error_kind = ErrorKind::kSystem;
  std::vector<std::string> warnings;
};

class RecordingObserver final : public Observer {
 public:
  explicit RecordingObserver(Journal& journal) : journal_(journal) {}

  void on_reply(uint64_t ticket, const Reply& reply) override {
    SeenReply seen;
    seen.kind = reply.kind;
    if (reply.task != nullptr) {
      seen.name = reply.task->name;
      seen.id = reply.task->sequence;
      seen.reason = status_of(*reply.task).reason;
    }
    seen.error_code = reply.error.code;
    seen.error_kind = reply.error.kind;
    seen.warnings = reply.warnings;
    REQUIRE(replies.find(ticket) == replies.end());
    replies[ticket] = seen;
    journal_.push_back("reply " + std::to_string(ticket));
  }
  void on_changed(const Task& task) override { changed.push_back(task.sequence); }
  void on_gone(const Task& task) override {
    journal_.push_back("gone " + task.name);
    gone.insert(task.sequence);
  }

  std::map<uint64_t, SeenReply> replies;
  std::vector<uint64_t> changed;
  std::set<uint64_t> gone;

 private:
  Journal& journal_;
};

/// All of it together, with a manager that can be killed and started again.
class World {
 public:
  explicit World(const ManagerOptions& with = {}) : options(with) { boot(); }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() {
    for (const std::string& text : store.violations) FAIL_CHECK(text);
  }

  void boot() {
    manager = std::make_unique<Manager>(options, store, runtime, observer, clock, log);
    manager->recover(store.scan());
  }
  /// Killed and started anew; supervisors live on.
  void restart() {
    manager.reset();
    runtime.sweeping.clear();
    boot();
  }

  bool step() {
    const uint64_t before = store.writes;
    const bool more = manager->step();
    CHECK(store.writes - before <= 1);
    return more;
  }
  void settle() {
    for (int i = 0; step(); ++i) REQUIRE(i < 10'000);
  }
  void advance_clock(MonoNanos by) { clock.now += by; }
  /// Creations share their write less and less; from the first one on, they have a write each.
  void slow_disk() {
    store.during_create = [this] { advance_clock(10 * kMillisecond); };
  }
  void tick() {
    advance_clock(options.tick_interval);
    manager->tick();
    settle();
  }

  uint64_t create(std::string name, TaskSpec spec = spec_of("run")) {
    manager->create(++ticket, NewTask{std::move(name), std::move(spec)});
    return ticket;
  }
  uint64_t remove(std::string_view name) {
    manager->remove(++ticket, name);
    return ticket;
  }
  uint64_t set(std::vector<std::pair<std::string, std::string>> wishes, OnSpecChange change = OnSpecChange::kKeep) {
    std::vector<NewTask> list;
    for (auto& [name, command] : wishes) list.push_back(NewTask{name, spec_of(command)});
    manager->set(++ticket, std::move(list), change);
    return ticket;
  }
  const SeenReply& reply(uint64_t of) {
    settle();
    REQUIRE(observer.replies.count(of) == 1);
    return observer.replies[of];
  }
  bool answered(uint64_t of) const { return observer.replies.count(of) == 1; }

  const Task& task(std::string_view name) const {
    const Task* found = manager->find_current(name);
    REQUIRE(found != nullptr);
    return *found;
  }
  Dir& dir(std::string_view name) {
    const auto at = store.live.find(std::string(name));
    REQUIRE(at != store.live.end());
    return at->second;
  }

  // What a supervisor does, by the name of its task.
  void record_run(std::string_view name, bool execed = true) {
    Dir& at = dir(name);
    RunRecord run;
    run.supervisor = {100 + static_cast<int32_t>(at.sequence), 1};
    run.process = {5'000 + static_cast<int32_t>(at.sequence), 2};
    run.attempt = runtime.attempts[at.uid];
    run.spawned_at = clock.wall();
    run.started_at = clock.wall();
    run.execed_at = execed ? clock.wall() : 0;
    at.run = run;
    manager->on_record(at.sequence);
  }
  void record_phase(std::string_view name, RunPhase phase, const HookEnd& post_stop = {}) {
    record_run(name);
    Dir& at = dir(name);
    at.run->phase = phase;
    at.run->post_stop = post_stop;
    manager->on_record(at.sequence);
  }
  void record_end(std::string_view name, int code = 0, EndCause cause = EndCause::kEnded, bool tree_gone = false) {
    Dir& at = dir(name);
    ExitRecord end;
    end.cause = cause;
    end.wait_status = code << 8;
    end.started_at = at.run ? at.run->started_at : 0;
    end.finished_at = clock.wall();
    end.tree_gone = tree_gone;
    at.exit = end;
    at.exit_durable = true;
    manager->on_record(at.sequence);
  }
  void supervisor_gone(std::string_view name, bool clean = true) {
    Dir& at = dir(name);
    at.locked = false;
    if (clean) at.marked = false;
    manager->on_supervisor_end(at.sequence, clean);
  }
  void run_to_end(std::string_view name, int code = 0) {
    record_run(name);
    settle();
    record_end(name, code);
    settle();
    supervisor_gone(name);
    settle();
  }
  void swept(std::string_view name) {
    Dir& at = dir(name);
    at.marked = false;
    REQUIRE(runtime.sweeping.erase(at.sequence) == 1);
    manager->on_swept(at.sequence);
    settle();
  }

  size_t count(std::string_view line) const {
    size_t times = 0;
    for (const std::string& one : journal) times += one == line;
    return times;
  }
  /// Place of the first such line; the journal's size when there is none.
  size_t place_of(std::string_view line) const {
    for (size_t i = 0; i < journal.size(); ++i) {
      if (journal[i] == line) return i;
    }
    return journal.size();
  }
  bool before(std::string_view first, std::string_view second) const {
    return count(first) > 0 && count(second) > 0 && place_of(first) < place_of(second);
  }
  std::string names() const {
    std::string text;
    for (const Task* one : manager->list()) {
      text += text.empty() ? "" : " ";
      text += one->deleting() ? "-" : "";
      text += one->name;
    }
    return text;
  }
  std::string reason(std::string_view name) const { return std::string(status_of(task(name)).reason); }

  Journal journal;
  FakeClock clock;
  NullSink sink;
  Log log{sink, clock};
  FakeStore store{journal, clock};
  FakeRuntime runtime{journal, store};
  RecordingObserver observer{journal};
  ManagerOptions options;
  std::unique_ptr<Manager> manager;
  uint64_t ticket = 0;
};

}  // namespace te::fake

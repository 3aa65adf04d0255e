#include "runtime/process_runtime.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <utility>

#include "reactor/notifier_watch.h"
#include "runtime/helpers.h"
#include "runtime/inner_reaper.h"
#include "runtime/supervisor.h"
#include "sys/fs.h"
#include "sys/process.h"
#include "sys/process_environment.h"

namespace te {

namespace {

constexpr MonoNanos kTrashDelay = 50 * kMillisecond;  ///< many deletions make one unlinker
constexpr MonoNanos kStartPause = kMillisecond;       ///< those before it get to their exec, the loop goes on
constexpr MonoNanos kHelperRetry = 200 * kMillisecond;
constexpr MonoNanos kTrashPauseMax = 60 * kSecond;  ///< what can't be unlinked now, most likely can't be soon
constexpr MonoNanos kSweepPauseMax = 10 * kSecond;
constexpr size_t kSweepBatch = 512;
constexpr uint32_t kLeftoversCounted = 256;  ///< more of them would cost the loop its 5 ms
constexpr int kNoWatch = -1;

bool ended_well(const std::optional<sys::ChildEnd>& end) {
  return end && WIFEXITED(end->status) && WEXITSTATUS(end->status) == 0;
}

}  // namespace

struct ProcessRuntime::Run {
  uint64_t id;
  std::unique_ptr<Child> child;
  MonoNanos began_at = 0;  ///< 0: it has got to its command's exec, or its end
  int watch_number = kNoWatch;
};

ProcessRuntime::ProcessRuntime(Reactor& reactor, Log& log, ProcessRuntimeOptions options, BaseEnvironment environment)
    : reactor_(reactor),
      log_(log),
      options_(std::move(options)),
      environment_(std::move(environment)),
      stock_(reactor, spawner_, child_handler()),
      start_timer_(reactor, turn_),
      helper_timer_(reactor, *this),
      sweep_pause_(kHelperRetry),
      trash_pause_(kHelperRetry) {}

ProcessRuntime::~ProcessRuntime() = default;

Result<void> ProcessRuntime::open(RuntimeEvents& events) {
  events_ = &events;
  Result<Fd> self = options_.sidecar.enabled ? sys::open_self_sealed() : sys::open_self();
  if (!self && options_.sidecar.enabled) {
    log_.warning("tasks in the main container can see the agent's own program file: no sealed copy could be made",
                 {{"error", self.error().text()}});
    self = sys::open_self();
  }
  self_ = TRY(std::move(self));
  null_ = TRY(sys::open_at(AT_FDCWD, "/dev/null", O_RDWR));
  stock_.open(self_.get(), null_.get());
  const Result<void> opened = watch_notifier(reactor_, notifier_, notifier_watch_, *this);
  tell_watching(opened ? nullptr : &opened.error());
  return {};
}

// The user's limits of inotify (instances, watches), shared with all his other programs, are no reason to stay away or
// to refuse a task: pidfds tell that a run is over, and what else its records say the tick sees, only later.
void ProcessRuntime::tell_watching(const Error* trouble) {
  if (records_watched_ == (trouble == nullptr)) return;
  records_watched_ = trouble == nullptr;
  if (records_watched_) {
    log_.info("records are watched again");
  } else {
    log_.warning("records are looked at by the tick only", {{"error", trouble->text()}});
  }
}

Result<int> ProcessRuntime::add_watch(const Task& task) {
  TRY(watch_notifier(reactor_, notifier_, notifier_watch_, *this));
  return notifier_.add((options_.data_dir + "/" + task.name).c_str());
}

int ProcessRuntime::watch_records(const Task& task) {
  const Result<int> number = add_watch(task);
  tell_watching(number ? nullptr : &number.error());
  if (!number) return kNoWatch;
  watched_[*number] = task.sequence;
  return *number;
}

void ProcessRuntime::unwatch_records(int number) {
  if (number == kNoWatch) return;
  watched_.erase(number);
  notifier_.remove(number);
}

// Kept even where it can't be watched: its end is still to be reaped, by whoever adopts it.
Result<void> ProcessRuntime::hold(const Task& task, std::unique_ptr<Child> child, int watch_number) {
  auto run = std::make_unique<Run>();
  run->id = task.sequence;
  run->child = std::move(child);
  run->watch_number = watch_number;
  Child& held = *run->child;
  runs_[task.sequence] = std::move(run);
  return held.watched() ? Result<void>() : held.start(reactor_);
}

void ProcessRuntime::expect_start(const Task&, size_t coming) { stock_.expect(coming); }

// More would only take the processor from those that are further, and from us. One that takes long (a file system that
// hangs) does not count.
bool ProcessRuntime::room_to_begin() {
  if (beginning_.size() < options_.starts_at_once) return true;
  MonoNanos first = kNever;
  std::erase_if(beginning_, [&](uint64_t id) {
    const auto at = runs_.find(id);
    if (at == runs_.end() || at->second->began_at == 0 || at->second->began_at + options_.start_takes <= reactor_.now())
      return true;
    first = std::min(first, at->second->began_at + options_.start_takes);
    return false;
  });
  if (beginning_.size() < options_.starts_at_once) return true;
  turn_at(first);
  return false;
}

void ProcessRuntime::turn_at(MonoNanos when) {
  if (!start_timer_.armed() || when < start_timer_.deadline()) start_timer_.set(when);
}

bool ProcessRuntime::can_start(const Task&) {
  if (!room_to_begin()) return false;
  const MonoNanos when = stock_.ready_at();
  if (when == 0 && (stock_.has_one() || spawner_.ready())) return true;
  turn_at(when != 0 ? when : reactor_.now() + kStartPause);
  return false;
}

Result<bool> ProcessRuntime::start(const Task& task, int32_t attempt) {
  Result<bool> started = start_supervisor(task, attempt);
  if (started) return started;
  const int error = started.error().code;
  if (error == EMFILE || error == ENFILE || error == ENOMEM || error == EAGAIN) stock_.make_room();
  return started;
}

Result<bool> ProcessRuntime::start_supervisor(const Task& task, int32_t attempt) {
  const Fd dir = TRY(sys::open_dir_at(options_.root, task.name));
  if (!TRY(sys::try_flock(dir.get()))) return Error{ErrorKind::kSystem, EBUSY, "another supervisor holds the task"};
  const Fd plan =
      TRY(sys::make_memfd("task-plan", encode_plan(task, attempt, environment_, options_.limits, options_.sidecar)));
  const int watch_number = watch_records(task);  // before the supervisor can write anything
  Result<std::unique_ptr<Child>> child = new_supervisor(task.name, dir.get(), plan.get());
  if (!child) {
    unwatch_records(watch_number);
    return std::move(child).error();
  }
  // From here on it lives, whatever else fails: then it is adopted later.
  const Result<void> held = hold(task, std::move(child).value(), watch_number);
  if (watch_number != kNoWatch) {
    beginning_.push_back(task.sequence);
    runs_[task.sequence]->began_at = reactor_.now();
  }
  if (held) return true;
  log_.warning("supervisor can't be watched yet", {{"task", task.name}, {"error", held.error().text()}});
  return false;
}

Result<std::unique_ptr<Child>> ProcessRuntime::new_supervisor(const std::string& name, int dir, int plan) {
  if (std::unique_ptr<Child> child = stock_.start({dir, plan}, name)) return child;
  const std::array<const char*, 3> argv = {kSupervisorName, name.c_str(), nullptr};
  const std::array<const char*, 1> envp = {nullptr};
  const std::array<sys::FdMap, 5> fds = {
      {{null_.get(), 0}, {null_.get(), 1}, {null_.get(), 2}, {dir, kSupervisorDirFd}, {plan, kSupervisorPlanFd}}};
  sys::Spawned spawned = TRY(spawner_.start({self_.get(), argv.data(), envp.data(), fds}));
  return std::make_unique<Child>(std::move(spawned.pidfd), spawned.pid, child_handler());
}

Result<bool> ProcessRuntime::adopt(const Task& task) {
  if (const auto at = runs_.find(task.sequence); at != runs_.end()) {
    if (!at->second->child->watched()) TRY(at->second->child->start(reactor_));
  } else {
    if (task.run.supervisor.pid == 0) return false;
    Fd pidfd = TRY(sys::open_process(task.run.supervisor));
    if (!pidfd.valid()) pidfd = sys::open_hidden_process(task.run.supervisor.pid);  // its lock is not free
    if (!pidfd.valid()) return false;
    auto child = std::make_unique<Child>(std::move(pidfd), task.run.supervisor.pid, child_handler());
    TRY(hold(task, std::move(child), watch_records(task)));
  }
  events_->on_record(task.sequence);  // what was written before the watch
  return true;
}

void ProcessRuntime::signal(const Task& task, int number) {
  const auto at = runs_.find(task.sequence);
  if (at == runs_.end()) return;
  const Result<void> sent = at->second->child->signal(number);
  if (!sent) log_.error("supervisor can't be signalled", {{"task", task.name}, {"error", sent.error().text()}});
}

void ProcessRuntime::stop(const Task& task) {
  signal(task, SIGTERM);
  wake(task);
}

void ProcessRuntime::sweep(const Task& task) {
  signal(task, SIGUSR1);
  wake(task);
}

void ProcessRuntime::wake(const Task& task) { signal(task, SIGCONT); }

uint32_t ProcessRuntime::count_leftovers(const Task& task) {
  const auto at = runs_.find(task.sequence);
  return at == runs_.end() ? 0 : sys::count_descendants(at->second->child->pid(), kLeftoversCounted, kInnerReaperName);
}

void ProcessRuntime::on_io(uint32_t) {
  struct Visitor final : sys::Notifier::Visitor {
    explicit Visitor(ProcessRuntime& owner) : runtime(owner) {}
    ProcessRuntime& runtime;
    void visit(int number, sys::Notifier::Change change, std::string_view name) override {
      if (change == sys::Notifier::Change::kLost) {
        runtime.beginning_.clear();
        for (const auto& [id, run] : runtime.runs_) runtime.events_->on_record(id);
        return;
      }
      const auto at = runtime.watched_.find(number);
      const bool ended = name == "exit.json";
      if (at == runtime.watched_.end() || (!ended && name != "run.json")) return;  // its logs are given to their user
      if (const auto run = runtime.runs_.find(at->second); run != runtime.runs_.end()) run->second->began_at = 0;
      ended ? runtime.events_->on_end(at->second) : runtime.events_->on_record(at->second);
    }
  } visitor(*this);
  (void)notifier_.read(visitor);
}

void ProcessRuntime::on_child_end(Child& child, const std::optional<sys::ChildEnd>& end) {
  if (stock_.ended(child, end)) return;
  if (&child == sweeper_.get()) {
    sweeper_.reset();
    sweeper_ended(ended_well(end));
    return;
  }
  if (&child == unlinker_.get()) {
    unlinker_.reset();
    MonoNanos pause = kTrashDelay;
    if (ended_well(end)) {
      trash_pause_ = kHelperRetry;
    } else {
      log_.warning("the trash could not be emptied; it is tried again");
      trash_due_ = true;
      pause = std::exchange(trash_pause_, std::min(2 * trash_pause_, kTrashPauseMax));
    }
    if (trash_due_) helper_due(reactor_.now() + pause);
    return;
  }
  for (auto at = runs_.begin(); at != runs_.end(); ++at) {
    if (at->second->child.get() != &child) continue;
    const std::unique_ptr<Run> run = std::move(at->second);
    runs_.erase(at);
    if (end && WIFEXITED(end->status) && WEXITSTATUS(end->status) == kSupervisorNotNow) stock_.make_room();
    unwatch_records(run->watch_number);
    events_->on_supervisor_end(run->id, ended_well(end));
    return;
  }
}

Result<std::unique_ptr<Child>> ProcessRuntime::spawn_helper(const std::vector<const char*>& argv, int fd) {
  const std::array<const char*, 1> envp = {nullptr};
  const std::array<sys::FdMap, 4> fds = {{{null_.get(), 0}, {null_.get(), 1}, {null_.get(), 2}, {fd, kUnlinkerDirFd}}};
  sys::Spawned spawned = TRY(spawner_.start({self_.get(), argv.data(), envp.data(), fds}));
  auto child = std::make_unique<Child>(std::move(spawned.pidfd), spawned.pid, child_handler());
  if (Result<void> watching = child->start(reactor_); !watching) {
    child->abandon();
    return std::move(watching).error();
  }
  return child;
}

// One timer for both: whoever is due first calls the other one too.
void ProcessRuntime::helper_due(MonoNanos at) {
  if (!helper_timer_.armed() || at < helper_timer_.deadline()) helper_timer_.set(at);
}

void ProcessRuntime::sweep_by_mark(const Task& task) {
  sweeps_due_.push_back({task.sequence, task.uid});
  if (!sweeper_) helper_due(0);
}

void ProcessRuntime::start_sweeper() {
  const size_t count = std::min(sweeps_due_.size(), kSweepBatch);
  sweeps_running_.assign(sweeps_due_.begin(), sweeps_due_.begin() + static_cast<ptrdiff_t>(count));
  std::vector<std::string> uids;
  for (const Sweep& sweep : sweeps_running_) uids.emplace_back(sweep.uid.view());
  std::vector<const char*> argv = {kSweeperName};
  for (const std::string& uid : uids) argv.push_back(uid.c_str());
  argv.push_back(nullptr);
  Result<Fd> left = sys::make_memfd("sweeper-left", {});
  Result<std::unique_ptr<Child>> child = left ? spawn_helper(argv, left->get()) : left.error();
  if (!child) {
    log_.error("sweeper can't be started; it is tried again", {{"error", child.error().text()}});
    sweeps_running_.clear();
    helper_due(reactor_.now() + kHelperRetry);
    return;
  }
  sweeper_ = std::move(child).value();
  sweeper_left_ = std::move(left).value();
  sweeps_due_.erase(sweeps_due_.begin(), sweeps_due_.begin() + static_cast<ptrdiff_t>(count));
}

void ProcessRuntime::sweeper_ended(bool well) {
  std::vector<Sweep> batch;
  batch.swap(sweeps_running_);
  std::string left(batch.size() * sizeof(Uid), '\0');
  const Result<size_t> size = sys::read_at(sweeper_left_.get(), left.data(), left.size(), 0);
  sweeper_left_.reset();
  if (!well || !size) {
    sweeps_due_.insert(sweeps_due_.end(), batch.begin(), batch.end());
    return helper_due(reactor_.now() + kHelperRetry);
  }
  left.resize(*size);
  if (sweeps_put_off_.empty() && left.empty()) sweep_pause_ = kHelperRetry;
  if (!left.empty() && put_off_until_ <= reactor_.now()) {
    put_off_until_ = reactor_.now() + sweep_pause_;
    sweep_pause_ = std::min(2 * sweep_pause_, kSweepPauseMax);
  }
  for (const Sweep& sweep : batch) {
    if (left.find(sweep.uid.view()) == std::string::npos) {
      events_->on_swept(sweep.id);
    } else {
      sweeps_put_off_.push_back(sweep);
      events_->on_sweep_put_off(sweep.id);
    }
  }
  if (!sweeps_due_.empty() || !sweeps_put_off_.empty()) helper_due(sweeps_due_.empty() ? put_off_until_ : 0);
}

void ProcessRuntime::empty_trash() {
  trash_due_ = true;
  if (!unlinker_) helper_due(reactor_.now() + kTrashDelay);
}

void ProcessRuntime::start_unlinker() {
  Result<std::unique_ptr<Child>> child = spawn_helper({kUnlinkerName, nullptr}, options_.trash->get());
  if (!child) {
    log_.error("unlinker can't be started; it is tried again", {{"error", child.error().text()}});
    helper_due(reactor_.now() + kHelperRetry);
    return;
  }
  unlinker_ = std::move(child).value();
  trash_due_ = false;
}

void ProcessRuntime::on_timer() {
  if (!spawner_.ready()) return helper_due(reactor_.now() + kStartPause);
  if (put_off_until_ > reactor_.now()) {
    if (!sweeps_put_off_.empty()) helper_due(put_off_until_);
  } else if (sweeps_due_.empty()) {
    sweeps_due_.swap(sweeps_put_off_);
  }
  if (!sweeper_ && !sweeps_due_.empty()) start_sweeper();
  if (!unlinker_ && trash_due_ && spawner_.ready()) return start_unlinker();
  if (!unlinker_ && trash_due_) helper_due(reactor_.now() + kStartPause);
}

bool ProcessRuntime::awaits(int32_t pid) const {
  if (stock_.awaits(pid)) return true;
  if (sweeper_ && sweeper_->pid() == pid) return true;
  if (unlinker_ && unlinker_->pid() == pid) return true;
  for (const auto& [id, run] : runs_) {
    if (run->child->watched() && run->child->pid() == pid) return true;
  }
  return false;
}

Result<std::vector<std::string>> living_marks() {
  struct Collector final : sys::MarkVisitor {
    std::vector<std::string> uids;
    void visit(int, std::string_view value) override { uids.emplace_back(value); }
  } collector;
  TRY(sys::visit_marked(kRunMark, collector));
  return std::move(collector.uids);
}

}  // namespace te

#include "runtime/container_runtime.h"

#include <algorithm>
#include <cerrno>

#include "sys/fs.h"

namespace te {

namespace {

constexpr MonoNanos kKeepConnection = 10 * kSecond;
constexpr MonoNanos kLatePeriod = 300 * kSecond;  ///< no call that nobody waits for any more is answered later
constexpr MonoNanos kLateTick = 10 * kSecond;

}  // namespace

ContainerRuntime::ContainerRuntime(PodSettings settings, CriConnector& connector, RunStore& store, const Clock& clock,
                                   Log& log)
    : settings_(std::move(settings)), connector_(connector), store_(store), clock_(clock), log_(log) {}

ContainerRuntime::~ContainerRuntime() = default;

void ContainerRuntime::open(RuntimeEvents& events) {
  events_ = &events;
  if (!sys::exists_at(settings_.root, kOwnerFile)) return;  // there was no container task ever
  // Of calls of an earlier agent, whose tasks may have gone. What fails here is told by the next container task.
  if (store_.owner(settings_.owner)) expect_late_ones();
}

cri::Client& ContainerRuntime::client() {
  if (client_ == nullptr) client_ = &connector_.connect(*this);
  return *client_;
}

std::vector<ContainerRuntime::Held>::iterator ContainerRuntime::place_of(uint64_t id) {
  return std::ranges::lower_bound(runs_, id, {}, &Held::id);
}

PodRun* ContainerRuntime::find(uint64_t id) {
  const auto at = place_of(id);
  return at == runs_.end() || at->id != id ? nullptr : at->run.get();
}

PodRun& ContainerRuntime::hold(std::unique_ptr<PodRun> run) {
  Held held{run->id(), kNever, std::move(run)};
  return *runs_.insert(place_of(held.id), std::move(held))->run;
}

/// For a walk in which some may go.
std::vector<uint64_t> ContainerRuntime::ids(MonoNanos due_by) const {
  std::vector<uint64_t> out;
  for (const Held& one : runs_) {
    if (one.due <= due_by) out.push_back(one.id);
  }
  return out;
}

Result<bool> ContainerRuntime::start(const Task& task, int32_t attempt) {
  const PodSpec& pod = task.spec.pod->pod;
  // By its labels: what is made now would go with it.
  if (orphans_.contains(std::string(task.uid.view())))
    return Error{ErrorKind::kSystem, EBUSY, "what an earlier attempt has left is being removed"};
  TRY(store_.owner(settings_.owner));
  TRY(make_pod_folders(pod, {settings_.root, settings_.data_dir, task.name, &settings_.volumes}));
  RunRecord run;
  run.attempt = attempt;
  run.spawned_at = clock_.wall();
  run.pod = PodRecord();
  run.pod->begun_at = run.spawned_at;
  run.pod->containers.resize(pod.size());
  TRY(store_.write_run(task, run, true));
  hold(std::make_unique<PodRun>(task, std::move(run), settings_, static_cast<PodHost&>(*this), store_, clock_, log_))
      .begin();
  return true;
}

Result<bool> ContainerRuntime::adopt(const Task& task) {
  TRY(store_.owner(settings_.owner));
  Result<std::optional<RunRecord>> run = store_.read_run(task);
  // Out of descriptors, say: no reason to give up what runs. It is tried again.
  if (!run.ok() && run.error().kind == ErrorKind::kSystem) return std::move(run).error();
  const bool readable = run.ok() && run->has_value() && (*run)->pod;
  PodRun& added = hold(std::make_unique<PodRun>(task, readable ? std::move(**run) : RunRecord(), settings_,
                                                static_cast<PodHost&>(*this), store_, clock_, log_));
  const auto begun = [](const ContainerRecord& one) { return one.begun; };
  // Its RunPodSandbox or CreateContainer may be under way.
  if (task.end == nullptr && !std::ranges::all_of(added.record().containers, begun)) expect_late_ones();
  if (readable || task.end != nullptr) {
    added.adopt(task.end != nullptr);
  } else {
    added.give_up();
  }
  return true;
}

void ContainerRuntime::stop(const Task& task) {
  if (PodRun* run = find(task.sequence)) run->stop();
}

Result<void> ContainerRuntime::take_step(const Task& task) {
  PodRun* run = find(task.sequence);
  return run != nullptr ? run->take_step() : Result<void>();
}

bool ContainerRuntime::busy() const {
  return std::ranges::any_of(runs_, [](const Held& one) { return one.run->busy(); });
}

void ContainerRuntime::on_run_step_due(PodRun& run) { events_->on_step_due(run.id()); }
void ContainerRuntime::on_run_changed(PodRun& run) { events_->on_pod(run.id(), run.record()); }
void ContainerRuntime::on_run_recorded(PodRun& run) { events_->on_end(run.id()); }

void ContainerRuntime::on_run_gone(PodRun& run) {
  const uint64_t id = run.id();
  const auto at = place_of(id);
  graveyard_.push_back(std::move(at->run));
  runs_.erase(at);
  note_end();
  events_->on_supervisor_end(id, true);
}

void ContainerRuntime::note_end() {
  poll_fresh_ = look_fresh_ = false;
  idle_since_ = clock_.mono();
  wake_at(idle_since_);
}

void ContainerRuntime::expect_late_ones() {
  const MonoNanos now = clock_.mono();
  if (late_until_ == 0) next_late_ = now + kLateTick;
  late_until_ = now + kLatePeriod;
  wake_at(next_late_);
}

void ContainerRuntime::wake_at(MonoNanos when) { next_ = std::min(next_, when); }

void ContainerRuntime::wake_at(const PodRun& run, MonoNanos when) {
  const auto at = place_of(run.id());
  if (at == runs_.end() || at->run.get() != &run) return;  // it has gone
  at->due = std::min(at->due, when);
  poll_due_ = std::min(poll_due_, run.next_poll());
  wake_at(when);
}

void ContainerRuntime::tick() {
  const MonoNanos now = clock_.mono();
  if (now < next_) return;
  next_ = kNever;
  graveyard_.clear();
  cleaned_.clear();
  const std::vector<uint64_t> due = ids(now);
  for (Held& one : runs_) {
    if (one.due <= now) one.due = kNever;
    wake_at(one.due);
  }
  for (const uint64_t id : due) {
    if (PodRun* run = find(id)) run->tick();
  }
  if (now >= not_before_) {
    for (const auto& [uid, cleaner] : orphans_) cleaner->start();
  } else if (!orphans_.empty()) {
    wake_at(not_before_);
  }
  look_for_late_ones();
  poll();
  if (!idle() || client_ == nullptr) return;
  if (now < idle_since_ + kKeepConnection) return wake_at(idle_since_ + kKeepConnection);
  poll_call_.reset();
  orphan_call_.reset();
  events_call_.reset();
  orphans_due_ = true;
  client_ = nullptr;
  connector_.release();
}

cri::Labels ContainerRuntime::owned() const { return {{std::string(kOwnerLabel), settings_.owner}}; }

// One list for all of them, as often as the one in the greatest hurry wants it.
void ContainerRuntime::poll() {
  const MonoNanos now = clock_.mono();
  if (now >= poll_due_) {
    poll_due_ = kNever;
    for (const Held& one : runs_) poll_due_ = std::min(poll_due_, one.run->next_poll());
  }
  if (poll_due_ == kNever || poll_call_.waiting()) return;
  const MonoNanos due = std::max(poll_due_, not_before_);
  if (now < due) return wake_at(due);
  list();
}

void ContainerRuntime::list() {
  if (poll_call_.waiting()) return;
  cri::ListContainersRequest request;
  request.labels = owned();
  polled_at_ = clock_.mono();
  poll_fresh_ = true;
  poll_call_ = client().list_containers(request, *this);
}

void ContainerRuntime::on_reply(cri::CallId, cri::Outcome<cri::ListContainersResponse>& outcome) {
  poll_call_.reset();
  wake_at(clock_.mono());  // the next poll's time is reckoned in tick()
  if (outcome.failure) {
    not_before_ = clock_.mono() + settings_.tick;
    if (outcome.failure->status.code != GrpcCode::kUnavailable && !std::exchange(list_trouble_, true))
      log_.warning("containers can't be listed", {{"error", outcome.failure->text()}});
    return;
  }
  list_trouble_ = false;
  SeenContainers seen;
  for (const cri::ContainerSummary& one : outcome.response.containers) seen[one.id].summary = &one;
  poll_due_ = kNever;
  for (const uint64_t id : ids()) {
    PodRun* run = find(id);
    if (run == nullptr) continue;
    run->observe(seen, polled_at_);
    poll_due_ = std::min(poll_due_, run->next_poll());  // one that has gone meanwhile is in the graveyard
  }
  if (!poll_fresh_) {  // what it has may just have been removed with its run
    if (runs_.empty()) list();
    return;
  }
  const auto taken = [](const auto& one) { return one.second.taken; };
  if (std::ranges::all_of(seen, taken)) return;
  const Uids known = known_uids();
  for (const auto& [id, one] : seen) {
    if (!one.taken) remove_orphan(cri::find_label(one.summary->labels, kUidLabel), known);
  }
}

void ContainerRuntime::on_runtime_up(const cri::VersionResponse& runtime) {
  log_.info("container runtime is there", {{"name", runtime.runtime_name}, {"version", runtime.runtime_version}});
  not_before_ = 0;
  for (const uint64_t id : ids()) {
    if (PodRun* run = find(id)) run->hurry();
  }
  wake_at(clock_.mono());
  if (!events_unsupported_ && !events_call_.waiting() && cri::broadcasts_events(runtime)) {
    events_call_ = client().watch_events(*this);
  }
  look_for_orphans();
}

void ContainerRuntime::on_runtime_down(std::string_view why) {
  orphans_due_ = true;  // what was being made may be there, and its task deleted meanwhile
  if (!idle()) log_.warning("container runtime can't be reached", {{"error", why}});
}

void ContainerRuntime::on_container_event(const cri::ContainerEvent& event) {
  if (event.type != cri::ContainerEvent::Type::kStopped) return;
  for (const uint64_t id : ids()) {
    if (PodRun* run = find(id)) run->hint(event.container_id);
  }
}

void ContainerRuntime::on_events_end(const cri::Failure& failure) {
  events_call_.reset();
  events_unsupported_ = events_unsupported_ || failure.verdict == cri::Verdict::kUnsupported;
}

// Of a task whose directory somebody has taken away, or put into quarantine.
void ContainerRuntime::look_for_orphans() {
  if (!orphans_due_ || orphan_call_.waiting()) return;
  list();  // a container may outlive its sandbox
  cri::ListPodSandboxRequest request;
  request.labels = owned();
  look_fresh_ = true;
  orphan_call_ = client().list_pod_sandbox(request, *this);
}

// A sandbox or container that appears when its task has already been deleted.
void ContainerRuntime::look_for_late_ones() {
  if (late_until_ == 0) return;
  const MonoNanos now = clock_.mono();
  if (now >= next_late_) {
    next_late_ = now + kLateTick;
    if (now >= late_until_) late_until_ = 0;
    orphans_due_ = true;
    look_for_orphans();
  }
  if (late_until_ != 0) wake_at(next_late_);
}

void ContainerRuntime::on_reply(cri::CallId, cri::Outcome<cri::ListPodSandboxResponse>& outcome) {
  orphan_call_.reset();
  wake_at(clock_.mono());
  if (outcome.failure) return;  // with the next connection
  if (!look_fresh_) return look_for_orphans();
  orphans_due_ = false;
  const Uids known = known_uids();
  for (const cri::SandboxSummary& one : outcome.response.items) {
    remove_orphan(cri::find_label(one.labels, kUidLabel), known);
  }
}

ContainerRuntime::Uids ContainerRuntime::known_uids() const {
  Uids out;
  for (const Held& one : runs_) out[one.run->task().uid.view()] = {};
  return out;
}

void ContainerRuntime::remove_orphan(std::string_view uid, const Uids& known) {
  if (uid.empty() || known.contains(uid)) return;
  std::string key(uid);
  if (orphans_.contains(key) || events_->is_supervised(uid)) return;
  log_.warning("a pod of a task that is not there is removed", {{"uid", uid}});
  cri::Labels labels = owned();
  labels.push_back({std::string(kUidLabel), key});
  auto cleaner = std::make_unique<PodCleaner>(client(), std::move(labels), 0, static_cast<PodCleanerOwner&>(*this));
  cleaner->start();
  orphans_[std::move(key)] = std::move(cleaner);
}

void ContainerRuntime::on_clean(PodCleaner& cleaner) {
  for (auto at = orphans_.begin(); at != orphans_.end(); ++at) {
    if (at->second.get() != &cleaner) continue;
    cleaned_.push_back(std::move(at->second));
    orphans_.erase(at);
    break;
  }
  note_end();
}

void ContainerRuntime::on_clean_trouble(PodCleaner&, std::string_view why) {
  log_.debug("a leftover pod can't be removed now", {{"error", cut_text(why)}});
  not_before_ = clock_.mono() + settings_.tick;
  wake_at(not_before_);
}

}  // namespace te

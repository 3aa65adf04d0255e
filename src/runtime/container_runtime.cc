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

PodRun* ContainerRuntime::find(const Task& task) {
  const auto at = runs_.find(task.sequence);
  return at == runs_.end() ? nullptr : at->second.get();
}

std::vector<uint64_t> ContainerRuntime::ids() const {
  std::vector<uint64_t> out;
  for (const auto& [id, run] : runs_) out.push_back(id);
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
  auto made =
      std::make_unique<PodRun>(task, std::move(run), settings_, static_cast<PodHost&>(*this), store_, clock_, log_);
  PodRun& added = *made;
  runs_[task.sequence] = std::move(made);
  added.begin();
  return true;
}

Result<bool> ContainerRuntime::adopt(const Task& task) {
  TRY(store_.owner(settings_.owner));
  Result<std::optional<RunRecord>> run = store_.read_run(task);
  // Out of descriptors, say: no reason to give up what runs. It is tried again.
  if (!run.ok() && run.error().kind == ErrorKind::kSystem) return std::move(run).error();
  const bool readable = run.ok() && run->has_value() && (*run)->pod;
  auto made = std::make_unique<PodRun>(task, readable ? std::move(**run) : RunRecord(), settings_,
                                       static_cast<PodHost&>(*this), store_, clock_, log_);
  PodRun& added = *made;
  runs_[task.sequence] = std::move(made);
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
  if (PodRun* run = find(task)) run->stop();
}

Result<void> ContainerRuntime::take_step(const Task& task) {
  PodRun* run = find(task);
  return run != nullptr ? run->take_step() : Result<void>();
}

bool ContainerRuntime::busy() const {
  return std::ranges::any_of(runs_, [](const auto& run) { return run.second->busy(); });
}

void ContainerRuntime::on_run_step_due(PodRun& run) { events_->on_step_due(run.id()); }
void ContainerRuntime::on_run_changed(PodRun& run) { events_->on_pod(run.id(), run.record()); }
void ContainerRuntime::on_run_recorded(PodRun& run) { events_->on_end(run.id()); }

void ContainerRuntime::on_run_gone(PodRun& run) {
  const uint64_t id = run.id();
  const auto at = runs_.find(id);
  graveyard_.push_back(std::move(at->second));
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

void ContainerRuntime::tick() {
  const MonoNanos now = clock_.mono();
  if (now < next_) return;
  next_ = kNever;
  graveyard_.clear();
  cleaned_.clear();
  for (const uint64_t id : ids()) {
    const auto at = runs_.find(id);
    if (at != runs_.end()) at->second->tick();
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

// One list for all of them, as often as the one in the greatest hurry wants it.
void ContainerRuntime::poll() {
  MonoNanos due = kNever;
  for (const auto& [id, run] : runs_) due = std::min(due, run->next_poll());
  if (due == kNever || poll_call_.waiting()) return;
  due = std::max(due, not_before_);
  if (clock_.mono() < due) return wake_at(due);
  list();
}

void ContainerRuntime::list() {
  if (poll_call_.waiting()) return;
  cri::ListContainersRequest request;
  request.labels = {{std::string(kOwnerLabel), settings_.owner}};
  polled_at_ = clock_.mono();
  poll_fresh_ = true;
  poll_call_ = client().list_containers(request, *this);
}

void ContainerRuntime::on_reply(cri::CallId, cri::Outcome<cri::ListContainersResponse>& outcome) {
  poll_call_.reset();
  wake_at(clock_.mono());  // the next poll's time is reckoned in tick()
  if (outcome.failure) {
    not_before_ = clock_.mono() + settings_.tick;
    return;
  }
  SeenContainers seen;
  for (const cri::ContainerSummary& one : outcome.response.containers) seen[one.id] = &one;
  for (const uint64_t id : ids()) {
    const auto at = runs_.find(id);
    if (at != runs_.end()) at->second->observe(seen, polled_at_);
  }
  if (!poll_fresh_) {  // what it has may just have been removed with its run
    if (runs_.empty()) list();
    return;
  }
  const Uids known = known_uids();
  for (const auto& [id, one] : seen) remove_orphan(cri::find_label(one->labels, kUidLabel), known);
}

void ContainerRuntime::on_runtime_up(const cri::VersionResponse& runtime) {
  log_.info("container runtime is there", {{"name", runtime.runtime_name}, {"version", runtime.runtime_version}});
  not_before_ = 0;
  for (const uint64_t id : ids()) {
    const auto at = runs_.find(id);
    if (at != runs_.end()) at->second->hurry();
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
    const auto at = runs_.find(id);
    if (at != runs_.end()) at->second->hint(event.container_id);
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
  request.labels = {{std::string(kOwnerLabel), settings_.owner}};
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
  for (const auto& [id, run] : runs_) out[run->task().uid.view()] = nullptr;
  return out;
}

void ContainerRuntime::remove_orphan(std::string_view uid, const Uids& known) {
  if (uid.empty() || known.contains(uid) || orphans_.contains(std::string(uid)) || events_->is_supervised(uid)) return;
  log_.warning("a pod of a task that is not there is removed", {{"uid", uid}});
  const cri::Labels labels = {{std::string(kOwnerLabel), settings_.owner}, {std::string(kUidLabel), std::string(uid)}};
  auto cleaner = std::make_unique<PodCleaner>(client(), labels, 0, static_cast<PodCleanerOwner&>(*this));
  cleaner->start();
  orphans_[std::string(uid)] = std::move(cleaner);
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

#include "runtime/pod_run.h"

#include <algorithm>
#include <cerrno>

namespace te {

namespace {

constexpr MonoNanos kLastRenewalDelay = 10 * kSecond;
constexpr int kMostDoublings = 5;
constexpr int kWaitShift = 8;
constexpr int kUnseenCode = 137;  ///< where there must be a number

MonoNanos from_micros(WallMicros micros) {
  constexpr WallMicros kMost = kNever / kMicrosecond / 2;
  return std::clamp<WallMicros>(micros, 0, kMost) * kMicrosecond;
}

/// The task's directory is not there any more: somebody has removed it by hand.
bool taken_away(const Error& error) { return error.code == ENOENT || error.code == ENOTDIR; }

RunRecord with_pod(RunRecord record) {
  if (!record.pod) record.pod = PodRecord();
  return record;
}

}  // namespace

PodRun::PodRun(const Task& task, RunRecord record, const PodSettings& settings, PodHost& host, RunStore& store,
               const Clock& clock, Log& log)
    : task_(task),
      settings_(settings),
      host_(host),
      store_(store),
      clock_(clock),
      log_(log),
      run_(with_pod(std::move(record))),
      images_(settings, clock, *this),
      meter_(rec()) {
  rec().containers.resize(pod().size());
  live_.resize(pod().size());
  for (size_t i = 0; i < pod().size(); ++i) {
    ContainerRecord& one = rec().containers[i];
    if (one.reason.empty() && !one.ended()) one.reason = reason_to_wait(i);
  }
}

PodIdentity PodRun::identity() const {
  PodIdentity out;
  out.owner = settings_.owner;
  out.name = task_.name;
  out.uid = task_.uid;
  out.run = run_.attempt;
  out.attempt = record().attempt;
  out.log_directory = settings_.data_dir + "/" + task_.name + "/" + std::string(kPodLogsFolder);
  out.host_network = settings_.host_network;
  return out;
}

cri::Labels PodRun::labels() const {
  return {{std::string(kOwnerLabel), settings_.owner}, {std::string(kUidLabel), std::string(task_.uid.view())}};
}

// Runtimes reckon in nanoseconds: a longer one would overflow there, and be none.
int64_t PodRun::grace() const { return std::min<int64_t>(task_.spec.grace_seconds(), INT32_MAX); }

std::string_view PodRun::reason_to_wait(size_t index) const {
  return index > 0 && !pod().init_containers.empty() ? "PodInitializing" : "ContainerCreating";
}

bool PodRun::any_begun() const {
  return std::ranges::any_of(record().containers, [](const ContainerRecord& one) { return one.begun; });
}

/// Every container has ended, or an initial one in failure.
bool PodRun::ran_to_the_end() const {
  for (size_t i = 0; i < live_.size(); ++i) {
    const ContainerRecord& one = record().containers[i];
    if (!one.ended()) return false;
    if (pod().is_init(i) && one.exit_code != 0) return true;
  }
  return true;
}

/// Nothing runs in it, and nothing will.
bool PodRun::settled(size_t index) const {
  const ContainerRecord& one = record().containers[index];
  return !one.begun || one.ended() || live_[index].given_up;
}

void PodRun::begin() {
  set_deadline();
  publish();
  advance();
}

void PodRun::adopt(bool ended) {
  removing_ = recorded_ = ended;
  must_look_ = !ended;
  asked_to_stop_ = record().step == PodStep::kStop;
  if (!ended) {
    for (size_t i = 0; i < live_.size(); ++i) {
      const ContainerRecord& one = rec().containers[i];
      live_[i].check = live_[i].start_open = one.begun && !one.ended();
      if (one.stage == ContainerStage::kRunning) live_[i].running_since = next_poll_ = next_stats_ = clock_.mono();
    }
    host_.wake_at(*this, std::min(next_poll_, next_stats_));
    set_deadline();
    publish();
  }
  advance();
}

void PodRun::give_up() { lose("its record can't be read"); }

void PodRun::stop() {
  if (stopping_) return;
  stopping_ = true;
  // An image is given up; all other calls are waited for.
  if (images_.busy()) images_.cancel();
  not_before_ = 0;
  advance();
}

void PodRun::hurry() {
  not_before_ = 0;
  tick();
}

void PodRun::tick() {
  if (gone_) return;
  const MonoNanos now = clock_.mono();
  if (record().step == PodStep::kStop || recorded_ || end_ || lost_) deadline_ = kNever;
  if (now >= deadline_) {
    deadline_ = kNever;
    log_.info("task has timed out", {{"task", task_.name}});
    rec().step = PodStep::kStop;
    for (size_t i = 0; i < live_.size(); ++i) live_[i].check = !settled(i);  // it may just have ended by itself
    images_.cancel();
    not_before_ = 0;
    due(Due::kRun);
  }
  images_.tick();
  if (now >= next_stats_) measure();
  advance();
  // All earlier wishes end with this call.
  host_.wake_at(*this, std::min({deadline_, images_.retry_at(), next_stats_}));
}

void PodRun::due(Due what) {
  const bool asked = due_ != Due::kNothing;
  due_ = std::max(due_, what);
  if (!asked) host_.on_run_step_due(*this);
}

void PodRun::back_off(MonoNanos delay, std::string_view why) {
  not_before_ = clock_.mono() + delay;
  host_.wake_at(*this, not_before_);
  for (size_t i = 0; i < live_.size(); ++i) {
    ContainerRecord& one = rec().containers[i];
    if (one.begun || one.ended()) continue;
    wait_reason(i, one.reason, cut_text(why));
    break;
  }
}

void PodRun::wait_reason(size_t index, std::string_view reason, std::string message) {
  ContainerRecord& one = rec().containers[index];
  if (one.reason == reason && one.message == message) return;
  one.reason = reason;
  one.message = std::move(message);
  publish();
}

// The wall clock, so that a deadline does not begin anew with the agent; and only once, lest a jump of it move the
// deadline of what runs.
void PodRun::set_deadline() {
  if (deadline_ != kNever) return;
  const int64_t seconds = task_.spec.timeout_seconds();
  if (seconds == 0 || record().step == PodStep::kStop) return;
  WallMicros from = run_.spawned_at;
  if (!pod().is_template) {
    const ContainerRecord& only = record().containers.back();
    if (only.started_at == 0) return;
    from = only.started_at;
  }
  constexpr int64_t kMostSeconds = kNever / kSecond / 4;
  const MonoNanos passed = from_micros(clock_.wall() - from);
  deadline_ = clock_.mono() + std::max<MonoNanos>(0, std::min(seconds, kMostSeconds) * kSecond - passed);
  host_.wake_at(*this, deadline_);
}

// What is due next. Called after everything that happens; does nothing while something is under way.
void PodRun::advance() {
  if (gone_ || due_ != Due::kNothing || call_.waiting()) return;
  if (clock_.mono() < not_before_) return host_.wake_at(*this, not_before_);
  if (removing_) return clean();
  if (must_look_) return look();
  if (check_next()) return;
  if (ending()) return stop_containers();
  if (images_.busy()) return;
  switch (record().step) {
    case PodStep::kPrepare: return prepare();
    case PodStep::kRun: return run_next();
    case PodStep::kStop:
    case PodStep::kRemoved: return;
  }
}

// One way for a stop, the deadline and a failure: what runs is asked to end, and its end is waited for.
void PodRun::stop_containers() {
  bool all = true;
  for (size_t i = 0; i < live_.size(); ++i) {
    if (settled(i)) continue;
    all = false;
    Live& live = live_[i];
    if (record().containers[i].stage == ContainerStage::kWaiting && !live.may_run) return ask(i);
    if (live.stop.waiting()) continue;
    asked_to_stop_ = true;
    live.stop_asked = clock_.mono();
    live.stop = host_.client().stop_container({record().containers[i].id, grace()}, *this);
  }
  if (!all) return;
  if (record().step == PodStep::kStop) {
    return end(!asked_to_stop_ && ran_to_the_end() ? EndCause::kEnded : EndCause::kTimeout);
  }
  if (!record().failure.empty()) return end(EndCause::kStartError);
  if (!any_begun()) {  // stopped before anything ran: as if it had never been started
    removing_ = true;
    return clean();
  }
  const bool ran_all = std::ranges::all_of(record().containers, [](const ContainerRecord& one) { return one.ended(); });
  if (ran_all) return end(EndCause::kEnded);
  rec().failure = "the pod was stopped before all of its containers had run";
  end(EndCause::kStartError);
}

void PodRun::on_reply(cri::CallId call, cri::Outcome<cri::StopContainerResponse>& outcome) {
  for (size_t i = 0; i < live_.size(); ++i) {
    Live& live = live_[i];
    if (live.stop.id() != call) continue;
    live.stop.reset();
    live.check = true;
    // Nobody asked for its state meanwhile, so that time is no part of the patience.
    const MonoNanos now = clock_.mono();
    if (live.unknown_since < now) live.unknown_since = std::min(now, live.unknown_since + now - live.stop_asked);
    // Cut off, its KILL would never come: it is made again, with what advance() finds.
    const bool again = outcome.failure && outcome.failure->verdict != cri::Verdict::kGone;
    live.stopped = !again;
    if (!again) continue;
    // That the runtime is away says nothing about the container.
    const bool away = outcome.failure->status.code == GrpcCode::kUnavailable;
    const std::string why = outcome.failure->text();
    if (away) {
      back_off(settings_.tick, why);
    } else {
      not_stopped(i, why);
    }
  }
  advance();
}

/// It is tried again, for ever: a container that may run is never told as ended.
void PodRun::not_stopped(size_t index, std::string_view why) {
  if (!stop_trouble_) {
    log_.warning("container does not end; it is stopped again, a restart of the runtime may help",
                 {{"task", task_.name}, {"container", record().containers[index].id}, {"error", cut_text(why)}});
  }
  stop_trouble_ = true;
  back_off(settings_.tick, why);
}

void PodRun::fail(std::string text) {
  rec().failure = std::move(text);
  log_.warning("container task can't be started", {{"task", task_.name}, {"error", record().failure}});
  advance();
}

void PodRun::lose(std::string_view why) {
  log_.warning("container task is lost", {{"task", task_.name}, {"reason", why}});
  lost_ = true;
  removing_ = true;
  host_.expect_late_ones();  // the runtime may know it again
  advance();
}

// All of this attempt is removed; then comes the next one.
void PodRun::renew(std::string_view why) {
  log_.warning("sandbox is made again", {{"task", task_.name}, {"reason", cut_text(why)}});
  renewing_ = true;
  removing_ = true;
  back_off_longer(why);
}

void PodRun::back_off_longer(std::string_view why) {
  back_off(std::min(kReservedDelay << std::min(renewals_++, kMostDoublings), kLastRenewalDelay), why);
}

void PodRun::end(EndCause cause) {
  if (end_) return;
  ExitRecord end;
  end.cause = cause;
  end.spawned_at = run_.spawned_at;
  for (size_t i = 0; i < live_.size(); ++i) {
    const ContainerRecord& one = record().containers[i];
    if (!pod().is_init(i) && end.started_at == 0) end.started_at = one.started_at;
    end.finished_at = std::max(end.finished_at, one.finished_at);
  }
  if (end.finished_at == 0) end.finished_at = clock_.wall();
  end.execed_at = end.started_at;
  int32_t code = 0;  // of the first that failed, if any
  for (ContainerRecord& one : rec().containers) {
    if (lost_ && one.begun && !one.ended()) {
      one.stage = ContainerStage::kTerminated;
      one.exit_code = kUnseenCode;
      one.message = "its end was not seen, the true code is not known";
    }
    code = code != 0 ? code : one.exit_code;
  }
  end.wait_status = code << kWaitShift;
  end.pod = record();
  end_ = std::move(end);
  due(Due::kEnd);
}

Result<void> PodRun::take_step() {
  switch (due_) {
    case Due::kNothing: return {};
    case Due::kRun:
      if (Result<void> written = store_.write_run(task_, run_, true); !written) {
        if (ending()) {
          go_on_unwritten();
        } else if (taken_away(written.error())) {
          due_ = Due::kNothing;
          return lose("its directory was taken away"), Result<void>();
        } else {
          return written;
        }
      }
      break;
    case Due::kEnd:
      TRY(store_.record_end(task_, *end_));
      end_.reset();
      recorded_ = true;
      removing_ = true;
      break;
    case Due::kClear:
      if (Result<void> cleared = store_.clear_run(task_); !cleared && !taken_away(cleared.error())) return cleared;
      gone_ = true;
      break;
  }
  const bool ended = due_ == Due::kEnd;
  due_ = Due::kNothing;
  if (ended) host_.on_run_recorded(*this);
  if (gone_) return host_.on_run_gone(*this), Result<void>();
  advance();
  return {};
}

/// What is about to be ended is ended without a note, lest a full disk keep what fills it: nothing is started any more,
/// and the deadline shows anew.
void PodRun::go_on_unwritten() {
  for (size_t i = 0; i < live_.size(); ++i) {
    if (!live_[i].sure_created) continue;
    live_[i].sure_created = false;
    rec().containers[i].begun = false;
  }
}

void PodRun::clean() {
  if (!cleaner_) cleaner_.emplace(host_.client(), labels(), grace(), static_cast<PodCleanerOwner&>(*this));
  cleaner_->start();
}

void PodRun::on_clean(PodCleaner&) {
  complained_ = false;
  if (renewing_) {
    renewing_ = removing_ = false;
    rec().attempt = std::max(record().attempt, highest_attempt_) + 1;
    rec().sandbox_id.clear();
    if (record().step != PodStep::kStop) rec().step = PodStep::kPrepare;
    for (ContainerRecord& one : rec().containers) one.id.clear();
    return advance();
  }
  // How it ended is not known, why it did is.
  if (lost_ && !recorded_ && record().step == PodStep::kStop) return end(EndCause::kTimeout);
  if (!recorded_ && !lost_) return due(Due::kClear);
  if (recorded_) {
    rec().step = PodStep::kRemoved;
    const Result<void> noted = store_.write_run(task_, run_, false);
    if (!noted) log_.debug("that all is removed could not be noted", {{"task", task_.name}});
  }
  gone_ = true;
  host_.on_run_gone(*this);
}

void PodRun::on_clean_trouble(PodCleaner&, std::string_view why) {
  if (!complained_) {
    log_.warning("containers can't be removed now; it is tried again",
                 {{"task", task_.name}, {"error", cut_text(why)}});
  }
  complained_ = true;
  not_before_ = clock_.mono() + settings_.tick;
  host_.wake_at(*this, not_before_);
}

}  // namespace te

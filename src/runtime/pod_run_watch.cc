// How a PodRun learns what has become of its containers: from lists, events and, in the end, their status.
#include <algorithm>
#include <utility>

#include "runtime/pod_run.h"

namespace te {

namespace {

constexpr MonoNanos kFirstPoll = 2 * kMillisecond;
constexpr int64_t kPollShare = 8;  ///< an end is seen after an eighth of the time that the container ran, at the latest
constexpr MonoNanos kLastStats = 10 * kSecond;
constexpr int kStartErrorCode = 128;  ///< as runtimes have it
constexpr int kUnknownCode = 255;
constexpr int kLowByte = 0xff;
constexpr MonoNanos kUnknownPatience = 30 * kSecond;
constexpr int kMostRestarts = 5;
constexpr MonoNanos kCreatedDelay = 20 * kMillisecond;

/// Given up by the runtime because nobody waited for the answer any more.
bool was_cut_off(const cri::ContainerStatus& status) {
  return status.reason == "StartError" && (status.message.find("context canceled") != std::string::npos ||
                                           status.message.find("context deadline exceeded") != std::string::npos);
}

/// containerd and runc first create the task, which runs nothing, and then start it.
bool proves_no_run(const cri::ContainerStatus& status) {
  return status.message.find("failed to create containerd task") != std::string::npos;
}

}  // namespace

MonoNanos PodRun::next_poll() const { return gone_ || recorded_ ? kNever : next_poll_; }

void PodRun::observe(SeenContainers& containers, MonoNanos asked_at) {
  const MonoNanos now = clock_.mono();
  MonoNanos longest = kFirstPoll;
  bool any = false;
  for (size_t i = 0; i < live_.size(); ++i) {
    const ContainerRecord& one = rec().containers[i];
    if (one.stage != ContainerStage::kRunning) continue;
    any = true;
    if (live_[i].running_since > asked_at) continue;
    const auto at = containers.find(one.id);
    const bool there = at != containers.end();
    if (there) at->second.taken = true;
    const bool runs = there && at->second.summary->state == cri::ContainerState::kRunning;
    if (!runs && !live_[i].may_run) live_[i].check = true;
    longest = std::max(longest, (now - live_[i].running_since) / kPollShare);
  }
  next_poll_ = any ? now + std::min(longest, settings_.tick) : kNever;
  advance();
}

void PodRun::hint(std::string_view container_id) {
  for (size_t i = 0; i < live_.size(); ++i) {
    const ContainerRecord& one = rec().containers[i];
    if (one.id != container_id || one.stage != ContainerStage::kRunning) continue;
    live_[i].check = true;
    return advance();
  }
}

bool PodRun::check_next() {
  for (size_t step = 1; step <= live_.size(); ++step) {  // each in turn, lest one without an answer hide the others
    const size_t i = (at_ + step) % live_.size();
    if (!live_[i].check || record().containers[i].ended()) continue;
    ask(i);
    return true;
  }
  return false;
}

void PodRun::ask(size_t index) {
  at_ = index;
  live_[index].check = false;
  call_ = host_.client().container_status({record().containers[index].id}, *this);
}

void PodRun::on_reply(cri::CallId, cri::Outcome<cri::ContainerStatusResponse>& outcome) {
  call_.reset();
  Live& live = live_[at_];
  if (outcome.failure) {
    if (outcome.failure->verdict == cri::Verdict::kGone) return lose("its container is gone");
    // That the runtime itself is away or slow says nothing about a container, which runs on meanwhile.
    const GrpcCode code = outcome.failure->status.code;
    const bool away = code == GrpcCode::kUnavailable || (code == GrpcCode::kDeadlineExceeded && !ending());
    return unclear(at_, outcome.failure->text(), !away);
  }
  const cri::ContainerStatus& status = outcome.response.status;
  // CRI-O says EXITED with -1 until it has read the code.
  const bool unread = status.state == cri::ContainerState::kExited && status.exit_code == -1;
  const cri::ContainerState state = unread ? cri::ContainerState::kUnknown : status.state;
  if (state != cri::ContainerState::kUnknown) live.unknown_since = kNever;
  switch (state) {
    case cri::ContainerState::kCreated:
      if (ending() && live.start_open) {  // a runtime refuses to remove what it is about to start
        call_ = host_.client().remove_container({record().containers[at_].id}, *this);
        return;
      }
      if (ending()) {
        live.given_up = true;
      } else if (!live.start_error.empty()) {
        live.given_up = true;
        return fail(live.start_error);
      } else {
        live.sure_created = true;
        host_.wake_at(*this, not_before_ = clock_.mono() + kCreatedDelay);  // it may say so for ever
      }
      break;
    case cri::ContainerState::kRunning:
      set_running(at_, status);
      if (std::exchange(live.stopped, false)) not_stopped(at_, "it was stopped, and the runtime says that it runs");
      break;
    case cri::ContainerState::kExited:
      if (status.exit_code == kUnknownCode && status.reason == "Unknown") return lose("its container ended unseen");
      if (was_cut_off(status) && !ending()) {
        if (!proves_no_run(status)) return lose("its start was cut off");
        if (renewals_ < kMostRestarts) return start_again(at_);
      }
      set_ended(at_, status);
      break;
    case cri::ContainerState::kUnknown: return unclear(at_, "the runtime does not know the container's state", true);
  }
  advance();
}

void PodRun::on_reply(cri::CallId, cri::Outcome<cri::RemoveContainerResponse>& outcome) {
  call_.reset();
  Live& live = live_[at_];
  live.given_up = !outcome.failure || outcome.failure->verdict == cri::Verdict::kGone;
  live.check = !live.given_up;
  if (live.check) return back_off(settings_.tick, outcome.failure->text());
  advance();
}

/// Asked again a tick later; what is to end is stopped all the same. `told`: by a runtime that is there, whose patience
/// ends: all is removed then, by what the runtime lists.
void PodRun::unclear(size_t index, std::string_view why, bool told) {
  Live& live = live_[index];
  const MonoNanos now = clock_.mono();
  live.unknown_since = told ? std::min(live.unknown_since, now) : kNever;
  if (told && !live.stop.waiting() && now - live.unknown_since > kUnknownPatience)
    return lose("the runtime does not know its state");
  live.may_run = ending();
  live.check = !live.may_run;
  if (std::exchange(live.stopped, false)) return not_stopped(index, why);
  back_off(settings_.tick, why);
}

void PodRun::set_running(size_t index, const cri::ContainerStatus& status) {
  ContainerRecord& one = rec().containers[index];
  const MonoNanos now = clock_.mono();
  if (one.stage == ContainerStage::kRunning) return;
  one.stage = ContainerStage::kRunning;
  one.reason.clear();
  one.message.clear();
  one.started_at = status.started_at_ns > 0 ? status.started_at_ns / kMicrosecond : clock_.wall();
  live_[index].running_since = now;
  next_poll_ = now + kFirstPoll;
  next_stats_ = now;
  host_.wake_at(*this, now);
  set_deadline();
  // For the next agent, should the runtime not answer it. No need of a sync: a power loss ends it anyway.
  (void)store_.write_run(task_, run_, false).ok();
  publish();
}

void PodRun::set_ended(size_t index, const cri::ContainerStatus& status) {
  ContainerRecord& one = rec().containers[index];
  Live& live = live_[index];
  one.stage = ContainerStage::kTerminated;
  // Only its low byte is told of a task: it must not make a success of what was none.
  one.exit_code = status.exit_code != 0 && (status.exit_code & kLowByte) == 0 ? kUnknownCode : status.exit_code;
  one.reason = status.reason;
  one.message = cut_text(status.message);
  one.started_at = std::max<int64_t>(status.started_at_ns, 0) / kMicrosecond;
  one.finished_at = std::max<int64_t>(status.finished_at_ns, 0) / kMicrosecond;
  // containerd notes the start after the process has begun, which may then be over.
  if (one.finished_at != 0) one.started_at = std::min(one.started_at, one.finished_at);
  live.stop.reset();
  const bool never_ran = status.reason == "StartError" || status.reason == "ContainerCannotRun" ||
                         (!live.start_error.empty() && status.exit_code == kStartErrorCode);
  if (never_ran) {
    const std::string& text = one.message.empty() ? live.start_error : one.message;
    rec().failure = text.empty() ? "the container could not be started" : text;
    if (one.message.empty()) one.message = rec().failure;
    one.started_at = 0;
  }
  publish();
}

// One after the other, beside everything else; an answer that does not come is not missed.
void PodRun::measure() {
  next_stats_ = kNever;
  if (meter_.unsupported() || recorded_ || gone_) return;
  if (meter_.waiting()) {
    next_stats_ = clock_.mono() + settings_.tick;
    return host_.wake_at(*this, next_stats_);
  }
  for (size_t step = 1; step <= live_.size(); ++step) {
    const size_t index = (meter_.last() + step) % live_.size();
    if (record().containers[index].stage != ContainerStage::kRunning) continue;
    meter_.ask(host_.client(), index);
    const MonoNanos now = clock_.mono();
    const MonoNanos delay = std::max(settings_.tick, (now - live_[index].running_since) / kPollShare);
    next_stats_ = now + std::min(delay, kLastStats);
    host_.wake_at(*this, next_stats_);
    return;
  }
}

}  // namespace te

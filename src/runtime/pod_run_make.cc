// What a PodRun makes in the runtime: images, the sandbox, containers, starts; and how it finds again what it made.
#include <algorithm>
#include <cerrno>

#include "runtime/pod_run.h"

namespace te {

namespace {

constexpr MonoNanos kStartedDelay = 20 * kMillisecond;

/// It passes, where any other error of a mount will stay.
bool is_shortage(const Error& error) {
  return error.code == EMFILE || error.code == ENFILE || error.code == ENOMEM || error.code == ENOSPC ||
         error.code == EDQUOT;
}

}  // namespace

void PodRun::prepare() {
  const PodIdentity who = identity();
  for (size_t i = 0; i < live_.size(); ++i) {
    if (live_[i].image) continue;
    image_at_ = i;
    images_.get(host_.client(), pod().container(i), sandbox_config(pod(), who), live_[i].image_missing);
    return;
  }
  if (!record().sandbox_id.empty()) {
    rec().step = PodStep::kRun;
    return run_next();
  }
  cri::RunPodSandboxRequest request;
  request.config = sandbox_config(pod(), who);
  request.runtime_handler = pod().runtime_handler;
  call_ = host_.client().run_pod_sandbox(request, *this);
}

void PodRun::on_image(GotImage image) {
  const GotImage& got = live_[image_at_].image.emplace(std::move(image));
  rec().containers[image_at_].image_id = got.id;
  // Each time, as what is fetched again may be another one.
  std::string refusal = refuse_root(pod(), pod().container(image_at_), got.uid, got.username);
  if (!refusal.empty()) return fail(std::move(refusal));
  wait_reason(image_at_, reason_to_wait(image_at_), {});
  advance();
}

void PodRun::on_image_failed(std::string text) {
  wait_reason(image_at_, "ErrImagePull", text);
  fail(std::move(text));
}

void PodRun::on_image_waiting(std::string_view reason, std::string message, MonoNanos retry_at) {
  if (retry_at != kNever) host_.wake_at(*this, retry_at);
  wait_reason(image_at_, reason, std::move(message));
}

void PodRun::on_reply(cri::CallId, cri::Outcome<cri::RunPodSandboxResponse>& outcome) {
  call_.reset();
  if (!outcome.failure) {
    rec().sandbox_id = std::move(outcome.response.pod_sandbox_id);
    note_runtime();
    rec().step = record().step == PodStep::kPrepare ? PodStep::kRun : record().step;
    reserved_ = 0;
    return advance();
  }
  not_made(*outcome.failure);
}

void PodRun::note_runtime() {
  if (const cri::VersionResponse* runtime = host_.client().runtime()) rec().runtime = runtime->runtime_name;
}

void PodRun::run_next() {
  bool all_ended = true;
  for (size_t i = 0; i < live_.size(); ++i) {
    const ContainerRecord& one = rec().containers[i];
    if (one.ended()) {
      if (pod().is_init(i) && one.exit_code != 0) return end(EndCause::kEnded);
      continue;
    }
    all_ended = false;
    if (!one.begun) return make(i);
    if (one.stage == ContainerStage::kWaiting) return live_[i].sure_created ? start(i) : ask(i);
    if (pod().is_init(i)) return;  // the others wait for its end
  }
  if (all_ended) end(EndCause::kEnded);
}

void PodRun::make(size_t index) {
  ContainerRecord& one = rec().containers[index];
  Live& live = live_[index];
  at_ = index;
  const PodIdentity who = identity();
  if (!one.id.empty()) {  // found by label
    one.begun = true;
    return due(Due::kRun);
  }
  if (!live.image) {
    image_at_ = index;
    return images_.get(host_.client(), pod().container(index), sandbox_config(pod(), who), live.image_missing);
  }
  const VolumePlace place{settings_.root, settings_.data_dir, task_.name, &settings_.volumes};
  Result<std::vector<cri::Mount>> mounts = resolve_mounts(pod(), pod().container(index), place);
  if (!mounts) {
    if (is_shortage(mounts.error())) return back_off(settings_.tick, mounts.error().text());
    return fail(mounts.error().text());
  }
  cri::CreateContainerRequest request;
  request.pod_sandbox_id = record().sandbox_id;
  request.sandbox_config = sandbox_config(pod(), who);
  const Result<void> made = container_config(pod(), index, who, live.image->id, request.config);
  if (!made) return fail(made.error().text());
  request.config.attempt += create_attempts_;
  request.config.mounts = std::move(*mounts);
  call_ = host_.client().create_container(request, *this);
}

void PodRun::on_reply(cri::CallId, cri::Outcome<cri::CreateContainerResponse>& outcome) {
  call_.reset();
  ContainerRecord& one = rec().containers[at_];
  if (!outcome.failure) {
    reserved_ = 0;
    one.id = std::move(outcome.response.container_id);
    if (stopping_ || record().step == PodStep::kStop) return advance();
    one.begun = true;
    live_[at_].sure_created = true;
    return due(Due::kRun);
  }
  not_made(*outcome.failure);
}

/// RunPodSandbox or CreateContainer failed.
void PodRun::not_made(const cri::Failure& failure) {
  const std::string why = failure.text();
  switch (failure.verdict) {
    case cri::Verdict::kReserved: ++reserved_; [[fallthrough]];
    case cri::Verdict::kLookAgain:
      must_look_ = true;
      host_.expect_late_ones();
      back_off(kReservedDelay, why);
      break;
    case cri::Verdict::kRetry: back_off(settings_.tick, why); break;
    case cri::Verdict::kImageMissing:
      live_[at_].image.reset();
      live_[at_].image_missing = true;
      back_off_longer(why);  // it may be there for ImageStatus
      break;
    case cri::Verdict::kNewAttempt:
      if (any_begun()) {
        fail(cut_text(why));
      } else {
        renew(why);
      }
      break;
    case cri::Verdict::kGone:
    case cri::Verdict::kAlreadyStarted:
    case cri::Verdict::kBackOff:
    case cri::Verdict::kUnsupported:
    case cri::Verdict::kFail: fail(cut_text(why)); break;
  }
}

void PodRun::start(size_t index) {
  at_ = index;
  live_[index].sure_created = false;
  call_ = host_.client().start_container({record().containers[index].id}, *this);
}

void PodRun::on_reply(cri::CallId, cri::Outcome<cri::StartContainerResponse>& outcome) {
  call_.reset();
  Live& live = live_[at_];
  if (outcome.failure) {
    // Whatever it was, the container's status tells more; not CREATED is as good as started.
    const cri::Verdict verdict = outcome.failure->verdict;
    if (cri::hopeless(verdict)) live.start_error = cut_text(outcome.failure->text());
    // Also when an earlier agent's call is still at it: it may take a while until the status shows that.
    if (!cri::hopeless(verdict)) {
      const bool at_work = verdict == cri::Verdict::kAlreadyStarted;
      live.start_open = live.start_open || at_work || verdict == cri::Verdict::kLookAgain;
      not_before_ = clock_.mono() + (at_work ? kStartedDelay : kReservedDelay);
      host_.wake_at(*this, not_before_);
      live.check = true;
      return;
    }
  }
  live.start_open = false;
  ask(at_);
}

// Written down before anything is removed: from then on it has not been begun, whatever is still there.
void PodRun::start_again(size_t index) {
  const auto& all = record().containers;
  if (std::ranges::count_if(all, [](const ContainerRecord& one) { return one.begun; }) != 1) {
    return lose("its start was cut off");
  }
  ContainerRecord& one = rec().containers[index];
  one.begun = false;
  one.id.clear();
  rec().sandbox_id.clear();
  rec().step = PodStep::kPrepare;
  renew("the runtime gave up its start");
  due(Due::kRun);
}

// What of this run there is in the runtime: adopt it, or clear it away.
void PodRun::look() {
  cri::ListPodSandboxRequest request;
  request.labels = labels();
  call_ = host_.client().list_pod_sandbox(request, *this);
}

void PodRun::on_reply(cri::CallId, cri::Outcome<cri::ListPodSandboxResponse>& outcome) {
  call_.reset();
  if (outcome.failure) return back_off(settings_.tick, outcome.failure->text());
  const std::string run = std::to_string(run_.attempt);
  const cri::SandboxSummary* best = nullptr;
  for (const cri::SandboxSummary& one : outcome.response.items) {
    if (cri::find_label(one.labels, kRunLabel) != run) continue;
    highest_attempt_ = std::max(highest_attempt_, one.metadata.attempt);
    if (one.state == cri::SandboxState::kReady && (best == nullptr || one.metadata.attempt > best->metadata.attempt)) {
      best = &one;
    }
  }
  if (record().sandbox_id.empty() && best != nullptr) {
    rec().sandbox_id = best->id;
    rec().attempt = best->metadata.attempt;
    note_runtime();
  } else if (record().sandbox_id.empty() && !outcome.response.items.empty()) {
    must_look_ = false;
    return renew("a sandbox is there that never became ready");
  } else if (record().sandbox_id.empty() && reserved_ > 1) {
    ++rec().attempt;  // its name is taken by something that nobody can see
    reserved_ = 0;
  }
  cri::ListContainersRequest request;
  request.labels = labels();
  call_ = host_.client().list_containers(request, *this);
}

void PodRun::on_reply(cri::CallId, cri::Outcome<cri::ListContainersResponse>& outcome) {
  call_.reset();
  if (outcome.failure) return back_off(settings_.tick, outcome.failure->text());
  must_look_ = false;
  bool found = false;
  for (const cri::ContainerSummary& seen : outcome.response.containers) {
    if (seen.pod_sandbox_id != record().sandbox_id) continue;
    for (size_t i = 0; i < live_.size(); ++i) {
      ContainerRecord& one = rec().containers[i];
      if (pod().container(i).name != cri::find_label(seen.labels, kContainerLabel) || !one.id.empty()) continue;
      one.id = seen.id;
      found = true;
      // Started, and run.json does not know: a runtime's word is worth more.
      if (seen.state != cri::ContainerState::kCreated) one.begun = live_[i].check = true;
    }
  }
  if (!found && reserved_ > 1) {
    ++create_attempts_;
    reserved_ = 0;
  }
  advance();
}

}  // namespace te

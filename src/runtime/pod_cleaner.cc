#include "runtime/pod_cleaner.h"

namespace te {

void PodCleaner::start() {
  if (call_.waiting()) return;
  containers_.clear();
  sandboxes_.clear();
  listed_ = false;
  cri::ListContainersRequest request;
  request.labels = labels_;
  call_ = client_.list_containers(request, *this);
}

bool PodCleaner::good(const std::optional<cri::Failure>& failure) {
  call_.reset();
  if (!failure || failure->verdict == cri::Verdict::kGone) return true;
  owner_.on_clean_trouble(*this, failure->text());
  return false;
}

void PodCleaner::on_reply(cri::CallId, cri::Outcome<cri::ListContainersResponse>& outcome) {
  if (!good(outcome.failure)) return;
  containers_ = std::move(outcome.response.containers);
  next_container();
}

void PodCleaner::next_container() {
  if (containers_.empty()) return list_sandboxes();
  const cri::ContainerSummary& one = containers_.back();
  const bool may_run = one.state == cri::ContainerState::kRunning || one.state == cri::ContainerState::kUnknown;
  if (may_run) {
    call_ = client_.stop_container({one.id, grace_}, *this);
  } else {
    call_ = client_.remove_container({one.id}, *this);
  }
}

void PodCleaner::on_reply(cri::CallId, cri::Outcome<cri::StopContainerResponse>& outcome) {
  if (!good(outcome.failure)) return;
  containers_.back().state = cri::ContainerState::kExited;
  next_container();
}

void PodCleaner::on_reply(cri::CallId, cri::Outcome<cri::RemoveContainerResponse>& outcome) {
  if (!good(outcome.failure)) return;
  containers_.pop_back();
  next_container();
}

void PodCleaner::list_sandboxes() {
  cri::ListPodSandboxRequest request;
  request.labels = labels_;
  call_ = client_.list_pod_sandbox(request, *this);
}

void PodCleaner::on_reply(cri::CallId, cri::Outcome<cri::ListPodSandboxResponse>& outcome) {
  if (!good(outcome.failure)) return;
  for (cri::SandboxSummary& one : outcome.response.items) sandboxes_.push_back(std::move(one.id));
  if (sandboxes_.empty()) return owner_.on_clean(*this);
  if (std::exchange(listed_, true)) return owner_.on_clean_trouble(*this, "a sandbox stays");
  next_sandbox();
}

void PodCleaner::next_sandbox() {
  if (sandboxes_.empty()) return list_sandboxes();
  call_ = client_.stop_pod_sandbox({sandboxes_.back()}, *this);
}

void PodCleaner::on_reply(cri::CallId, cri::Outcome<cri::StopPodSandboxResponse>& outcome) {
  if (!good(outcome.failure)) return;
  call_ = client_.remove_pod_sandbox({sandboxes_.back()}, *this);
}

void PodCleaner::on_reply(cri::CallId, cri::Outcome<cri::RemovePodSandboxResponse>& outcome) {
  if (!good(outcome.failure)) return;
  sandboxes_.pop_back();
  next_sandbox();
}

}  // namespace te

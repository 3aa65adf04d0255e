#include "runtime/image_getter.h"

#include <algorithm>

#include "runtime/registry_auth.h"

namespace te {

namespace {

constexpr MonoNanos kFirstBackOff = kSecond;
constexpr MonoNanos kLastBackOff = 60 * kSecond;
constexpr int kMostDoublings = 6;

}  // namespace

void ImageGetter::get(cri::Client& client, const ContainerSpec& container, cri::SandboxConfig sandbox, bool pull_now) {
  client_ = &client;
  container_ = &container;
  sandbox_ = std::move(sandbox);
  failures_ = 0;
  pulled_ = false;
  pull_failure_.reset();
  const PullPolicy policy = container.pull_policy;
  pull_first_ = policy == PullPolicy::kAlways || policy == PullPolicy::kPreferNewest ||
                (pull_now && policy != PullPolicy::kNeverPull);
  if (pull_first_) {
    pull();
  } else {
    ask();
  }
}

void ImageGetter::cancel() {
  call_.reset();
  client_ = nullptr;
  retry_at_ = kNever;
}

void ImageGetter::tick() {
  if (client_ == nullptr || call_.waiting() || clock_.mono() < retry_at_) return;
  retry_at_ = kNever;
  if (pull_first_ && !pulled_) {
    pull();
  } else {
    ask();
  }
}

void ImageGetter::ask() { call_ = client_->image_status({container_->image}, *this); }

void ImageGetter::pull() {
  cri::PullImageRequest request;
  request.image = container_->image;
  request.sandbox_config = sandbox_;
  if (!settings_.registry_auth_file.empty()) {
    Result<std::optional<cri::ImageAuth>> auth = read_registry_auth(settings_.registry_auth_file, request.image);
    if (!auth) {
      cri::Outcome<cri::PullImageResponse> failed;
      failed.failure = cri::Failure{cri::Verdict::kBackOff,
                                    cri::Method::kPullImage,
                                    {GrpcCode::kUnknown, GrpcOrigin::kLocal, auth.error().text()}};
      return on_reply(0, failed);
    }
    request.auth = std::move(*auth);
  }
  call_ = client_->pull_image(request, *this);
  if (failures_ == 0) owner_.on_image_waiting("PullingImage", "image \"" + container_->image + "\"", kNever);
}

void ImageGetter::wait(std::string_view reason, std::string message, MonoNanos delay) {
  retry_at_ = clock_.mono() + delay;
  owner_.on_image_waiting(reason, std::move(message), retry_at_);
}

void ImageGetter::fail(std::string text) {
  client_ = nullptr;
  owner_.on_image_failed(std::move(text));
}

void ImageGetter::on_reply(cri::CallId, cri::Outcome<cri::ImageStatusResponse>& outcome) {
  call_.reset();
  if (outcome.failure) {
    if (cri::hopeless(outcome.failure->verdict)) return fail(cut_text(outcome.failure->text()));
    return wait("ContainerCreating", cut_text(outcome.failure->text()), settings_.tick);
  }
  if (outcome.response.image) {
    cri::Image& image = *outcome.response.image;
    client_ = nullptr;
    return owner_.on_image({std::move(image.id), image.uid, std::move(image.username)});
  }
  if (container_->pull_policy == PullPolicy::kNeverPull) {
    return fail("ErrImageNeverPull: image \"" + container_->image + "\" is not there, and its pull policy is Never");
  }
  if (std::exchange(pulled_, false)) {  // no reason to pull it over and over
    ++failures_;
    cri::Failure& failure = pull_failure_.emplace();
    failure.verdict = cri::Verdict::kBackOff;
    failure.method = cri::Method::kPullImage;
    failure.status.code = GrpcCode::kNotFound;
    failure.status.message = "the image is not there after it";
  }
  if (pull_failure_) {  // there is no older one either
    const cri::Failure failure = *std::exchange(pull_failure_, std::nullopt);
    if (cri::hopeless(failure.verdict)) return fail(cut_text("ErrImagePull: " + failure.text()));
    const MonoNanos delay = kFirstBackOff << std::min(failures_ - 1, kMostDoublings);
    const std::string message = "image \"" + container_->image + "\": " + cut_text(failure.text());
    if (failures_ == 1) return wait("ErrImagePull", message, delay);
    return wait("ImagePullBackOff", "Back-off pulling " + message, std::min(delay, kLastBackOff));
  }
  pull_first_ = true;
  pulled_ = false;
  pull();
}

void ImageGetter::on_reply(cri::CallId, cri::Outcome<cri::PullImageResponse>& outcome) {
  call_.reset();
  if (!outcome.failure) {
    pulled_ = true;
    return ask();
  }
  if (outcome.failure->verdict == cri::Verdict::kRetry) {  // it is the runtime that does not answer, not the registry
    return wait("PullingImage", cut_text(outcome.failure->text()), settings_.tick);
  }
  ++failures_;
  pull_failure_ = std::move(outcome.failure);
  if (container_->pull_policy == PullPolicy::kPreferNewest) return ask();
  cri::Outcome<cri::ImageStatusResponse> none;
  on_reply(0, none);
}

}  // namespace te

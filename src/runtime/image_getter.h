// Sees to it that the runtime has one container's image: ImageStatus, PullImage, and the patience between two tries.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"
#include "cri/client.h"
#include "runtime/pod_host.h"
#include "task/pod_spec.h"

namespace te {

struct GotImage {
  std::string id;
  std::optional<int64_t> uid;  ///< of its user, when that is a number
  std::string username;
};

class ImageGetterOwner {
 public:
  virtual void on_image(GotImage image) = 0;
  /// It will never be had.
  virtual void on_image_failed(std::string text) = 0;
  /// What it waits for: "PullingImage", "ErrImagePull", "ImagePullBackOff"; `retry_at`: tick() then, or kNever.
  virtual void on_image_waiting(std::string_view reason, std::string message, MonoNanos retry_at) = 0;

 protected:
  ~ImageGetterOwner() = default;
};

class ImageGetter final : private cri::Handler<cri::ImageStatusResponse>, private cri::Handler<cri::PullImageResponse> {
 public:
  ImageGetter(const PodSettings& settings, const Clock& clock, ImageGetterOwner& owner)
      : settings_(settings), clock_(clock), owner_(owner) {}
  ImageGetter(const ImageGetter&) = delete;
  ImageGetter& operator=(const ImageGetter&) = delete;
  ~ImageGetter() = default;

  /// `container` must live until the owner is told. `pull`: whatever the policy, as the runtime said that it is
  /// missing.
  void get(cri::Client& client, const ContainerSpec& container, cri::SandboxConfig sandbox, bool pull);
  bool busy() const { return client_ != nullptr; }
  /// When tick() has something to do; kNever: it waits for no time.
  MonoNanos retry_at() const { return retry_at_; }
  /// Goes on when it waited, and the time has come.
  void tick();
  void cancel();

 private:
  void ask();
  void pull();
  void wait(std::string_view reason, std::string message, MonoNanos delay);
  void fail(std::string text);

  void on_reply(cri::CallId call, cri::Outcome<cri::ImageStatusResponse>& outcome) override;
  void on_reply(cri::CallId call, cri::Outcome<cri::PullImageResponse>& outcome) override;

  const PodSettings& settings_;
  const Clock& clock_;
  ImageGetterOwner& owner_;
  cri::Client* client_ = nullptr;
  const ContainerSpec* container_ = nullptr;
  cri::SandboxConfig sandbox_;
  cri::Call call_;
  bool pull_first_ = false;
  bool pulled_ = false;
  std::optional<cri::Failure> pull_failure_;  ///< kPreferNewest: while it is looked whether there is another one
  int failures_ = 0;
  MonoNanos retry_at_ = kNever;
};

}  // namespace te

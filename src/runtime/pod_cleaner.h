// Removes from the runtime whatever bears certain labels, and does not stop before nothing does.
//
// Level-triggered: it looks, takes away what it saw, and looks again. Whatever fails is left until start() is called
// once more.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cri/client.h"

namespace te {

class PodCleaner;

class PodCleanerOwner {
 public:
  /// Nothing is left. The cleaner may be destroyed in it.
  virtual void on_clean(PodCleaner& cleaner) = 0;
  /// It could not go on; start() tries again.
  virtual void on_clean_trouble(PodCleaner& cleaner, std::string_view why) = 0;

 protected:
  ~PodCleanerOwner() = default;
};

class PodCleaner final : private cri::Handler<cri::ListContainersResponse>,
                         private cri::Handler<cri::StopContainerResponse>,
                         private cri::Handler<cri::RemoveContainerResponse>,
                         private cri::Handler<cri::ListPodSandboxResponse>,
                         private cri::Handler<cri::StopPodSandboxResponse>,
                         private cri::Handler<cri::RemovePodSandboxResponse> {
 public:
  /// `grace_seconds` for what still runs.
  PodCleaner(cri::Client& client, cri::Labels labels, int64_t grace_seconds, PodCleanerOwner& owner)
      : client_(client), labels_(std::move(labels)), grace_(grace_seconds), owner_(owner) {}
  PodCleaner(const PodCleaner&) = delete;
  PodCleaner& operator=(const PodCleaner&) = delete;
  ~PodCleaner() = default;

  void start();
  bool busy() const { return call_.waiting(); }

 private:
  void next_container();
  void next_sandbox();
  void list_sandboxes();
  /// False: it was trouble, which has been told.
  bool good(const std::optional<cri::Failure>& failure);

  void on_reply(cri::CallId call, cri::Outcome<cri::ListContainersResponse>& outcome) override;
  void on_reply(cri::CallId call, cri::Outcome<cri::StopContainerResponse>& outcome) override;
  void on_reply(cri::CallId call, cri::Outcome<cri::RemoveContainerResponse>& outcome) override;
  void on_reply(cri::CallId call, cri::Outcome<cri::ListPodSandboxResponse>& outcome) override;
  void on_reply(cri::CallId call, cri::Outcome<cri::StopPodSandboxResponse>& outcome) override;
  void on_reply(cri::CallId call, cri::Outcome<cri::RemovePodSandboxResponse>& outcome) override;

  cri::Client& client_;
  cri::Labels labels_;
  int64_t grace_;
  PodCleanerOwner& owner_;
  cri::Call call_;
  std::vector<cri::ContainerSummary> containers_;
  bool listed_ = false;
  std::vector<std::string> sandboxes_;
};

}  // namespace te

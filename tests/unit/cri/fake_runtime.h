// A container runtime made of memory: behaves as containerd does in what callers depend on (names are reserved, what is
// gone is NOT_FOUND, stop and remove may be repeated), keeps a log of the calls, and fails when it is told to.
//
// A call is carried out when it is made and answered when the test says so: answer() or answer_all().
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cri/client.h"

class FakeRuntime final : public te::cri::Client {
 public:
  struct Sandbox {
    te::cri::SandboxConfig config;
    bool ready = true;
  };
  struct Container {
    std::string sandbox;
    te::cri::ContainerConfig config;
    te::cri::ContainerState state = te::cri::ContainerState::kCreated;
    int32_t exit_code = 0;
    std::string reason;
  };
  struct Fault {
    te::GrpcStatus status;
    bool carried_out = false;  ///< the work is done, and only its answer is lost
  };

  /// The next call of that method fails so.
  void fail_next(te::cri::Method method, Fault fault) { faults_[method].push_back(std::move(fault)); }
  /// The next call's answer is lost with the connection, once the work is done.
  void lose_next(te::cri::Method method) {
    fail_next(method, {{te::GrpcCode::kUnavailable, te::GrpcOrigin::kLost, "the connection ended"}, true});
  }
  void end(const std::string& container, int32_t exit_code, std::string reason = {}) {
    Container& found = containers.at(container);
    found.state = te::cri::ContainerState::kExited;
    found.exit_code = exit_code;
    found.reason = reason.empty() ? (exit_code == 0 ? "Completed" : "Error") : std::move(reason);
  }

  size_t unanswered() const { return pending_.size(); }
  /// The oldest call that is not answered yet. False: there is none.
  bool answer() {
    if (pending_.empty()) return false;
    const std::unique_ptr<Pending> next = std::move(pending_.front());
    pending_.pop_front();
    next->deliver();
    return true;
  }
  void answer_all() {
    while (answer()) {
    }
  }

  std::map<std::string, Sandbox> sandboxes;
  std::map<std::string, Container> containers;
  std::set<std::string> images;
  std::vector<std::string> log;  ///< "RunPodSandbox pod-uid-0", "StartContainer c2"
  std::string down;              ///< not empty: there is no runtime, and why

  const te::cri::VersionResponse* runtime() const override { return down.empty() ? &version_ : nullptr; }
  std::string_view trouble() const override { return down; }

  te::cri::Call list_pod_sandbox(const te::cri::ListPodSandboxRequest& request,
                                 te::cri::Handler<te::cri::ListPodSandboxResponse>& handler) override {
    return call(te::cri::Method::kListPodSandbox, "", handler, [&](te::cri::ListPodSandboxResponse& response) {
      for (const auto& [id, sandbox] : sandboxes) {
        const bool wanted = !request.state || (*request.state == te::cri::SandboxState::kReady) == sandbox.ready;
        if (!wanted || !has_labels(sandbox.config.labels, request.labels)) continue;
        if (!request.id.empty() && request.id != id) continue;
        const auto state = sandbox.ready ? te::cri::SandboxState::kReady : te::cri::SandboxState::kNotReady;
        response.items.push_back({id, sandbox.config.metadata, state, 1, sandbox.config.labels});
      }
      return te::GrpcStatus();
    });
  }
  te::cri::Call list_containers(const te::cri::ListContainersRequest& request,
                                te::cri::Handler<te::cri::ListContainersResponse>& handler) override {
    return call(te::cri::Method::kListContainers, "", handler, [&](te::cri::ListContainersResponse& response) {
      for (const auto& [id, one] : containers) {
        if (request.state && *request.state != one.state) continue;
        if (!request.pod_sandbox_id.empty() && request.pod_sandbox_id != one.sandbox) continue;
        if ((!request.id.empty() && request.id != id) || !has_labels(one.config.labels, request.labels)) continue;
        response.containers.push_back(
            {id, one.sandbox, one.config.name, one.config.attempt, one.state, 1, one.config.labels});
      }
      return te::GrpcStatus();
    });
  }
  te::cri::Call image_status(const te::cri::ImageStatusRequest& request,
                             te::cri::Handler<te::cri::ImageStatusResponse>& handler) override {
    return call(te::cri::Method::kImageStatus, request.image, handler, [&](te::cri::ImageStatusResponse& response) {
      if (images.count(request.image) != 0) response.image = te::cri::Image{"sha256:" + request.image, {}, {}, {}};
      return te::GrpcStatus();
    });
  }
  te::cri::Call pull_image(const te::cri::PullImageRequest& request,
                           te::cri::Handler<te::cri::PullImageResponse>& handler) override {
    return call(te::cri::Method::kPullImage, request.image, handler, [&](te::cri::PullImageResponse& response) {
      images.insert(request.image);
      response.image_ref = "sha256:" + request.image;
      return te::GrpcStatus();
    });
  }
  te::cri::Call run_pod_sandbox(const te::cri::RunPodSandboxRequest& request,
                                te::cri::Handler<te::cri::RunPodSandboxResponse>& handler) override {
    const te::cri::SandboxMetadata& metadata = request.config.metadata;
    const std::string name = metadata.name + "-" + metadata.uid + "-" + std::to_string(metadata.attempt);
    return call(te::cri::Method::kRunPodSandbox, name, handler, [&](te::cri::RunPodSandboxResponse& response) {
      for (const auto& [id, other] : sandboxes) {
        const te::cri::SandboxMetadata& taken = other.config.metadata;
        if (taken.name == metadata.name && taken.uid == metadata.uid && taken.attempt == metadata.attempt) {
          return unknown("name \"" + name + "\" is reserved for \"" + id + "\"");
        }
      }
      response.pod_sandbox_id = "s" + std::to_string(++made_);
      sandboxes[response.pod_sandbox_id] = {request.config, true};
      return te::GrpcStatus();
    });
  }
  te::cri::Call create_container(const te::cri::CreateContainerRequest& request,
                                 te::cri::Handler<te::cri::CreateContainerResponse>& handler) override {
    return call(te::cri::Method::kCreateContainer, request.config.name, handler,
                [&](te::cri::CreateContainerResponse& response) {
                  const auto sandbox = sandboxes.find(request.pod_sandbox_id);
                  if (sandbox == sandboxes.end()) return not_found("failed to find sandbox id");
                  if (!sandbox->second.ready) return unknown("sandbox container is not running");
                  if (images.count(request.config.image) == 0) return not_found("failed to resolve image");
                  for (const auto& [id, other] : containers) {
                    if (other.sandbox == request.pod_sandbox_id && other.config.name == request.config.name &&
                        other.config.attempt == request.config.attempt) {
                      return unknown("name \"" + request.config.name + "\" is reserved for \"" + id + "\"");
                    }
                  }
                  response.container_id = "c" + std::to_string(++made_);
                  containers[response.container_id] = {
                      request.pod_sandbox_id, request.config, te::cri::ContainerState::kCreated, 0, {}};
                  return te::GrpcStatus();
                });
  }
  te::cri::Call start_container(const te::cri::StartContainerRequest& request,
                                te::cri::Handler<te::cri::StartContainerResponse>& handler) override {
    return call(te::cri::Method::kStartContainer, request.container_id, handler, [&](te::cri::StartContainerResponse&) {
      const auto at = containers.find(request.container_id);
      if (at == containers.end()) return not_found("container");
      if (at->second.state == te::cri::ContainerState::kRunning)
        return unknown("container is in CONTAINER_RUNNING state");
      if (at->second.state == te::cri::ContainerState::kExited)
        return unknown("container is in CONTAINER_EXITED state");
      at->second.state = te::cri::ContainerState::kRunning;
      return te::GrpcStatus();
    });
  }
  te::cri::Call container_status(const te::cri::ContainerStatusRequest& request,
                                 te::cri::Handler<te::cri::ContainerStatusResponse>& handler) override {
    return call(te::cri::Method::kContainerStatus, request.container_id, handler,
                [&](te::cri::ContainerStatusResponse& response) {
                  const auto at = containers.find(request.container_id);
                  if (at == containers.end()) return not_found("container");
                  response.status.id = at->first;
                  response.status.name = at->second.config.name;
                  response.status.attempt = at->second.config.attempt;
                  response.status.state = at->second.state;
                  response.status.exit_code = at->second.exit_code;
                  response.status.reason = at->second.reason;
                  response.status.labels = at->second.config.labels;
                  return te::GrpcStatus();
                });
  }
  te::cri::Call container_stats(const te::cri::ContainerStatsRequest& request,
                                te::cri::Handler<te::cri::ContainerStatsResponse>& handler) override {
    return call(te::cri::Method::kContainerStats, request.container_id, handler,
                [&](te::cri::ContainerStatsResponse& response) {
                  if (containers.count(request.container_id) == 0) return not_found("container");
                  response.cpu_nanos = 1'000;
                  response.working_set_bytes = 4'096;
                  return te::GrpcStatus();
                });
  }
  /// Ends it at once, by TERM with a grace and by KILL without.
  te::cri::Call stop_container(const te::cri::StopContainerRequest& request,
                               te::cri::Handler<te::cri::StopContainerResponse>& handler) override {
    const std::string what = request.container_id + " " + std::to_string(request.grace_seconds);
    return call(te::cri::Method::kStopContainer, what, handler, [&](te::cri::StopContainerResponse&) {
      const auto at = containers.find(request.container_id);
      if (at == containers.end()) return not_found("container");
      if (at->second.state == te::cri::ContainerState::kRunning) end(at->first, request.grace_seconds > 0 ? 143 : 137);
      return te::GrpcStatus();
    });
  }
  te::cri::Call remove_container(const te::cri::RemoveContainerRequest& request,
                                 te::cri::Handler<te::cri::RemoveContainerResponse>& handler) override {
    return call(te::cri::Method::kRemoveContainer, request.container_id, handler,
                [&](te::cri::RemoveContainerResponse&) {
                  containers.erase(request.container_id);
                  return te::GrpcStatus();
                });
  }
  te::cri::Call stop_pod_sandbox(const te::cri::StopPodSandboxRequest& request,
                                 te::cri::Handler<te::cri::StopPodSandboxResponse>& handler) override {
    return call(te::cri::Method::kStopPodSandbox, request.pod_sandbox_id, handler,
                [&](te::cri::StopPodSandboxResponse&) {
                  const auto at = sandboxes.find(request.pod_sandbox_id);
                  if (at == sandboxes.end()) return not_found("sandbox");
                  at->second.ready = false;
                  for (auto& [id, one] : containers) {
                    if (one.sandbox == at->first && one.state == te::cri::ContainerState::kRunning) end(id, 137);
                  }
                  return te::GrpcStatus();
                });
  }
  te::cri::Call remove_pod_sandbox(const te::cri::RemovePodSandboxRequest& request,
                                   te::cri::Handler<te::cri::RemovePodSandboxResponse>& handler) override {
    return call(te::cri::Method::kRemovePodSandbox, request.pod_sandbox_id, handler,
                [&](te::cri::RemovePodSandboxResponse&) {
                  sandboxes.erase(request.pod_sandbox_id);
                  for (auto at = containers.begin(); at != containers.end();) {
                    at = at->second.sandbox == request.pod_sandbox_id ? containers.erase(at) : std::next(at);
                  }
                  return te::GrpcStatus();
                });
  }
  /// A stream that tells nothing and never ends.
  te::cri::Call watch_events(te::cri::EventHandler&) override {
    log.emplace_back("GetContainerEvents");
    return te::cri::Call(*this, next_id_++);
  }

 private:
  struct Pending {
    explicit Pending(te::cri::CallId call_id) : id(call_id) {}
    virtual ~Pending() = default;
    virtual void deliver() = 0;
    te::cri::CallId id;
  };
  template <class Response>
  struct Answer final : Pending {
    Answer(te::cri::CallId call_id, te::cri::Handler<Response>& waiting) : Pending(call_id), handler(waiting) {}
    void deliver() override { handler.on_reply(id, outcome); }
    te::cri::Handler<Response>& handler;
    te::cri::Outcome<Response> outcome;
  };

  static te::GrpcStatus not_found(std::string what) {
    return {te::GrpcCode::kNotFound, te::GrpcOrigin::kServer, std::move(what) + ": not found"};
  }
  static te::GrpcStatus unknown(std::string what) {
    return {te::GrpcCode::kUnknown, te::GrpcOrigin::kServer, std::move(what)};
  }
  static bool has_labels(const te::cri::Labels& labels, const te::cri::Labels& wanted) {
    for (const te::cri::Label& label : wanted) {
      if (te::cri::find_label(labels, label.key) != label.value) return false;
    }
    return true;
  }

  template <class Response, class Work>
  te::cri::Call call(te::cri::Method method, const std::string& what, te::cri::Handler<Response>& handler, Work work) {
    log.push_back(std::string(te::cri::method_name(method)) + (what.empty() ? "" : " " + what));
    auto answer = std::make_unique<Answer<Response>>(next_id_++, handler);
    Fault fault;
    if (!down.empty()) {
      fault.status = {te::GrpcCode::kUnavailable, te::GrpcOrigin::kNotSent, down};
    } else if (std::deque<Fault>& waiting = faults_[method]; !waiting.empty()) {
      fault = std::move(waiting.front());
      waiting.pop_front();
    } else {
      fault.carried_out = true;
    }
    te::GrpcStatus status;
    if (fault.carried_out) status = work(answer->outcome.response);
    if (!fault.status.ok()) status = fault.status;
    if (!status.ok()) answer->outcome.failure = te::cri::Failure{te::cri::judge(method, status), method, status};
    const te::cri::CallId id = answer->id;
    pending_.push_back(std::move(answer));
    return te::cri::Call(*this, id);
  }

  void drop(te::cri::CallId call) override {
    for (auto at = pending_.begin(); at != pending_.end(); ++at) {
      if ((*at)->id != call) continue;
      pending_.erase(at);
      return;
    }
  }

  te::cri::VersionResponse version_{"0.1.0", "fake", "1.0", "v1"};
  std::map<te::cri::Method, std::deque<Fault>> faults_;
  std::deque<std::unique_ptr<Pending>> pending_;
  te::cri::CallId next_id_ = 1;
  int made_ = 0;
};

// A CRI runtime in memory, that outlives its client as a real one does, and whose answers can be lost, refused and
// bent.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cri/client.h"
#include "runtime/pod_config.h"

namespace te::fake {

using cri::Method;
using cri::Verdict;

/// What the runtime keeps, whoever is connected.
struct CriWorld {
  struct Container {
    cri::ContainerSummary summary;
    cri::ContainerStatus status;
    cri::ContainerConfig config;
    int starts = 0;
  };
  std::map<std::string, cri::SandboxSummary> sandboxes;
  std::map<std::string, Container> containers;
  std::map<std::string, cri::Image> images;
  std::map<std::string, int> starts;  ///< by container name, of all that there ever were
  std::vector<std::string> violations;
  int next_id = 1;
  int max_sandboxes = 0;

  static void end(Container& one, int code, const std::string& reason = {}) {
    one.summary.state = one.status.state = cri::ContainerState::kExited;
    one.status.exit_code = code;
    one.status.reason = !reason.empty() ? reason : code == 0 ? "Completed" : "Error";
    one.status.finished_at_ns = one.status.started_at_ns + 1'000'000'000;
  }
  void end(const std::string& name, int code, const std::string& reason = {}) {
    for (auto& [id, one] : containers) {
      if (one.summary.name == name) end(one, code, reason);
    }
  }
  bool empty() const { return sandboxes.empty() && containers.empty(); }
};

/// How one call goes wrong.
struct Fault {
  Verdict verdict = Verdict::kRetry;
  bool done = false;  ///< the runtime did what was asked for, and only the answer is another one
  std::string text = "fault";
  bool told = false;  ///< kRetry: the runtime is there, and says so itself
};

class FakeCri final : public cri::Client {
 public:
  explicit FakeCri(CriWorld& world) : world_(world) {}

  std::map<Method, std::deque<Fault>> faults;
  std::function<std::optional<Fault>(Method)> chance;  ///< where none is in `faults`
  std::vector<std::string> journal;                    ///< "RunPodSandbox", in the order of the answers
  std::vector<cri::PullImageRequest> pulls;
  std::vector<cri::StopContainerRequest> stops;
  std::function<void(CriWorld::Container&)> on_start;  ///< what a started container does at once
  std::function<void(CriWorld::Container&)> on_stop;   ///< one that runs; empty: it ends with 143
  bool stop_kills = true;                              ///< or does not hear
  bool connected = true;
  cri::VersionResponse version{"0.1.0", "containerd", "1.6.20", "v1"};

  size_t waiting() const { return pending_.size(); }
  /// Answers the oldest call. False: there is none.
  bool answer() {
    if (pending_.empty()) return false;
    Pending one = std::move(pending_.front());
    pending_.pop_front();
    one.run(one.wanted);
    return true;
  }
  /// What is answered next.
  std::optional<Method> next() const {
    return pending_.empty() ? std::nullopt : std::optional<Method>(pending_.front().method);
  }
  /// The oldest call is answered when the result is called, with what there was by now.
  std::function<void()> answer_later() {
    Pending one = std::move(pending_.front());
    pending_.pop_front();
    return [this, one, then = world_]() mutable {
      std::swap(world_, then);
      one.run(one.wanted);
      std::swap(world_, then);
    };
  }

  const cri::VersionResponse* runtime() const override { return connected ? &version : nullptr; }
  std::string_view trouble() const override { return {}; }

  cri::Call list_pod_sandbox(const cri::ListPodSandboxRequest& request,
                             cri::Handler<cri::ListPodSandboxResponse>& handler) override {
    return add<cri::ListPodSandboxResponse>(Method::kListPodSandbox, handler, [this, request](auto& out) {
      for (const auto& [id, one] : world_.sandboxes) {
        if (has(one.labels, request.labels)) out.response.items.push_back(one);
      }
    });
  }
  cri::Call list_containers(const cri::ListContainersRequest& request,
                            cri::Handler<cri::ListContainersResponse>& handler) override {
    return add<cri::ListContainersResponse>(Method::kListContainers, handler, [this, request](auto& out) {
      for (const auto& [id, one] : world_.containers) {
        if (has(one.summary.labels, request.labels)) out.response.containers.push_back(one.summary);
      }
    });
  }
  cri::Call image_status(const cri::ImageStatusRequest& request,
                         cri::Handler<cri::ImageStatusResponse>& handler) override {
    return add<cri::ImageStatusResponse>(Method::kImageStatus, handler, [this, request](auto& out) {
      const auto at = world_.images.find(request.image);
      if (at != world_.images.end()) out.response.image = at->second;
    });
  }
  cri::Call pull_image(const cri::PullImageRequest& request, cri::Handler<cri::PullImageResponse>& handler) override {
    pulls.push_back(request);
    return add<cri::PullImageResponse>(Method::kPullImage, handler, [this, request](auto& out) {
      world_.images[request.image].id = out.response.image_ref = "sha256:" + request.image;
    });
  }
  cri::Call run_pod_sandbox(const cri::RunPodSandboxRequest& request,
                            cri::Handler<cri::RunPodSandboxResponse>& handler) override {
    return add<cri::RunPodSandboxResponse>(Method::kRunPodSandbox, handler, [this, request](auto& out) {
      for (const auto& [id, one] : world_.sandboxes) {
        const cri::SandboxMetadata& a = one.metadata;
        const cri::SandboxMetadata& b = request.config.metadata;
        if (a.uid == b.uid && a.attempt == b.attempt) return fail(out, Method::kRunPodSandbox, {Verdict::kReserved});
      }
      cri::SandboxSummary one;
      one.id = "s" + std::to_string(world_.next_id++);
      one.metadata = request.config.metadata;
      one.labels = request.config.labels;
      out.response.pod_sandbox_id = one.id;
      world_.sandboxes[one.id] = std::move(one);
      world_.max_sandboxes = std::max(world_.max_sandboxes, static_cast<int>(world_.sandboxes.size()));
    });
  }
  cri::Call create_container(const cri::CreateContainerRequest& request,
                             cri::Handler<cri::CreateContainerResponse>& handler) override {
    return add<cri::CreateContainerResponse>(Method::kCreateContainer, handler, [this, request](auto& out) {
      const auto sandbox = world_.sandboxes.find(request.pod_sandbox_id);
      if (sandbox == world_.sandboxes.end() || sandbox->second.state != cri::SandboxState::kReady)
        return fail(out, Method::kCreateContainer, {Verdict::kNewAttempt});
      for (const auto& [id, one] : world_.containers) {
        if (one.summary.pod_sandbox_id == request.pod_sandbox_id && one.summary.name == request.config.name &&
            one.summary.attempt == request.config.attempt)
          return fail(out, Method::kCreateContainer, {Verdict::kReserved});
      }
      CriWorld::Container one;
      one.summary.id = one.status.id = "c" + std::to_string(world_.next_id++);
      one.summary.pod_sandbox_id = request.pod_sandbox_id;
      one.summary.name = one.status.name = request.config.name;
      one.summary.attempt = request.config.attempt;
      one.summary.state = one.status.state = cri::ContainerState::kCreated;
      one.summary.labels = request.config.labels;
      one.config = request.config;
      out.response.container_id = one.summary.id;
      world_.containers[one.summary.id] = std::move(one);
    });
  }
  cri::Call start_container(const cri::StartContainerRequest& request,
                            cri::Handler<cri::StartContainerResponse>& handler) override {
    return add<cri::StartContainerResponse>(Method::kStartContainer, handler, [this, request](auto& out) {
      const auto at = world_.containers.find(request.container_id);
      if (at == world_.containers.end()) return fail(out, Method::kStartContainer, {Verdict::kGone});
      CriWorld::Container& one = at->second;
      if (one.status.state != cri::ContainerState::kCreated) {
        world_.violations.push_back("start of what is not CREATED");
        return fail(out, Method::kStartContainer, {Verdict::kAlreadyStarted});
      }
      if (++world_.starts[one.summary.name] > 1) world_.violations.push_back("runs twice: " + one.summary.name);
      one.summary.state = one.status.state = cri::ContainerState::kRunning;
      one.status.started_at_ns = 1'700'000'000'000'000'000;
      if (on_start) on_start(one);
    });
  }
  cri::Call container_status(const cri::ContainerStatusRequest& request,
                             cri::Handler<cri::ContainerStatusResponse>& handler) override {
    return add<cri::ContainerStatusResponse>(Method::kContainerStatus, handler, [this, request](auto& out) {
      const auto at = world_.containers.find(request.container_id);
      if (at == world_.containers.end()) return fail(out, Method::kContainerStatus, {Verdict::kGone});
      out.response.status = at->second.status;
    });
  }
  cri::Call container_stats(const cri::ContainerStatsRequest&,
                            cri::Handler<cri::ContainerStatsResponse>& handler) override {
    return add<cri::ContainerStatsResponse>(Method::kContainerStats, handler, [](auto& out) {
      out.response.cpu_nanos = 5'000'000;
      out.response.working_set_bytes = 2'048 * 1'024;
    });
  }
  cri::Call stop_container(const cri::StopContainerRequest& request,
                           cri::Handler<cri::StopContainerResponse>& handler) override {
    stops.push_back(request);
    return add<cri::StopContainerResponse>(Method::kStopContainer, handler, [this, request](auto& out) {
      const auto at = world_.containers.find(request.container_id);
      if (at == world_.containers.end()) return fail(out, Method::kStopContainer, {Verdict::kGone});
      const cri::ContainerState state = at->second.status.state;
      if (!stop_kills || (state != cri::ContainerState::kRunning && state != cri::ContainerState::kUnknown)) return;
      if (on_stop) return on_stop(at->second);
      CriWorld::end(at->second, 143);
    });
  }
  cri::Call remove_container(const cri::RemoveContainerRequest& request,
                             cri::Handler<cri::RemoveContainerResponse>& handler) override {
    return add<cri::RemoveContainerResponse>(Method::kRemoveContainer, handler, [this, request](auto& out) {
      if (world_.containers.erase(request.container_id) == 0) fail(out, Method::kRemoveContainer, {Verdict::kGone});
    });
  }
  cri::Call stop_pod_sandbox(const cri::StopPodSandboxRequest&,
                             cri::Handler<cri::StopPodSandboxResponse>& handler) override {
    return add<cri::StopPodSandboxResponse>(Method::kStopPodSandbox, handler, [](auto&) {});
  }
  cri::Call remove_pod_sandbox(const cri::RemovePodSandboxRequest& request,
                               cri::Handler<cri::RemovePodSandboxResponse>& handler) override {
    return add<cri::RemovePodSandboxResponse>(Method::kRemovePodSandbox, handler, [this, request](auto&) {
      world_.sandboxes.erase(request.pod_sandbox_id);
      std::erase_if(world_.containers,
                    [&](const auto& one) { return one.second.summary.pod_sandbox_id == request.pod_sandbox_id; });
    });
  }
  cri::Call watch_events(cri::EventHandler& handler) override {
    events = &handler;
    return cri::Call(*this, next_call_++);
  }
  cri::EventHandler* events = nullptr;

 private:
  struct Pending {
    cri::CallId id;
    Method method;
    bool wanted;
    std::function<void(bool wanted)> run;
  };

  static bool has(const cri::Labels& labels, const cri::Labels& wanted) {
    return std::all_of(wanted.begin(), wanted.end(), [&](const cri::Label& one) {
      return std::find(labels.begin(), labels.end(), one) != labels.end();
    });
  }

  template <class Response>
  static void fail(cri::Outcome<Response>& out, Method method, const Fault& fault) {
    cri::Failure failure;
    failure.verdict = fault.verdict;
    failure.method = method;
    const bool lost = fault.verdict == Verdict::kLookAgain || (fault.verdict == Verdict::kRetry && !fault.told);
    failure.status.code = lost ? GrpcCode::kUnavailable : GrpcCode::kUnknown;
    if (lost) failure.status.origin = fault.done ? GrpcOrigin::kLost : GrpcOrigin::kNotSent;
    failure.status.message = fault.text;
    out.failure = std::move(failure);
  }

  template <class Response, class Effect>
  cri::Call add(Method method, cri::Handler<Response>& handler, Effect effect) {
    const cri::CallId id = next_call_++;
    Pending pending{id, method, true, {}};
    pending.run = [this, id, method, &handler, effect](bool wanted) {
      if (!wanted && cri::method_effect(method) == cri::Effect::kReads) return;  // cancelled
      journal.emplace_back(cri::method_name(method));
      cri::Outcome<Response> out;
      std::deque<Fault>& due = faults[method];
      std::optional<Fault> fault;
      if (!due.empty()) {
        fault = due.front();
        due.pop_front();
      } else if (chance) {
        fault = chance(method);
      }
      if (!fault || fault->done) effect(out);
      if (fault) {
        out = {};
        fail(out, method, *fault);
      }
      if (wanted) handler.on_reply(id, out);
    };
    pending_.push_back(std::move(pending));
    return cri::Call(*this, id);
  }

  void drop(cri::CallId call) override {
    for (Pending& one : pending_) {
      if (one.id == call) one.wanted = false;
    }
  }

  CriWorld& world_;
  std::deque<Pending> pending_;
  cri::CallId next_call_ = 1;
};

}  // namespace te::fake

// What the rest of the program knows of a container runtime: typed calls, and handlers that their answers come to.
//
// Every call is answered once, through its handler, from a turn of the loop and never from within the function that
// made the call. A call that is made while there is no connection waits for the next attempt to connect and fails with
// it (Verdict::kRetry), so one who repeats failed calls never spins.
//
// An interface, so that what stands above is tested with a runtime made of memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "cri/container.h"
#include "cri/container_config.h"
#include "cri/container_event.h"
#include "cri/image.h"
#include "cri/sandbox.h"
#include "cri/verdict.h"
#include "cri/version.h"

namespace te::cri {

class Client;
using CallId = uint64_t;  ///< never used twice; 0 is none

/// A call that somebody waits for. Destroying it means that nobody does any more: the handler is not called. What only
/// reads or pulls is then cancelled in the runtime too; what changes something there (Run, Create, Start, Stop, Remove)
/// goes on, as half of it would be worse than all. Safe from any handler; the client must outlive it.
class Call {
 public:
  Call() = default;
  Call(Client& client, CallId id) : client_(&client), id_(id) {}
  Call(Call&& other) noexcept : client_(std::exchange(other.client_, nullptr)), id_(std::exchange(other.id_, 0)) {}
  Call& operator=(Call&& other) noexcept {
    if (this != &other) {
      reset();
      client_ = std::exchange(other.client_, nullptr);
      id_ = std::exchange(other.id_, 0);
    }
    return *this;
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() { reset(); }

  CallId id() const { return id_; }
  /// Not answered yet, as far as its owner has heard: the owner resets it in its handler.
  bool waiting() const { return id_ != 0; }
  void reset();

 private:
  Client* client_ = nullptr;
  CallId id_ = 0;
};

template <class Response>
struct Outcome {
  std::optional<Failure> failure;  ///< else `response` is what the runtime said
  Response response;

  bool ok() const { return !failure.has_value(); }
};

/// Who waits for answers of one kind; one object may wait for many. It may make calls, drop calls and be destroyed in
/// the handler, when its other calls are dropped before.
template <class Response>
class Handler {
 public:
  virtual void on_reply(CallId call, Outcome<Response>& outcome) = 0;

 protected:
  ~Handler() = default;
};

class EventHandler {
 public:
  /// A hint to look at that container.
  virtual void on_container_event(const ContainerEvent& event) = 0;
  /// The stream is over; it is not opened again by itself. kUnsupported: never again.
  virtual void on_events_end(const Failure& failure) = 0;

 protected:
  ~EventHandler() = default;
};

class Client {
 public:
  virtual ~Client() = default;

  /// The runtime at the other end, as its Version told after the last connect; null while there is none.
  virtual const VersionResponse* runtime() const = 0;
  /// Why there is none: "connect to unix:/run/x.sock: No such file or directory (ENOENT)"; empty while there is one.
  virtual std::string_view trouble() const = 0;

  virtual Call list_pod_sandbox(const ListPodSandboxRequest& request, Handler<ListPodSandboxResponse>& handler) = 0;
  virtual Call list_containers(const ListContainersRequest& request, Handler<ListContainersResponse>& handler) = 0;
  virtual Call image_status(const ImageStatusRequest& request, Handler<ImageStatusResponse>& handler) = 0;
  virtual Call pull_image(const PullImageRequest& request, Handler<PullImageResponse>& handler) = 0;
  virtual Call run_pod_sandbox(const RunPodSandboxRequest& request, Handler<RunPodSandboxResponse>& handler) = 0;
  virtual Call create_container(const CreateContainerRequest& request, Handler<CreateContainerResponse>& handler) = 0;
  virtual Call start_container(const StartContainerRequest& request, Handler<StartContainerResponse>& handler) = 0;
  virtual Call container_status(const ContainerStatusRequest& request, Handler<ContainerStatusResponse>& handler) = 0;
  virtual Call container_stats(const ContainerStatsRequest& request, Handler<ContainerStatsResponse>& handler) = 0;
  /// Answered when the container has ended: after the grace at most, and what the runtime needs for it.
  virtual Call stop_container(const StopContainerRequest& request, Handler<StopContainerResponse>& handler) = 0;
  virtual Call remove_container(const RemoveContainerRequest& request, Handler<RemoveContainerResponse>& handler) = 0;
  virtual Call stop_pod_sandbox(const StopPodSandboxRequest& request, Handler<StopPodSandboxResponse>& handler) = 0;
  virtual Call remove_pod_sandbox(const RemovePodSandboxRequest& request,
                                  Handler<RemovePodSandboxResponse>& handler) = 0;
  /// Only where broadcasts_events() says so.
  virtual Call watch_events(EventHandler& handler) = 0;

 private:
  friend class Call;
  virtual void drop(CallId call) = 0;
};

inline void Call::reset() {
  if (id_ != 0) std::exchange(client_, nullptr)->drop(std::exchange(id_, 0));
}

/// Told when the runtime comes and goes. A call that it makes goes out at once.
class RuntimeObserver {
 public:
  virtual void on_runtime_up(const VersionResponse& runtime) = 0;
  virtual void on_runtime_down(std::string_view why) = 0;

 protected:
  ~RuntimeObserver() = default;
};

}  // namespace te::cri

// The Client over a gRPC channel.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "cri/client.h"
#include "cri/client_figures.h"
#include "cri/grpc_channel.h"

namespace te::cri {

struct GrpcClientOptions {
  GrpcChannelOptions channel;
  MonoNanos patience = kDefaultPatience;  ///< see method_timeout()
  ClientFigures* figures = nullptr;       ///< null: nobody counts
};

class GrpcClient final : public Client, private GrpcChannelOwner {
 public:
  /// `observer` must outlive the client. It may be told things from start() on, in turns of the loop.
  GrpcClient(Reactor& reactor, GrpcClientOptions options, RuntimeObserver& observer);
  GrpcClient(const GrpcClient&) = delete;
  GrpcClient& operator=(const GrpcClient&) = delete;
  /// Calls are given up; no handler is called. Not from within a handler.
  ~GrpcClient() override;

  void start() { channel_.start(); }

  /// Calls that are not answered yet.
  size_t calls() const { return pending_.size(); }
  const VersionResponse* runtime() const override { return up_ ? &runtime_ : nullptr; }
  std::string_view trouble() const override { return trouble_; }

  Call list_pod_sandbox(const ListPodSandboxRequest& request, Handler<ListPodSandboxResponse>& handler) override;
  Call list_containers(const ListContainersRequest& request, Handler<ListContainersResponse>& handler) override;
  Call image_status(const ImageStatusRequest& request, Handler<ImageStatusResponse>& handler) override;
  Call pull_image(const PullImageRequest& request, Handler<PullImageResponse>& handler) override;
  Call run_pod_sandbox(const RunPodSandboxRequest& request, Handler<RunPodSandboxResponse>& handler) override;
  Call create_container(const CreateContainerRequest& request, Handler<CreateContainerResponse>& handler) override;
  Call start_container(const StartContainerRequest& request, Handler<StartContainerResponse>& handler) override;
  Call container_status(const ContainerStatusRequest& request, Handler<ContainerStatusResponse>& handler) override;
  Call container_stats(const ContainerStatsRequest& request, Handler<ContainerStatsResponse>& handler) override;
  Call stop_container(const StopContainerRequest& request, Handler<StopContainerResponse>& handler) override;
  Call remove_container(const RemoveContainerRequest& request, Handler<RemoveContainerResponse>& handler) override;
  Call stop_pod_sandbox(const StopPodSandboxRequest& request, Handler<StopPodSandboxResponse>& handler) override;
  Call remove_pod_sandbox(const RemovePodSandboxRequest& request, Handler<RemovePodSandboxResponse>& handler) override;
  Call watch_events(EventHandler& handler) override;

 private:
  struct Pending;
  struct UnaryBase;
  template <class Response>
  struct Unary;
  struct Events;
  struct Probe;

  void drop(CallId call) override;
  std::unique_ptr<Pending> take(CallId call, GrpcCode code);
  void on_connected() override;
  void on_disconnected(std::string_view why) override;
  void on_version(Outcome<VersionResponse>& outcome);

  template <class Request, class Response>
  Call unary(Method method, const Request& request, Handler<Response>& handler, MonoNanos extra = 0);
  CallId send(Method method, std::string message, std::unique_ptr<Pending> pending, MonoNanos extra);

  RuntimeObserver& observer_;
  MonoNanos patience_;
  ClientFigures* figures_;
  GrpcChannel channel_;
  std::map<CallId, std::unique_ptr<Pending>> pending_;
  std::unique_ptr<Probe> probe_;
  VersionResponse runtime_;
  bool up_ = false;
  std::string trouble_ = "not connected yet";
  CallId next_id_ = 1;
};

}  // namespace te::cri

#include "cri/grpc_client.h"

#include <algorithm>
#include <utility>

#include "sys/clock.h"

namespace te::cri {
namespace {

Failure failure_of(Method method, GrpcStatus& status) {
  const Verdict verdict = judge(method, status);
  return {verdict, method, std::move(status)};
}

}  // namespace

/// A call that is under way. What does not depend on the answer's type is here, out of the template.
struct GrpcClient::Pending : GrpcReceiver {
  Pending(GrpcClient& owning_client, Method called) : client(owning_client), method(called) {}
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;
  virtual ~Pending() = default;

  /// Nobody waits any more.
  virtual void forget() = 0;
  /// The call is over; the last thing that is asked of it.
  virtual void end(GrpcStatus& status) = 0;

  void on_end(GrpcStatus& status) final {
    const std::unique_ptr<Pending> self = client.take(id, status.code);
    end(status);
  }

  GrpcClient& client;
  Method method;
  CallId id = 0;
  uint64_t channel_call = 0;
};

/// One message, then the status.
struct GrpcClient::UnaryBase : Pending {
  using Pending::Pending;

  virtual Result<void> read(std::string_view message) = 0;
  virtual void deliver(std::optional<Failure> failure) = 0;

  void on_message(std::string_view message) final {
    if (++messages > 1) return;
    const Result<void> decoded = read(message);
    if (!decoded) trouble = "the answer can't be read: " + decoded.error().context;
  }

  void end(GrpcStatus& status) final {
    if (messages == 0) trouble = "the answer has no message";
    if (messages > 1) trouble = "the answer has more than one message";
    if (status.ok() && !trouble.empty()) status = {GrpcCode::kInternal, GrpcOrigin::kLocal, std::move(trouble)};
    deliver(status.ok() ? std::nullopt : std::optional<Failure>(failure_of(method, status)));
  }

  std::string trouble;
  unsigned messages = 0;
};

template <class Response>
struct GrpcClient::Unary final : UnaryBase {
  Unary(GrpcClient& owning_client, Method called, Handler<Response>& waiting)
      : UnaryBase(owning_client, called), handler(&waiting) {}

  void forget() override { handler = nullptr; }
  Result<void> read(std::string_view message) override { return decode(message, outcome.response); }
  void deliver(std::optional<Failure> failure) override {
    outcome.failure = std::move(failure);
    if (handler != nullptr) handler->on_reply(id, outcome);
  }

  Handler<Response>* handler;
  Outcome<Response> outcome;
};

struct GrpcClient::Events final : Pending {
  Events(GrpcClient& owning_client, EventHandler& waiting)
      : Pending(owning_client, Method::kGetContainerEvents), handler(&waiting) {}

  void forget() override { handler = nullptr; }

  void on_message(std::string_view message) override {
    ContainerEvent event;
    // One that can't be read is a hint to nothing.
    if (handler != nullptr && decode(message, event)) handler->on_container_event(event);
  }

  void end(GrpcStatus& status) override {
    if (status.ok()) status = {GrpcCode::kUnavailable, GrpcOrigin::kServer, "the runtime ended the stream"};
    if (handler != nullptr) handler->on_events_end(failure_of(method, status));
  }

  EventHandler* handler;
};

/// Receives the Version that tries a new connection.
struct GrpcClient::Probe final : Handler<VersionResponse> {
  explicit Probe(GrpcClient& owning_client) : client(owning_client) {}
  void on_reply(CallId call, Outcome<VersionResponse>& outcome) override {
    (void)call;
    client.on_version(outcome);
  }
  GrpcClient& client;
};

GrpcClient::GrpcClient(Reactor& reactor, GrpcClientOptions options, RuntimeObserver& observer)
    : observer_(observer),
      patience_(options.patience),
      figures_(options.figures),
      channel_(reactor, std::move(options.channel), *this),
      probe_(std::make_unique<Probe>(*this)) {}

GrpcClient::~GrpcClient() = default;

CallId GrpcClient::send(Method method, std::string message, std::unique_ptr<Pending> pending, MonoNanos extra) {
  const MonoNanos allowed = method_timeout(method, patience_);
  GrpcChannel::Request request;
  request.path = method_path(method);
  request.message = std::move(message);
  if (allowed != kNever) request.deadline = sys::mono_now() + allowed + extra;
  request.first = method == Method::kVersion;
  request.never_cancelled = method == Method::kStartContainer;  // half a start is neither one nor the other
  const CallId id = next_id_++;
  Pending& receiver = *pending;
  receiver.id = id;
  pending_.emplace(id, std::move(pending));
  receiver.channel_call = channel_.call(std::move(request), receiver);
  return id;
}

template <class Request, class Response>
Call GrpcClient::unary(Method method, const Request& request, Handler<Response>& handler, MonoNanos extra) {
  std::string message;
  encode(request, message);
  return Call(*this,
              send(method, std::move(message), std::make_unique<Unary<Response>>(*this, method, handler), extra));
}

/// The call has ended.
std::unique_ptr<GrpcClient::Pending> GrpcClient::take(CallId call, GrpcCode code) {
  const auto at = pending_.find(call);
  std::unique_ptr<Pending> taken = std::move(at->second);
  if (figures_ != nullptr) figures_->add(taken->method, code);
  pending_.erase(at);
  return taken;
}

void GrpcClient::drop(CallId call) {
  const auto at = pending_.find(call);
  if (at == pending_.end()) return;
  switch (method_effect(at->second->method)) {
    case Effect::kReads: {
      const std::unique_ptr<Pending> last = take(call, GrpcCode::kCancelled);
      channel_.cancel(last->channel_call);
      return;
    }
    case Effect::kCleans:
    case Effect::kCreates: at->second->forget(); return;
  }
}

// -- the runtime comes and goes
// ----------------------------------------------------------------------------------------

void GrpcClient::on_connected() {
  std::string message;
  encode(VersionRequest(), message);
  send(Method::kVersion, std::move(message), std::make_unique<Unary<VersionResponse>>(*this, Method::kVersion, *probe_),
       0);
}

void GrpcClient::on_version(Outcome<VersionResponse>& outcome) {
  if (outcome.ok()) {
    runtime_ = std::move(outcome.response);
    up_ = true;
    if (figures_ != nullptr) ++figures_->connects;
    trouble_.clear();
    observer_.on_runtime_up(runtime_);
    channel_.accept();
    return;
  }
  const bool old = outcome.failure->status.code == GrpcCode::kUnimplemented;
  channel_.refuse(old ? std::string("the runtime does not speak CRI v1") : outcome.failure->text());
}

void GrpcClient::on_disconnected(std::string_view why) {
  trouble_ = why;
  if (!std::exchange(up_, false)) return;
  if (figures_ != nullptr) ++figures_->disconnects;
  observer_.on_runtime_down(trouble_);
}

// -- the calls
// ---------------------------------------------------------------------------------------------------------

Call GrpcClient::list_pod_sandbox(const ListPodSandboxRequest& request, Handler<ListPodSandboxResponse>& handler) {
  return unary(Method::kListPodSandbox, request, handler);
}
Call GrpcClient::list_containers(const ListContainersRequest& request, Handler<ListContainersResponse>& handler) {
  return unary(Method::kListContainers, request, handler);
}
Call GrpcClient::image_status(const ImageStatusRequest& request, Handler<ImageStatusResponse>& handler) {
  return unary(Method::kImageStatus, request, handler);
}
Call GrpcClient::pull_image(const PullImageRequest& request, Handler<PullImageResponse>& handler) {
  return unary(Method::kPullImage, request, handler);
}
Call GrpcClient::run_pod_sandbox(const RunPodSandboxRequest& request, Handler<RunPodSandboxResponse>& handler) {
  return unary(Method::kRunPodSandbox, request, handler);
}
Call GrpcClient::create_container(const CreateContainerRequest& request, Handler<CreateContainerResponse>& handler) {
  return unary(Method::kCreateContainer, request, handler);
}
Call GrpcClient::start_container(const StartContainerRequest& request, Handler<StartContainerResponse>& handler) {
  return unary(Method::kStartContainer, request, handler);
}
Call GrpcClient::container_status(const ContainerStatusRequest& request, Handler<ContainerStatusResponse>& handler) {
  return unary(Method::kContainerStatus, request, handler);
}
Call GrpcClient::container_stats(const ContainerStatsRequest& request, Handler<ContainerStatsResponse>& handler) {
  return unary(Method::kContainerStats, request, handler);
}
Call GrpcClient::stop_container(const StopContainerRequest& request, Handler<StopContainerResponse>& handler) {
  // The runtime sends its KILL only while the call lives, so the grace never counts against the deadline.
  constexpr int64_t kLongest = int64_t{365} * 24 * 3'600;
  const MonoNanos grace = std::clamp<int64_t>(request.grace_seconds, 0, kLongest) * kSecond;
  return unary(Method::kStopContainer, request, handler, grace);
}
Call GrpcClient::remove_container(const RemoveContainerRequest& request, Handler<RemoveContainerResponse>& handler) {
  return unary(Method::kRemoveContainer, request, handler);
}
Call GrpcClient::stop_pod_sandbox(const StopPodSandboxRequest& request, Handler<StopPodSandboxResponse>& handler) {
  return unary(Method::kStopPodSandbox, request, handler);
}
Call GrpcClient::remove_pod_sandbox(const RemovePodSandboxRequest& request,
                                    Handler<RemovePodSandboxResponse>& handler) {
  return unary(Method::kRemovePodSandbox, request, handler);
}

Call GrpcClient::watch_events(EventHandler& handler) {
  std::string message;
  encode(GetContainerEventsRequest(), message);
  return Call(*this,
              send(Method::kGetContainerEvents, std::move(message), std::make_unique<Events>(*this, handler), 0));
}

}  // namespace te::cri

// The interface that callers see, through the runtime made of memory.
#include <doctest/doctest.h>

#include <optional>
#include <string>

#include "../../verdict_name.h"
#include "fake_runtime.h"

using namespace te;
using namespace te::cri;

namespace {

/// Keeps what it is told last.
template <class Response>
class Waiter final : public Handler<Response> {
 public:
  void on_reply(CallId, Outcome<Response>& outcome) override {
    ++told;
    failure = outcome.failure;
    response = std::move(outcome.response);
  }
  std::string verdict() const { return failure ? std::string(verdict_name(failure->verdict)) : "ok"; }

  int told = 0;
  std::optional<Failure> failure;
  Response response;
};

}  // namespace

TEST_CASE("client: the life of a container in the fake runtime") {
  FakeRuntime runtime;
  Waiter<RunPodSandboxResponse> run;
  Waiter<CreateContainerResponse> create;
  Waiter<StartContainerResponse> start;
  Waiter<ContainerStatusResponse> status;
  Waiter<PullImageResponse> pull;
  RunPodSandboxRequest pod;
  pod.config.metadata = {"pod", "u", "ns", 0};
  pod.config.labels = {{"owner", "me"}};
  Call call = runtime.run_pod_sandbox(pod, run);
  CHECK(run.told == 0);
  runtime.answer_all();
  CHECK(run.verdict() == "ok");
  call = runtime.run_pod_sandbox(pod, run);
  runtime.answer_all();
  CHECK(run.verdict() == "reserved");

  CreateContainerRequest container;
  container.pod_sandbox_id = runtime.sandboxes.begin()->first;
  container.config.name = "main";
  container.config.image = "busybox";
  call = runtime.create_container(container, create);
  runtime.answer_all();
  CHECK(create.verdict() == "image missing");
  call = runtime.pull_image({"busybox", {}, {}}, pull);
  runtime.answer_all();
  runtime.lose_next(Method::kCreateContainer);
  call = runtime.create_container(container, create);
  runtime.answer_all();
  CHECK(create.verdict() == "look again");
  CHECK(runtime.containers.size() == 1);
  const std::string id = runtime.containers.begin()->first;
  call = runtime.start_container({id}, start);
  runtime.answer_all();
  CHECK(start.verdict() == "ok");
  call = runtime.start_container({id}, start);
  runtime.answer_all();
  CHECK(start.verdict() == "already started");
  runtime.end(id, 3);
  call = runtime.container_status({id}, status);
  runtime.answer_all();
  CHECK(status.response.status.state == ContainerState::kExited);
  CHECK(status.response.status.exit_code == 3);
  CHECK(runtime.log.front() == "RunPodSandbox pod-u-0");
  CHECK(runtime.log.back() == "ContainerStatus " + id);
}

TEST_CASE("client: a call that is dropped, moved or replaced") {
  FakeRuntime runtime;
  Waiter<ListContainersResponse> list;
  Call call = runtime.list_containers({}, list);
  CHECK(call.waiting());
  Call moved = std::move(call);
  CHECK_FALSE(call.waiting());  // NOLINT(bugprone-use-after-move): what is left is empty
  CHECK(runtime.unanswered() == 1);
  moved = runtime.list_containers({}, list);
  CHECK(runtime.unanswered() == 1);
  { const Call gone = std::move(moved); }
  CHECK(runtime.unanswered() == 0);
  CHECK_FALSE(runtime.answer());
  CHECK(list.told == 0);
}

TEST_CASE("client: a runtime that is down, and one that fails") {
  FakeRuntime runtime;
  Waiter<StopContainerResponse> stop;
  runtime.down = "connect to /run/x: No such file or directory (ENOENT)";
  CHECK(runtime.runtime() == nullptr);
  Call call = runtime.stop_container({"c", 10}, stop);
  runtime.answer_all();
  CHECK(stop.verdict() == "retry");
  CHECK(stop.failure->status.origin == GrpcOrigin::kNotSent);
  runtime.down.clear();
  runtime.fail_next(Method::kStopContainer, {{GrpcCode::kUnknown, GrpcOrigin::kServer, "no"}, false});
  call = runtime.stop_container({"c", 10}, stop);
  runtime.answer_all();
  CHECK(stop.failure->text() == "StopContainer: UNKNOWN: no");
  call = runtime.stop_container({"c", 10}, stop);
  runtime.answer_all();
  CHECK(stop.verdict() == "gone");
}

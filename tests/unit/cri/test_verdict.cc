#include <doctest/doctest.h>

#include "../../verdict_name.h"

using namespace te;
using namespace te::cri;

namespace {

std::string_view told(Method method, GrpcCode code, std::string message = {}, GrpcOrigin origin = GrpcOrigin::kServer) {
  return verdict_name(judge(method, {code, origin, std::move(message)}));
}

constexpr Method kAll[] = {Method::kVersion,          Method::kRunPodSandbox,  Method::kStopPodSandbox,
                           Method::kRemovePodSandbox, Method::kListPodSandbox, Method::kCreateContainer,
                           Method::kStartContainer,   Method::kStopContainer,  Method::kRemoveContainer,
                           Method::kContainerStatus,  Method::kListContainers, Method::kContainerStats,
                           Method::kImageStatus,      Method::kPullImage,      Method::kGetContainerEvents};

}  // namespace

TEST_CASE("method: what a call may take goes by what a plain one may take") {
  CHECK(method_timeout(Method::kCreateContainer, kDefaultPatience) == 120 * kSecond);
  CHECK(method_timeout(Method::kRunPodSandbox, kSecond) == 2 * kSecond);
  CHECK(method_timeout(Method::kListContainers, kSecond) == 250 * kMillisecond);
  CHECK(method_timeout(Method::kVersion, kDefaultPatience) == 10 * kSecond);
  CHECK(method_timeout(Method::kVersion, kSecond) == kSecond);
  CHECK(method_timeout(Method::kPullImage, kSecond) == 3'600 * kSecond);
  CHECK(method_timeout(Method::kGetContainerEvents, kSecond) == kNever);
}

TEST_CASE("verdict: what was never looked at is made again, whatever it is") {
  for (const Method method : kAll) {
    CHECK(told(method, GrpcCode::kUnavailable, "", GrpcOrigin::kNotSent) == "retry");
    CHECK(told(method, GrpcCode::kDeadlineExceeded, "", GrpcOrigin::kNotSent) == "retry");
    CHECK(told(method, GrpcCode::kUnavailable) == "retry");
    CHECK(told(method, GrpcCode::kUnknown, "server is not initialized yet") == "retry");
    CHECK(told(method, GrpcCode::kUnimplemented) == "unsupported");
  }
}

TEST_CASE("verdict: a lost answer") {
  for (const Method method : kAll) {
    const bool creates =
        method == Method::kRunPodSandbox || method == Method::kCreateContainer || method == Method::kStartContainer;
    CHECK(told(method, GrpcCode::kUnavailable, "", GrpcOrigin::kLost) == (creates ? "look again" : "retry"));
    const bool pull = method == Method::kPullImage;
    const char* late = creates ? "look again" : pull ? "back off" : "retry";
    CHECK(told(method, GrpcCode::kDeadlineExceeded, "", GrpcOrigin::kLocal) == late);
    CHECK(told(method, GrpcCode::kCancelled) == late);
  }
}

TEST_CASE("verdict: not found") {
  for (const Method method :
       {Method::kStopPodSandbox, Method::kRemovePodSandbox, Method::kStopContainer, Method::kRemoveContainer,
        Method::kContainerStatus, Method::kContainerStats, Method::kStartContainer}) {
    CHECK(told(method, GrpcCode::kNotFound, "an error occurred when try to find it") == "gone");
  }
  CHECK(told(Method::kPullImage, GrpcCode::kNotFound) == "fail");
  // The texts of containerd 1.6.20.
  CHECK(told(Method::kCreateContainer, GrpcCode::kNotFound, "failed to resolve image \"x\": not found") ==
        "image missing");
  CHECK(told(Method::kCreateContainer, GrpcCode::kNotFound, "failed to find sandbox id \"x\": not found") ==
        "new attempt");
  CHECK(told(Method::kCreateContainer, GrpcCode::kNotFound,
             "failed to get sandbox container task: no running task found: task x not found: not found") ==
        "new attempt");
  CHECK(told(Method::kCreateContainer, GrpcCode::kUnknown, "sandbox container \"x\" is not running") == "new attempt");
  CHECK(told(Method::kCreateContainer, GrpcCode::kNotFound, "gone") == "new attempt");
  CHECK(told(Method::kCreateContainer, GrpcCode::kUnknown, "CreateContainer failed as the sandbox was stopped: x") ==
        "new attempt");
  // CRI-O runs the OCI runtime here: it is the command that is missing, whatever it is called.
  for (const char* command : {"nosuch", "sandbox-agent", "imagemagick"}) {
    CHECK(told(Method::kCreateContainer, GrpcCode::kUnknown,
               std::string("container create failed: exec: \"") + command + "\": executable file not found in $PATH") ==
          "fail");
  }
}

TEST_CASE("verdict: names that are taken") {
  const std::string text = "failed to reserve sandbox name \"a_b_c_0\": name \"a_b_c_0\" is reserved for \"f00\"";
  CHECK(told(Method::kRunPodSandbox, GrpcCode::kUnknown, text) == "reserved");
  CHECK(told(Method::kCreateContainer, GrpcCode::kUnknown, text) == "reserved");
  CHECK(told(Method::kCreateContainer, GrpcCode::kUnknown, "error reserving ctr name x: name is reserved") ==
        "reserved");
  CHECK(told(Method::kRunPodSandbox, GrpcCode::kAlreadyExists) == "reserved");
}

TEST_CASE("verdict: starts") {
  CHECK(told(Method::kStartContainer, GrpcCode::kUnknown, "container is already in starting state") ==
        "already started");
  CHECK(told(Method::kStartContainer, GrpcCode::kUnknown, "container is in CONTAINER_RUNNING state") ==
        "already started");
  CHECK(told(Method::kStartContainer, GrpcCode::kUnknown, "container is in CONTAINER_EXITED state") ==
        "already started");
  CHECK(told(Method::kStartContainer, GrpcCode::kUnknown, "exec: \"/nosuch\": stat /nosuch: no such file") == "fail");
}

TEST_CASE("verdict: pulls") {
  const auto pull = [](std::string text, GrpcCode code = GrpcCode::kUnknown) {
    return told(Method::kPullImage, code, std::move(text));
  };
  CHECK(pull("failed to do request: Head \"http://x\": dial tcp 127.0.0.1:1: connect: connection refused") ==
        "back off");
  CHECK(pull("unexpected status code http://x/v2/y: 429 Too Many Requests") == "back off");
  CHECK(pull("unexpected status code http://x/v2/y: 503 Service Unavailable") == "back off");
  CHECK(pull("unexpected status code http://x/v2/y: 502 Bad Gateway", GrpcCode::kInternal) == "back off");
  CHECK(pull("unexpected status code http://x/v2/y: 401 Unauthorized") == "fail");
  CHECK(pull("unexpected status code http://x/v2/y: 403 Forbidden") == "fail");
  CHECK(pull("pull access denied, repository does not exist or may require authorization") == "fail");
  CHECK(pull("failed to parse image reference \"BAD::y\": invalid reference format") == "fail");
  CHECK(pull("something else") == "back off");
  CHECK(pull("", GrpcCode::kResourceExhausted) == "fail");
  CHECK(pull("", GrpcCode::kInvalidArgument) == "fail");
}

TEST_CASE("verdict: what will not work fails, but for reading and for cleaning up") {
  for (const GrpcCode code : {GrpcCode::kResourceExhausted, GrpcCode::kInvalidArgument, GrpcCode::kInternal}) {
    for (const Method method : {Method::kRunPodSandbox, Method::kCreateContainer, Method::kStartContainer}) {
      CHECK(told(method, code) == "fail");
    }
    for (const Method method : {Method::kStopContainer, Method::kRemoveContainer, Method::kStopPodSandbox,
                                Method::kRemovePodSandbox, Method::kListContainers, Method::kContainerStatus}) {
      CHECK(told(method, code) == "retry");
    }
  }
  CHECK(told(Method::kImageStatus, GrpcCode::kInvalidArgument) == "fail");
  CHECK(told(Method::kRunPodSandbox, GrpcCode::kUnknown, "failed to setup network for sandbox") == "new attempt");
  CHECK(told(Method::kCreateContainer, GrpcCode::kUnknown, "failed to generate spec") == "fail");
}

TEST_CASE("verdict: a failure as text") {
  Failure failure;
  failure.method = Method::kStopContainer;
  failure.status = {GrpcCode::kNotFound, GrpcOrigin::kServer, "no such container"};
  CHECK(failure.text() == "StopContainer: NOT_FOUND: no such container");
  failure.status.message.clear();
  CHECK(failure.text() == "StopContainer: NOT_FOUND");
}

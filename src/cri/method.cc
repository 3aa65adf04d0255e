#include "cri/method.h"

#include <algorithm>

namespace te::cri {

std::string_view method_path(Method method) {
  switch (method) {
    case Method::kVersion: return "/runtime.v1.RuntimeService/Version";
    case Method::kRunPodSandbox: return "/runtime.v1.RuntimeService/RunPodSandbox";
    case Method::kStopPodSandbox: return "/runtime.v1.RuntimeService/StopPodSandbox";
    case Method::kRemovePodSandbox: return "/runtime.v1.RuntimeService/RemovePodSandbox";
    case Method::kListPodSandbox: return "/runtime.v1.RuntimeService/ListPodSandbox";
    case Method::kCreateContainer: return "/runtime.v1.RuntimeService/CreateContainer";
    case Method::kStartContainer: return "/runtime.v1.RuntimeService/StartContainer";
    case Method::kStopContainer: return "/runtime.v1.RuntimeService/StopContainer";
    case Method::kRemoveContainer: return "/runtime.v1.RuntimeService/RemoveContainer";
    case Method::kContainerStatus: return "/runtime.v1.RuntimeService/ContainerStatus";
    case Method::kListContainers: return "/runtime.v1.RuntimeService/ListContainers";
    case Method::kContainerStats: return "/runtime.v1.RuntimeService/ContainerStats";
    case Method::kImageStatus: return "/runtime.v1.ImageService/ImageStatus";
    case Method::kPullImage: return "/runtime.v1.ImageService/PullImage";
    case Method::kGetContainerEvents: return "/runtime.v1.RuntimeService/GetContainerEvents";
  }
  return {};
}

std::string_view method_name(Method method) {
  const std::string_view path = method_path(method);
  return path.substr(path.rfind('/') + 1);
}

Effect method_effect(Method method) {
  switch (method) {
    case Method::kVersion:
    case Method::kListPodSandbox:
    case Method::kContainerStatus:
    case Method::kListContainers:
    case Method::kContainerStats:
    case Method::kImageStatus:
    case Method::kPullImage:  // what is pulled stays in the store, and pulling again goes on from there
    case Method::kGetContainerEvents: return Effect::kReads;
    case Method::kStopPodSandbox:
    case Method::kRemovePodSandbox:
    case Method::kStopContainer:
    case Method::kRemoveContainer: return Effect::kCleans;
    case Method::kRunPodSandbox:
    case Method::kCreateContainer:
    case Method::kStartContainer: return Effect::kCreates;
  }
  return Effect::kCreates;
}

MonoNanos method_timeout(Method method, MonoNanos patience) {
  constexpr MonoNanos kVersionTimeout = 10 * kSecond;
  constexpr MonoNanos kPullTimeout = 3'600 * kSecond;
  constexpr MonoNanos kQuick = 4;  // what only looks something up
  switch (method) {
    case Method::kVersion: return std::min(patience, kVersionTimeout);
    case Method::kListPodSandbox:
    case Method::kContainerStatus:
    case Method::kListContainers:
    case Method::kContainerStats:
    case Method::kImageStatus: return patience / kQuick;
    case Method::kStopPodSandbox:
    case Method::kRemovePodSandbox:
    case Method::kStopContainer:
    case Method::kRemoveContainer:
    case Method::kCreateContainer:
    case Method::kStartContainer: return patience;
    case Method::kRunPodSandbox: return 2 * patience;
    case Method::kPullImage: return kPullTimeout;
    case Method::kGetContainerEvents: return kNever;
  }
  return patience;
}

}  // namespace te::cri

// The calls of the CRI that we make, and what differs between them beside their messages.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/time.h"

namespace te::cri {

enum class Method : uint8_t {
  kVersion,
  kRunPodSandbox,
  kStopPodSandbox,
  kRemovePodSandbox,
  kListPodSandbox,
  kCreateContainer,
  kStartContainer,
  kStopContainer,
  kRemoveContainer,
  kContainerStatus,
  kListContainers,
  kContainerStats,
  kImageStatus,
  kPullImage,
  kGetContainerEvents,
};

std::string_view method_path(Method method);  ///< "/runtime.v1.RuntimeService/Version"
std::string_view method_name(Method method);  ///< "Version"

/// What the call does there: whether it may be cancelled, and what is known when its answer is lost.
enum class Effect : uint8_t {
  kReads,    ///< changes nothing
  kCleans,   ///< stops or removes; may be repeated
  kCreates,  ///< makes or starts something; when the answer is lost one must look
};
Effect method_effect(Method method);

/// The kubelet's --runtime-request-timeout.
constexpr MonoNanos kDefaultPatience = 120 * kSecond;
/// How long the runtime may take for a call, from what it may take for a plain one. As with the kubelet a sandbox may
/// take twice as long; the grace of StopContainer is added, and pulling does not depend on it.
MonoNanos method_timeout(Method method, MonoNanos patience);

}  // namespace te::cri

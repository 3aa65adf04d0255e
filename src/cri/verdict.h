// What a failed call means for the one who made it.
//
// Runtimes differ in their codes (containerd 1.6 says UNKNOWN to nearly everything), so texts are looked at too. A pure
// function of the method and the status.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cri/method.h"
#include "wire/grpc_status.h"

namespace te::cri {

enum class Verdict : uint8_t {
  kRetry,      ///< nothing is lost: make the same call again, with the next tick
  kLookAgain,  ///< Run, Create: list by label, adopt or remove what is there. Start: ask ContainerStatus, and start
               ///< only what is CREATED.
  kGone,       ///< the container or sandbox is not there: for Stop, Remove and Status that is a success
  kReserved,   ///< the name is taken: list and adopt; none there: after 300 ms once more, then the next attempt
  kAlreadyStarted,  ///< Start: it has been started before; poll
  kImageMissing,    ///< Create: pull the image (again)
  kNewAttempt,   ///< Run, Create: the sandbox could not be made, or is dead: remove it, make one with the next attempt
  kUnsupported,  ///< the runtime does not know the call: never make it again
  kBackOff,      ///< Pull: a passing trouble; try later (ErrImagePull, ImagePullBackOff)
  kFail,         ///< it will not work: the task has failed
};
/// No patience helps.
inline bool hopeless(Verdict verdict) { return verdict == Verdict::kFail || verdict == Verdict::kUnsupported; }

/// `status` is not OK.
Verdict judge(Method method, const GrpcStatus& status);

/// A failed call, with its verdict.
struct Failure {
  Verdict verdict = Verdict::kFail;
  Method method = Method::kVersion;
  GrpcStatus status;

  /// "RunPodSandbox: UNKNOWN: failed to setup network …", for people.
  std::string text() const;
};

}  // namespace te::cri

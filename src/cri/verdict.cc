#include "cri/verdict.h"

#include <algorithm>
#include <array>
#include <initializer_list>

namespace te::cri {
namespace {

bool has_any(std::string_view text, std::initializer_list<std::string_view> parts) {
  return std::ranges::any_of(parts, [&](std::string_view part) { return text.find(part) != std::string_view::npos; });
}

/// The answer is lost, or was not waited for.
Verdict unknown_outcome(Method method) {
  switch (method_effect(method)) {
    case Effect::kReads: return method == Method::kPullImage ? Verdict::kBackOff : Verdict::kRetry;
    case Effect::kCleans: return Verdict::kRetry;
    case Effect::kCreates: return Verdict::kLookAgain;
  }
  return Verdict::kRetry;
}

Verdict judge_pull(const GrpcStatus& status) {
  // A registry's answers come in the text: "unexpected status code …: 429 Too Many Requests".
  if (has_any(status.message, {"429 Too Many", "toomanyrequests", "500 Internal", "502 Bad", "503 Service",
                               "504 Gateway", "dial tcp", "dial unix", "i/o timeout", "TLS handshake timeout",
                               "connection refused", "connection reset", "no such host", "unexpected EOF"})) {
    return Verdict::kBackOff;
  }
  if (has_any(status.message, {"401 Unauthorized", "403 Forbidden", "authorization failed", "authentication required",
                               "pull access denied", "invalid reference", "failed to parse image reference"})) {
    return Verdict::kFail;
  }
  return status.code == GrpcCode::kUnknown ? Verdict::kBackOff : Verdict::kFail;
}

Verdict judge_run(const GrpcStatus& status) {
  if (status.code == GrpcCode::kAlreadyExists || has_any(status.message, {"is reserved"})) return Verdict::kReserved;
  return status.code == GrpcCode::kUnknown ? Verdict::kNewAttempt : Verdict::kFail;
}

Verdict judge_create(const GrpcStatus& status) {
  if (status.code == GrpcCode::kAlreadyExists || has_any(status.message, {"is reserved"})) return Verdict::kReserved;
  const std::string_view text = status.message;
  const bool not_found = status.code == GrpcCode::kNotFound ||
                         (has_any(text, {"not found"}) && !has_any(text, {"executable file not found"}));
  if (has_any(text, {"sandbox"}) && (not_found || has_any(text, {"is not running", "is not ready", "was stopped"}))) {
    return Verdict::kNewAttempt;
  }
  return not_found && has_any(text, {"image"}) ? Verdict::kImageMissing
         : status.code == GrpcCode::kNotFound  ? Verdict::kNewAttempt
                                               : Verdict::kFail;
}

Verdict judge_start(const GrpcStatus& status) {
  if (has_any(status.message,
              {"already in starting state", "in CONTAINER_RUNNING", "in CONTAINER_EXITED", "already started"})) {
    return Verdict::kAlreadyStarted;  // one that has ended too: its status tells how
  }
  return status.code == GrpcCode::kNotFound ? Verdict::kGone : Verdict::kFail;
}

}  // namespace

Verdict judge(Method method, const GrpcStatus& status) {
  if (status.origin == GrpcOrigin::kNotSent) return Verdict::kRetry;
  if (status.origin == GrpcOrigin::kLost) {
    return method == Method::kPullImage ? Verdict::kRetry : unknown_outcome(method);
  }
  if (status.code == GrpcCode::kDeadlineExceeded || status.code == GrpcCode::kCancelled) return unknown_outcome(method);
  if (status.code == GrpcCode::kUnavailable || has_any(status.message, {"server is not initialized yet"})) {
    return Verdict::kRetry;
  }
  if (status.code == GrpcCode::kUnimplemented) return Verdict::kUnsupported;
  switch (method) {
    case Method::kPullImage: return judge_pull(status);
    case Method::kRunPodSandbox: return judge_run(status);
    case Method::kCreateContainer: return judge_create(status);
    case Method::kStartContainer: return judge_start(status);
    case Method::kImageStatus: return status.code == GrpcCode::kInvalidArgument ? Verdict::kFail : Verdict::kRetry;
    case Method::kStopPodSandbox:
    case Method::kRemovePodSandbox:
    case Method::kStopContainer:
    case Method::kRemoveContainer:
    case Method::kContainerStatus:
    case Method::kContainerStats:
      // What is to be cleaned away can't be given up, whatever the runtime says to it.
      return status.code == GrpcCode::kNotFound ? Verdict::kGone : Verdict::kRetry;
    case Method::kVersion:
    case Method::kListPodSandbox:
    case Method::kListContainers:
    case Method::kGetContainerEvents: return Verdict::kRetry;
  }
  return Verdict::kFail;
}

std::string Failure::text() const {
  std::string out(method_name(method));
  out.append(": ").append(grpc_code_name(status.code));
  if (!status.message.empty()) out.append(": ").append(status.message);
  return out;
}

}  // namespace te::cri

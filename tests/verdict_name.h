// Verdicts by name, for what tests compare and probes print.
#pragma once

#include <string_view>

#include "cri/verdict.h"

namespace te::cri {

inline std::string_view verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kRetry: return "retry";
    case Verdict::kLookAgain: return "look again";
    case Verdict::kGone: return "gone";
    case Verdict::kReserved: return "reserved";
    case Verdict::kAlreadyStarted: return "already started";
    case Verdict::kImageMissing: return "image missing";
    case Verdict::kNewAttempt: return "new attempt";
    case Verdict::kUnsupported: return "unsupported";
    case Verdict::kBackOff: return "back off";
    case Verdict::kFail: return "fail";
  }
  return {};
}

}  // namespace te::cri

// What became of the calls to a runtime and of the connections to it, for the metrics.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "cri/method.h"
#include "wire/grpc_status.h"

namespace te::cri {

/// Outlives the clients that count in it.
class ClientFigures {
 public:
  static constexpr size_t kMethods = static_cast<size_t>(Method::kGetContainerEvents) + 1;
  static constexpr size_t kCodes = static_cast<size_t>(GrpcCode::kUnauthenticated) + 1;

  void add(Method method, GrpcCode code) { ++ended_[static_cast<size_t>(method)][static_cast<size_t>(code)]; }
  /// Calls that have ended with that code. UNAVAILABLE: those too that no connection could be had for.
  uint64_t ended(Method method, GrpcCode code) const {
    return ended_[static_cast<size_t>(method)][static_cast<size_t>(code)];
  }

  uint64_t connects = 0;     ///< connections on which the runtime has answered Version
  uint64_t disconnects = 0;  ///< of them: lost, or taken out of use by the runtime

 private:
  std::array<std::array<uint64_t, kCodes>, kMethods> ended_{};
};

}  // namespace te::cri

// RuntimeService.Version: who is at the other end.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace te::cri {

struct VersionRequest {};

struct VersionResponse {
  std::string version;              ///< of the kubelet's runtime API, "0.1.0"
  std::string runtime_name;         ///< "containerd"
  std::string runtime_version;      ///< "1.6.20~ds1", "v2.0.1"
  std::string runtime_api_version;  ///< "v1"
};

void encode(const VersionRequest& request, std::string& out);
Result<void> decode(std::string_view bytes, VersionResponse& out);

/// GetContainerEvents tells every subscriber everything: containerd from 2.0 on. 1.7 has one channel, so that
/// subscribing steals the kubelet's events; 1.6 has none. Of other runtimes nothing is known, so no.
bool broadcasts_events(const VersionResponse& runtime);

}  // namespace te::cri

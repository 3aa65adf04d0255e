// Containers that are there: Start, Stop, Remove, Status, List, Stats (runtime.v1 of the CRI).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cri/labels.h"

namespace te::cri {

enum class ContainerState : uint8_t { kCreated = 0, kRunning = 1, kExited = 2, kUnknown = 3 };

struct StartContainerRequest {
  std::string container_id;
};
struct StartContainerResponse {};

/// TERM, and KILL when `grace_seconds` are over; 0 kills at once, also one that is being stopped. The KILL only comes
/// as long as the call lives: a call that is cut off must be made again.
struct StopContainerRequest {
  std::string container_id;
  int64_t grace_seconds = 0;
};
struct StopContainerResponse {};

struct RemoveContainerRequest {
  std::string container_id;
};
struct RemoveContainerResponse {};

struct ContainerStatusRequest {
  std::string container_id;
};
struct ContainerStatus {
  std::string id;
  std::string name;
  uint32_t attempt = 0;
  ContainerState state = ContainerState::kUnknown;
  int64_t created_at_ns = 0;  ///< since 1970; 0: not yet
  int64_t started_at_ns = 0;
  int64_t finished_at_ns = 0;
  int32_t exit_code = 0;  ///< 128 + n for signal n
  std::string image;
  std::string image_ref;
  std::string reason;  ///< "Completed", "Error", "StartError", "OOMKilled" (also beside exit code 0), "Unknown"
  std::string message;
  Labels labels;
  std::string log_path;
};
struct ContainerStatusResponse {
  ContainerStatus status;
};

struct ListContainersRequest {
  std::string id;                       ///< empty: any
  std::optional<ContainerState> state;  ///< absent: any
  std::string pod_sandbox_id;
  Labels labels;  ///< all of them
};
struct ContainerSummary {
  std::string id;
  std::string pod_sandbox_id;
  std::string name;
  uint32_t attempt = 0;
  ContainerState state = ContainerState::kUnknown;
  int64_t created_at_ns = 0;
  Labels labels;
};
struct ListContainersResponse {
  std::vector<ContainerSummary> containers;
};

struct ContainerStatsRequest {
  std::string container_id;
};
/// Absent: the runtime did not tell (a container that does not run has none).
struct ContainerStatsResponse {
  std::optional<uint64_t> cpu_nanos;  ///< used since the start, all cores together
  std::optional<uint64_t> working_set_bytes;
  std::optional<uint64_t> usage_bytes;
  std::optional<uint64_t> rss_bytes;
};

void encode(const StartContainerRequest& request, std::string& out);
void encode(const StopContainerRequest& request, std::string& out);
void encode(const RemoveContainerRequest& request, std::string& out);
void encode(const ContainerStatusRequest& request, std::string& out);
void encode(const ListContainersRequest& request, std::string& out);
void encode(const ContainerStatsRequest& request, std::string& out);
Result<void> decode(std::string_view bytes, StartContainerResponse& out);
Result<void> decode(std::string_view bytes, StopContainerResponse& out);
Result<void> decode(std::string_view bytes, RemoveContainerResponse& out);
Result<void> decode(std::string_view bytes, ContainerStatusResponse& out);
Result<void> decode(std::string_view bytes, ListContainersResponse& out);
Result<void> decode(std::string_view bytes, ContainerStatsResponse& out);

}  // namespace te::cri

// Pod sandboxes: RunPodSandbox, StopPodSandbox, RemovePodSandbox, ListPodSandbox (runtime.v1 of the CRI).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cri/labels.h"
#include "cri/security.h"

namespace te::cri {

/// The four together are reserved by the runtime until the sandbox is removed.
struct SandboxMetadata {
  std::string name;
  std::string uid;
  std::string name_space;
  uint32_t attempt = 0;
};

struct DnsConfig {
  std::vector<std::string> servers;
  std::vector<std::string> searches;
  std::vector<std::string> options;
};

struct PortMapping {
  enum class Protocol : uint8_t { kTcp = 0, kUdp = 1, kSctp = 2 };
  Protocol protocol = Protocol::kTcp;
  int32_t container_port = 0;
  int32_t host_port = 0;
  std::string host_ip;
};

struct SandboxConfig {
  SandboxMetadata metadata;
  std::string hostname;       ///< leave it empty with the node's network: runc fails else
  std::string log_directory;  ///< absolute; containers log below it
  std::optional<DnsConfig> dns;
  std::vector<PortMapping> port_mappings;
  Labels labels;
  Labels annotations;
  std::string cgroup_parent;
  NamespaceOptions namespaces;
  std::optional<int64_t> run_as_user;
  std::optional<int64_t> run_as_group;  ///< needs run_as_user
  bool privileged = false;              ///< a privileged container needs it
  std::optional<SecurityProfile> seccomp = SecurityProfile{};
  Labels sysctls;
};

struct RunPodSandboxRequest {
  SandboxConfig config;
  std::string runtime_handler;  ///< empty: the runtime's default
};
struct RunPodSandboxResponse {
  std::string pod_sandbox_id;
};

struct StopPodSandboxRequest {
  std::string pod_sandbox_id;
};
struct StopPodSandboxResponse {};

struct RemovePodSandboxRequest {
  std::string pod_sandbox_id;
};
struct RemovePodSandboxResponse {};

enum class SandboxState : uint8_t { kReady = 0, kNotReady = 1 };

struct ListPodSandboxRequest {
  std::string id;                     ///< empty: any
  std::optional<SandboxState> state;  ///< absent: any
  Labels labels;                      ///< all of them
};
struct SandboxSummary {
  std::string id;
  SandboxMetadata metadata;
  SandboxState state = SandboxState::kReady;
  int64_t created_at_ns = 0;  ///< since 1970
  Labels labels;
};
struct ListPodSandboxResponse {
  std::vector<SandboxSummary> items;
};

void encode(const RunPodSandboxRequest& request, std::string& out);
void encode(const StopPodSandboxRequest& request, std::string& out);
void encode(const RemovePodSandboxRequest& request, std::string& out);
void encode(const ListPodSandboxRequest& request, std::string& out);
Result<void> decode(std::string_view bytes, RunPodSandboxResponse& out);
Result<void> decode(std::string_view bytes, StopPodSandboxResponse& out);
Result<void> decode(std::string_view bytes, RemovePodSandboxResponse& out);
Result<void> decode(std::string_view bytes, ListPodSandboxResponse& out);

/// Also a part of CreateContainer and PullImage.
void write_sandbox_config(ProtoWriter& out, uint32_t field, const SandboxConfig& config);

}  // namespace te::cri

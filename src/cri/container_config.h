// What a container is made of: CreateContainer (runtime.v1 of the CRI).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cri/labels.h"
#include "cri/sandbox.h"
#include "cri/security.h"

namespace te::cri {

struct EnvironmentVariable {
  std::string key;  ///< never empty: it would fail only when the container is started
  std::string value;
};

struct Mount {
  enum class Propagation : uint8_t { kPrivate = 0, kHostToContainer = 1, kBidirectional = 2 };
  std::string container_path;  ///< absolute
  std::string host_path;       ///< absolute and there: containerd takes relative ones, and creates what is missing
  bool readonly = false;
  Propagation propagation = Propagation::kPrivate;
};

struct Device {
  std::string container_path;
  std::string host_path;
  std::string permissions;  ///< "rwm"
};

/// 0 or empty: not set.
struct ContainerResources {
  int64_t cpu_period = 0;  ///< microseconds
  int64_t cpu_quota = 0;   ///< microseconds
  int64_t cpu_shares = 0;
  int64_t memory_limit_bytes = 0;
  int64_t oom_score_adj = 0;
  std::string cpuset_cpus;
};

/// What the kubelet hides in /proc and /sys; empty lists would leave them open and writable.
std::vector<std::string> default_masked_paths();
std::vector<std::string> default_readonly_paths();

/// The defaults are those of an unprivileged container, as the kubelet asks for it.
struct ContainerSecurity {
  std::vector<std::string> add_capabilities;
  std::vector<std::string> drop_capabilities;
  bool privileged = false;
  NamespaceOptions namespaces;
  std::optional<int64_t> run_as_user;
  std::string run_as_username;
  std::optional<int64_t> run_as_group;  ///< needs one of the two above
  bool readonly_rootfs = false;
  std::vector<int64_t> supplemental_groups;
  bool no_new_privs = false;
  std::vector<std::string> masked_paths = default_masked_paths();
  std::vector<std::string> readonly_paths = default_readonly_paths();
  std::optional<SecurityProfile> seccomp = SecurityProfile{};
};

struct ContainerConfig {
  std::string name;
  uint32_t attempt = 0;  ///< name and attempt are reserved within the sandbox until the container is removed
  std::string image;     ///< the id that ImageStatus told, or a reference
  std::string user_specified_image;
  std::vector<std::string> command;  ///< empty: the image's entrypoint
  std::vector<std::string> args;
  std::string working_dir;
  std::vector<EnvironmentVariable> envs;
  std::vector<Mount> mounts;
  std::vector<Device> devices;
  Labels labels;
  Labels annotations;
  std::string log_path;  ///< below the sandbox's log_directory; empty: no log at all
  bool stdin_open = false;
  bool stdin_once = false;
  bool tty = false;
  ContainerResources resources;
  ContainerSecurity security;
};

struct CreateContainerRequest {
  std::string pod_sandbox_id;
  ContainerConfig config;
  SandboxConfig sandbox_config;  ///< the one that the sandbox was made with
};
struct CreateContainerResponse {
  std::string container_id;
};

void encode(const CreateContainerRequest& request, std::string& out);
Result<void> decode(std::string_view bytes, CreateContainerResponse& out);

}  // namespace te::cri

// What a container task is asked to be: a pod. `spec.container` is one with a single container; `podTemplateSpec` is
// read into the same model. Names and defaults are those of core/v1 (Kubernetes API, Pod).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/size.h"

namespace te {

constexpr int64_t kDefaultPodGraceSeconds = 30;
/// Name of the container of `spec.container`.
constexpr std::string_view kOnlyContainerName = "main";

enum class PullPolicy : uint8_t {
  kIfNotPresent,
  kAlways,
  kNeverPull,
  kPreferNewest,  ///< none was written and the tag is "latest": pulled, but the one that is there does when that fails
};

struct EnvEntry {
  std::string name;
  std::string value;  ///< as written, $(VAR) not expanded
  bool operator==(const EnvEntry&) const = default;
};

struct VolumeMount {
  std::string volume;
  std::string mount_path;
  std::string sub_path;
  bool read_only = false;
  bool operator==(const VolumeMount&) const = default;
};

/// 0: not set.
struct PodResources {
  int64_t cpu_request_millis = 0;
  int64_t cpu_limit_millis = 0;
  int64_t memory_limit_bytes = 0;
  bool operator==(const PodResources&) const = default;
};

struct Seccomp {
  enum class Type : uint8_t { kRuntimeDefault, kUnconfined, kLocalhost };
  Type type = Type::kRuntimeDefault;
  std::string localhost_profile;
  bool operator==(const Seccomp&) const = default;
};

/// Of a container or of the pod; the container's counts where both say something.
struct PodSecurity {
  std::optional<uint32_t> run_as_user;
  std::optional<uint32_t> run_as_group;
  std::optional<bool> run_as_non_root;
  std::optional<Seccomp> seccomp;
  // Of a container alone.
  std::optional<bool> privileged;
  std::optional<bool> allow_escalation;
  std::optional<bool> read_only_root;
  uint64_t drop_capabilities = 0;  ///< capability.h
  uint64_t add_capabilities = 0;
  // Of a pod alone.
  std::vector<uint32_t> supplemental_groups;
  std::optional<uint32_t> fs_group;
  std::vector<std::pair<std::string, std::string>> sysctls;
  bool operator==(const PodSecurity&) const = default;
};

struct ContainerSpec {
  std::string name;
  std::string image;
  PullPolicy pull_policy = PullPolicy::kIfNotPresent;
  std::vector<std::string> command;
  std::vector<std::string> args;
  std::vector<EnvEntry> env;
  std::string working_dir;
  std::vector<VolumeMount> mounts;
  PodResources resources;
  PodSecurity security;
  bool tty = false;
  bool operator==(const ContainerSpec&) const = default;
};

struct VolumeSpec {
  enum class Kind : uint8_t { kEmptyDir, kHostPath };
  /// What has to be there, as the API's HostPathType says it; kAny: something.
  enum class PathType : uint8_t { kAny, kDirectory, kDirectoryOrCreate, kFile, kSocket };
  std::string name;
  Kind kind = Kind::kEmptyDir;
  std::string host_path;
  PathType path_type = PathType::kAny;
  bool operator==(const VolumeSpec&) const = default;
};

struct PodSpec {
  std::vector<ContainerSpec> init_containers;
  std::vector<ContainerSpec> containers;  ///< at least one
  std::vector<VolumeSpec> volumes;
  std::optional<bool> host_network;  ///< absent: as --container-network says
  bool host_pid = false;
  bool host_ipc = false;
  bool share_pid = false;
  std::string hostname;
  std::string runtime_handler;
  PodSecurity security;
  std::vector<std::pair<std::string, std::string>> labels;
  std::vector<std::pair<std::string, std::string>> annotations;
  std::vector<std::string> dns_servers;
  std::vector<std::string> dns_searches;
  std::vector<std::string> dns_options;
  std::optional<int64_t> timeout_seconds;  ///< timeoutSeconds, or activeDeadlineSeconds
  std::optional<int64_t> grace_seconds;
  bool is_template = false;  ///< podTemplateSpec: other default of the grace, deadline from the very start

  size_t size() const { return init_containers.size() + containers.size(); }
  /// Init containers first.
  const ContainerSpec& container(size_t index) const {
    return index < init_containers.size() ? init_containers[index] : containers[index - init_containers.size()];
  }
  bool is_init(size_t index) const { return index < init_containers.size(); }

  /// The grace is not looked at: who compares knows its default.
  bool operator==(const PodSpec& other) const;
};

/// A container task: the model, and the JSON that it was read from, in which it is echoed and kept.
struct PodTask {
  PodSpec pod;
  std::string json;     ///< of spec.container, or of podTemplateSpec
  std::string volumes;  ///< of spec.volumes; empty: there were none
  bool timeout_at_spec = false;
  bool grace_at_spec = false;
};

/// Where a container's output is written, below the task's directory: "logs/NAME.log".
constexpr std::string_view kPodLogsFolder = "logs";
inline std::string pod_log_file(std::string_view container) {
  return std::string(kPodLogsFolder) + "/" + std::string(container) + ".log";
}

/// `[a-z0-9]([-a-z0-9]*[a-z0-9])?`, 63 at most (RFC 1123 label): containers, volumes, host names.
bool valid_label_name(std::string_view name);

/// What a container's environment, command and args may come to, all together: exec(2) takes about 2 MiB.
constexpr size_t kMostExpanded = 1 * kMiB;

/// $(NAME) by its value, $$ by $; a name that is not there stays as it is written (third_party/forked/golang/expansion
/// of Kubernetes).
struct Expansion {
  /// Each value expanded by those before it; a name that comes twice keeps its first place and its last value.
  std::vector<EnvEntry> env;
  std::vector<std::string> command;
  std::vector<std::string> args;
};
/// kInvalid: over kMostExpanded, "env: expands to more than 1 MiB". With nullptr for `out` it is only counted.
Result<void> expand_container(const ContainerSpec& container, Expansion* out);

}  // namespace te

#include "runtime/pod_config.h"

#include <algorithm>

#include "task/capability.h"

namespace te {

namespace {

constexpr int64_t kCpuPeriod = 100'000;  ///< microseconds; the kernel's and the kubelet's
constexpr int64_t kLeastQuota = 1'000;
constexpr int64_t kLeastShares = 2;
constexpr int64_t kSharesOfCpu = 1'024;
constexpr int64_t kMillis = 1'000;
constexpr int64_t kMostShares = 262'144;
constexpr int64_t kMostMillis = 1'000'000'000;

std::optional<int64_t> widened(const std::optional<uint32_t>& id) {
  return id ? std::optional<int64_t>(*id) : std::nullopt;
}

template <class T>
const std::optional<T>& first_of(const std::optional<T>& a, const std::optional<T>& b) {
  return a ? a : b;
}

cri::SecurityProfile profile_of(const std::optional<Seccomp>& seccomp) {
  cri::SecurityProfile out;
  if (!seccomp) return out;
  switch (seccomp->type) {
    case Seccomp::Type::kRuntimeDefault: break;
    case Seccomp::Type::kUnconfined: out.type = cri::SecurityProfile::Type::kUnconfined; break;
    case Seccomp::Type::kLocalhost:
      out.type = cri::SecurityProfile::Type::kLocalhost;
      out.localhost_ref = seccomp->localhost_profile;
      break;
  }
  return out;
}

cri::NamespaceOptions namespaces_of(const PodSpec& pod, bool host_network) {
  cri::NamespaceOptions out;
  if (host_network) out.network = cri::NamespaceMode::kNode;
  if (pod.host_pid) out.pid = cri::NamespaceMode::kNode;
  if (pod.share_pid) out.pid = cri::NamespaceMode::kPod;
  if (pod.host_ipc) out.ipc = cri::NamespaceMode::kNode;
  return out;
}

std::vector<std::string> names_of(uint64_t capabilities) {
  std::vector<std::string> out;
  if (capabilities == kAllCapabilities) return {"ALL"};
  for (size_t i = 0; i < kCapabilityNames.size(); ++i) {
    if ((capabilities >> i & 1U) != 0) out.emplace_back(kCapabilityNames[i]);
  }
  return out;
}

cri::ContainerResources resources_of(const PodResources& from) {
  cri::ContainerResources out;
  if (from.cpu_request_millis > 0) {
    out.cpu_shares =
        std::clamp(std::min(from.cpu_request_millis, kMostMillis) * kSharesOfCpu / kMillis, kLeastShares, kMostShares);
  }
  if (from.cpu_limit_millis > 0) {
    out.cpu_period = kCpuPeriod;
    out.cpu_quota = std::max(kLeastQuota, std::min(from.cpu_limit_millis, kMostMillis) * kCpuPeriod / kMillis);
  }
  out.memory_limit_bytes = from.memory_limit_bytes;
  return out;
}

cri::ContainerSecurity security_of(const PodSpec& pod, const ContainerSpec& container, bool host_network) {
  const PodSecurity& own = container.security;
  cri::ContainerSecurity out;
  out.add_capabilities = names_of(own.add_capabilities);
  out.drop_capabilities = names_of(own.drop_capabilities);
  out.privileged = own.privileged.value_or(false);
  out.namespaces = namespaces_of(pod, host_network);
  out.run_as_user = widened(first_of(own.run_as_user, pod.security.run_as_user));
  out.run_as_group = widened(first_of(own.run_as_group, pod.security.run_as_group));
  out.readonly_rootfs = own.read_only_root.value_or(false);
  for (const uint32_t group : pod.security.supplemental_groups) out.supplemental_groups.push_back(group);
  if (pod.security.fs_group) out.supplemental_groups.push_back(*pod.security.fs_group);
  out.no_new_privs = !own.allow_escalation.value_or(true);
  out.seccomp = profile_of(first_of(own.seccomp, pod.security.seccomp));
  if (out.privileged) {
    // As the kubelet has it: nothing is hidden from one, and no filter is put upon it unless it asks for one.
    out.masked_paths.clear();
    out.readonly_paths.clear();
    if (!own.seccomp && !pod.security.seccomp) out.seccomp->type = cri::SecurityProfile::Type::kUnconfined;
  }
  return out;
}

std::string run_uid(const PodIdentity& identity) {
  std::string out(identity.uid.view());
  if (identity.run > 1) out += "-" + std::to_string(identity.run);
  return out;
}

cri::Labels labels_of(const PodIdentity& identity) {
  return {{std::string(kOwnerLabel), std::string(identity.owner)},
          {std::string(kUidLabel), std::string(identity.uid.view())},
          {std::string(kTaskLabel), std::string(identity.name)},
          {std::string(kRunLabel), std::to_string(identity.run)}};
}

}  // namespace

cri::SandboxConfig sandbox_config(const PodSpec& pod, const PodIdentity& identity) {
  const bool host_network = pod.host_network.value_or(identity.host_network);
  cri::SandboxConfig out;
  out.metadata = {std::string(identity.name), run_uid(identity), "task-executor", identity.attempt};
  if (!host_network) {
    out.hostname = pod.hostname;
    if (out.hostname.empty() && valid_label_name(identity.name)) out.hostname = identity.name;
  }
  out.log_directory = identity.log_directory;
  if (!pod.dns_servers.empty() || !pod.dns_searches.empty() || !pod.dns_options.empty()) {
    out.dns = cri::DnsConfig{pod.dns_servers, pod.dns_searches, pod.dns_options};
  }
  for (const auto& [key, value] : pod.labels) out.labels.push_back({key, value});
  for (cri::Label& label : labels_of(identity)) out.labels.push_back(std::move(label));
  for (const auto& [key, value] : pod.annotations) out.annotations.push_back({key, value});
  out.namespaces = namespaces_of(pod, host_network);
  for (size_t i = 0; i < pod.size(); ++i) {
    out.privileged = out.privileged || pod.container(i).security.privileged.value_or(false);
  }
  out.seccomp = profile_of(pod.security.seccomp);
  for (const auto& [key, value] : pod.security.sysctls) out.sysctls.push_back({key, value});
  return out;
}

Result<void> container_config(const PodSpec& pod, size_t index, const PodIdentity& identity, std::string_view image,
                              cri::ContainerConfig& out) {
  const ContainerSpec& from = pod.container(index);
  out.name = from.name;
  out.attempt = identity.attempt;
  out.image = image;
  out.user_specified_image = from.image;
  Expansion expanded;
  TRY(expand_container(from, &expanded));
  out.command = std::move(expanded.command);
  out.args = std::move(expanded.args);
  for (EnvEntry& one : expanded.env) out.envs.push_back({std::move(one.name), std::move(one.value)});
  out.working_dir = from.working_dir;
  out.labels = labels_of(identity);
  out.labels.push_back({std::string(kContainerLabel), from.name});
  out.log_path = log_file_name(from);
  out.tty = from.tty;
  out.resources = resources_of(from.resources);
  out.security = security_of(pod, from, pod.host_network.value_or(identity.host_network));
  return {};
}

std::string refuse_root(const PodSpec& pod, const ContainerSpec& container, std::optional<int64_t> image_uid,
                        std::string_view image_user) {
  if (!first_of(container.security.run_as_non_root, pod.security.run_as_non_root).value_or(false)) return {};
  const std::optional<uint32_t>& user = first_of(container.security.run_as_user, pod.security.run_as_user);
  if (user) return *user == 0 ? "container's runAsUser breaks non-root policy" : "";
  if (image_uid && *image_uid != 0) return {};
  if (!image_uid && !image_user.empty()) {
    return "container has runAsNonRoot and image has non-numeric user (" + std::string(image_user) +
           "), cannot verify user is non-root";
  }
  return "container has runAsNonRoot and image will run as root";
}

std::string log_file_name(const ContainerSpec& container) { return container.name + ".log"; }

}  // namespace te

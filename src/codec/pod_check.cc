#include "codec/pod_check.h"

#include <string>
#include <unordered_set>

namespace te {

namespace {

std::string index_text(std::string_view path, size_t index) {
  return std::string(path) + "[" + std::to_string(index) + "]";
}

using Names = std::unordered_set<std::string_view>;

Error there_twice(const std::string& path, const std::string& name) {
  return invalid(path + ".name: \"" + name + "\" is there twice");
}

Result<void> check_container(const PodSpec& pod, const ContainerSpec& container, const Names& volumes,
                             const SpecOptions& options, const std::string& path) {
  if (container.image.empty()) return invalid(path + ".image: required, and not empty");
  if (!container.working_dir.empty() && !container.working_dir.starts_with('/'))
    return invalid(path + ".workingDir: must be absolute");
  Names mount_paths;
  for (size_t i = 0; i < container.mounts.size(); ++i) {
    const VolumeMount& mount = container.mounts[i];
    if (!volumes.contains(mount.volume) && !options.any_volume) {
      return invalid(index_text(path + ".volumeMounts", i) + ".name: unknown volume \"" + mount.volume +
                     "\": neither the task nor --volume has it");
    }
    if (!mount_paths.insert(mount.mount_path).second)
      return invalid(index_text(path + ".volumeMounts", i) + ".mountPath: is there twice");
  }
  if (!options.any_volume) {  // of one that was accepted once the run fails
    if (const auto fits = expand_container(container, nullptr); !fits)
      return invalid(path + "." + fits.error().context);
  }
  const PodSecurity& security = container.security;
  const bool user = security.run_as_user || pod.security.run_as_user;
  const bool group = security.run_as_group || pod.security.run_as_group;
  if (group && !user) return invalid(path + ".securityContext.runAsGroup: needs runAsUser");
  if (security.privileged.value_or(false) && !security.allow_escalation.value_or(true)) {
    return invalid(path + ".securityContext.allowPrivilegeEscalation: can't be false for a privileged container");
  }
  return {};
}

}  // namespace

Result<void> check_pod(const PodSpec& pod, const SpecOptions& options, std::string_view prefix) {
  const std::string base = std::string(prefix) + (pod.is_template ? "podTemplateSpec.spec" : "spec.container");
  if (pod.containers.empty())
    return invalid(base + (pod.is_template ? ".containers: required, and not empty" : ": required"));
  if (pod.host_pid && pod.share_pid) return invalid(base + ".shareProcessNamespace: can't go with hostPID");
  Names volumes;
  for (size_t i = 0; i < pod.volumes.size(); ++i) {
    const std::string& name = pod.volumes[i].name;
    if (volumes.insert(name).second) continue;
    const std::string path = pod.is_template ? base : std::string(prefix) + "spec";
    return there_twice(index_text(path + ".volumes", i), name);
  }
  for (const std::string& name : options.volumes) volumes.insert(name);
  Names names;
  for (size_t i = 0; i < pod.size(); ++i) {
    const ContainerSpec& container = pod.container(i);
    const bool init = pod.is_init(i);
    std::string path = base;
    if (pod.is_template) {
      path = init ? index_text(base + ".initContainers", i)
                  : index_text(base + ".containers", i - pod.init_containers.size());
    }
    if (!valid_label_name(container.name)) return invalid(path + ".name: required, must be a DNS label");
    if (!names.insert(container.name).second) return there_twice(path, container.name);
    TRY(check_container(pod, container, volumes, options, path));
  }
  return {};
}

}  // namespace te

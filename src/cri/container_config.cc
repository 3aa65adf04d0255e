#include "cri/container_config.h"

namespace te::cri {
namespace {

void write_resources(ProtoWriter& out, const ContainerResources& resources) {
  out.integer(1, resources.cpu_period);
  out.integer(2, resources.cpu_quota);
  out.integer(3, resources.cpu_shares);
  out.integer(4, resources.memory_limit_bytes);
  out.integer(5, resources.oom_score_adj);
  out.text(6, resources.cpuset_cpus);
}

void write_security(ProtoWriter& out, const ContainerSecurity& security) {
  out.message(1, [&](ProtoWriter& capabilities) {
    write_texts(capabilities, 1, security.add_capabilities);
    write_texts(capabilities, 2, security.drop_capabilities);
  });
  out.boolean(2, security.privileged);
  write_namespaces(out, 3, security.namespaces);
  write_optional(out, 5, security.run_as_user);
  out.text(6, security.run_as_username);
  out.boolean(7, security.readonly_rootfs);
  for (const int64_t group : security.supplemental_groups) out.repeated_integer(8, group);
  out.boolean(11, security.no_new_privs);
  write_optional(out, 12, security.run_as_group);
  write_texts(out, 13, security.masked_paths);
  write_texts(out, 14, security.readonly_paths);
  write_profile(out, 15, security.seccomp);
}

void write_config(ProtoWriter& out, const ContainerConfig& config) {
  out.message(1, [&](ProtoWriter& metadata) {
    metadata.text(1, config.name);
    metadata.integer(2, config.attempt);
  });
  out.message(2, [&](ProtoWriter& image) {
    image.text(1, config.image);
    image.text(18, config.user_specified_image);
  });
  write_texts(out, 3, config.command);
  write_texts(out, 4, config.args);
  out.text(5, config.working_dir);
  for (const EnvironmentVariable& env : config.envs) {
    out.message(6, [&](ProtoWriter& entry) {
      entry.text(1, env.key);
      entry.text(2, env.value);
    });
  }
  for (const Mount& mount : config.mounts) {
    out.message(7, [&](ProtoWriter& entry) {
      entry.text(1, mount.container_path);
      entry.text(2, mount.host_path);
      entry.boolean(3, mount.readonly);
      entry.integer(5, static_cast<int64_t>(mount.propagation));
    });
  }
  for (const Device& device : config.devices) {
    out.message(8, [&](ProtoWriter& entry) {
      entry.text(1, device.container_path);
      entry.text(2, device.host_path);
      entry.text(3, device.permissions);
    });
  }
  write_labels(out, 9, config.labels);
  write_labels(out, 10, config.annotations);
  out.text(11, config.log_path);
  out.boolean(12, config.stdin_open);
  out.boolean(13, config.stdin_once);
  out.boolean(14, config.tty);
  out.message(15, [&](ProtoWriter& linux_part) {
    linux_part.message(1, [&](ProtoWriter& resources) { write_resources(resources, config.resources); });
    linux_part.message(2, [&](ProtoWriter& security) { write_security(security, config.security); });
  });
}

}  // namespace

std::vector<std::string> default_masked_paths() {
  return {"/proc/asound",
          "/proc/acpi",
          "/proc/kcore",
          "/proc/keys",
          "/proc/latency_stats",
          "/proc/timer_list",
          "/proc/timer_stats",
          "/proc/sched_debug",
          "/proc/scsi",
          "/sys/firmware",
          "/sys/devices/virtual/powercap"};
}

std::vector<std::string> default_readonly_paths() {
  return {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
}

void encode(const CreateContainerRequest& request, std::string& out) {
  ProtoWriter writer(out);
  writer.text(1, request.pod_sandbox_id);
  writer.message(2, [&](ProtoWriter& config) { write_config(config, request.config); });
  write_sandbox_config(writer, 3, request.sandbox_config);
}

Result<void> decode(std::string_view bytes, CreateContainerResponse& out) {
  return read_fields(bytes, [&](const ProtoField& field) -> Result<void> {
    if (field.number == 1) return field.into(out.container_id);
    return {};
  });
}

}  // namespace te::cri

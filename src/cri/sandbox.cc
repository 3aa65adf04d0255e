#include "cri/sandbox.h"

namespace te::cri {
namespace {

void write_linux(ProtoWriter& out, const SandboxConfig& config) {
  out.text(1, config.cgroup_parent);
  out.message(2, [&](ProtoWriter& security) {
    write_namespaces(security, 1, config.namespaces);
    write_optional(security, 3, config.run_as_user);
    security.boolean(6, config.privileged);
    write_optional(security, 8, config.run_as_group);
    write_profile(security, 9, config.seccomp);
  });
  write_labels(out, 3, config.sysctls);
}

Result<void> read_metadata(const ProtoField& message, SandboxMetadata& out) {
  return read_fields(message, [&](const ProtoField& field) -> Result<void> {
    switch (field.number) {
      case 1: return field.into(out.name);
      case 2: return field.into(out.uid);
      case 3: return field.into(out.name_space);
      case 4: return field.into(out.attempt);
      default: return {};
    }
  });
}

/// One that we don't know is not ready.
Result<void> read_state(const ProtoField& field, SandboxState& out) {
  int32_t number = 0;
  TRY(field.into(number));
  out = number == 0 ? SandboxState::kReady : SandboxState::kNotReady;
  return {};
}

Result<void> read_summary(const ProtoField& message, SandboxSummary& out, ElementBudget& budget) {
  return read_fields(message, [&](const ProtoField& field) -> Result<void> {
    switch (field.number) {
      case 1: return field.into(out.id);
      case 2: return read_metadata(field, out.metadata);
      case 3: return read_state(field, out.state);
      case 4: return field.into(out.created_at_ns);
      case 5: return read_label(field, out.labels, budget);
      default: return {};
    }
  });
}

/// The answer has no field that we know: it only has to be a message.
Result<void> read_nothing(std::string_view bytes) {
  return read_fields(bytes, [](const ProtoField&) -> Result<void> { return {}; });
}

}  // namespace

void write_sandbox_config(ProtoWriter& out, uint32_t field, const SandboxConfig& config) {
  out.message(field, [&](ProtoWriter& inner) {
    inner.message(1, [&](ProtoWriter& metadata) {
      metadata.text(1, config.metadata.name);
      metadata.text(2, config.metadata.uid);
      metadata.text(3, config.metadata.name_space);
      metadata.integer(4, config.metadata.attempt);
    });
    inner.text(2, config.hostname);
    inner.text(3, config.log_directory);
    if (config.dns) {
      inner.message(4, [&](ProtoWriter& dns) {
        write_texts(dns, 1, config.dns->servers);
        write_texts(dns, 2, config.dns->searches);
        write_texts(dns, 3, config.dns->options);
      });
    }
    for (const PortMapping& port : config.port_mappings) {
      inner.message(5, [&](ProtoWriter& mapping) {
        mapping.integer(1, static_cast<int64_t>(port.protocol));
        mapping.integer(2, port.container_port);
        mapping.integer(3, port.host_port);
        mapping.text(4, port.host_ip);
      });
    }
    write_labels(inner, 6, config.labels);
    write_labels(inner, 7, config.annotations);
    inner.message(8, [&](ProtoWriter& linux_part) { write_linux(linux_part, config); });
  });
}

void encode(const RunPodSandboxRequest& request, std::string& out) {
  ProtoWriter writer(out);
  write_sandbox_config(writer, 1, request.config);
  writer.text(2, request.runtime_handler);
}

void encode(const StopPodSandboxRequest& request, std::string& out) {
  ProtoWriter(out).text(1, request.pod_sandbox_id);
}

void encode(const RemovePodSandboxRequest& request, std::string& out) {
  ProtoWriter(out).text(1, request.pod_sandbox_id);
}

void encode(const ListPodSandboxRequest& request, std::string& out) {
  ProtoWriter(out).message(1, [&](ProtoWriter& filter) {
    filter.text(1, request.id);
    if (request.state) {
      filter.message(2, [&](ProtoWriter& state) { state.integer(1, static_cast<int64_t>(*request.state)); });
    }
    write_labels(filter, 3, request.labels);
  });
}

Result<void> decode(std::string_view bytes, RunPodSandboxResponse& out) {
  return read_fields(bytes, [&](const ProtoField& field) -> Result<void> {
    if (field.number == 1) return field.into(out.pod_sandbox_id);
    return {};
  });
}

Result<void> decode(std::string_view bytes, StopPodSandboxResponse& out) {
  (void)out;
  return read_nothing(bytes);
}

Result<void> decode(std::string_view bytes, RemovePodSandboxResponse& out) {
  (void)out;
  return read_nothing(bytes);
}

Result<void> decode(std::string_view bytes, ListPodSandboxResponse& out) {
  ElementBudget budget;
  return read_fields(bytes, [&](const ProtoField& field) -> Result<void> {
    if (field.number != 1) return {};
    TRY(budget.take());
    return read_summary(field, out.items.emplace_back(), budget);
  });
}

}  // namespace te::cri

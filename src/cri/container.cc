#include "cri/container.h"

namespace te::cri {
namespace {

Result<void> read_state(const ProtoField& field, ContainerState& out) {
  int32_t number = 0;
  TRY(field.into(number));
  const bool known = number >= 0 && number < static_cast<int32_t>(ContainerState::kUnknown);
  out = known ? static_cast<ContainerState>(number) : ContainerState::kUnknown;
  return {};
}

Result<void> read_metadata(const ProtoField& message, std::string& name, uint32_t& attempt) {
  return read_fields(message, [&](const ProtoField& field) -> Result<void> {
    if (field.number == 1) return field.into(name);
    if (field.number == 2) return field.into(attempt);
    return {};
  });
}

Result<void> read_image(const ProtoField& message, std::string& image) {
  return read_fields(message, [&](const ProtoField& field) -> Result<void> {
    if (field.number == 1) return field.into(image);
    return {};
  });
}

Result<void> read_status(const ProtoField& message, ContainerStatus& out) {
  ElementBudget budget;
  out.state = ContainerState::kCreated;  // what an absent field means
  return read_fields(message, [&](const ProtoField& field) -> Result<void> {
    switch (field.number) {
      case 1: return field.into(out.id);
      case 2: return read_metadata(field, out.name, out.attempt);
      case 3: return read_state(field, out.state);
      case 4: return field.into(out.created_at_ns);
      case 5: return field.into(out.started_at_ns);
      case 6: return field.into(out.finished_at_ns);
      case 7: return field.into(out.exit_code);
      case 8: return read_image(field, out.image);
      case 9: return field.into(out.image_ref);
      case 10: return field.into(out.reason);
      case 11: return field.into(out.message);
      case 12: return read_label(field, out.labels, budget);
      case 15: return field.into(out.log_path);
      default: return {};
    }
  });
}

Result<void> read_summary(const ProtoField& message, ContainerSummary& out, ElementBudget& budget) {
  out.state = ContainerState::kCreated;
  return read_fields(message, [&](const ProtoField& field) -> Result<void> {
    switch (field.number) {
      case 1: return field.into(out.id);
      case 2: return field.into(out.pod_sandbox_id);
      case 3: return read_metadata(field, out.name, out.attempt);
      case 6: return read_state(field, out.state);
      case 7: return field.into(out.created_at_ns);
      case 8: return read_label(field, out.labels, budget);
      default: return {};
    }
  });
}

/// UInt64Value: present, also with nothing in it.
Result<void> read_wrapped(const ProtoField& message, std::optional<uint64_t>& out) {
  out = 0;
  return read_fields(message, [&](const ProtoField& field) -> Result<void> {
    if (field.number == 1) return field.into(*out);
    return {};
  });
}

Result<void> read_cpu(const ProtoField& message, ContainerStatsResponse& out) {
  return read_fields(message, [&](const ProtoField& field) -> Result<void> {
    if (field.number == 2) return read_wrapped(field, out.cpu_nanos);
    return {};
  });
}

Result<void> read_memory(const ProtoField& message, ContainerStatsResponse& out) {
  return read_fields(message, [&](const ProtoField& field) -> Result<void> {
    switch (field.number) {
      case 2: return read_wrapped(field, out.working_set_bytes);
      case 4: return read_wrapped(field, out.usage_bytes);
      case 5: return read_wrapped(field, out.rss_bytes);
      default: return {};
    }
  });
}

Result<void> read_nothing(std::string_view bytes) {
  return read_fields(bytes, [](const ProtoField&) -> Result<void> { return {}; });
}

}  // namespace

void encode(const StartContainerRequest& request, std::string& out) { ProtoWriter(out).text(1, request.container_id); }

void encode(const StopContainerRequest& request, std::string& out) {
  ProtoWriter writer(out);
  writer.text(1, request.container_id);
  writer.integer(2, request.grace_seconds);
}

void encode(const RemoveContainerRequest& request, std::string& out) { ProtoWriter(out).text(1, request.container_id); }

void encode(const ContainerStatusRequest& request, std::string& out) { ProtoWriter(out).text(1, request.container_id); }

void encode(const ListContainersRequest& request, std::string& out) {
  ProtoWriter(out).message(1, [&](ProtoWriter& filter) {
    filter.text(1, request.id);
    if (request.state) {
      filter.message(2, [&](ProtoWriter& state) { state.integer(1, static_cast<int64_t>(*request.state)); });
    }
    filter.text(3, request.pod_sandbox_id);
    write_labels(filter, 4, request.labels);
  });
}

void encode(const ContainerStatsRequest& request, std::string& out) { ProtoWriter(out).text(1, request.container_id); }

Result<void> decode(std::string_view bytes, StartContainerResponse& out) {
  (void)out;
  return read_nothing(bytes);
}

Result<void> decode(std::string_view bytes, StopContainerResponse& out) {
  (void)out;
  return read_nothing(bytes);
}

Result<void> decode(std::string_view bytes, RemoveContainerResponse& out) {
  (void)out;
  return read_nothing(bytes);
}

Result<void> decode(std::string_view bytes, ContainerStatusResponse& out) {
  return read_fields(bytes, [&](const ProtoField& field) -> Result<void> {
    if (field.number == 1) return read_status(field, out.status);
    return {};
  });
}

Result<void> decode(std::string_view bytes, ListContainersResponse& out) {
  ElementBudget budget;
  return read_fields(bytes, [&](const ProtoField& field) -> Result<void> {
    if (field.number != 1) return {};
    TRY(budget.take());
    return read_summary(field, out.containers.emplace_back(), budget);
  });
}

Result<void> decode(std::string_view bytes, ContainerStatsResponse& out) {
  return read_fields(bytes, [&](const ProtoField& field) -> Result<void> {
    if (field.number != 1) return {};
    return read_fields(field, [&](const ProtoField& part) -> Result<void> {
      if (part.number == 2) return read_cpu(part, out);
      if (part.number == 3) return read_memory(part, out);
      return {};
    });
  });
}

}  // namespace te::cri

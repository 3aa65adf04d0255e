#include "cri/container_event.h"

#include "wire/protobuf.h"

namespace te::cri {
namespace {

Result<void> read_type(const ProtoField& field, ContainerEvent::Type& out) {
  int32_t number = 0;
  TRY(field.into(number));
  const bool known = number >= 0 && number < static_cast<int32_t>(ContainerEvent::Type::kOther);
  out = known ? static_cast<ContainerEvent::Type>(number) : ContainerEvent::Type::kOther;
  return {};
}

}  // namespace

void encode(const GetContainerEventsRequest& request, std::string& out) {
  (void)request;
  (void)out;
}

Result<void> decode(std::string_view bytes, ContainerEvent& out) {
  return read_fields(bytes, [&](const ProtoField& field) -> Result<void> {
    switch (field.number) {
      case 1: return field.into(out.container_id);
      case 2: return read_type(field, out.type);
      case 3: return field.into(out.created_at_ns);
      default: return {};
    }
  });
}

}  // namespace te::cri

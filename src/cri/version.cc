#include "cri/version.h"

#include "base/text.h"
#include "wire/protobuf.h"

namespace te::cri {

void encode(const VersionRequest& request, std::string& out) {
  (void)request;
  ProtoWriter(out).text(1, "0.1.0");  // what every kubelet says
}

Result<void> decode(std::string_view bytes, VersionResponse& out) {
  return read_fields(bytes, [&](const ProtoField& field) -> Result<void> {
    switch (field.number) {
      case 1: return field.into(out.version);
      case 2: return field.into(out.runtime_name);
      case 3: return field.into(out.runtime_version);
      case 4: return field.into(out.runtime_api_version);
      default: return {};
    }
  });
}

bool broadcasts_events(const VersionResponse& runtime) {
  if (runtime.runtime_name != "containerd") return false;
  std::string_view version = runtime.runtime_version;
  if (version.starts_with('v')) version.remove_prefix(1);
  const std::optional<int64_t> major = parse_int(version.substr(0, version.find('.')));
  return major.value_or(0) >= 2;
}

}  // namespace te::cri

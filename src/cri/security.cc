#include "cri/security.h"

namespace te::cri {

void write_namespaces(ProtoWriter& out, uint32_t field, const NamespaceOptions& options) {
  out.message(field, [&](ProtoWriter& inner) {
    inner.integer(1, static_cast<int64_t>(options.network));
    inner.integer(2, static_cast<int64_t>(options.pid));
    inner.integer(3, static_cast<int64_t>(options.ipc));
  });
}

void write_profile(ProtoWriter& out, uint32_t field, const std::optional<SecurityProfile>& profile) {
  if (!profile) return;
  out.message(field, [&](ProtoWriter& inner) {
    inner.integer(1, static_cast<int64_t>(profile->type));
    inner.text(2, profile->localhost_ref);
  });
}

void write_optional(ProtoWriter& out, uint32_t field, std::optional<int64_t> number) {
  if (number) out.wrapped(field, *number);
}

void write_texts(ProtoWriter& out, uint32_t field, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) out.element(field, text);
}

}  // namespace te::cri

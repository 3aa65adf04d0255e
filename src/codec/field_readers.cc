#include "codec/field_readers.h"

#include <algorithm>
#include <limits>

#include "task/capability.h"

namespace te {

Result<std::string_view> plain_string(JsonValue& value) {
  const std::string_view text = TRY(value.string());
  if (text.find('\0') != std::string_view::npos) return value.error("must not contain a NUL character");
  return text;
}

Result<void> read_texts(JsonValue& value, std::vector<std::string>& out) {
  return value.array([&](JsonValue& one) -> Result<void> {
    out.emplace_back(TRY(plain_string(one)));
    return {};
  });
}

Result<void> read_text(JsonValue& value, std::string& out) {
  out = TRY(plain_string(value));
  return {};
}

Result<void> read_flag(JsonValue& value, bool& out) {
  out = TRY(value.boolean());
  return {};
}

Result<void> read_flag(JsonValue& value, std::optional<bool>& out) {
  out = TRY(value.boolean());
  return {};
}

Result<void> read_seconds(JsonValue& value, std::optional<int64_t>& out) {
  const int64_t seconds = TRY(value.integer());
  if (seconds < 0) return value.error("must not be negative");
  out = seconds;
  return {};
}

Result<void> read_id(JsonValue& value, std::optional<uint32_t>& out) {
  const int64_t id = TRY(value.integer());
  // The highest one means "unchanged" to setresuid(2).
  if (id < 0 || id >= std::numeric_limits<uint32_t>::max()) return value.error("must be from 0 to 4294967294");
  out = static_cast<uint32_t>(id);
  return {};
}

Result<void> read_capabilities(JsonValue& list, uint64_t& bits) {
  return list.array([&](JsonValue& one) -> Result<void> {
    const std::optional<uint64_t> known = capability_bits(TRY(one.string()));
    if (!known) return one.error("not a capability");
    bits |= *known;
    return {};
  });
}

bool one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::ranges::find(names, name) != names.end();
}

bool has_dots(std::string_view path) {
  while (!path.empty()) {
    const size_t slash = path.find('/');
    if (path.substr(0, slash) == "..") return true;
    if (slash == std::string_view::npos) return false;
    path.remove_prefix(slash + 1);
  }
  return false;
}

}  // namespace te

#include "codec/field_warnings.h"

namespace te {

Result<void> FieldWarnings::add(const char* what, const JsonValue& value) {
  if (texts_.size() < kMaxWarnings) texts_.push_back(std::string(what) + " field \"" + value.path() + "\"");
  return {};
}

}  // namespace te

// Fields that are left out: each is named in a warning, so that nobody waits for their effect.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "codec/task_json.h"
#include "wire/json_reader.h"

namespace te {

/// Both functions are what a reader of a field returns.
class FieldWarnings {
 public:
  explicit FieldWarnings(std::vector<std::string>& texts) : texts_(texts) {}

  Result<void> unknown(const JsonValue& value) { return add("unknown", value); }
  /// Known to Kubernetes, and without a meaning here that would be missed.
  Result<void> ignored(const JsonValue& value) { return add("unsupported", value); }

 private:
  Result<void> add(const char* what, const JsonValue& value);

  std::vector<std::string>& texts_;
};

}  // namespace te

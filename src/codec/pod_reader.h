// The container part of a task: `spec.container` with `spec.volumes`, and `podTemplateSpec` (core/v1), into one model.
//
// A field that is not supported is refused (kInvalid, with its path) when leaving it out would change what the
// containers may do or see; any other one is left out, and a warning names it.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "codec/container_reader.h"
#include "codec/field_warnings.h"
#include "codec/task_json.h"
#include "task/pod_spec.h"
#include "wire/json_reader.h"

namespace te {

class PodReader {
 public:
  PodReader(const SpecOptions& options, FieldWarnings& warnings)
      : options_(options), warnings_(warnings), containers_(options, warnings) {}

  Result<void> container(JsonValue& value, PodSpec& pod) { return containers_.read_only_one(value, pod); }
  Result<void> pod_template(JsonValue& value, PodSpec& pod);

 private:
  Result<void> pod_field(std::string_view name, JsonValue& value, PodSpec& pod);
  Result<void> dns(JsonValue& value, PodSpec& pod);

  const SpecOptions& options_;
  FieldWarnings& warnings_;
  ContainerReader containers_;
};

}  // namespace te

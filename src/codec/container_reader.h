// The containers of a pod, and the only one of `spec.container`.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "codec/field_warnings.h"
#include "codec/task_json.h"
#include "task/pod_spec.h"
#include "wire/json_reader.h"

namespace te {

class ContainerReader {
 public:
  ContainerReader(const SpecOptions& options, FieldWarnings& warnings) : options_(options), warnings_(warnings) {}

  /// `spec.container`, in which the timeout and the grace of the task may stand too.
  Result<void> read_only_one(JsonValue& value, PodSpec& pod);
  Result<void> read_list(JsonValue& value, std::vector<ContainerSpec>& out);

 private:
  Result<void> field(std::string_view name, JsonValue& value, ContainerSpec& out);
  Result<void> env(JsonValue& value, std::vector<EnvEntry>& out);
  Result<void> mounts(JsonValue& value, std::vector<VolumeMount>& out);
  Result<void> resources(JsonValue& value, PodResources& out);

  const SpecOptions& options_;
  FieldWarnings& warnings_;
};

}  // namespace te

// Volumes of a task: those of spec.volumes and of a pod.
#pragma once

#include <vector>

#include "base/result.h"
#include "codec/field_warnings.h"
#include "task/pod_spec.h"
#include "wire/json_reader.h"

namespace te {

Result<void> read_volumes(JsonValue& value, std::vector<VolumeSpec>& out, FieldWarnings& warnings);

}  // namespace te

// What of a pod depends on several of its fields.
#pragma once

#include <string_view>

#include "base/result.h"
#include "codec/task_json.h"
#include "task/pod_spec.h"

namespace te {

/// kInvalid, with the path of the field; `prefix` stands before "spec" or "podTemplateSpec".
Result<void> check_pod(const PodSpec& pod, const SpecOptions& options, std::string_view prefix);

}  // namespace te

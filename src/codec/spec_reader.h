// One task out of one JSON value; for request bodies and for task.json.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "codec/task_json.h"
#include "wire/json_reader.h"

namespace te {

/// Name and spec; `warnings` gets the unknown fields.
Result<TaskRequest> read_task_value(JsonValue& value, const SpecOptions& options, std::vector<std::string>& warnings);

}  // namespace te

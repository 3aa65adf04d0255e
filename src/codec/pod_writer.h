// The container part of an answer: the spec as it was written, and core/v1's PodStatus.
#pragma once

#include <string_view>

#include "base/time.h"
#include "task/spec.h"
#include "task/task.h"
#include "wire/json_writer.h"

namespace te {

/// "spec":{"container":…} or "podTemplateSpec":…, inside an object that the caller opened.
void write_pod_spec(JsonWriter& json, const TaskSpec& spec);
/// "podStatus":{…}
void write_pod_status(JsonWriter& json, const Task& task);
/// RFC 3339; nothing when it is 0.
void write_time(JsonWriter& json, std::string_view key, WallMicros at);

}  // namespace te

// securityContext of a pod and of a container. It is about what the containers may do, so an unknown field is an error.
#pragma once

#include "base/result.h"
#include "codec/field_warnings.h"
#include "task/pod_spec.h"
#include "wire/json_reader.h"

namespace te {

Result<void> read_pod_security(JsonValue& value, PodSecurity& out, FieldWarnings& warnings);
Result<void> read_container_security(JsonValue& value, PodSecurity& out);

}  // namespace te

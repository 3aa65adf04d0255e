// The description of the API that GET /openapi.json answers; openapi.json beside this file is its source.
#pragma once

#include <string_view>

namespace te {

extern const std::string_view kOpenApiJson;

}  // namespace te

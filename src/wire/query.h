// The query of a request target: "wait=terminated&timeout=30s" (RFC 3986, section 3.4, as HTML forms write it).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace te {

struct QueryParameter {
  std::string name;
  std::string value;  ///< empty without '='
};

/// In order, percent escapes and '+' decoded. kInvalid: a '%' without two hexadecimal digits.
Result<std::vector<QueryParameter>> parse_query(std::string_view query);

}  // namespace te

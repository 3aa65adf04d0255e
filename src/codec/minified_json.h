// A part of a request as it is kept and echoed.
#pragma once

#include <string>
#include <string_view>

namespace te {

/// JSON, which must be valid, without the blanks between its tokens.
std::string minified_json(std::string_view json);

}  // namespace te

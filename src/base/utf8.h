// UTF-8, sequence by sequence (RFC 3629, section 4).
#pragma once

#include <cstddef>
#include <string_view>

namespace te {

/// Length of the valid sequence at `text[at]`, 1 to 4; 0 where there is none.
size_t utf8_length(std::string_view text, size_t at);

}  // namespace te

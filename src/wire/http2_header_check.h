// Whether a decoded header list is well-formed (RFC 9113 sections 8.1 to 8.3).
#pragma once

#include <string_view>

#include "wire/hpack.h"

namespace te {

enum class HeaderSection : uint8_t { kResponse, kTrailers };

/// What is wrong (a literal), or an empty view. A list that was cut is judged by what is there.
std::string_view malformed_headers(const HeaderList& headers, HeaderSection section);

/// The value of `:status`, 100 to 599; 0 when there is none.
int http2_status(const HeaderList& headers);

}  // namespace te

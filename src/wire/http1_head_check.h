// The strict check of a request's raw head, before llhttp sees it (RFC 9112 sections 2.2, 3, 5, 6; RFC 9110 section 5).
//
// Two programs that read one message differently can be played against each other (request smuggling), so whatever is
// ambiguous is refused and nothing is repaired. One pass, no allocation unless something is wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "wire/http1.h"

namespace te {

/// What the head says about the request; offsets count from its first byte.
struct HttpHead {
  HttpMethod method = HttpMethod::kOther;
  size_t method_size = 0;
  size_t target_at = 0;
  size_t target_size = 0;
  size_t path_at = 0;  ///< behind "http://host" of a target in absolute form
  size_t path_size = 0;
  size_t query_at = 0;
  size_t query_size = 0;
  int minor = 1;                ///< HTTP/1.minor, 0 or 1
  bool keep_alive = true;       ///< from the version and the Connection fields
  bool chunked = false;         ///< Transfer-Encoding: chunked
  bool has_length = false;      ///< Content-Length was given
  bool wants_continue = false;  ///< Expect: 100-continue, which HTTP/1.0 can't have
  uint64_t content_length = 0;
};

/// Checks `head`: from the first byte of the request line to the empty line, that included. True: `out` is filled.
/// False: `why` has the status (400, 417, 501, 505) and what was wrong.
bool check_http_head(std::string_view head, HttpHead& out, HttpRefusal& why);

/// Bytes that a header or trailer field may have: tchar of RFC 9110 section 5.6.2 in its name; HTAB, visible bytes,
/// blanks and bytes from 0x80 on in its value.
bool is_http_token_byte(char byte);
bool is_http_value_byte(char byte);

}  // namespace te

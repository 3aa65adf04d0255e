// The chunked transfer coding (RFC 9112 section 7.1), decoded where it came in.
//
// Strict where programs differ: line ends are CRLF, chunk data is followed by exactly CRLF, sizes are hexadecimal
// digits only. Extensions are read and dropped, trailer fields are checked as header fields are and dropped. Each byte
// is looked at once; nothing of the framing is kept.
#pragma once

#include <cstddef>
#include <cstdint>

#include "wire/http1.h"

namespace te {

class HttpChunks {
 public:
  enum class Step : uint8_t { kNeedMore, kDone, kRefused };

  explicit HttpChunks(size_t max_body_bytes) : max_body_(max_body_bytes) {}

  /// Decodes the `size` raw bytes at `from`; their data is moved down to `to`, which is not behind `from`.
  /// `used` and `written` tell how many bytes were read (all, but for kDone) and put.
  /// kRefused: `why` is filled; 400 malformed, 413 the body or all framing together is over its limit.
  Step decode(char* to, const char* from, size_t size, size_t& used, size_t& written, HttpRefusal& why);

 private:
  enum class State : uint8_t {
    kSizeStart,
    kSize,
    kExtensionBlank,  // blanks behind the size: an extension must follow
    kExtension,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kTrailerStart,
    kTrailerName,
    kTrailerValue,
    kTrailerLf,
    kEndLf,
  };

  const char* framing_byte(char byte);
  const char* size_end(char byte);
  const char* size_line_end();

  size_t max_body_;
  size_t body_size_ = 0;
  size_t overhead_ = 0;
  size_t chunk_left_ = 0;
  uint8_t size_digits_ = 0;
  State state_ = State::kSizeStart;
  bool done_ = false;
};

}  // namespace te

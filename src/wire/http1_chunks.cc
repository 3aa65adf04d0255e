#include "wire/http1_chunks.h"

#include <algorithm>
#include <cstring>

#include "wire/http1_head_check.h"

namespace te {
namespace {

// Framing beyond this is refused: as much as a head may have, and eight bytes for each byte of data, so that even a
// client that sends single bytes (five of framing each) is served.
constexpr size_t kFramingPerByte = 8;
constexpr uint8_t kMaxSizeDigits = 15;  // fits in 64 bits with room to spare, leading zeros counted

int hex_value(char byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
  if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
  return -1;
}

constexpr const char* kTooLarge = "request body too large";

}  // namespace

HttpChunks::Step HttpChunks::decode(char* to, const char* from, size_t size, size_t& used, size_t& written,
                                    HttpRefusal& why) {
  used = written = 0;
  while (used < size) {
    if (state_ == State::kData) {
      const size_t count = std::min(chunk_left_, size - used);
      if (to + written != from + used) std::memmove(to + written, from + used, count);
      used += count;
      written += count;
      body_size_ += count;
      chunk_left_ -= count;
      if (chunk_left_ == 0) state_ = State::kDataCr;
      continue;
    }
    if (++overhead_ > kMaxHeadBytes + kFramingPerByte * body_size_) {
      why = {413, "too much chunk framing, extensions or trailers"};
      return Step::kRefused;
    }
    if (const char* wrong = framing_byte(from[used])) {
      why = {wrong == kTooLarge ? 413 : 400, wrong};
      return Step::kRefused;
    }
    ++used;
    if (done_) return Step::kDone;
  }
  return Step::kNeedMore;
}

/// What is wrong with the next byte of framing, or null.
const char* HttpChunks::framing_byte(char byte) {
  switch (state_) {
    case State::kSizeStart:
      size_digits_ = 0;
      if (hex_value(byte) < 0) return "malformed chunk size";
      state_ = State::kSize;
      [[fallthrough]];
    case State::kSize: {
      const int digit = hex_value(byte);
      if (digit < 0) return size_end(byte);
      if (++size_digits_ > kMaxSizeDigits) return "chunk size has too many digits";
      chunk_left_ = chunk_left_ * 16 + static_cast<size_t>(digit);
      return nullptr;
    }
    case State::kExtensionBlank:
      if (byte == ' ' || byte == '\t') return nullptr;
      if (byte != ';') return "malformed chunk size";
      state_ = State::kExtension;
      return nullptr;
    case State::kExtension:
      if (byte == '\r') return size_line_end();
      return is_http_value_byte(byte) ? nullptr : "control byte in a chunk extension";
    case State::kSizeLf:
      if (byte != '\n') return "bare CR behind a chunk size";
      state_ = chunk_left_ == 0 ? State::kTrailerStart : State::kData;
      return nullptr;
    case State::kData: return nullptr;  // never comes here
    case State::kDataCr:
      if (byte != '\r') return "chunk data is not followed by CRLF";
      state_ = State::kDataLf;
      return nullptr;
    case State::kDataLf:
      if (byte != '\n') return "chunk data is not followed by CRLF";
      state_ = State::kSizeStart;
      return nullptr;
    case State::kTrailerStart:
      if (byte == '\r') {
        state_ = State::kEndLf;
        return nullptr;
      }
      if (!is_http_token_byte(byte)) return "malformed trailer field name";
      state_ = State::kTrailerName;
      return nullptr;
    case State::kTrailerName:
      if (byte == ':') {
        state_ = State::kTrailerValue;
        return nullptr;
      }
      return is_http_token_byte(byte) ? nullptr : "malformed trailer field name";
    case State::kTrailerValue:
      if (byte == '\r') {
        state_ = State::kTrailerLf;
        return nullptr;
      }
      return is_http_value_byte(byte) ? nullptr : "control byte in a trailer field";
    case State::kTrailerLf:
      if (byte != '\n') return "bare CR in a trailer field";
      state_ = State::kTrailerStart;
      return nullptr;
    case State::kEndLf:
      if (byte != '\n') return "bare CR behind the last chunk";
      done_ = true;
      return nullptr;
  }
  return nullptr;
}

const char* HttpChunks::size_end(char byte) {
  if (byte == '\r') return size_line_end();
  if (byte == ';') {
    state_ = State::kExtension;
  } else if (byte == ' ' || byte == '\t') {
    state_ = State::kExtensionBlank;
  } else {
    return "malformed chunk size";
  }
  return chunk_left_ > max_body_ - body_size_ ? kTooLarge : nullptr;
}

const char* HttpChunks::size_line_end() {
  if (chunk_left_ > max_body_ - body_size_) return kTooLarge;
  state_ = State::kSizeLf;
  return nullptr;
}

}  // namespace te

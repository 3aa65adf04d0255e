// A header block that comes in several frames: HEADERS and CONTINUATION (RFC 9113 section 4.3).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/size.h"
#include "wire/http2_settings.h"

namespace te {

/// What a header section may measure, coded and decoded. Errors of runtimes are tens of kilobytes and thrice that when
/// each octet of them is escaped; decoding so much takes a millisecond or two, which one turn of the loop can bear.
constexpr uint32_t kMaxHeaderBytes = 256 * kKiB;

/// Collects the fragments. What a peer may make us keep is bounded in octets, and what it may make us do in frames
/// (CVE-2024-27316: CONTINUATION without end).
class HeaderBlock {
 public:
  static constexpr unsigned kMaxFragments = 1'024;

  bool open() const { return stream_ != 0; }
  uint32_t stream() const { return stream_; }
  bool end_stream() const { return end_stream_; }

  void begin(uint32_t stream, bool end_stream) {
    stream_ = stream;
    end_stream_ = end_stream;
    fragments_ = 0;
  }
  Http2Fault add(std::string_view fragment) {
    if (++fragments_ > kMaxFragments || fragment.size() > kMaxHeaderBytes - bytes_.size()) {
      return {Http2Code::kEnhanceYourCalm, "a header block without end"};
    }
    bytes_.append(fragment);
    return {};
  }
  std::string_view bytes() const { return bytes_; }
  /// The block is over; its memory is given back.
  void close() {
    std::string().swap(bytes_);
    stream_ = 0;
  }

 private:
  std::string bytes_;
  uint32_t stream_ = 0;
  bool end_stream_ = false;
  unsigned fragments_ = 0;
};

}  // namespace te

// What the peer allows us, from its SETTINGS frames (RFC 9113 section 6.5).
#pragma once

#include <cstdint>
#include <string_view>

#include "wire/http2_frame.h"

namespace te {

struct Http2Fault {
  Http2Code code = Http2Code::kNoError;
  std::string_view why;  ///< a literal

  bool ok() const { return code == Http2Code::kNoError; }
};

struct PeerSettings {
  uint32_t header_table_size = 4096;
  uint32_t max_concurrent_streams = UINT32_MAX;
  int64_t initial_window = kDefaultWindow;
  uint32_t max_frame_size = kDefaultFrameSize;
  /// The smallest HEADER_TABLE_SIZE of the last apply(): it may have been lowered and raised in one frame (RFC
  /// 7541, 4.2).
  uint32_t smallest_table_size = 4096;

  /// Takes the payload of one SETTINGS frame. Settings that we don't know are ignored, MAX_HEADER_LIST_SIZE is too:
  /// our requests have a few hundred bytes.
  Http2Fault apply(std::string_view payload);
};

}  // namespace te

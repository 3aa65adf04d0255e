#include "wire/http2_settings.h"

#include <algorithm>

namespace te {

Http2Fault PeerSettings::apply(std::string_view payload) {
  constexpr size_t kEntrySize = 6;
  if (payload.size() % kEntrySize != 0) return {Http2Code::kFrameSizeError, "SETTINGS of a wrong size"};
  smallest_table_size = header_table_size;
  for (; !payload.empty(); payload.remove_prefix(kEntrySize)) {
    const uint32_t value = read_u32(payload.substr(2));
    switch (read_u16(payload)) {
      case setting::kHeaderTableSize:
        header_table_size = value;
        smallest_table_size = std::min(smallest_table_size, value);
        break;
      case setting::kEnablePush:
        if (value != 0) return {Http2Code::kProtocolError, "a server must not set ENABLE_PUSH"};
        break;
      case setting::kMaxConcurrentStreams: max_concurrent_streams = value; break;
      case setting::kInitialWindowSize:
        if (value > kLargestWindow) return {Http2Code::kFlowControlError, "INITIAL_WINDOW_SIZE is too large"};
        initial_window = value;
        break;
      case setting::kMaxFrameSize:
        if (value < kDefaultFrameSize || value > kLargestFrameSize) {
          return {Http2Code::kProtocolError, "MAX_FRAME_SIZE out of range"};
        }
        max_frame_size = value;
        break;
      default: break;
    }
  }
  return {};
}

}  // namespace te

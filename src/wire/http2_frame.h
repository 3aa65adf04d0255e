// The frames of HTTP/2 (RFC 9113 sections 4, 6 and 7): their header, their numbers, their padding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace te {

constexpr size_t kFrameHeaderSize = 9;
constexpr size_t kDefaultFrameSize = 16'384;  ///< the payload that every peer must take (4.2)
constexpr size_t kLargestFrameSize = (1U << 24U) - 1;
constexpr int64_t kLargestWindow = (int64_t{1} << 31U) - 1;
constexpr int64_t kDefaultWindow = 65'535;
constexpr uint32_t kLargestStream = (1U << 31U) - 1;
constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum class FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kRstStream = 3,
  kSettings = 4,
  kPushPromise = 5,
  kPing = 6,
  kGoaway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};

namespace frame_flag {
constexpr uint8_t kEndStream = 0x1;
constexpr uint8_t kAck = 0x1;
constexpr uint8_t kEndHeaders = 0x4;
constexpr uint8_t kPadded = 0x8;
constexpr uint8_t kPriority = 0x20;
}  // namespace frame_flag

namespace setting {
constexpr uint16_t kHeaderTableSize = 1;
constexpr uint16_t kEnablePush = 2;
constexpr uint16_t kMaxConcurrentStreams = 3;
constexpr uint16_t kInitialWindowSize = 4;
constexpr uint16_t kMaxFrameSize = 5;
constexpr uint16_t kMaxHeaderListSize = 6;
}  // namespace setting

/// Error codes of RST_STREAM and GOAWAY. A peer may send others: they are kept as they came.
enum class Http2Code : uint32_t {
  kNoError = 0,
  kProtocolError = 1,
  kInternalError = 2,
  kFlowControlError = 3,
  kSettingsTimeout = 4,
  kStreamClosed = 5,
  kFrameSizeError = 6,
  kRefusedStream = 7,
  kCancel = 8,
  kCompressionError = 9,
  kConnectError = 10,
  kEnhanceYourCalm = 11,
  kInadequateSecurity = 12,
  kHttp11Required = 13,
};
/// "PROTOCOL_ERROR"; "unknown" for a code without a name.
std::string_view http2_code_name(Http2Code code);

struct FrameHeader {
  uint32_t size = 0;  ///< of the payload
  uint8_t type = 0;   ///< a FrameType, or one that is to be ignored
  uint8_t flags = 0;
  uint32_t stream = 0;

  bool has(uint8_t flag) const { return (flags & flag) != 0; }
  bool is(FrameType other) const { return type == static_cast<uint8_t>(other); }
};

/// `bytes` has at least kFrameHeaderSize.
FrameHeader read_frame_header(std::string_view bytes);
void append_frame_header(std::string& out, FrameType type, uint8_t flags, uint32_t stream, size_t size);

uint32_t read_u32(std::string_view bytes);  ///< big endian; at least four bytes
uint16_t read_u16(std::string_view bytes);
void append_u32(std::string& out, uint32_t value);
void append_u16(std::string& out, uint16_t value);

/// Takes the padding (and with `may_have_priority` the priority) off the payload of DATA or HEADERS.
/// False: there is more padding than payload, a PROTOCOL_ERROR (6.1).
bool strip_padding(const FrameHeader& frame, bool may_have_priority, std::string_view& payload);

// Whole frames, appended.
void append_window_update(std::string& out, uint32_t stream, uint32_t increment);
void append_rst_stream(std::string& out, uint32_t stream, Http2Code code);
void append_goaway(std::string& out, uint32_t last_stream, Http2Code code, std::string_view debug);

}  // namespace te

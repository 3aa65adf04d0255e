#include "wire/http2_frame.h"

namespace te {
namespace {

constexpr uint32_t kStreamMask = kLargestStream;  // the bit above is reserved and ignored (4.1)

uint32_t octet(std::string_view bytes, size_t at) { return static_cast<unsigned char>(bytes[at]); }

}  // namespace

std::string_view http2_code_name(Http2Code code) {
  switch (code) {
    case Http2Code::kNoError: return "NO_ERROR";
    case Http2Code::kProtocolError: return "PROTOCOL_ERROR";
    case Http2Code::kInternalError: return "INTERNAL_ERROR";
    case Http2Code::kFlowControlError: return "FLOW_CONTROL_ERROR";
    case Http2Code::kSettingsTimeout: return "SETTINGS_TIMEOUT";
    case Http2Code::kStreamClosed: return "STREAM_CLOSED";
    case Http2Code::kFrameSizeError: return "FRAME_SIZE_ERROR";
    case Http2Code::kRefusedStream: return "REFUSED_STREAM";
    case Http2Code::kCancel: return "CANCEL";
    case Http2Code::kCompressionError: return "COMPRESSION_ERROR";
    case Http2Code::kConnectError: return "CONNECT_ERROR";
    case Http2Code::kEnhanceYourCalm: return "ENHANCE_YOUR_CALM";
    case Http2Code::kInadequateSecurity: return "INADEQUATE_SECURITY";
    case Http2Code::kHttp11Required: return "HTTP_1_1_REQUIRED";
  }
  return "unknown";
}

uint32_t read_u32(std::string_view bytes) {
  return octet(bytes, 0) << 24U | octet(bytes, 1) << 16U | octet(bytes, 2) << 8U | octet(bytes, 3);
}

uint16_t read_u16(std::string_view bytes) { return static_cast<uint16_t>(octet(bytes, 0) << 8U | octet(bytes, 1)); }

void append_u32(std::string& out, uint32_t value) {
  for (const unsigned shift : {24U, 16U, 8U, 0U}) out.push_back(static_cast<char>(value >> shift & 0xffU));
}

void append_u16(std::string& out, uint16_t value) {
  out.push_back(static_cast<char>(value >> 8U));
  out.push_back(static_cast<char>(value & 0xffU));
}

FrameHeader read_frame_header(std::string_view bytes) {
  FrameHeader frame;
  frame.size = octet(bytes, 0) << 16U | octet(bytes, 1) << 8U | octet(bytes, 2);
  frame.type = static_cast<uint8_t>(octet(bytes, 3));
  frame.flags = static_cast<uint8_t>(octet(bytes, 4));
  frame.stream = read_u32(bytes.substr(5)) & kStreamMask;
  return frame;
}

void append_frame_header(std::string& out, FrameType type, uint8_t flags, uint32_t stream, size_t size) {
  for (const unsigned shift : {16U, 8U, 0U}) out.push_back(static_cast<char>(size >> shift & 0xffU));
  out.push_back(static_cast<char>(type));
  out.push_back(static_cast<char>(flags));
  append_u32(out, stream);
}

bool strip_padding(const FrameHeader& frame, bool may_have_priority, std::string_view& payload) {
  constexpr size_t kPrioritySize = 5;
  size_t padding = 0;
  if (frame.has(frame_flag::kPadded)) {
    if (payload.empty()) return false;
    padding = octet(payload, 0);
    payload.remove_prefix(1);
  }
  if (may_have_priority && frame.has(frame_flag::kPriority)) {
    if (payload.size() < kPrioritySize) return false;
    payload.remove_prefix(kPrioritySize);
  }
  if (padding > payload.size()) return false;
  payload.remove_suffix(padding);
  return true;
}

void append_window_update(std::string& out, uint32_t stream, uint32_t increment) {
  append_frame_header(out, FrameType::kWindowUpdate, 0, stream, 4);
  append_u32(out, increment);
}

void append_rst_stream(std::string& out, uint32_t stream, Http2Code code) {
  append_frame_header(out, FrameType::kRstStream, 0, stream, 4);
  append_u32(out, static_cast<uint32_t>(code));
}

void append_goaway(std::string& out, uint32_t last_stream, Http2Code code, std::string_view debug) {
  append_frame_header(out, FrameType::kGoaway, 0, 0, 8 + debug.size());
  append_u32(out, last_stream);
  append_u32(out, static_cast<uint32_t>(code));
  out.append(debug);
}

}  // namespace te

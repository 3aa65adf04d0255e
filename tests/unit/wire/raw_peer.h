// A server that is nothing but frames: what it sends is written by hand, what the client sent is listed as text.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hex.h"
#include "wire/hpack.h"
#include "wire/http2_connection.h"

inline std::string frame(te::FrameType type, uint8_t flags, uint32_t stream, std::string_view payload = {}) {
  std::string out;
  te::append_frame_header(out, type, flags, stream, payload.size());
  return out.append(payload);
}

inline std::string raw_frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload = {}) {
  return frame(static_cast<te::FrameType>(type), flags, stream, payload);
}

struct Setting {
  uint16_t id;
  uint32_t value;
};
inline std::string settings(std::initializer_list<Setting> list = {}) {
  std::string payload;
  for (const Setting& one : list) {
    te::append_u16(payload, one.id);
    te::append_u32(payload, one.value);
  }
  return frame(te::FrameType::kSettings, 0, 0, payload);
}

inline std::string block(std::initializer_list<te::HeaderView> fields) {
  te::HpackEncoder encoder;
  std::string out;
  encoder.encode(std::span(fields.begin(), fields.size()), out);
  return out;
}

constexpr uint8_t kEndStream = te::frame_flag::kEndStream;
constexpr uint8_t kEndHeaders = te::frame_flag::kEndHeaders;
constexpr uint8_t kBothEnds = kEndStream | kEndHeaders;

inline std::string headers(uint32_t stream, std::initializer_list<te::HeaderView> fields, uint8_t flags = kEndHeaders) {
  return frame(te::FrameType::kHeaders, flags, stream, block(fields));
}
inline std::string ok_headers(uint32_t stream) { return headers(stream, {{":status", "200"}}); }
inline std::string trailers(uint32_t stream, std::string_view status = "0") {
  return headers(stream, {{"grpc-status", status}}, kBothEnds);
}
inline std::string data(uint32_t stream, std::string_view bytes, uint8_t flags = 0) {
  return frame(te::FrameType::kData, flags, stream, bytes);
}
inline std::string rst(uint32_t stream, te::Http2Code code) {
  std::string out;
  te::append_rst_stream(out, stream, code);
  return out;
}
inline std::string window_update(uint32_t stream, uint32_t increment) {
  std::string out;
  te::append_window_update(out, stream, increment);
  return out;
}
inline std::string goaway(uint32_t last, te::Http2Code code = te::Http2Code::kNoError, std::string_view debug = {}) {
  std::string out;
  te::append_goaway(out, last, code, debug);
  return out;
}

/// An event as one word or two: "headers 1 :status=200", "data 1 'abc'", "end 1" with end_stream.
inline std::string describe(const te::Http2Event& event) {
  using Kind = te::Http2Event::Kind;
  std::string out;
  switch (event.kind) {
    case Kind::kHeaders:
    case Kind::kTrailers:
      out = (event.kind == Kind::kHeaders ? "headers " : "trailers ") + std::to_string(event.stream);
      for (size_t i = 0; i < event.headers->count(); ++i) {
        out.append(" ").append((*event.headers)[i].name).append("=").append((*event.headers)[i].value);
      }
      break;
    case Kind::kData: out = "data " + std::to_string(event.stream) + " '" + std::string(event.data) + "'"; break;
    case Kind::kReset:
      out = "reset " + std::to_string(event.stream) + " " + std::string(te::http2_code_name(event.code));
      if (!event.why.empty()) out.append(" (").append(event.why).append(")");
      break;
    case Kind::kGoaway:
      out = "goaway " + std::string(te::http2_code_name(event.code)) + " '" + std::string(event.data) + "'";
      break;
    case Kind::kFailed:
      out = "failed " + std::string(te::http2_code_name(event.code)) + " (" + std::string(event.why) + ")";
      break;
  }
  return out + (event.end_stream ? " end\n" : "\n");
}

/// All events of what the peer sends.
inline std::string events(te::Http2Connection& connection, std::string_view bytes) {
  connection.receive(bytes);
  std::string out;
  te::Http2Event event;
  while (connection.next(event)) out += describe(event);
  return out;
}

/// What the client has to send, taken: all of it, as bytes.
inline std::string take_output(te::Http2Connection& connection) {
  std::string out;
  for (;;) {
    const std::string_view piece = connection.output();
    if (piece.empty()) return out;
    out.append(piece);
    connection.sent(piece.size());
  }
}

/// Frames as text, a line each: "DATA flags=1 stream=3 size=5".
inline std::string list_frames(std::string_view bytes) {
  constexpr const char* kNames[] = {"DATA",         "HEADERS", "PRIORITY", "RST_STREAM",    "SETTINGS",
                                    "PUSH_PROMISE", "PING",    "GOAWAY",   "WINDOW_UPDATE", "CONTINUATION"};
  std::string out;
  while (bytes.size() >= te::kFrameHeaderSize) {
    const te::FrameHeader header = te::read_frame_header(bytes);
    bytes.remove_prefix(te::kFrameHeaderSize);
    const std::string_view payload = bytes.substr(0, header.size);
    out.append(kNames[header.type]).append(" flags=").append(std::to_string(header.flags));
    out.append(" stream=").append(std::to_string(header.stream));
    const bool is_code = header.is(te::FrameType::kRstStream) || header.is(te::FrameType::kWindowUpdate);
    if (is_code) {
      out.append(" value=").append(std::to_string(te::read_u32(payload)));
    } else {
      out.append(" size=").append(std::to_string(header.size));
    }
    out.append("\n");
    bytes.remove_prefix(header.size);
  }
  if (!bytes.empty()) out += "rest of a frame\n";
  return out;
}

inline std::string sent_frames(te::Http2Connection& connection) { return list_frames(take_output(connection)); }

/// Opens a stream with a request that is small unless `body` says otherwise.
inline uint32_t open_stream(te::Http2Connection& connection, std::string body = "body") {
  const te::HeaderView fields[] = {
      {":method", "POST"}, {":scheme", "http"}, {":path", "/x"}, {":authority", "localhost"}};
  return connection.open(fields, std::move(body));
}

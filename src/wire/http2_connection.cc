#include "wire/http2_connection.h"

#include <algorithm>

#include "wire/http2_header_check.h"

namespace te {
namespace {

constexpr size_t kHighWater = 64 * kKiB;     // of unsent bytes: no more of the requests' bodies is put behind them
constexpr size_t kKeptCapacity = 64 * kKiB;  // of an empty buffer

void append_setting(std::string& out, uint16_t id, uint32_t value) {
  append_u16(out, id);
  append_u32(out, value);
}

void drop_front(std::string& buffer, size_t& at) {
  if (at == buffer.size()) {
    buffer.clear();
    if (buffer.capacity() > kKeptCapacity) std::string().swap(buffer);
  } else if (at > 0) {
    buffer.erase(0, at);
  }
  at = 0;
}

}  // namespace

Http2Connection::Http2Connection(const Http2Options& options)
    : options_(options),
      decoder_(options.header_list),
      receive_window_(std::max<int64_t>(options.connection_window, kDefaultWindow)),
      next_stream_(options.first_stream) {
  constexpr size_t kSettings = 4;
  out_.append(kHttp2Preface);
  append_frame_header(out_, FrameType::kSettings, 0, 0, kSettings * 6);
  append_setting(out_, setting::kHeaderTableSize, kHpackTableSize);
  append_setting(out_, setting::kEnablePush, 0);
  append_setting(out_, setting::kInitialWindowSize, options.stream_window);
  append_setting(out_, setting::kMaxHeaderListSize, options.header_list);
  // The connection's window does not follow the setting (6.9.2).
  if (options.connection_window > kDefaultWindow) {
    append_window_update(out_, 0, options.connection_window - static_cast<uint32_t>(kDefaultWindow));
  }
}

void Http2Connection::receive(std::string_view bytes) {
  drop_front(in_, in_at_);
  if (!failed_) in_.append(bytes);
}

bool Http2Connection::next(Http2Event& out) {
  out = {};
  if (!refused_.empty()) {
    out.kind = Http2Event::Kind::kReset;
    out.stream = refused_.back();
    out.code = Http2Code::kRefusedStream;
    refused_.pop_back();
    return true;
  }
  while (!failed_) {
    const std::string_view rest = std::string_view(in_).substr(in_at_);
    if (rest.size() < kFrameHeaderSize) return false;
    const FrameHeader frame = read_frame_header(rest);
    if (frame.size > kDefaultFrameSize) return fail(Http2Code::kFrameSizeError, "a frame larger than we allow", out);
    if (rest.size() - kFrameHeaderSize < frame.size) return false;
    in_at_ += kFrameHeaderSize + frame.size;
    if (on_frame(frame, rest.substr(kFrameHeaderSize, frame.size), out)) return true;
  }
  return false;
}

std::string_view Http2Connection::output() {
  upload();
  return std::string_view(out_).substr(out_at_);
}

void Http2Connection::sent(size_t count) {
  out_at_ += count;
  if (out_at_ == out_.size()) control_frames_ = 0;
  if (out_at_ == out_.size() || out_at_ > kHighWater) drop_front(out_, out_at_);
}

uint32_t Http2Connection::open(std::span<const HeaderView> headers, std::string body) {
  const uint32_t id = next_stream_;
  next_stream_ += 2;
  std::string block;
  encoder_.encode(headers, block);
  const uint8_t end = body.empty() ? frame_flag::kEndStream : uint8_t{0};
  std::string_view rest = block;
  FrameType type = FrameType::kHeaders;
  do {
    const std::string_view piece = rest.substr(0, peer_.max_frame_size);
    rest.remove_prefix(piece.size());
    const auto flags =
        static_cast<uint8_t>((type == FrameType::kHeaders ? end : 0) | (rest.empty() ? frame_flag::kEndHeaders : 0));
    append_frame_header(out_, type, flags, id, piece.size());
    out_.append(piece);
    type = FrameType::kContinuation;
  } while (!rest.empty());
  streams_.add(Http2Stream(id, std::move(body), peer_.initial_window, options_.stream_window));
  return id;
}

void Http2Connection::reset(uint32_t stream, Http2Code code) {
  if (streams_.find(stream) == nullptr) return;
  append_rst_stream(out_, stream, code);
  streams_.remove(stream);
}

size_t Http2Connection::memory() const {
  return in_.capacity() + out_.capacity() + block_.bytes().size() + decoder_.table().size() + headers_.size();
}

// -- what we send
// ------------------------------------------------------------------------------------------------------

void Http2Connection::upload() {
  while (!failed_ && out_.size() - out_at_ < kHighWater && send_window_.left() > 0) {
    Http2Stream* stream = streams_.next_to_send();
    if (stream == nullptr) return;
    const int64_t allowed = std::min({send_window_.left(), stream->send.left(), int64_t{peer_.max_frame_size},
                                      static_cast<int64_t>(kDefaultFrameSize)});
    const size_t size = std::min(stream->unsent(), static_cast<size_t>(allowed));
    const bool last = size == stream->unsent();
    append_frame_header(out_, FrameType::kData, last ? frame_flag::kEndStream : uint8_t{0}, stream->id, size);
    out_.append(stream->body, stream->body_at, size);
    stream->body_at += size;
    stream->send.spend(static_cast<int64_t>(size));
    send_window_.spend(static_cast<int64_t>(size));
    if (last) {
      std::string().swap(stream->body);
      stream->body_at = 0;
    }
  }
}

bool Http2Connection::fail(Http2Code code, std::string_view why, Http2Event& out) {
  failed_ = true;
  append_goaway(out_, 0, code, why);
  out.kind = Http2Event::Kind::kFailed;
  out.code = code;
  out.why = why;
  return true;
}

bool Http2Connection::fail_stream(uint32_t stream, Http2Code code, std::string_view why, Http2Event& out) {
  reset(stream, code);
  out.kind = Http2Event::Kind::kReset;
  out.stream = stream;
  out.code = code;
  out.why = why;
  return true;
}

/// The response is complete. A request that is still being sent is of no use any more (RFC 9113, 8.1); the peer may
/// have said so itself, with an RST_STREAM that crosses ours.
void Http2Connection::end_stream(uint32_t stream) {
  const Http2Stream* open = streams_.find(stream);
  if (open->unsent() > 0) append_rst_stream(out_, stream, Http2Code::kCancel);
  streams_.remove(stream);
}

bool Http2Connection::count_control(Http2Event& out) {
  if (++control_frames_ <= kMaxControlFrames) return false;
  return fail(Http2Code::kEnhanceYourCalm, "our answers are not fetched", out);
}

bool Http2Connection::count_junk(Http2Event& out) {
  if (++junk_frames_ <= kMaxJunkFrames) return false;
  return fail(Http2Code::kEnhanceYourCalm, "too many frames that bring nothing", out);
}

// -- what the peer sends
// -----------------------------------------------------------------------------------------------

bool Http2Connection::on_frame(const FrameHeader& frame, std::string_view payload, Http2Event& out) {
  if (!greeted_ && (!frame.is(FrameType::kSettings) || frame.has(frame_flag::kAck))) {
    return fail(Http2Code::kProtocolError, "the peer did not begin with SETTINGS", out);
  }
  if (block_.open() && (!frame.is(FrameType::kContinuation) || frame.stream != block_.stream())) {
    return fail(Http2Code::kProtocolError, "a frame within a header block", out);
  }
  if (frame.type > static_cast<uint8_t>(FrameType::kContinuation)) return count_junk(out);
  switch (static_cast<FrameType>(frame.type)) {
    case FrameType::kData: return on_data(frame, payload, out);
    case FrameType::kHeaders: return on_headers(frame, payload, out);
    case FrameType::kPriority: return on_priority(frame, payload, out);
    case FrameType::kRstStream: return on_rst_stream(frame, payload, out);
    case FrameType::kSettings: return on_settings(frame, payload, out);
    case FrameType::kPushPromise: return fail(Http2Code::kProtocolError, "PUSH_PROMISE, which we forbid", out);
    case FrameType::kPing: return on_ping(frame, payload, out);
    case FrameType::kGoaway: return on_goaway(frame, payload, out);
    case FrameType::kWindowUpdate: return on_window_update(frame, payload, out);
    case FrameType::kContinuation: return on_continuation(frame, payload, out);
  }
  return false;
}

bool Http2Connection::on_data(const FrameHeader& frame, std::string_view payload, Http2Event& out) {
  if (idle(frame.stream)) return fail(Http2Code::kProtocolError, "DATA on a stream that was never opened", out);
  // Padding counts, and so does what comes for a closed stream (6.9.1).
  if (!receive_window_.take(frame.size)) return fail(Http2Code::kFlowControlError, "more DATA than allowed", out);
  if (const uint32_t increment = receive_window_.refill(); increment != 0) {
    append_window_update(out_, 0, increment);
    if (count_control(out)) return true;
  }
  if (!strip_padding(frame, false, payload)) return fail(Http2Code::kProtocolError, "more padding than payload", out);
  const bool ends = frame.has(frame_flag::kEndStream);
  if (payload.empty() && !ends && count_junk(out)) return true;
  if (!payload.empty()) junk_frames_ = 0;
  Http2Stream* stream = streams_.find(frame.stream);
  if (stream == nullptr) return false;
  if (!stream->headers_seen) {
    return fail_stream(frame.stream, Http2Code::kProtocolError, "DATA before the headers of a response", out);
  }
  if (!stream->receive.take(frame.size)) {
    return fail_stream(frame.stream, Http2Code::kFlowControlError, "more DATA than allowed on a stream", out);
  }
  if (payload.empty() && !ends) return false;
  if (ends) {
    end_stream(frame.stream);
  } else if (const uint32_t increment = stream->receive.refill(); increment != 0) {
    append_window_update(out_, frame.stream, increment);
    if (count_control(out)) return true;
  }
  out.kind = Http2Event::Kind::kData;
  out.stream = frame.stream;
  out.data = payload;
  out.end_stream = ends;
  return true;
}

bool Http2Connection::on_headers(const FrameHeader& frame, std::string_view payload, Http2Event& out) {
  if (idle(frame.stream)) return fail(Http2Code::kProtocolError, "HEADERS on a stream that was never opened", out);
  if (!strip_padding(frame, true, payload)) return fail(Http2Code::kProtocolError, "more padding than payload", out);
  const bool ends = frame.has(frame_flag::kEndStream);
  if (frame.has(frame_flag::kEndHeaders)) return on_header_block(frame.stream, ends, payload, out);
  block_.begin(frame.stream, ends);
  block_.add(payload);
  return false;
}

bool Http2Connection::on_continuation(const FrameHeader& frame, std::string_view payload, Http2Event& out) {
  if (!block_.open()) return fail(Http2Code::kProtocolError, "CONTINUATION without HEADERS", out);
  if (const Http2Fault fault = block_.add(payload); !fault.ok()) return fail(fault.code, fault.why, out);
  if (!frame.has(frame_flag::kEndHeaders)) return false;
  const bool event = on_header_block(frame.stream, block_.end_stream(), block_.bytes(), out);
  block_.close();
  return event;
}

bool Http2Connection::on_header_block(uint32_t id, bool end, std::string_view block, Http2Event& out) {
  // Also of streams that are closed: the table is the connection's.
  if (!decoder_.decode(block, headers_)) return fail(Http2Code::kCompressionError, "a bad header block", out);
  Http2Stream* stream = streams_.find(id);
  if (stream == nullptr) return count_junk(out);
  if (headers_.cut()) return fail_stream(id, Http2Code::kEnhanceYourCalm, "the header list is too large", out);
  const HeaderSection section = stream->headers_seen ? HeaderSection::kTrailers : HeaderSection::kResponse;
  if (const std::string_view wrong = malformed_headers(headers_, section); !wrong.empty()) {
    return fail_stream(id, Http2Code::kProtocolError, wrong, out);
  }
  if (section == HeaderSection::kResponse && http2_status(headers_) < 200) {
    if (end) return fail_stream(id, Http2Code::kProtocolError, "an interim response that ends the stream", out);
    return count_junk(out);
  }
  if (section == HeaderSection::kTrailers && !end) {
    return fail_stream(id, Http2Code::kProtocolError, "trailers that do not end the stream", out);
  }
  junk_frames_ = 0;
  stream->headers_seen = true;
  if (end) end_stream(id);
  out.kind = section == HeaderSection::kResponse ? Http2Event::Kind::kHeaders : Http2Event::Kind::kTrailers;
  out.stream = id;
  out.headers = &headers_;
  out.end_stream = end;
  return true;
}

bool Http2Connection::on_priority(const FrameHeader& frame, std::string_view payload, Http2Event& out) {
  constexpr size_t kPrioritySize = 5;
  if (frame.stream == 0) return fail(Http2Code::kProtocolError, "PRIORITY without a stream", out);
  if (payload.size() != kPrioritySize && streams_.find(frame.stream) != nullptr) {
    return fail_stream(frame.stream, Http2Code::kFrameSizeError, "PRIORITY of a wrong size", out);
  }
  return count_junk(out);
}

bool Http2Connection::on_rst_stream(const FrameHeader& frame, std::string_view payload, Http2Event& out) {
  if (payload.size() != 4) return fail(Http2Code::kFrameSizeError, "RST_STREAM of a wrong size", out);
  if (idle(frame.stream)) return fail(Http2Code::kProtocolError, "RST_STREAM on a stream that was never opened", out);
  if (streams_.find(frame.stream) == nullptr) return count_junk(out);
  streams_.remove(frame.stream);
  out.kind = Http2Event::Kind::kReset;
  out.stream = frame.stream;
  out.code = static_cast<Http2Code>(read_u32(payload));
  return true;
}

bool Http2Connection::on_settings(const FrameHeader& frame, std::string_view payload, Http2Event& out) {
  if (frame.stream != 0) return fail(Http2Code::kProtocolError, "SETTINGS on a stream", out);
  if (frame.has(frame_flag::kAck)) {
    if (!payload.empty()) return fail(Http2Code::kFrameSizeError, "an acknowledgement with a payload", out);
    return count_junk(out);
  }
  const int64_t old_window = peer_.initial_window;
  if (const Http2Fault fault = peer_.apply(payload); !fault.ok()) return fail(fault.code, fault.why, out);
  greeted_ = true;
  encoder_.set_peer_limit(peer_.smallest_table_size);
  if (!streams_.grow_all(peer_.initial_window - old_window)) {
    return fail(Http2Code::kFlowControlError, "a window over 2^31-1", out);
  }
  append_frame_header(out_, FrameType::kSettings, frame_flag::kAck, 0, 0);
  return count_control(out);
}

bool Http2Connection::on_ping(const FrameHeader& frame, std::string_view payload, Http2Event& out) {
  if (frame.stream != 0) return fail(Http2Code::kProtocolError, "PING on a stream", out);
  if (payload.size() != 8) return fail(Http2Code::kFrameSizeError, "PING of a wrong size", out);
  if (frame.has(frame_flag::kAck)) return count_junk(out);
  append_frame_header(out_, FrameType::kPing, frame_flag::kAck, 0, payload.size());
  out_.append(payload);
  return count_control(out);
}

bool Http2Connection::on_goaway(const FrameHeader& frame, std::string_view payload, Http2Event& out) {
  if (frame.stream != 0) return fail(Http2Code::kProtocolError, "GOAWAY on a stream", out);
  if (payload.size() < 8) return fail(Http2Code::kFrameSizeError, "GOAWAY of a wrong size", out);
  goaway_ = true;
  streams_.remove_above(read_u32(payload) & kLargestStream, refused_);
  out.kind = Http2Event::Kind::kGoaway;
  out.code = static_cast<Http2Code>(read_u32(payload.substr(4)));
  out.data = payload.substr(8);
  return true;
}

bool Http2Connection::on_window_update(const FrameHeader& frame, std::string_view payload, Http2Event& out) {
  if (payload.size() != 4) return fail(Http2Code::kFrameSizeError, "WINDOW_UPDATE of a wrong size", out);
  const uint32_t increment = read_u32(payload) & static_cast<uint32_t>(kLargestWindow);
  if (frame.stream == 0) {
    if (increment == 0) return fail(Http2Code::kProtocolError, "WINDOW_UPDATE by 0", out);
    if (!send_window_.grow(increment)) return fail(Http2Code::kFlowControlError, "a window over 2^31-1", out);
    return false;
  }
  if (idle(frame.stream)) {
    return fail(Http2Code::kProtocolError, "WINDOW_UPDATE on a stream that was never opened", out);
  }
  Http2Stream* stream = streams_.find(frame.stream);
  if (stream == nullptr) return count_junk(out);
  if (increment == 0) return fail_stream(frame.stream, Http2Code::kProtocolError, "WINDOW_UPDATE by 0", out);
  if (!stream->send.grow(increment)) {
    return fail_stream(frame.stream, Http2Code::kFlowControlError, "a stream's window over 2^31-1", out);
  }
  return false;
}

}  // namespace te

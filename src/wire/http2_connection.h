// The client's side of one HTTP/2 connection (RFC 9113), without I/O: bytes in, events and bytes out.
//
// The owner receives bytes into it, takes events until there is none, and sends what output() holds. A request is given
// whole and leaves as flow control allows. What comes is handed out at once, so windows are opened again at once; who
// wants to bound a body counts it and resets the stream.
//
// For a peer that is known to answer (a CRI runtime behind a unix socket), so much is left out: no push, no priority,
// no PING of our own (servers take it for abuse), no request trailers. What a broken or hostile peer can cost is
// bounded: one frame, kMaxHeaderBytes of a header block and of what it holds, the 4 KiB of the HPACK table,
// kMaxControlFrames answers that it does not fetch, kMaxJunkFrames frames that bring nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/size.h"
#include "wire/hpack.h"
#include "wire/http2_frame.h"
#include "wire/http2_header_block.h"
#include "wire/http2_settings.h"
#include "wire/http2_streams.h"
#include "wire/http2_window.h"

namespace te {

struct Http2Options {
  uint32_t stream_window = kMiB;
  uint32_t connection_window = 4 * kMiB;
  uint32_t header_list = kMaxHeaderBytes;
  uint32_t first_stream = 1;  ///< odd; for tests of what happens when ids run out
};

/// Views and pointers are valid until the next call of receive() or next().
struct Http2Event {
  enum class Kind : uint8_t {
    kHeaders,   ///< the response's header section; 1xx ones are not told
    kTrailers,  ///< always with end_stream
    kData,      ///< may be empty with end_stream
    kReset,     ///< the stream is over without an end: by the peer, by a GOAWAY (kRefusedStream: it was never looked
                ///< at), or by us because the response is malformed (then `why` is filled)
    kGoaway,    ///< no further stream can be opened; those that are open go on
    kFailed,    ///< the peer broke the protocol; send what output() has, then close. Told once, the last event.
  };
  Kind kind = Kind::kData;
  uint32_t stream = 0;
  bool end_stream = false;  ///< the stream is complete and closed
  const HeaderList* headers = nullptr;
  std::string_view data;  ///< kData; kGoaway: the peer's words
  Http2Code code = Http2Code::kNoError;
  std::string_view why;
};

class Http2Connection {
 public:
  static constexpr unsigned kMaxControlFrames = 1'000;
  static constexpr unsigned kMaxJunkFrames = 10'000;

  explicit Http2Connection(const Http2Options& options = {});

  void receive(std::string_view bytes);
  /// False: there is nothing more; receive more bytes.
  bool next(Http2Event& out);

  /// What is to be sent now; valid until the next call of any other function.
  std::string_view output();
  void sent(size_t count);

  /// A request could be opened now: no GOAWAY has come, the peer's limit of streams is not reached, ids are left.
  bool can_open() const { return !over() && streams_.count() < peer_.max_concurrent_streams; }
  /// Only open streams go on; a new connection is needed for more.
  bool over() const { return failed_ || goaway_ || next_stream_ > kLargestStream; }
  /// Asks can_open() before. An empty body ends the stream with its headers.
  uint32_t open(std::span<const HeaderView> headers, std::string body);
  /// Gives up a stream; nothing more is told of it. One that is closed already is left alone.
  void reset(uint32_t stream, Http2Code code);

  /// Streams whose end has not been told yet: those too that a GOAWAY has just refused.
  size_t open_streams() const { return streams_.count() + refused_.size(); }
  /// The peer's SETTINGS have come: there is an HTTP/2 server.
  bool greeted() const { return greeted_; }
  size_t memory() const;  ///< bytes held in buffers

 private:
  // Each takes one frame; true: `out` is an event.
  bool on_frame(const FrameHeader& frame, std::string_view payload, Http2Event& out);
  bool on_data(const FrameHeader& frame, std::string_view payload, Http2Event& out);
  bool on_headers(const FrameHeader& frame, std::string_view payload, Http2Event& out);
  bool on_continuation(const FrameHeader& frame, std::string_view payload, Http2Event& out);
  bool on_header_block(uint32_t id, bool end_stream, std::string_view block, Http2Event& out);
  bool on_rst_stream(const FrameHeader& frame, std::string_view payload, Http2Event& out);
  bool on_settings(const FrameHeader& frame, std::string_view payload, Http2Event& out);
  bool on_ping(const FrameHeader& frame, std::string_view payload, Http2Event& out);
  bool on_goaway(const FrameHeader& frame, std::string_view payload, Http2Event& out);
  bool on_window_update(const FrameHeader& frame, std::string_view payload, Http2Event& out);
  bool on_priority(const FrameHeader& frame, std::string_view payload, Http2Event& out);

  bool idle(uint32_t stream) const { return stream % 2 == 0 || stream >= next_stream_; }
  bool fail(Http2Code code, std::string_view why, Http2Event& out);
  bool fail_stream(uint32_t stream, Http2Code code, std::string_view why, Http2Event& out);
  void end_stream(uint32_t stream);
  bool count_control(Http2Event& out);
  bool count_junk(Http2Event& out);
  void upload();

  Http2Options options_;
  PeerSettings peer_;
  HpackDecoder decoder_;
  HpackEncoder encoder_;
  HeaderBlock block_;
  HeaderList headers_;
  Http2Streams streams_;
  SendWindow send_window_{kDefaultWindow};
  ReceiveWindow receive_window_;
  std::vector<uint32_t> refused_;  ///< by a GOAWAY, to be told
  std::string in_;
  size_t in_at_ = 0;
  std::string out_;
  size_t out_at_ = 0;
  uint32_t next_stream_;
  unsigned control_frames_ = 0;  ///< our answers in out_
  unsigned junk_frames_ = 0;
  bool greeted_ = false;
  bool goaway_ = false;
  bool failed_ = false;
};

}  // namespace te

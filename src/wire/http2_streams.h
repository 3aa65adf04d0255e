// The streams of a client connection whose answer is not complete (RFC 9113 section 5.1: open, half-closed (local)).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "wire/http2_window.h"

namespace te {

struct Http2Stream {
  Http2Stream(uint32_t stream_id, std::string request_body, int64_t send_size, int64_t receive_size)
      : id(stream_id), body(std::move(request_body)), send(send_size), receive(receive_size) {}

  size_t unsent() const { return body.size() - body_at; }

  uint32_t id;
  std::string body;  ///< of the request
  size_t body_at = 0;
  SendWindow send;
  ReceiveWindow receive;
  bool headers_seen = false;  ///< the final (not 1xx) header section has come
};

class Http2Streams {
 public:
  size_t count() const { return streams_.size(); }
  /// Null when it is closed, or was never opened. Valid until the next add() or remove().
  Http2Stream* find(uint32_t id);
  /// Ids must grow.
  void add(Http2Stream stream) { streams_.push_back(std::move(stream)); }
  void remove(uint32_t id);
  /// INITIAL_WINDOW_SIZE has changed. False: a window is over its limit.
  bool grow_all(int64_t octets);
  /// A stream that has something to send and may; they take turns. Null: none.
  Http2Stream* next_to_send();
  /// Takes out those above `last`, and appends their ids.
  void remove_above(uint32_t last, std::vector<uint32_t>& ids);

 private:
  std::vector<Http2Stream> streams_;  ///< by id
  uint32_t last_served_ = 0;
};

}  // namespace te

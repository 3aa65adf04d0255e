// One call's answer, put together from the events of its stream: messages, then a status.
#pragma once

#include <cstdint>
#include <string_view>

#include "wire/grpc_message.h"
#include "wire/grpc_status.h"
#include "wire/http2_connection.h"

namespace te {

class GrpcResponse {
 public:
  enum class Step : uint8_t {
    kNeedMore,
    kMessage,  ///< message(); call next() again
    kDone,     ///< status(); and with give_up() the stream is still open and must be reset
  };

  /// `max_message`: the largest message that is taken.
  explicit GrpcResponse(size_t max_message) : reader_(max_message) {}

  /// kHeaders, kTrailers, kData or kReset of this call's stream. Then call next() until kNeedMore or kDone; the event's
  /// views must live so long.
  void take(const Http2Event& event);
  Step next();

  std::string_view message() const { return reader_.message(); }
  GrpcStatus& status() { return status_; }
  /// We ended the call while the peer has not: its messages are too large, or compressed.
  bool give_up() const { return give_up_; }

 private:
  void end(GrpcStatus status);
  Step spoil(GrpcCode code, std::string_view why);

  GrpcMessageReader reader_;
  std::string_view data_;  ///< of the event, not yet read
  GrpcStatus status_;
  int http_status_ = 0;
  bool ended_ = false;  ///< status_ is known; it is told when data_ is used up
  bool stream_open_ = true;
  bool give_up_ = false;
};

}  // namespace te

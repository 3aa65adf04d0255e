// gRPC's framing of messages within a stream: a flag, four octets of length, the message.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace te {

constexpr size_t kGrpcPrefixSize = 5;

/// The message with its prefix, never compressed. Always to be sent, also for an empty message.
std::string frame_grpc_message(std::string_view message);

/// Takes the octets of a stream and hands out whole messages. No more is allocated than has really come.
class GrpcMessageReader {
 public:
  enum class Step : uint8_t {
    kNeedMore,
    kMessage,     ///< message() is whole, until the next call
    kCompressed,  ///< we have allowed no compression
    kTooLarge,    ///< it says that it has more than the limit
  };

  explicit GrpcMessageReader(size_t limit) : limit_(limit) {}

  /// Uses up `bytes` from its front, as far as one message goes. After kCompressed or kTooLarge nothing can be read.
  Step read(std::string_view& bytes);
  std::string_view message() const { return std::string_view(buffer_).substr(kGrpcPrefixSize); }
  /// In the middle of a message: a stream that ends here was cut off.
  bool in_message() const { return !buffer_.empty() && !whole_; }

 private:
  size_t limit_;
  std::string buffer_;  ///< prefix and message
  bool whole_ = false;
};

}  // namespace te

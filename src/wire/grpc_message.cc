#include "wire/grpc_message.h"

#include <algorithm>

#include "wire/http2_frame.h"

namespace te {

std::string frame_grpc_message(std::string_view message) {
  std::string out;
  out.reserve(kGrpcPrefixSize + message.size());
  out.push_back('\0');
  append_u32(out, static_cast<uint32_t>(message.size()));
  out.append(message);
  return out;
}

GrpcMessageReader::Step GrpcMessageReader::read(std::string_view& bytes) {
  constexpr size_t kKept = 4'096;
  if (whole_) {
    buffer_.clear();
    if (buffer_.capacity() > kKept) std::string().swap(buffer_);
    whole_ = false;
  }
  const auto take = [&](size_t up_to) {
    const size_t count = std::min(bytes.size(), up_to - std::min(up_to, buffer_.size()));
    buffer_.append(bytes.substr(0, count));
    bytes.remove_prefix(count);
    return buffer_.size() >= up_to;
  };
  if (!take(kGrpcPrefixSize)) return Step::kNeedMore;
  if (buffer_[0] != '\0') return Step::kCompressed;
  const size_t size = read_u32(std::string_view(buffer_).substr(1));
  if (size > limit_) return Step::kTooLarge;
  if (!take(kGrpcPrefixSize + size)) return Step::kNeedMore;
  whole_ = true;
  return Step::kMessage;
}

}  // namespace te

// Fuzzes a whole client connection with its gRPC answers: whatever the server sends, and in whatever pieces, the same
// events come of it, and memory stays in its bounds.
//
// Input: the first byte is a count, that many bytes (at most 8) are the lengths of the pieces, used in turn; the rest
// is what the server sends, behind a SETTINGS frame when the first byte's top bit is not set.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "wire/grpc_response.h"
#include "wire/http2_connection.h"

namespace {

using te::Http2Connection;
using te::Http2Event;

constexpr size_t kMaxMessage = 4'096;

void must(bool condition) {
  if (!condition) std::abort();
}

class Session {
 public:
  Session() : connection_(options()) {
    take_output();
    for (int i = 0; i < 4; ++i) open(i == 3 ? 70'000 : 40);
  }

  void receive(std::string_view bytes) {
    connection_.receive(bytes);
    Http2Event event;
    while (connection_.next(event)) {
      must(!failed_);
      take(event);
    }
    // One frame and piece, one header block, what is to be sent; each buffer at most doubled.
    must(connection_.memory() < 8 * te::kMiB);
  }

  std::string finish() {
    take_output();
    must(connection_.over() || !failed_);
    return std::move(told_);
  }

 private:
  static te::Http2Options options() {
    te::Http2Options options;
    options.stream_window = 100'000;
    options.header_list = 8'000;
    return options;
  }

  void open(size_t body) {
    if (!connection_.can_open()) return;
    const te::HeaderView fields[] = {{":method", "POST"}, {":path", "/a"}, {"te", "trailers"}};
    const uint32_t stream = connection_.open(fields, std::string(body, 'b'));
    responses_.emplace(stream, te::GrpcResponse(kMaxMessage));
  }

  void take(const Http2Event& event) {
    told_ += std::to_string(static_cast<int>(event.kind)) + " " + std::to_string(event.stream) +
             (event.end_stream ? " end " : " ") + std::to_string(static_cast<uint32_t>(event.code)) + " ";
    told_.append(event.why).append(event.data).append("\n");
    if (event.kind == Http2Event::Kind::kFailed) failed_ = true;
    if (event.kind == Http2Event::Kind::kGoaway || event.kind == Http2Event::Kind::kFailed) return;
    must((event.headers != nullptr) ==
         (event.kind == Http2Event::Kind::kHeaders || event.kind == Http2Event::Kind::kTrailers));
    const auto at = responses_.find(event.stream);
    must(at != responses_.end());  // no stream tells anything after its end
    te::GrpcResponse& response = at->second;
    response.take(event);
    for (;;) {
      const te::GrpcResponse::Step step = response.next();
      if (step == te::GrpcResponse::Step::kNeedMore) break;
      if (step == te::GrpcResponse::Step::kMessage) {
        must(response.message().size() <= kMaxMessage);
        told_.append("message ").append(response.message()).append("\n");
        continue;
      }
      told_.append("status ").append(te::grpc_code_name(response.status().code)).append(response.status().message);
      if (response.give_up()) connection_.reset(event.stream, te::Http2Code::kCancel);
      responses_.erase(at);
      open(event.stream % 8 == 1 ? 0 : 10);
      return;
    }
    must(!event.end_stream && event.kind != Http2Event::Kind::kReset);
  }

  void take_output() {
    for (std::string_view out = connection_.output(); !out.empty(); out = connection_.output()) {
      connection_.sent(std::min<size_t>(out.size(), 777));
    }
  }

  Http2Connection connection_;
  std::map<uint32_t, te::GrpcResponse> responses_;
  std::string told_;
  bool failed_ = false;
};

std::string outcome(std::string_view bytes, std::span<const uint8_t> pieces, bool greet) {
  Session session;
  if (greet) session.receive(std::string_view("\0\0\0\4\0\0\0\0\0", 9));
  size_t turn = 0;
  while (!bytes.empty()) {
    size_t count = bytes.size();
    if (!pieces.empty()) count = std::min<size_t>(count, pieces[turn++ % pieces.size()] + size_t{1});
    session.receive(bytes.substr(0, count));
    bytes.remove_prefix(count);
  }
  return session.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t count = std::min<size_t>((data[0] & 0x7f) % 9, size - 1);
  const std::span<const uint8_t> pieces(data + 1, count);
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1 + count, size - 1 - count);
  const bool greet = (data[0] & 0x80) == 0;
  must(outcome(bytes, {}, greet) == outcome(bytes, pieces, greet));
  return 0;
}

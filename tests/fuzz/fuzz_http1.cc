// Fuzzes the request parser: whatever comes, and in whatever pieces, the outcome is the same and stays in its bounds.
//
// Input: the first byte is a count, that many bytes (at most 8) are the lengths of the pieces, used in turn; the rest
// is what the peer sends.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "wire/http1.h"

namespace {

using te::HttpParser;

void must(bool condition) {
  if (!condition) std::abort();
}

/// Reads every byte, so that a sanitizer sees those that can't be read.
unsigned touch(const char* from, size_t size) {
  unsigned sum = 0;
  for (size_t i = 0; i < size; ++i) sum += static_cast<unsigned char>(from[i]);
  return sum;
}

void put(std::string& out, std::string_view text) {
  out.append(std::to_string(text.size())).append(":").append(text).append(",");
}

void check_request(const te::HttpRequest& request, size_t max_body, std::string& out) {
  must(!request.target.empty() && !request.path.empty());
  must(request.path.data() >= request.target.data() && request.query.data() >= request.target.data());
  const char* target_end = request.target.data() + request.target.size();
  must(request.path.data() + request.path.size() <= target_end);
  must(request.query.data() + request.query.size() <= target_end);
  must(request.path.front() == '/' || request.path == "*");
  must(request.body.size() <= max_body);
  volatile unsigned sum = touch(request.body.data(), request.body.size() + te::kBodyPadding);
  (void)sum;
  out.push_back(static_cast<char>('0' + static_cast<int>(request.method)));
  out.push_back(request.keep_alive ? 'k' : 'c');
  put(out, request.target);
  put(out, request.path);
  put(out, request.query);
  for (const te::HttpHeader& header : request.headers) {
    must(!header.name.empty());
    for (const char byte : header.value) must(byte != '\r' && byte != '\n' && byte != '\0');
    put(out, header.name);
    put(out, header.value);
  }
  put(out, request.body);
}

void drain(HttpParser& parser, size_t max_body, std::string& out) {
  for (;;) {
    switch (parser.next()) {
      case HttpParser::Step::kNeedMore: return;
      case HttpParser::Step::kContinue: must(parser.in_body()); break;
      case HttpParser::Step::kRequest:
        must(!parser.in_request());
        check_request(parser.request(), max_body, out);
        parser.consume();
        break;
      case HttpParser::Step::kRefused: return;
    }
  }
}

/// What the parser makes of `bytes`, received in pieces of the lengths in `pieces` (none: as much as there is room).
std::string outcome(std::string_view bytes, std::span<const uint8_t> pieces, size_t max_body) {
  HttpParser parser(max_body);
  std::string out;
  size_t turn = 0;
  while (!bytes.empty()) {
    const std::span<char> room = parser.room();
    must(!room.empty());
    size_t count = std::min(room.size(), bytes.size());
    if (!pieces.empty()) count = std::min<size_t>(count, pieces[turn++ % pieces.size()] + size_t{1});
    std::memcpy(room.data(), bytes.data(), count);
    parser.received(count);
    bytes.remove_prefix(count);
    drain(parser, max_body, out);
    // Head, twice what a body may have, and the fields of a head of nothing but fields, each list at most doubled.
    must(parser.memory() <= 4 * te::kMaxHeadBytes + 2 * max_body + 2 * (te::kMaxHeadBytes / 4 + 1) * 40);
  }
  if (parser.next() == HttpParser::Step::kRefused) {
    must(parser.refusal().status >= 400 && parser.refusal().status <= 505 && !parser.refusal().message.empty());
    out.append("refused ").append(std::to_string(parser.refusal().status)).append(parser.refusal().message);
  } else {
    out.append(parser.in_body() ? "body" : parser.in_request() ? "head" : "idle");
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t count = std::min<size_t>(data[0] % 9, size - 1);
  const std::span<const uint8_t> pieces(data + 1, count);
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1 + count, size - 1 - count);
  for (const size_t max_body : {size_t{16}, size_t{64} * 1024}) {
    must(outcome(bytes, {}, max_body) == outcome(bytes, pieces, max_body));
  }
  return 0;
}

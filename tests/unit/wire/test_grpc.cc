#include <doctest/doctest.h>

#include <string>

#include "hex.h"
#include "wire/grpc_message.h"
#include "wire/grpc_status.h"

using te::GrpcCode;
using te::GrpcMessageReader;
using te::GrpcOrigin;
using te::GrpcStatus;
using te::HeaderList;
using te::Http2Code;
using Step = GrpcMessageReader::Step;

namespace {

GrpcStatus status_of(std::initializer_list<te::HeaderView> fields, int http_status = 200) {
  HeaderList list;
  for (const te::HeaderView& field : fields) list.add(field, te::kMiB);
  return te::grpc_status_of(list, http_status);
}

}  // namespace

TEST_CASE("grpc: messages have their prefix, empty ones too") {
  CHECK(to_hex(te::frame_grpc_message("")) == "0000000000");
  CHECK(to_hex(te::frame_grpc_message("ab")) == "00000000026162");
}

TEST_CASE("grpc: messages in any pieces") {
  const std::string bytes =
      te::frame_grpc_message("one") + te::frame_grpc_message("") + te::frame_grpc_message("three");
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    GrpcMessageReader reader(5);
    std::string seen;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      std::string_view rest = std::string_view(bytes).substr(at, piece);
      while (reader.read(rest) == Step::kMessage) seen.append(reader.message()).append("|");
      CHECK(rest.empty());
    }
    CHECK(seen == "one||three|");
    CHECK_FALSE(reader.in_message());
  }
}

TEST_CASE("grpc: a message is refused before anything is allocated for it") {
  GrpcMessageReader reader(10);
  const std::string bytes = from_hex("00 ff ff ff ff");
  std::string_view rest = bytes;
  CHECK(reader.read(rest) == Step::kTooLarge);

  GrpcMessageReader exact(10);
  const std::string ten = from_hex("00 00 00 00 0a");
  std::string_view start = ten;
  CHECK(exact.read(start) == Step::kNeedMore);
  CHECK(exact.in_message());

  GrpcMessageReader compressed(10);
  const std::string flag = from_hex("01 00 00 00 01 61");
  rest = flag;
  CHECK(compressed.read(rest) == Step::kCompressed);
}

TEST_CASE("grpc: status from trailers") {
  CHECK(status_of({{"grpc-status", "0"}}).ok());
  const GrpcStatus status = status_of({{"grpc-status", "5"}, {"grpc-message", "no %22x%22"}});
  CHECK(status.code == GrpcCode::kNotFound);
  CHECK(status.origin == GrpcOrigin::kServer);
  CHECK(status.message == "no \"x\"");
  CHECK(status_of({{"grpc-status", "17"}}).code == GrpcCode::kUnknown);
  CHECK(status_of({{"grpc-status", "-1"}}).code == GrpcCode::kUnknown);
  CHECK(status_of({{"grpc-status", "x"}}).code == GrpcCode::kUnknown);
  CHECK(status_of({}).code == GrpcCode::kUnknown);
  CHECK(status_of({}).message == "the answer has no grpc-status");
  // A grpc-status counts whatever the HTTP status is.
  CHECK(status_of({{"grpc-status", "7"}}, 503).code == GrpcCode::kPermissionDenied);
}

TEST_CASE("grpc: status from an HTTP status") {
  const auto code = [](int http) { return status_of({}, http).code; };
  CHECK(code(400) == GrpcCode::kInternal);
  CHECK(code(401) == GrpcCode::kUnauthenticated);
  CHECK(code(403) == GrpcCode::kPermissionDenied);
  CHECK(code(404) == GrpcCode::kUnimplemented);
  for (const int http : {429, 502, 503, 504}) CHECK(code(http) == GrpcCode::kUnavailable);
  CHECK(code(500) == GrpcCode::kUnknown);
  CHECK(code(302) == GrpcCode::kUnknown);
  CHECK(status_of({}, 503).message == "HTTP status 503");
}

TEST_CASE("grpc: status from RST_STREAM") {
  const auto code = [](Http2Code reset) { return te::grpc_status_of_reset(reset).code; };
  CHECK(code(Http2Code::kRefusedStream) == GrpcCode::kUnavailable);
  CHECK(te::grpc_status_of_reset(Http2Code::kRefusedStream).origin == GrpcOrigin::kNotSent);
  CHECK(te::grpc_status_of_reset(Http2Code::kCancel).origin == GrpcOrigin::kServer);
  CHECK(code(Http2Code::kCancel) == GrpcCode::kCancelled);
  CHECK(code(Http2Code::kFlowControlError) == GrpcCode::kResourceExhausted);
  CHECK(code(Http2Code::kEnhanceYourCalm) == GrpcCode::kResourceExhausted);
  CHECK(code(Http2Code::kInadequateSecurity) == GrpcCode::kPermissionDenied);
  CHECK(code(Http2Code::kNoError) == GrpcCode::kInternal);
  CHECK(code(Http2Code::kInternalError) == GrpcCode::kInternal);
  CHECK(code(static_cast<Http2Code>(0xdead)) == GrpcCode::kInternal);
}

TEST_CASE("grpc: messages are decoded leniently") {
  CHECK(te::decode_grpc_message("a%20b%e2%82%ac") == "a b\xe2\x82\xac");
  CHECK(te::decode_grpc_message("100%") == "100%");
  CHECK(te::decode_grpc_message("%4") == "%4");
  CHECK(te::decode_grpc_message("%zz%41") == "%zzA");
  CHECK(te::decode_grpc_message("%%41") == "%A");
}

TEST_CASE("grpc: timeouts have at most eight digits") {
  CHECK(te::grpc_timeout(0) == "0n");
  CHECK(te::grpc_timeout(-5) == "0n");
  CHECK(te::grpc_timeout(99'999'999) == "99999999n");
  CHECK(te::grpc_timeout(100'000'000) == "100000u");
  CHECK(te::grpc_timeout(100'000'001) == "100001u");
  CHECK(te::grpc_timeout(130 * te::kSecond) == "130000m");
  CHECK(te::grpc_timeout(INT64_MAX) == "2562048H");
}

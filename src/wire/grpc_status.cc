#include "wire/grpc_status.h"

#include <array>

#include "base/text.h"

namespace te {
namespace {

constexpr std::array<std::string_view, 17> kNames = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

GrpcCode code_of_http(int status) {
  switch (status) {
    case 400: return GrpcCode::kInternal;
    case 401: return GrpcCode::kUnauthenticated;
    case 403: return GrpcCode::kPermissionDenied;
    case 404: return GrpcCode::kUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504: return GrpcCode::kUnavailable;
    default: return GrpcCode::kUnknown;
  }
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string_view grpc_code_name(GrpcCode code) { return kNames[static_cast<size_t>(code)]; }

GrpcStatus grpc_status_of(const HeaderList& headers, int http_status) {
  GrpcStatus status;
  bool found = false;
  for (size_t i = 0; i < headers.count(); ++i) {
    const HeaderView field = headers[i];
    if (field.name == "grpc-status") {
      const std::optional<int64_t> number = parse_int(field.value);
      const bool known = number && *number >= 0 && *number < static_cast<int64_t>(kNames.size());
      status.code = known ? static_cast<GrpcCode>(*number) : GrpcCode::kUnknown;
      found = true;
    } else if (field.name == "grpc-message") {
      status.message = decode_grpc_message(field.value);
    }
  }
  if (found) return status;
  status.code = http_status == 200 ? GrpcCode::kUnknown : code_of_http(http_status);
  status.message = http_status == 200 ? "the answer has no grpc-status" : "HTTP status ";
  if (http_status != 200) append_int(status.message, http_status);
  return status;
}

GrpcStatus grpc_status_of_reset(Http2Code code) {
  GrpcStatus status;
  status.message = "the stream was reset: ";
  status.message += http2_code_name(code);
  switch (code) {
    case Http2Code::kRefusedStream:
      status.code = GrpcCode::kUnavailable;
      status.origin = GrpcOrigin::kNotSent;
      break;
    case Http2Code::kCancel: status.code = GrpcCode::kCancelled; break;
    case Http2Code::kFlowControlError:
    case Http2Code::kEnhanceYourCalm: status.code = GrpcCode::kResourceExhausted; break;
    case Http2Code::kInadequateSecurity: status.code = GrpcCode::kPermissionDenied; break;
    case Http2Code::kNoError:
    case Http2Code::kProtocolError:
    case Http2Code::kInternalError:
    case Http2Code::kSettingsTimeout:
    case Http2Code::kStreamClosed:
    case Http2Code::kFrameSizeError:
    case Http2Code::kCompressionError:
    case Http2Code::kConnectError:
    case Http2Code::kHttp11Required:
    default: status.code = GrpcCode::kInternal; break;
  }
  return status;
}

std::string decode_grpc_message(std::string_view coded) {
  std::string out;
  out.reserve(coded.size());
  for (size_t i = 0; i < coded.size(); ++i) {
    if (coded[i] == '%' && i + 2 < coded.size()) {
      const int high = hex_value(coded[i + 1]);
      const int low = hex_value(coded[i + 2]);
      if (high >= 0 && low >= 0) {
        out.push_back(static_cast<char>(high * 16 + low));
        i += 2;
        continue;
      }
    }
    out.push_back(coded[i]);
  }
  return out;
}

std::string grpc_timeout(MonoNanos left) {
  struct Unit {
    char letter;
    MonoNanos nanos;
  };
  constexpr std::array<Unit, 6> kUnits = {
      {{'n', 1}, {'u', 1'000}, {'m', kMillisecond}, {'S', kSecond}, {'M', 60 * kSecond}, {'H', 3'600 * kSecond}}};
  constexpr MonoNanos kLargest = 99'999'999;
  std::string out;
  if (left < 0) left = 0;
  for (const Unit& unit : kUnits) {
    const MonoNanos value = left / unit.nanos + (left % unit.nanos != 0 ? 1 : 0);
    if (value > kLargest) continue;  // hours hold any int64
    append_int(out, value);
    out.push_back(unit.letter);
    break;
  }
  return out;
}

}  // namespace te

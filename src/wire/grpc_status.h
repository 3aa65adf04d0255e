// How a gRPC call ends, and how that stands in HTTP/2 (the gRPC protocol's PROTOCOL-HTTP2.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/time.h"
#include "wire/hpack.h"
#include "wire/http2_frame.h"

namespace te {

enum class GrpcCode : uint8_t {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};
std::string_view grpc_code_name(GrpcCode code);  ///< "NOT_FOUND"

/// Who says that the call ended so; decides what may have happened at the other end.
enum class GrpcOrigin : uint8_t {
  kServer,   ///< the server's own status, or its RST_STREAM
  kNotSent,  ///< the server has not looked at the request: no connection, REFUSED_STREAM, above a GOAWAY's last stream
  kLost,     ///< the connection ended before the answer: the request may have been carried out, or not
  kLocal,    ///< our deadline, or an answer that we can't read
};

struct GrpcStatus {
  GrpcCode code = GrpcCode::kOk;
  GrpcOrigin origin = GrpcOrigin::kServer;
  std::string message;

  bool ok() const { return code == GrpcCode::kOk; }
};

/// From headers or trailers that end a stream. `http_status`: of the response. A grpc-status always counts; without
/// one the HTTP status is mapped, and 200 is UNKNOWN.
GrpcStatus grpc_status_of(const HeaderList& headers, int http_status);
/// From the RST_STREAM of a server.
GrpcStatus grpc_status_of_reset(Http2Code code);
/// Percent-decoding that leaves alone what is no escape.
std::string decode_grpc_message(std::string_view coded);

/// The value of grpc-timeout: at most eight digits and a unit, rounded up; "0n" for what is over already.
std::string grpc_timeout(MonoNanos left);

}  // namespace te

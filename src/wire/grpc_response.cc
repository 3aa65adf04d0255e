#include "wire/grpc_response.h"

#include <utility>

#include "wire/http2_header_check.h"

namespace te {

void GrpcResponse::take(const Http2Event& event) {
  data_ = {};
  if (event.end_stream) stream_open_ = false;
  switch (event.kind) {
    case Http2Event::Kind::kHeaders:
      http_status_ = http2_status(*event.headers);
      if (event.end_stream) end(grpc_status_of(*event.headers, http_status_));
      return;
    case Http2Event::Kind::kTrailers: end(grpc_status_of(*event.headers, http_status_)); return;
    case Http2Event::Kind::kData:
      // The body of another answer than gRPC's (an HTML error page) is of no use.
      if (http_status_ == 200) data_ = event.data;
      if (event.end_stream) end(grpc_status_of(HeaderList(), http_status_));
      return;
    case Http2Event::Kind::kReset: {
      stream_open_ = false;
      GrpcStatus status = grpc_status_of_reset(event.code);
      if (!event.why.empty()) {  // it was we who reset it
        status.origin = GrpcOrigin::kLocal;
        status.message = event.why;
      }
      end(std::move(status));
      return;
    }
    case Http2Event::Kind::kGoaway:
    case Http2Event::Kind::kFailed: return;  // not of a stream
  }
}

GrpcResponse::Step GrpcResponse::next() {
  if (give_up_) return Step::kDone;
  if (!data_.empty()) {
    switch (reader_.read(data_)) {
      case GrpcMessageReader::Step::kMessage: return Step::kMessage;
      case GrpcMessageReader::Step::kNeedMore: break;
      case GrpcMessageReader::Step::kCompressed: return spoil(GrpcCode::kInternal, "a compressed message came");
      case GrpcMessageReader::Step::kTooLarge: return spoil(GrpcCode::kResourceExhausted, "the message is too large");
    }
  }
  if (!ended_) return Step::kNeedMore;
  if (status_.ok() && reader_.in_message()) return spoil(GrpcCode::kInternal, "the message is cut off");
  return Step::kDone;
}

void GrpcResponse::end(GrpcStatus status) {
  ended_ = true;
  status_ = std::move(status);
}

GrpcResponse::Step GrpcResponse::spoil(GrpcCode code, std::string_view why) {
  status_ = {code, GrpcOrigin::kLocal, std::string(why)};
  ended_ = true;
  give_up_ = stream_open_;
  data_ = {};
  return Step::kDone;
}

}  // namespace te

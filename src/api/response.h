// An HTTP answer before it is bytes, and how it becomes bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "api/request_counts.h"
#include "base/result.h"
#include "base/time.h"

namespace te {

/// The body of an answer that is too big to be held: given out piece by piece, as fast as the client reads.
class BodySource {
 public:
  virtual ~BodySource() = default;
  /// Appends the next piece, which may be empty. False: what was promised can't be had, the connection must break off.
  virtual bool next(std::string& out) = 0;
  /// All has been given out.
  virtual bool done() const = 0;

  // For live sources, whose length nobody knows (HttpResponse::live).
  /// Whether next() has something to give now. One that must wait calls HttpServer::wake() when it need not any more.
  virtual bool ready() const { return true; }
  /// Behind the last piece: more header lines, each with its CRLF (RFC 9112, section 7.1.2).
  virtual void add_trailer(std::string&) const {}
  /// The agent stops: be ready, and come to an end.
  virtual void stop() {}
};

struct HttpResponse {
  /// When the answer comes.
  enum class When : uint8_t {
    kNow,
    kLater,     ///< by HttpServer::answer(), soon
    kLongPoll,  ///< by HttpServer::answer(), at poll_deadline at the latest; ends when the client goes
  };

  int status = 200;
  Route route = Route::kNone;  ///< to be set with the first answer, also with one that says that it comes later
  std::string_view content_type = "application/json";
  std::string headers;  ///< more header lines, each with its CRLF
  std::string body;
  std::unique_ptr<BodySource> stream;  ///< instead of `body`
  uint64_t stream_length = 0;
  bool live = false;  ///< `stream` has no length: chunks, or for HTTP/1.0 the end of the connection
  When when = When::kNow;
  MonoNanos poll_deadline = kNever;

  void clear();
  void add_header(std::string_view name, std::string_view value);
  /// `Warning: 299 - "TEXT"` (RFC 7234, section 5.5; what the Kubernetes API server sends).
  void add_warning(std::string_view text);
  /// {"code":"Not Found","message":"…"} with that status.
  void set_error(int error_status, std::string_view message);
  /// The status that goes with the error's kind.
  void set_error(const Error& error);
};

/// How an answer's end is told, beside what the response itself says.
struct Framing {
  bool chunked = false;  ///< the stream of unknown length; without it the connection's end is the body's
  bool keep_alive = true;
  bool tell_keep_alive = false;
};

/// Status line, headers and empty line.
void append_head(std::string& out, const HttpResponse& response, std::string_view date, const Framing& framing);

}  // namespace te

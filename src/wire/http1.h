// HTTP/1.1 requests in, responses out (RFC 9110, RFC 9112): bytes only, no I/O.
//
// The parser owns one growing buffer that the connection receives into. The head is collected whole, passed through
// our own strict check (what llhttp 8.1 would let through: bare CR and LF, obs-fold, leading space, space before the
// colon, two lengths, both lengths, no Host) and then given to llhttp. The body stays where it came in: one with a
// length is not moved at all, chunks are pushed together in place (by a decoder of our own: llhttp's takes any two
// bytes for the CRLF behind a chunk). Behind the body stand at least kBodyPadding readable bytes, so that a JSON
// parser can read it where it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/size.h"

namespace te {

constexpr size_t kMaxHeadBytes = 16 * kKiB;  ///< request line and headers; beyond it 431
constexpr size_t kBodyPadding = 64;

enum class HttpMethod : uint8_t { kGet, kHead, kPost, kPut, kDelete, kPatch, kOptions, kOther };

struct HttpHeader {
  std::string_view name;
  std::string_view value;  ///< without the blanks around it
};

/// A whole request. Everything points into the parser's buffer and is valid until its next call.
struct HttpRequest {
  HttpMethod method = HttpMethod::kOther;
  std::string_view target;  ///< as it came, "/tasks/x?tail=5"
  std::string_view path;    ///< target up to '?'
  std::string_view query;   ///< behind '?', empty when there is none
  std::span<const HttpHeader> headers;
  std::string_view body;   ///< followed by kBodyPadding readable bytes
  bool keep_alive = true;  ///< the client allows another request on this connection
  bool http_1_0 = false;   ///< it knows no chunks

  /// The first header of that name, any case; empty when there is none.
  std::string_view header(std::string_view name) const;
  bool has_header(std::string_view name) const;
};

struct HttpRefusal {
  int status = 400;
  std::string message;  ///< for the error body; the connection closes after it
};

class HttpParser {
 public:
  enum class Step : uint8_t {
    kNeedMore,  ///< receive more
    kContinue,  ///< the client waits for "100 Continue" before its body; answer that, then call next() again
    kRequest,   ///< request() is whole
    kRefused,   ///< refusal() says why; nothing more can be read from this connection
  };

  explicit HttpParser(size_t max_body_bytes);
  ~HttpParser();
  HttpParser(const HttpParser&) = delete;
  HttpParser& operator=(const HttpParser&) = delete;

  /// Room to receive into: at least 1 byte, more when the rest of a body is known to come.
  std::span<char> room();
  /// `count` bytes have been received into room().
  void received(size_t count);
  Step next();

  const HttpRequest& request() const;
  /// While in_body(): the same without its body; valid until the next call.
  const HttpRequest& head();
  const HttpRefusal& refusal() const;
  /// The answer to request() is on its way: drop it and go on with what is behind it.
  void consume();

  /// Some bytes of a request have come and not all (then a deadline applies).
  bool in_request() const;
  /// The head of the request is complete (its body is coming).
  bool in_body() const;
  /// Bytes held in memory for this connection; an idle parser holds none.
  size_t memory() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// "201 Created"; for the codes that this program answers with.
std::string_view http_status_text(int status);

}  // namespace te

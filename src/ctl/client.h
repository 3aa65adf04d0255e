// The client's side of HTTP: one connection for each request.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "sys/fd.h"
#include "wire/http1_response.h"

namespace te::ctl {

struct Server {
  std::string address;  ///< as sys::connect_to() takes it
  std::string token;    ///< empty: none is shown
};

/// "http://HOST:PORT", "HOST:PORT", "unix:/path" or "unix:///path" as an address.
std::string address_of(std::string_view server);

/// One request and its answer, driven by whoever waits on its descriptor.
class Exchange {
 public:
  /// Connects, until `deadline` at the latest, and has the request to send.
  static Result<Exchange> open(const Server& server, std::string_view method, std::string_view target,
                               std::string_view body = {}, MonoNanos deadline = kNever);

  int fd() const { return fd_.get(); }
  bool wants_write() const { return sent_ < request_.size(); }
  /// Moves what can be moved without waiting; what has come of the body is appended to `body`.
  Result<void> advance(std::string& body);

  const HttpResponseParser& response() const { return response_; }

 private:
  Fd fd_;
  std::string request_;
  size_t sent_ = 0;
  HttpResponseParser response_;
};

struct Answer {
  int status = 0;
  std::string body;

  bool ok() const { return status >= 200 && status < 300; }
};

/// How long an agent that does not answer is asked again by who knows that it was there: it may be replaced just now.
constexpr MonoNanos kReplacePatience = 30 * kSecond;
constexpr MonoNanos kRetryInterval = 100 * kMillisecond;

/// The whole answer. Warnings of the agent go to standard error. EINTR: `interrupts` can be read (-1: nothing ends the
/// wait). ETIMEDOUT: `deadline` has passed.
Result<Answer> answer_to(Exchange& exchange, int interrupts, MonoNanos deadline = kNever);
Result<Answer> ask(const Server& server, std::string_view method, std::string_view target, std::string_view body = {},
                   int interrupts = -1, MonoNanos deadline = kNever);

/// Appends `text` percent-encoded, as a part of a path or a value of a query.
void append_escaped(std::string& out, std::string_view text);

}  // namespace te::ctl

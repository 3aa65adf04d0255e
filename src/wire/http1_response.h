// HTTP/1.1 responses in, for our own client (RFC 9112): bytes only, no I/O. One response for each parser.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace te {

class HttpResponseParser {
 public:
  HttpResponseParser();
  ~HttpResponseParser();
  HttpResponseParser(HttpResponseParser&&) noexcept;
  HttpResponseParser& operator=(HttpResponseParser&&) noexcept;

  /// Takes bytes as they come; what they hold of the body is appended to `body`. kInvalid: this is no HTTP.
  Result<void> feed(std::string_view bytes, std::string& body);
  /// The peer has closed. kInvalid: in the middle of the response.
  Result<void> finish();

  bool head_complete() const;
  bool done() const;
  int status() const;
  /// The first field of that name, any case; empty when there is none. Trailer fields count too.
  std::string_view header(std::string_view name) const;
  /// All of them, in order.
  const std::vector<std::pair<std::string, std::string>>& headers() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace te

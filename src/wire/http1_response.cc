#include "wire/http1_response.h"

#include <llhttp.h>

#include "base/size.h"
#include "base/text.h"

namespace te {

namespace {

constexpr size_t kMostHeaderBytes = 256 * kKiB;

}  // namespace

struct HttpResponseParser::State {
  llhttp_t llhttp;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string* body = nullptr;
  size_t header_bytes = 0;
  bool in_value = false;
  bool head_complete = false;
  bool done = false;

  static State& of(llhttp_t* parser) { return *static_cast<State*>(parser->data); }

  int add_header_bytes(std::string& to, const char* at, size_t size) {
    header_bytes += size;
    if (header_bytes > kMostHeaderBytes) return -1;
    to.append(at, size);
    return 0;
  }
};

HttpResponseParser::HttpResponseParser() : state_(std::make_unique<State>()) {
  static const llhttp_settings_t settings = [] {
    llhttp_settings_t out{};
    out.on_header_field = [](llhttp_t* parser, const char* at, size_t size) {
      State& state = State::of(parser);
      if (state.in_value || state.headers.empty()) state.headers.emplace_back();
      state.in_value = false;
      return state.add_header_bytes(state.headers.back().first, at, size);
    };
    out.on_header_value = [](llhttp_t* parser, const char* at, size_t size) {
      State& state = State::of(parser);
      if (state.headers.empty()) return -1;
      state.in_value = true;
      return state.add_header_bytes(state.headers.back().second, at, size);
    };
    // The end of a field's value, which may be empty.
    out.on_header_value_complete = [](llhttp_t* parser) {
      State::of(parser).in_value = true;
      return 0;
    };
    out.on_headers_complete = [](llhttp_t* parser) {
      State::of(parser).head_complete = parser->status_code >= 200;
      return 0;
    };
    out.on_body = [](llhttp_t* parser, const char* at, size_t size) {
      State::of(parser).body->append(at, size);
      return 0;
    };
    out.on_message_complete = [](llhttp_t* parser) {
      State& state = State::of(parser);
      // An interim response (RFC 9110, section 15.2) stands before the real one.
      if (!state.head_complete) {
        state.headers.clear();
        return 0;
      }
      state.done = true;
      return static_cast<int>(HPE_PAUSED);
    };
    return out;
  }();
  llhttp_init(&state_->llhttp, HTTP_RESPONSE, &settings);
  state_->llhttp.data = state_.get();
}

HttpResponseParser::~HttpResponseParser() = default;
HttpResponseParser::HttpResponseParser(HttpResponseParser&&) noexcept = default;
HttpResponseParser& HttpResponseParser::operator=(HttpResponseParser&&) noexcept = default;

Result<void> HttpResponseParser::feed(std::string_view bytes, std::string& body) {
  if (state_->done) return {};
  state_->body = &body;
  const llhttp_errno_t error = llhttp_execute(&state_->llhttp, bytes.data(), bytes.size());
  if (error == HPE_OK || state_->done) return {};
  const char* reason = llhttp_get_error_reason(&state_->llhttp);
  return invalid(std::string("the answer is not HTTP: ") + (reason == nullptr ? "unknown reason" : reason));
}

Result<void> HttpResponseParser::finish() {
  if (state_->done) return {};
  std::string nothing;
  state_->body = &nothing;
  if (state_->head_complete && (llhttp_finish(&state_->llhttp) == HPE_OK || state_->done)) {
    state_->done = true;
    return {};
  }
  return invalid("the connection was closed in the middle of the answer");
}

bool HttpResponseParser::head_complete() const { return state_->head_complete; }
bool HttpResponseParser::done() const { return state_->done; }
int HttpResponseParser::status() const { return state_->llhttp.status_code; }
const std::vector<std::pair<std::string, std::string>>& HttpResponseParser::headers() const { return state_->headers; }

std::string_view HttpResponseParser::header(std::string_view name) const {
  for (const auto& [key, value] : state_->headers) {
    if (iequals(key, name)) return value;
  }
  return {};
}

}  // namespace te

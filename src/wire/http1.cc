#include "wire/http1.h"

#include <llhttp.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/text.h"
#include "wire/http1_buffer.h"
#include "wire/http1_chunks.h"
#include "wire/http1_head_check.h"

namespace te {
namespace {

/// A header field, as offsets from the head's first byte: kMaxHeadBytes fits.
struct FieldSpan {
  uint16_t name_at = 0;
  uint16_t name_size = 0;
  uint16_t value_at = 0;
  uint16_t value_size = 0;
};
static_assert(kMaxHeadBytes <= UINT16_MAX);

/// Fields that a connection keeps memory for between requests.
constexpr size_t kKeptFields = 64;

/// What llhttp found in one head.
struct Fields {
  const char* head = nullptr;
  std::vector<FieldSpan> spans;
  bool complete = false;
  bool chunked = false;
  uint64_t content_length = 0;

  uint16_t offset(const char* at) const { return static_cast<uint16_t>(at - head); }
};

Fields& fields_of(llhttp_t* parser) { return *static_cast<Fields*>(parser->data); }

int on_field(llhttp_t* parser, const char* at, size_t size) {
  Fields& fields = fields_of(parser);
  fields.spans.push_back({fields.offset(at), static_cast<uint16_t>(size), 0, 0});
  return 0;
}

int on_value(llhttp_t* parser, const char* at, size_t size) {
  Fields& fields = fields_of(parser);
  if (fields.spans.empty()) return -1;
  FieldSpan& span = fields.spans.back();
  if (span.value_at == 0) span.value_at = fields.offset(at);
  span.value_size = static_cast<uint16_t>(fields.offset(at) + size - span.value_at);
  return 0;
}

int on_headers_complete(llhttp_t* parser) {
  Fields& fields = fields_of(parser);
  fields.complete = true;
  fields.chunked = (parser->flags & F_CHUNKED) != 0;
  fields.content_length = parser->content_length;
  parser->upgrade = 0;  // an Upgrade field is ignored: the request is answered as any other
  return 0;
}

constexpr llhttp_settings_t make_settings() {
  llhttp_settings_t settings{};
  settings.on_header_field = on_field;
  settings.on_header_value = on_value;
  settings.on_headers_complete = on_headers_complete;
  return settings;
}

constexpr llhttp_settings_t kSettings = make_settings();

std::string_view trim_end(std::string_view text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  for (const HttpHeader& header : headers) {
    if (iequals(header.name, name)) return header.value;
  }
  return {};
}

bool HttpRequest::has_header(std::string_view name) const {
  return std::ranges::any_of(headers, [name](const HttpHeader& header) { return iequals(header.name, name); });
}

/// The buffer begins with the current request; all offsets count from there.
struct HttpParser::State {
  enum class Phase : uint8_t { kHead, kBody, kChunks, kWhole, kRefused };

  explicit State(size_t max_body_bytes) : max_body(max_body_bytes), chunks(max_body_bytes) {}

  Step read_head();
  bool skip_empty_line();
  bool find_head_end();
  bool parse_fields();
  Step start_body();
  Step read_body();
  Step read_chunks();
  Step finish(size_t request_end);
  void build_request();
  Step refuse(int status, std::string message);
  size_t expected() const;
  void next_request();

  size_t max_body;
  HttpBuffer buffer;
  Phase phase = Phase::kHead;
  bool empty_line_skipped = false;
  size_t line_at = 0;       // where the line begins that is being scanned
  size_t scanned = 0;       // everything before has been searched for a line end
  size_t head_size = 0;     // with its empty line; 0 until it is whole
  size_t body_size = 0;     // of a chunked body: what has been decoded
  size_t request_size = 0;  // head, body and framing, set when the request is whole
  HttpHead head;
  HttpChunks chunks;
  Fields fields;
  llhttp_t llhttp;
  std::vector<HttpHeader> headers;
  HttpRequest request;
  HttpRefusal refusal;
};

HttpParser::Step HttpParser::State::refuse(int status, std::string message) {
  refusal = {status, std::move(message)};
  phase = Phase::kRefused;
  buffer.clear();
  return Step::kRefused;
}

/// One empty line before the request line is forgiven (RFC 9112 section 2.2). False: its end has not come yet.
bool HttpParser::State::skip_empty_line() {
  if (empty_line_skipped || scanned > 0) return true;
  const std::string_view bytes = buffer.view();
  if (bytes.starts_with("\r\n")) {
    empty_line_skipped = true;
    buffer.drop_front(2);
    return buffer.size() > 0;
  }
  return bytes != "\r";
}

/// Looks for the empty line, going on where the last call stopped. A line that ends with a bare LF is refused here:
/// whoever sends only those would never get to the end of a head.
bool HttpParser::State::find_head_end() {
  const char* bytes = buffer.data();
  const size_t limit = std::min(buffer.size(), kMaxHeadBytes);
  while (scanned < limit) {
    const void* found = std::memchr(bytes + scanned, '\n', limit - scanned);
    if (found == nullptr) {
      scanned = limit;
      break;
    }
    const auto at = static_cast<size_t>(static_cast<const char*>(found) - bytes);
    scanned = at + 1;
    if (at == line_at || bytes[at - 1] != '\r') {
      refuse(400, "line of the request head does not end with CRLF");
      return false;
    }
    if (at == line_at + 1) {
      if (line_at == 0) {
        refuse(400, "empty line instead of a request");
        return false;
      }
      head_size = at + 1;
      return true;
    }
    line_at = at + 1;
  }
  if (buffer.size() > kMaxHeadBytes) refuse(431, "request head over 16384 bytes");
  return false;
}

/// llhttp splits the header fields, and must come to the same framing as the strict check.
bool HttpParser::State::parse_fields() {
  const char* bytes = buffer.data();
  fields.head = bytes;
  fields.spans.clear();
  fields.complete = false;
  llhttp_init(&llhttp, HTTP_REQUEST, &kSettings);
  llhttp.data = &fields;

  llhttp_errno_t error = HPE_OK;
  size_t from = 0;
  if (head.method == HttpMethod::kOther) {
    // llhttp knows a fixed list of methods and changes its ways for some: the others are a POST to it.
    error = llhttp_execute(&llhttp, "POST", 4);
    from = head.method_size;
  }
  if (error == HPE_OK) error = llhttp_execute(&llhttp, bytes + from, head_size - from);
  if (error != HPE_OK) {
    const char* reason = llhttp_get_error_reason(&llhttp);
    refuse(400, std::string("malformed request: ") + (reason == nullptr ? "unknown reason" : reason));
    return false;
  }
  if (!fields.complete || fields.chunked != head.chunked || fields.content_length != head.content_length) {
    refuse(400, "ambiguous request head");
    return false;
  }
  return true;
}

HttpParser::Step HttpParser::State::read_head() {
  if (buffer.size() == 0 || !skip_empty_line()) return Step::kNeedMore;
  // Of TLS, say, the line end may never come, and its client should not have to wait for a deadline.
  if (buffer.size() == 0) return Step::kNeedMore;
  const char first = buffer.view().front();
  if (!is_http_token_byte(first) && first != '\r') {
    return refuse(400, "malformed request line: it does not begin with a method");
  }
  if (!find_head_end()) return phase == Phase::kRefused ? Step::kRefused : Step::kNeedMore;

  HttpRefusal why;
  if (!check_http_head(buffer.view().substr(0, head_size), head, why)) {
    return refuse(why.status, std::move(why.message));
  }
  if (!parse_fields()) return Step::kRefused;
  return start_body();
}

HttpParser::Step HttpParser::State::start_body() {
  if (head.content_length > max_body) {
    return refuse(413, "request body over " + std::to_string(max_body) + " bytes");
  }
  const bool has_body = head.chunked || head.content_length > 0;
  const bool continue_due = has_body && head.wants_continue && buffer.size() == head_size;
  body_size = 0;
  if (head.chunked) {
    phase = Phase::kChunks;
    chunks = HttpChunks(max_body);
  } else {
    phase = Phase::kBody;
  }
  if (continue_due) return Step::kContinue;
  return head.chunked ? read_chunks() : read_body();
}

HttpParser::Step HttpParser::State::read_body() {
  const auto length = static_cast<size_t>(head.content_length);
  if (buffer.size() - head_size < length) return Step::kNeedMore;
  body_size = length;
  return finish(head_size + length);
}

HttpParser::Step HttpParser::State::read_chunks() {
  // Every byte that came is decoded right away, so what stands behind the decoded body is new.
  const size_t raw_at = head_size + body_size;
  const size_t raw_size = buffer.size() - raw_at;
  size_t used = 0;
  size_t written = 0;
  char* raw = buffer.data() + raw_at;
  const HttpChunks::Step step = chunks.decode(raw, raw, raw_size, used, written, refusal);
  body_size += written;
  switch (step) {
    case HttpChunks::Step::kRefused: {
      HttpRefusal why = std::move(refusal);
      return refuse(why.status, std::move(why.message));
    }
    case HttpChunks::Step::kNeedMore: buffer.drop_back(used - written); return Step::kNeedMore;
    case HttpChunks::Step::kDone: break;
  }
  return finish(raw_at + used);
}

HttpParser::Step HttpParser::State::finish(size_t request_end) {
  request_size = request_end;
  phase = Phase::kWhole;
  buffer.clear_padding();
  build_request();
  return Step::kRequest;
}

void HttpParser::State::build_request() {
  const char* bytes = buffer.data();
  headers.clear();
  for (const FieldSpan& span : fields.spans) {
    const std::string_view value = trim_end({bytes + span.value_at, span.value_size});
    headers.push_back({{bytes + span.name_at, span.name_size}, value});
  }
  request.method = head.method;
  request.target = {bytes + head.target_at, head.target_size};
  request.path = {bytes + head.path_at, head.path_size};
  request.query = {bytes + head.query_at, head.query_size};
  request.headers = headers;
  request.body = {bytes + head_size, body_size};
  request.keep_alive = head.keep_alive;
  request.http_1_0 = head.minor == 0;
}

size_t HttpParser::State::expected() const {
  switch (phase) {
    case Phase::kBody: {
      const size_t here = buffer.size() - head_size;
      const auto length = static_cast<size_t>(head.content_length);
      return length > here ? length - here : 0;
    }
    case Phase::kChunks:  // what a chunk says is no bound for the body: let the buffer double
    case Phase::kHead:
    case Phase::kWhole:
    case Phase::kRefused: return 0;
  }
  return 0;
}

void HttpParser::State::next_request() {
  buffer.drop_front(request_size);
  phase = Phase::kHead;
  empty_line_skipped = false;
  line_at = scanned = head_size = body_size = request_size = 0;
  request = HttpRequest{};
  if (fields.spans.capacity() > kKeptFields) {
    fields.spans = std::vector<FieldSpan>();
    headers = std::vector<HttpHeader>();
  }
}

HttpParser::HttpParser(size_t max_body_bytes) : state_(std::make_unique<State>(max_body_bytes)) {}
HttpParser::~HttpParser() = default;

std::span<char> HttpParser::room() {
  const char* before = state_->buffer.data();
  const std::span<char> room = state_->buffer.room(state_->expected());
  if (state_->phase == State::Phase::kWhole && state_->buffer.data() != before) state_->build_request();
  return room;
}

void HttpParser::received(size_t count) {
  state_->buffer.append(count);
  if (state_->phase == State::Phase::kRefused) state_->buffer.drop_back(count);
}

HttpParser::Step HttpParser::next() {
  switch (state_->phase) {
    case State::Phase::kHead: return state_->read_head();
    case State::Phase::kBody: return state_->read_body();
    case State::Phase::kChunks: return state_->read_chunks();
    case State::Phase::kWhole: return Step::kRequest;
    case State::Phase::kRefused: return Step::kRefused;
  }
  return Step::kRefused;
}

const HttpRequest& HttpParser::request() const { return state_->request; }
const HttpRequest& HttpParser::head() {
  state_->build_request();
  state_->request.body = {};
  return state_->request;
}
const HttpRefusal& HttpParser::refusal() const { return state_->refusal; }

void HttpParser::consume() {
  if (state_->phase == State::Phase::kWhole) state_->next_request();
}

bool HttpParser::in_request() const {
  switch (state_->phase) {
    case State::Phase::kHead: return state_->buffer.size() > 0;
    case State::Phase::kBody:
    case State::Phase::kChunks: return true;
    case State::Phase::kWhole:
    case State::Phase::kRefused: return false;
  }
  return false;
}

bool HttpParser::in_body() const {
  return state_->phase == State::Phase::kBody || state_->phase == State::Phase::kChunks;
}

size_t HttpParser::memory() const {
  return state_->buffer.memory() + state_->fields.spans.capacity() * sizeof(FieldSpan) +
         state_->headers.capacity() * sizeof(HttpHeader);
}

}  // namespace te

#include "wire/http1_head_check.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <utility>

#include "base/text.h"

namespace te {
namespace {

enum ByteClass : uint8_t {
  kToken = 1,   // tchar
  kValue = 2,   // in a field value
  kTarget = 4,  // in a request target: visible ASCII but '#'
};

constexpr std::array<uint8_t, 256> make_byte_classes() {
  std::array<uint8_t, 256> table{};
  for (unsigned byte = 0; byte < 256; ++byte) {
    uint8_t set = 0;
    const bool digit = byte >= '0' && byte <= '9';
    const bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
    if (digit || letter) set |= kToken;
    for (const char mark : std::string_view("!#$%&'*+-.^_`|~")) {
      if (byte == static_cast<unsigned char>(mark)) set |= kToken;
    }
    if (byte == '\t' || (byte >= 0x20 && byte != 0x7f)) set |= kValue;
    if (byte > 0x20 && byte < 0x7f && byte != '#') set |= kTarget;
    table[byte] = set;
  }
  return table;
}

constexpr std::array<uint8_t, 256> kByteClasses = make_byte_classes();

bool is(char byte, ByteClass wanted) { return (kByteClasses[static_cast<unsigned char>(byte)] & wanted) != 0; }
bool is_blank(char byte) { return byte == ' ' || byte == '\t'; }
bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

/// Calls `visit` with each element of a comma-separated list, blanks around it removed; empty ones too.
template <class Visit>
void each_element(std::string_view list, Visit visit) {
  for (;;) {
    const size_t comma = list.find(',');
    visit(trim(list.substr(0, comma)));
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}

HttpMethod method_of(std::string_view name) {
  switch (name.size()) {
    case 3: return name == "GET" ? HttpMethod::kGet : name == "PUT" ? HttpMethod::kPut : HttpMethod::kOther;
    case 4: return name == "POST" ? HttpMethod::kPost : name == "HEAD" ? HttpMethod::kHead : HttpMethod::kOther;
    case 5: return name == "PATCH" ? HttpMethod::kPatch : HttpMethod::kOther;
    case 6: return name == "DELETE" ? HttpMethod::kDelete : HttpMethod::kOther;
    case 7: return name == "OPTIONS" ? HttpMethod::kOptions : HttpMethod::kOther;
    default: return HttpMethod::kOther;
  }
}

std::string name_byte(char byte) {
  constexpr char kHex[] = "0123456789abcdef";
  const auto value = static_cast<unsigned char>(byte);
  if (value == '\r') return "a bare CR";
  if (value == '\n') return "a bare LF";
  if (value == 0) return "a NUL byte";
  return std::string("the byte 0x") + kHex[value >> 4] + kHex[value & 15];
}

class HeadCheck {
 public:
  HeadCheck(std::string_view head, HttpHead& out, HttpRefusal& why)
      : at_(head.data()), start_(head.data()), end_(head.data() + head.size()), out_(out), why_(why) {}

  bool run();

 private:
  bool request_line();
  bool version(const char* from, const char* to);
  bool split_target(std::string_view target);
  bool line_end();
  bool field();
  bool known_field(std::string_view name, std::string_view value);
  bool content_length(std::string_view value);
  bool transfer_encoding(std::string_view value);
  bool host(std::string_view value);
  bool framing();
  void connection(std::string_view value);
  bool refuse(int status, std::string message);

  size_t offset(const char* place) const { return static_cast<size_t>(place - start_); }

  const char* at_;
  const char* start_;
  const char* end_;
  HttpHead& out_;
  HttpRefusal& why_;
  bool has_host_ = false;
  bool has_coding_ = false;
  bool unknown_coding_ = false;
  bool bad_coding_ = false;
  bool unknown_expectation_ = false;
  bool says_close_ = false;
  bool says_keep_alive_ = false;
};

bool HeadCheck::refuse(int status, std::string message) {
  why_.status = status;
  why_.message = std::move(message);
  return false;
}

// Every inner loop below stops at a CR, and run() has seen that one stands at the end: no other bound is needed.
bool HeadCheck::run() {
  out_ = HttpHead{};
  if (!std::string_view(start_, offset(end_)).ends_with("\r\n\r\n")) return refuse(400, "incomplete request head");
  if (!request_line()) return false;
  while (*at_ != '\r') {
    if (!field()) return false;
  }
  if (!line_end()) return false;
  if (at_ != end_) return refuse(400, "empty line within the request head");
  return framing();
}

bool HeadCheck::line_end() {
  if (at_[0] != '\r' || at_ + 1 == end_ || at_[1] != '\n') return refuse(400, "bare CR in the request head");
  at_ += 2;
  return true;
}

bool HeadCheck::request_line() {
  while (is(*at_, kToken)) ++at_;
  out_.method_size = offset(at_);
  if (out_.method_size == 0) return refuse(400, "malformed request line: it does not begin with a method");
  if (*at_ != ' ') return refuse(400, "malformed request line: no single space behind the method");
  out_.method = method_of({start_, out_.method_size});

  const char* target = ++at_;
  while (is(*at_, kTarget)) ++at_;
  const char* target_end = at_;
  if (target == target_end && *at_ == ' ') return refuse(400, "malformed request line: more than one space");
  if (*at_ == '#') return refuse(400, "malformed request target: it has a fragment");
  if (*at_ == '\r' && at_[1] == '\n') return refuse(400, "malformed request line: no HTTP version");
  if (*at_ != ' ') return refuse(400, "malformed request target: it has " + name_byte(*at_));

  const char* version_start = ++at_;
  while (is(*at_, kValue)) ++at_;
  if (!version(version_start, at_)) return false;
  if (!line_end()) return false;

  out_.target_at = offset(target);
  out_.target_size = static_cast<size_t>(target_end - target);
  return split_target({target, out_.target_size});
}

bool HeadCheck::version(const char* from, const char* to) {
  const std::string_view text(from, static_cast<size_t>(to - from));
  if (text.size() != 8 || !text.starts_with("HTTP/") || !is_digit(text[5]) || text[6] != '.' || !is_digit(text[7])) {
    return refuse(400, "malformed request line: it does not end with one space and HTTP/1.1");
  }
  if (text[5] != '1' || text[7] > '1') return refuse(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
  out_.minor = text[7] - '0';
  return true;
}

bool HeadCheck::split_target(std::string_view target) {
  size_t path_at = 0;
  constexpr std::string_view kScheme = "http://";
  if (target == "*") {
    if (out_.method != HttpMethod::kOptions) return refuse(400, "the request target * is for OPTIONS only");
  } else if (starts_with_i(target, kScheme)) {
    const size_t authority_end = std::min(target.find_first_of("/?", kScheme.size()), target.size());
    if (authority_end == kScheme.size()) return refuse(400, "malformed request target: no host in it");
    path_at = authority_end;
  } else if (!target.starts_with('/')) {
    return refuse(400, "malformed request target: it must begin with /");
  }
  const size_t mark = std::min(target.find('?', path_at), target.size());
  out_.path_at = out_.target_at + path_at;
  out_.path_size = mark - path_at;
  out_.query_at = out_.target_at + std::min(mark + 1, target.size());
  out_.query_size = target.size() - std::min(mark + 1, target.size());
  if (out_.path_size == 0) {
    // "http://host" means "/" (RFC 9110 section 4.2.3); the scheme's own slash serves, so that it is in the buffer.
    out_.path_at = out_.target_at + kScheme.size() - 1;
    out_.path_size = 1;
  }
  return true;
}

bool HeadCheck::field() {
  const char* name = at_;
  while (is(*at_, kToken)) ++at_;
  const std::string_view name_view(name, static_cast<size_t>(at_ - name));
  if (*at_ != ':') {
    if (name_view.empty() && is_blank(*at_)) return refuse(400, "header line begins with a blank (obsolete folding)");
    if (is_blank(*at_)) return refuse(400, "blank before the colon of a header field");
    if (*at_ == '\r' && at_[1] == '\n') return refuse(400, "header line without a colon");
    return refuse(400, "header field name with " + name_byte(*at_) + " in it");
  }
  if (name_view.empty()) return refuse(400, "header field without a name");

  const char* value = ++at_;
  while (is(*at_, kValue)) ++at_;
  if (*at_ != '\r' || at_[1] != '\n') {
    std::string message = "header field ";
    message.append(name_view.substr(0, 64)).append(" has ").append(name_byte(*at_)).append(" in its value");
    return refuse(400, std::move(message));
  }
  const std::string_view value_view(value, static_cast<size_t>(at_ - value));
  at_ += 2;
  return known_field(name_view, value_view);
}

bool HeadCheck::known_field(std::string_view name, std::string_view value) {
  // The length decides almost always; names are compared only where it fits.
  switch (name.size()) {
    case 4:
      if (iequals(name, "host")) return host(trim(value));
      return true;
    case 6:
      if (iequals(name, "expect")) {
        if (iequals(trim(value), "100-continue"))
          out_.wants_continue = true;
        else
          unknown_expectation_ = true;
      }
      return true;
    case 10:
      if (iequals(name, "connection")) connection(value);
      return true;
    case 14:
      if (iequals(name, "content-length")) return content_length(trim(value));
      return true;
    case 17:
      if (iequals(name, "transfer-encoding")) return transfer_encoding(trim(value));
      return true;
    default: return true;
  }
}

bool HeadCheck::host(std::string_view value) {
  if (has_host_) return refuse(400, "more than one Host field");
  has_host_ = true;
  // What could not stand in a host and port is some other program's field, or someone's attempt.
  if (value.find_first_of(" \t/?#@\\,") != std::string_view::npos) return refuse(400, "malformed Host field");
  return true;
}

void HeadCheck::connection(std::string_view value) {
  each_element(value, [this](std::string_view option) {
    if (iequals(option, "close")) says_close_ = true;
    if (iequals(option, "keep-alive")) says_keep_alive_ = true;
  });
}

bool HeadCheck::content_length(std::string_view value) {
  if (out_.has_length) return refuse(400, "more than one Content-Length field");
  out_.has_length = true;
  if (value.empty()) return refuse(400, "empty Content-Length");
  uint64_t length = 0;
  for (const char byte : value) {
    if (!is_digit(byte)) return refuse(400, "Content-Length is not a plain decimal number");
    const auto digit = static_cast<uint64_t>(byte - '0');
    if (length > (std::numeric_limits<uint64_t>::max() - digit) / 10) {
      return refuse(400, "Content-Length does not fit in 64 bits");
    }
    length = length * 10 + digit;
  }
  out_.content_length = length;
  return true;
}

bool HeadCheck::transfer_encoding(std::string_view value) {
  if (has_coding_) bad_coding_ = true;
  has_coding_ = true;
  if (iequals(value, "chunked")) {
    out_.chunked = true;
    return true;
  }
  bad_coding_ = true;
  each_element(value, [this](std::string_view coding) {
    if (!coding.empty() && !iequals(coding, "chunked")) unknown_coding_ = true;
  });
  return true;
}

/// What can only be said when all fields are known.
bool HeadCheck::framing() {
  if (out_.minor == 1 && !has_host_) return refuse(400, "no Host field");
  if (has_coding_) {
    if (out_.minor == 0) return refuse(400, "Transfer-Encoding in an HTTP/1.0 request");
    if (out_.has_length) return refuse(400, "both Content-Length and Transfer-Encoding");
    if (unknown_coding_) return refuse(501, "the only Transfer-Encoding understood is chunked");
    if (bad_coding_) return refuse(400, "Transfer-Encoding must be chunked, once");
  }
  if (unknown_expectation_) return refuse(417, "the only Expect understood is 100-continue");
  if (out_.minor == 0) out_.wants_continue = false;  // RFC 9110 section 10.1.1
  out_.keep_alive = !says_close_ && (out_.minor == 1 || says_keep_alive_);
  return true;
}

}  // namespace

bool check_http_head(std::string_view head, HttpHead& out, HttpRefusal& why) { return HeadCheck(head, out, why).run(); }

bool is_http_token_byte(char byte) { return is(byte, kToken); }
bool is_http_value_byte(char byte) { return is(byte, kValue); }

}  // namespace te

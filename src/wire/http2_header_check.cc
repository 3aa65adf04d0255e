#include "wire/http2_header_check.h"

#include <algorithm>

namespace te {
namespace {

bool is_name_byte(char byte) {  // 8.2.1, and lower case
  const auto c = static_cast<unsigned char>(byte);
  return c > 0x20 && c < 0x7f && (c < 'A' || c > 'Z') && c != ':';
}

// Blanks around a value are let through: a grpc-message may well end in one.
bool is_value_byte(char byte) { return byte != '\0' && byte != '\r' && byte != '\n'; }

/// Fields that belong to an HTTP/1.1 connection (8.2.2).
bool is_connection_field(std::string_view name) {
  constexpr std::string_view kNames[] = {"connection", "proxy-connection", "keep-alive", "transfer-encoding",
                                         "upgrade"};
  return std::ranges::find(kNames, name) != std::end(kNames);
}

int parse_status(std::string_view text) {
  if (text.size() != 3) return 0;
  int value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return 0;
    value = value * 10 + (c - '0');
  }
  return value >= 100 && value <= 599 ? value : 0;
}

}  // namespace

std::string_view malformed_headers(const HeaderList& headers, HeaderSection section) {
  bool regular_seen = false;
  bool status_seen = false;
  for (size_t i = 0; i < headers.count(); ++i) {
    const HeaderView field = headers[i];
    if (!std::ranges::all_of(field.value, is_value_byte)) return "a bad byte in a field's value";
    if (field.name.starts_with(':')) {
      if (section == HeaderSection::kTrailers) return "a pseudo-header field in the trailers";
      if (regular_seen) return "a pseudo-header field behind another";
      if (field.name != ":status") return "a pseudo-header field that no response has";
      if (status_seen) return "two :status fields";
      if (parse_status(field.value) == 0) return "a bad :status";
      status_seen = true;
      continue;
    }
    regular_seen = true;
    if (field.name.empty() || !std::ranges::all_of(field.name, is_name_byte)) {
      return "a bad byte in a field's name";
    }
    if (is_connection_field(field.name)) return "a field of the connection";
  }
  if (section == HeaderSection::kResponse && !status_seen) return "no :status";
  return {};
}

int http2_status(const HeaderList& headers) {
  for (size_t i = 0; i < headers.count(); ++i) {
    const HeaderView field = headers[i];
    if (field.name == ":status") return parse_status(field.value);
  }
  return 0;
}

}  // namespace te

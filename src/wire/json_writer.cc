#include "wire/json_writer.h"

#include <algorithm>
#include <array>

#include "base/utf8.h"

namespace te {

namespace {

constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> plain{};
  for (size_t i = 0x20; i < 0x7F; ++i) plain[i] = i != '"' && i != '\\';
  return plain;
}();

bool plain(char c) { return kPlain[static_cast<uint8_t>(c)]; }

}  // namespace

// What needs no escaping, in one piece: the string grows once and not four times.
void JsonWriter::quoted(std::string_view plain, std::string_view end) {
  const size_t before = out_.size();
  const size_t comma_size = need_comma_ ? 1 : 0;
  out_.resize(before + comma_size + 1 + plain.size() + end.size());
  char* at = out_.data() + before;
  if (need_comma_) *at++ = ',';
  *at++ = '"';
  at = std::copy(plain.begin(), plain.end(), at);
  std::copy(end.begin(), end.end(), at);
}

JsonWriter& JsonWriter::string(std::string_view text) {
  if (std::ranges::all_of(text, plain)) {
    quoted(text, "\"");
    need_comma_ = true;
    return *this;
  }
  comma();
  need_comma_ = true;
  out_ += '"';
  size_t run = 0;  // start of what can be copied as it is
  size_t at = 0;
  const auto flush = [&](size_t end) { out_.append(text.substr(run, end - run)); };
  while (at < text.size()) {
    const char c = text[at];
    if (plain(c)) {
      ++at;
      continue;
    }
    const size_t length = utf8_length(text, at);
    if (length > 1) {
      at += length;
      continue;
    }
    flush(at);
    if (length == 0) {
      out_ += "\xEF\xBF\xBD";
    } else if (c == '"' || c == '\\') {
      out_ += '\\';
      out_ += c;
    } else if (c == '\n') {
      out_ += "\\n";
    } else if (c == '\t') {
      out_ += "\\t";
    } else if (c == '\r') {
      out_ += "\\r";
    } else {
      out_ += "\\u00";
      out_ += "0123456789abcdef"[static_cast<uint8_t>(c) >> 4];
      out_ += "0123456789abcdef"[static_cast<uint8_t>(c) & 15U];
    }
    ++at;
    run = at;
  }
  flush(text.size());
  out_ += '"';
  return *this;
}

}  // namespace te

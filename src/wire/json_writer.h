// The one writer of JSON (RFC 8259): appends to a string, keeps the commas.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/text.h"

namespace te {

/// Calls must nest as JSON does; that is the caller's part, not checked. Strings are taken as UTF-8; bytes that are
/// not valid UTF-8 are written as U+FFFD, so that the output always is.
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}

  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  JsonWriter& key(std::string_view name) {  ///< name must need no escaping
    quoted(name, "\":");
    need_comma_ = false;
    return *this;
  }
  JsonWriter& string(std::string_view text);
  JsonWriter& number(int64_t value) {
    comma();
    append_int(out_, value);
    need_comma_ = true;
    return *this;
  }
  JsonWriter& boolean(bool value) { return raw(value ? "true" : "false"); }
  JsonWriter& raw(std::string_view json) {  ///< a complete JSON value
    comma();
    out_ += json;
    need_comma_ = true;
    return *this;
  }
  std::string& out() { return out_; }

 private:
  void quoted(std::string_view plain, std::string_view end);
  void comma() {
    if (need_comma_) out_ += ',';
  }
  JsonWriter& open(char c) {
    comma();
    out_ += c;
    need_comma_ = false;
    return *this;
  }
  JsonWriter& close(char c) {
    out_ += c;
    need_comma_ = true;
    return *this;
  }

  std::string& out_;
  bool need_comma_ = false;
};

}  // namespace te

// Numbers, durations and lists of strings as text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace te {

/// A decimal integer, whole text, no sign but '-', no blanks; nothing when it is not one or does not fit.
std::optional<int64_t> parse_int(std::string_view text);
/// Go's true/false words: 1 t T TRUE true True 0 f F FALSE false False (strconv.ParseBool).
std::optional<bool> parse_bool(std::string_view text);
/// A Go duration ("500ms", "1h30m", "2.5s", a bare "0"), in nanoseconds; never negative.
std::optional<int64_t> parse_duration_ns(std::string_view text);

void append_int(std::string& out, int64_t value);
/// Eight lower-case hexadecimal digits.
void append_hex32(std::string& out, uint32_t value);

bool iequals(std::string_view a, std::string_view b);  ///< ASCII only
bool starts_with_i(std::string_view text, std::string_view prefix);

/// Strings kept in one allocation, each followed by a NUL: argv and environments, compact and comparable.
/// A string with a NUL in it can't be kept; callers refuse it before.
class StringList {
 public:
  class Iterator {
   public:
    explicit Iterator(const char* at) : at_(at) {}
    std::string_view operator*() const { return std::string_view(at_); }
    Iterator& operator++() {
      at_ += std::string_view(at_).size() + 1;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return at_ != other.at_; }
    bool operator==(const Iterator& other) const { return at_ == other.at_; }

   private:
    const char* at_;
  };

  void add(std::string_view text) {
    bytes_.append(text);
    bytes_.push_back('\0');
    ++count_;
  }
  uint32_t size() const { return count_; }
  bool empty() const { return count_ == 0; }
  std::string_view bytes() const { return bytes_; }  ///< all strings, NULs included
  Iterator begin() const { return Iterator(bytes_.data()); }
  Iterator end() const { return Iterator(bytes_.data() + bytes_.size()); }
  void shrink() { bytes_.shrink_to_fit(); }
  bool operator==(const StringList& other) const { return bytes_ == other.bytes_; }

 private:
  std::string bytes_;
  uint32_t count_ = 0;
};

}  // namespace te

#include "base/text.h"

#include <array>
#include <charconv>
#include <limits>

namespace te {

std::optional<int64_t> parse_int(std::string_view text) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<bool> parse_bool(std::string_view text) {
  for (std::string_view yes : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (text == yes) return true;
  }
  for (std::string_view no : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

namespace {

struct Unit {
  std::string_view name;
  int64_t ns;
};

constexpr std::array<Unit, 7> kUnits = {{{"ns", 1},
                                         {"us", 1'000},
                                         {"µs", 1'000},
                                         {"ms", 1'000'000},
                                         {"s", 1'000'000'000},
                                         {"m", 60'000'000'000},
                                         {"h", 3'600'000'000'000}}};

__extension__ using Wide = __int128;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::optional<int64_t> parse_duration_ns(std::string_view text) {
  if (text.empty()) return std::nullopt;
  // No sum of accepted parts can overflow before it is checked.
  Wide total = 0;
  size_t at = 0;
  bool bare = true;
  while (at < text.size()) {
    Wide whole = 0;
    Wide fraction = 0;
    Wide scale = 1;
    size_t digits = 0;
    for (; at < text.size() && is_digit(text[at]); ++at, ++digits) {
      whole = whole * 10 + (text[at] - '0');
      if (whole > std::numeric_limits<int64_t>::max()) return std::nullopt;
    }
    if (at < text.size() && text[at] == '.') {
      for (++at; at < text.size() && is_digit(text[at]); ++at, ++digits) {
        if (scale >= 1'000'000'000'000) continue;  // finer than a nanosecond of an hour
        fraction = fraction * 10 + (text[at] - '0');
        scale *= 10;
      }
    }
    if (digits == 0) return std::nullopt;
    size_t unit_end = at;
    while (unit_end < text.size() && !is_digit(text[unit_end]) && text[unit_end] != '.') ++unit_end;
    std::string_view name = text.substr(at, unit_end - at);
    int64_t unit_ns = 0;
    for (const Unit& unit : kUnits) {
      if (unit.name == name) unit_ns = unit.ns;
    }
    if (name.empty() && bare && unit_end == text.size() && whole == 0 && fraction == 0) unit_ns = 1;
    if (unit_ns == 0) return std::nullopt;
    bare = false;
    total += whole * unit_ns + fraction * unit_ns / scale;
    if (total > std::numeric_limits<int64_t>::max()) return std::nullopt;
    at = unit_end;
  }
  return static_cast<int64_t>(total);
}

void append_int(std::string& out, int64_t value) {
  std::array<char, 24> digits;
  auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  out.append(digits.data(), end);
}

void append_hex32(std::string& out, uint32_t value) {
  for (int shift = 28; shift >= 0; shift -= 4) out.push_back("0123456789abcdef"[(value >> shift) & 15U]);
}

namespace {
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
}  // namespace

bool iequals(std::string_view a, std::string_view b) { return a.size() == b.size() && starts_with_i(a, b); }

bool starts_with_i(std::string_view text, std::string_view prefix) {
  if (text.size() < prefix.size()) return false;
  for (size_t i = 0; i < prefix.size(); ++i) {
    if (lower(text[i]) != lower(prefix[i])) return false;
  }
  return true;
}

}  // namespace te

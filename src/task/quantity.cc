#include "task/quantity.h"

#include <array>

#include "base/text.h"

namespace te {

namespace {

__extension__ using Wide = unsigned __int128;

constexpr int kMostDigits = 18;
constexpr int kMostExponent = 40;  ///< beyond it any number but 0 is too big, or is 1 when rounded up

struct Suffix {
  std::string_view text;
  int shift;     ///< power of two
  int exponent;  ///< power of ten
};
constexpr std::array<Suffix, 16> kSuffixes = {{{"", 0, 0},
                                               {"n", 0, -9},
                                               {"u", 0, -6},
                                               {"m", 0, -3},
                                               {"k", 0, 3},
                                               {"M", 0, 6},
                                               {"G", 0, 9},
                                               {"T", 0, 12},
                                               {"P", 0, 15},
                                               {"E", 0, 18},
                                               {"Ki", 10, 0},
                                               {"Mi", 20, 0},
                                               {"Gi", 30, 0},
                                               {"Ti", 40, 0},
                                               {"Pi", 50, 0},
                                               {"Ei", 60, 0}}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::optional<Suffix> read_suffix(std::string_view text) {
  for (const Suffix& known : kSuffixes) {
    if (known.text == text) return known;
  }
  if (text.front() != 'e' && text.front() != 'E') return std::nullopt;
  text.remove_prefix(1);
  if (text.starts_with("+-")) return std::nullopt;
  if (text.starts_with('+')) text.remove_prefix(1);
  const std::optional<int64_t> exponent = parse_int(text);
  if (!exponent || *exponent < -kMostExponent || *exponent > kMostExponent) return std::nullopt;
  return Suffix{{}, 0, static_cast<int>(*exponent)};
}

}  // namespace

std::optional<int64_t> parse_quantity(std::string_view text, int scale) {
  if (text.starts_with('+')) text.remove_prefix(1);
  Wide value = 0;
  int digits = 0;
  int fraction = 0;
  bool any = false;
  bool behind_point = false;
  size_t at = 0;
  for (; at < text.size() && (is_digit(text[at]) || (text[at] == '.' && !behind_point)); ++at) {
    if (text[at] == '.') {
      behind_point = true;
      continue;
    }
    any = true;
    value = value * 10 + static_cast<Wide>(text[at] - '0');
    if (value != 0 && ++digits > kMostDigits) return std::nullopt;
    if (behind_point) ++fraction;
  }
  if (!any) return std::nullopt;
  const std::optional<Suffix> suffix = read_suffix(text.substr(at));
  if (!suffix) return std::nullopt;
  value <<= suffix->shift;  // 60 bits and 60 more
  constexpr Wide kMost = INT64_MAX;
  int exponent = suffix->exponent + scale - fraction;
  for (; exponent > 0 && value != 0; --exponent) {
    if (value > kMost) return std::nullopt;
    value *= 10;
  }
  bool rest = false;
  for (; exponent < 0 && value != 0; ++exponent) {
    rest = rest || value % 10 != 0;
    value /= 10;
  }
  if (rest) ++value;
  if (value > kMost) return std::nullopt;
  return static_cast<int64_t>(value);
}

}  // namespace te

#include "wire/hpack_huffman.h"

#include <array>
#include <cstdint>
#include <limits>

namespace te {
namespace {

constexpr size_t kSymbols = 257;  // octets and EOS
constexpr size_t kEos = 256;
constexpr size_t kLongest = 30;
constexpr size_t kShortest = 5;
constexpr size_t kQuickBits = 8;  ///< codes of up to so many bits are looked up
constexpr uint64_t kEveryBit = std::numeric_limits<uint64_t>::max();

// How many bits each octet's code has (appendix B). The code is canonical: codes of one length are consecutive numbers
// in the order of their octets, and shorter ones come first. So the lengths are all there is to know.
constexpr std::array<uint8_t, kSymbols> kLengths = {
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,  // 0
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,  // 16
    6,  10, 10, 12, 13, 6,  8,  11, 10, 10, 8,  11, 8,  6,  6,  6,   // 32
    5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8,  15, 6,  12, 10,  // 48
    13, 6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,   // 64
    7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8,  13, 19, 13, 14, 6,   // 80
    15, 5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,   // 96
    6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7,  15, 11, 14, 13, 28,  // 112
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,  // 128
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,  // 144
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,  // 160
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,  // 176
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,  // 192
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,  // 208
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,  // 224
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,  // 240
    30,
};

struct Codes {
  std::array<uint16_t, kSymbols> symbols{};       // in the order of their codes
  std::array<uint32_t, kLongest + 1> first{};     // the first code of each length
  std::array<uint16_t, kLongest + 1> count{};     // how many there are of it
  std::array<uint16_t, kLongest + 1> first_at{};  // where they begin in `symbols`
};

constexpr Codes make_codes() {
  Codes codes;
  uint32_t code = 0;
  size_t at = 0;
  for (size_t length = kShortest; length <= kLongest; ++length) {
    code <<= 1U;
    codes.first[length] = code;
    codes.first_at[length] = static_cast<uint16_t>(at);
    for (size_t symbol = 0; symbol < kSymbols; ++symbol) {
      if (kLengths[symbol] == length) codes.symbols[at++] = static_cast<uint16_t>(symbol);
    }
    codes.count[length] = static_cast<uint16_t>(at - codes.first_at[length]);
    code += codes.count[length];
  }
  return codes;
}

constexpr Codes kCodes = make_codes();
static_assert(kCodes.symbols[kSymbols - 1] == kEos, "EOS is the last code, thirty ones");
static_assert(kCodes.first[kLongest] + kCodes.count[kLongest] == 1U << kLongest, "the code is complete");

struct Quick {
  uint8_t symbol = 0;
  uint8_t length = 0;  ///< 0: the code is longer
};

/// By the bits that come next.
constexpr std::array<Quick, 1U << kQuickBits> make_quick() {
  std::array<Quick, 1U << kQuickBits> quick{};
  for (size_t length = kShortest; length <= kQuickBits; ++length) {
    const size_t same = size_t{1} << (kQuickBits - length);
    for (size_t nth = 0; nth < kCodes.count[length] * same; ++nth) {
      Quick& one = quick[kCodes.first[length] * same + nth];
      one.symbol = static_cast<uint8_t>(kCodes.symbols[kCodes.first_at[length] + nth / same]);
      one.length = static_cast<uint8_t>(length);
    }
  }
  return quick;
}

constexpr std::array<Quick, 1U << kQuickBits> kQuick = make_quick();

/// The bits of a text, the next one on top; behind its end come zeros.
class Bits {
 public:
  explicit Bits(std::string_view text) : rest_(text) {}

  void refill() {
    while (count_ <= 56 && !rest_.empty()) {
      bits_ |= static_cast<uint64_t>(static_cast<unsigned char>(rest_.front())) << (56 - count_);
      rest_.remove_prefix(1);
      count_ += 8;
    }
  }
  uint32_t next(size_t count) const { return static_cast<uint32_t>(bits_ >> (64 - count)); }
  size_t count() const { return count_; }
  void skip(size_t count) {
    bits_ <<= count;
    count_ -= count;
  }
  /// What is left is less than an octet, and its bits are ones: padding (RFC 7541, 5.2).
  bool only_padding() const { return count_ < 8 && bits_ == ~(kEveryBit >> count_); }

 private:
  std::string_view rest_;
  uint64_t bits_ = 0;
  size_t count_ = 0;
};

}  // namespace

bool huffman_decode(std::string_view coded, std::string& out) {
  const size_t before = out.size();
  out.resize(before + coded.size() * 8 / kShortest);
  size_t at = before;
  Bits bits(coded);
  for (;;) {
    if (bits.count() < kLongest) bits.refill();
    const Quick& quick = kQuick[bits.next(kQuickBits)];
    size_t length = quick.length;
    size_t symbol = quick.symbol;
    if (length == 0) {
      uint32_t nth = 0;
      // Ends, as the code is complete.
      for (length = kQuickBits + 1;; ++length) {
        nth = bits.next(length) - kCodes.first[length];
        if (nth < kCodes.count[length]) break;
      }
      symbol = kCodes.symbols[kCodes.first_at[length] + nth];
    }
    if (length > bits.count() || symbol == kEos) break;
    out[at++] = static_cast<char>(symbol);
    bits.skip(length);
  }
  out.resize(at);
  return bits.only_padding();
}

}  // namespace te

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "base/crc32c.h"

using te::crc32c;

TEST_CASE("crc32c: the check value") { CHECK(crc32c("123456789") == 0xE3069283U); }

TEST_CASE("crc32c: RFC 3720, appendix B.4") {
  CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AAU);
  CHECK(crc32c(std::string(32, '\xFF')) == 0x62A8AB43U);
  std::string up;
  std::string down;
  for (int i = 0; i < 32; ++i) {
    up += static_cast<char>(i);
    down += static_cast<char>(31 - i);
  }
  CHECK(crc32c(up) == 0x46DD794EU);
  CHECK(crc32c(down) == 0x113FDB5CU);
}

TEST_CASE("crc32c: no text, and one byte") {
  CHECK(crc32c("") == 0);
  CHECK(crc32c("a") == 0xC1D04330U);
}

TEST_CASE("crc32c: each single bit counts") {
  const std::string text = "{\"format\":1}";
  const uint32_t sum = crc32c(text);
  for (size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string other = text;
    other[bit / 8] = static_cast<char>(static_cast<unsigned char>(other[bit / 8]) ^ (1U << (bit % 8)));
    CHECK(crc32c(other) != sum);
  }
}

#include "base/crc32c.h"

#include <array>

namespace te {

namespace {

// Four bits at a time: a table of 64 bytes, so that a supervisor touches one cache line and not a page for it.
constexpr std::array<uint32_t, 16> kTable = [] {
  std::array<uint32_t, 16> table{};
  for (uint32_t i = 0; i < 16; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 4; ++bit) value = (value >> 1) ^ ((value & 1U) != 0 ? 0x82F63B78U : 0U);
    table[i] = value;
  }
  return table;
}();

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = 0xFFFFFFFFU;
  for (const char c : bytes) {
    crc ^= static_cast<uint8_t>(c);
    crc = (crc >> 4) ^ kTable[crc & 15U];
    crc = (crc >> 4) ^ kTable[crc & 15U];
  }
  return ~crc;
}

}  // namespace te

// CRC-32C (Castagnoli), the checksum of the state files (RFC 3720, appendix B.4 has test values).
#pragma once

#include <cstdint>
#include <string_view>

namespace te {

uint32_t crc32c(std::string_view bytes);

}  // namespace te

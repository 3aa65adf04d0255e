// Whether two things are the same, by a number (FNV-1a).
#pragma once

#include <cstdint>
#include <string_view>

namespace te::world {

class Fingerprint {
 public:
  Fingerprint& mix(uint64_t number) {
    for (int i = 0; i < 8; ++i) hash_ = (hash_ ^ ((number >> (8 * i)) & 0xffU)) * kPrime;
    return *this;
  }
  Fingerprint& mix(std::string_view text) {
    for (const char c : text) hash_ = (hash_ ^ static_cast<uint8_t>(c)) * kPrime;
    return mix(uint64_t{text.size()});
  }
  uint64_t value() const { return hash_; }

 private:
  static constexpr uint64_t kPrime = 1099511628211U;
  uint64_t hash_ = 14695981039346656037U;
};

}  // namespace te::world

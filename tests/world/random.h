// Numbers that are the same again for the same seed.
#pragma once

#include <cstdint>

namespace te::world {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15U + 1) {}
  /// From 0 on, less than `limit`.
  uint32_t below(uint32_t limit) {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return static_cast<uint32_t>((state_ >> 33U) % limit);
  }
  /// One time in so many; 0: never.
  bool once_in(uint32_t times) { return times != 0 && below(times) == 0; }

 private:
  uint64_t state_;
};

}  // namespace te::world

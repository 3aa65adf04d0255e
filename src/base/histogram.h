// A histogram of durations, as Prometheus counts them: cumulative by upper bound when it is written out.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "base/time.h"

namespace te {

/// Upper bounds in microseconds; one more bucket takes what is above the last.
constexpr std::array<int64_t, 16> kHistogramBoundsUs = {50,      100,       250,       500,       1'000,   2'500,
                                                        5'000,   10'000,    25'000,    50'000,    100'000, 250'000,
                                                        500'000, 1'000'000, 2'500'000, 10'000'000};

struct Histogram {
  std::array<uint64_t, kHistogramBoundsUs.size() + 1> counts{};
  uint64_t total = 0;
  MonoNanos sum = 0;

  /// Some spans are made of times that others tell: one below zero counts as none, and the sum stops at its limit.
  void add(MonoNanos duration) {
    duration = std::max<MonoNanos>(0, duration);
    const int64_t us = duration / 1'000;
    size_t bucket = 0;
    while (bucket < kHistogramBoundsUs.size() && us > kHistogramBoundsUs[bucket]) ++bucket;
    ++counts[bucket];
    ++total;
    sum =
        duration > std::numeric_limits<MonoNanos>::max() - sum ? std::numeric_limits<MonoNanos>::max() : sum + duration;
  }
};

}  // namespace te

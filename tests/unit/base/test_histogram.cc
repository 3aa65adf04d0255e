#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "base/histogram.h"

using te::Histogram;
using te::kHistogramBoundsUs;

TEST_CASE("histogram: bounds grow") {
  CHECK(std::is_sorted(kHistogramBoundsUs.begin(), kHistogramBoundsUs.end(), std::less_equal<>()));
}

TEST_CASE("histogram: a bound belongs to its own bucket") {
  for (size_t i = 0; i < kHistogramBoundsUs.size(); ++i) {
    Histogram histogram;
    histogram.add(kHistogramBoundsUs[i] * 1'000);
    CHECK(histogram.counts[i] == 1);
    histogram.add((kHistogramBoundsUs[i] + 1) * 1'000);
    CHECK(histogram.counts[i + 1] == 1);
    CHECK(histogram.total == 2);
  }
}

TEST_CASE("histogram: what is above all bounds has the last bucket") {
  Histogram histogram;
  histogram.add(te::kSecond * 1'000'000);
  CHECK(histogram.counts.back() == 1);
}

TEST_CASE("histogram: total and sum are those of all durations") {
  Histogram histogram;
  te::MonoNanos sum = 0;
  for (te::MonoNanos duration = 0; duration < 20 * te::kSecond; duration += 77'777'777) {
    histogram.add(duration);
    sum += duration;
  }
  CHECK(histogram.sum == sum);
  CHECK(histogram.total == std::accumulate(histogram.counts.begin(), histogram.counts.end(), uint64_t{0}));
  CHECK(histogram.total == 258);
  CHECK(histogram.counts.front() == 1);
}

TEST_CASE("histogram: times that nobody can have meant") {
  Histogram histogram;
  histogram.add(-5);
  CHECK(histogram.sum == 0);
  histogram.add(std::numeric_limits<te::MonoNanos>::max());
  histogram.add(std::numeric_limits<te::MonoNanos>::max());
  CHECK(histogram.sum == std::numeric_limits<te::MonoNanos>::max());
  CHECK(histogram.total == 3);
  CHECK(histogram.counts.front() == 1);
  CHECK(histogram.counts.back() == 2);
}

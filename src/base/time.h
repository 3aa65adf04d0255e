// Points in time as this program keeps them, and RFC 3339 text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace te {

/// Microseconds since 1970-01-01 UTC (CLOCK_REALTIME); 0 means "not known".
using WallMicros = int64_t;
/// Nanoseconds of CLOCK_MONOTONIC; all deadlines are of this kind.
using MonoNanos = int64_t;

constexpr MonoNanos kMicrosecond = 1'000;
constexpr MonoNanos kMillisecond = 1'000'000;
constexpr MonoNanos kSecond = 1'000'000'000;
constexpr MonoNanos kNever = INT64_MAX;

/// The clock as the program's logic sees it, so that tests can turn it by hand.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonoNanos mono() const = 0;
  virtual WallMicros wall() const = 0;
};

/// "2025-12-17T10:00:00Z": whole seconds, UTC, as metav1.Time prints them.
void append_rfc3339(std::string& out, WallMicros at);
/// "Tue, 24 Nov 2026 10:00:00 GMT" (RFC 9110, 5.6.7).
void append_http_date(std::string& out, WallMicros at);

}  // namespace te

#include <doctest/doctest.h>

#include <ctime>

#include <array>
#include <cstdint>
#include <random>
#include <string>

#include "base/time.h"

namespace {

std::string rfc3339(te::WallMicros at) {
  std::string text;
  te::append_rfc3339(text, at);
  return text;
}

std::string http_date(te::WallMicros at) {
  std::string text;
  te::append_http_date(text, at);
  return text;
}

constexpr te::WallMicros seconds(int64_t count) { return count * 1'000'000; }

}  // namespace

TEST_CASE("time: RFC 3339 in whole seconds, UTC") {
  CHECK(rfc3339(0) == "1970-01-01T00:00:00Z");
  CHECK(rfc3339(seconds(1'765'965'600)) == "2025-12-17T10:00:00Z");
  CHECK(rfc3339(seconds(1'765'965'600) + 999'999) == "2025-12-17T10:00:00Z");
  CHECK(rfc3339(seconds(2'147'483'648)) == "2038-01-19T03:14:08Z");
  CHECK(rfc3339(seconds(253'402'300'799)) == "9999-12-31T23:59:59Z");
}

TEST_CASE("time: leap years") {
  CHECK(rfc3339(seconds(951'782'400)) == "2000-02-29T00:00:00Z");
  CHECK(rfc3339(seconds(1'709'164'799)) == "2024-02-28T23:59:59Z");
  CHECK(rfc3339(seconds(1'709'164'800)) == "2024-02-29T00:00:00Z");
  CHECK(rfc3339(seconds(1'709'251'200)) == "2024-03-01T00:00:00Z");
  CHECK(rfc3339(seconds(1'740'787'199)) == "2025-02-28T23:59:59Z");
  CHECK(rfc3339(seconds(1'740'787'200)) == "2025-03-01T00:00:00Z");
  CHECK(rfc3339(seconds(4'107'542'399)) == "2100-02-28T23:59:59Z");
  CHECK(rfc3339(seconds(4'107'542'400)) == "2100-03-01T00:00:00Z");
  CHECK(rfc3339(seconds(1'735'689'599)) == "2024-12-31T23:59:59Z");
}

TEST_CASE("time: before 1970 too") {
  CHECK(rfc3339(-1) == "1969-12-31T23:59:59Z");
  CHECK(rfc3339(seconds(-1)) == "1969-12-31T23:59:59Z");
  CHECK(rfc3339(seconds(-1) - 1) == "1969-12-31T23:59:58Z");
  CHECK(rfc3339(seconds(-2'203'891'200)) == "1900-03-01T00:00:00Z");
  CHECK(http_date(-1) == "Wed, 31 Dec 1969 23:59:59 GMT");
}

TEST_CASE("time: HTTP dates") {
  CHECK(http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT");
  CHECK(http_date(seconds(784'111'777)) == "Sun, 06 Nov 1994 08:49:37 GMT");  // RFC 9110, 5.6.7
  CHECK(http_date(seconds(1'709'164'800)) == "Thu, 29 Feb 2024 00:00:00 GMT");
  CHECK(http_date(seconds(1'795'514'400)) == "Tue, 24 Nov 2026 10:00:00 GMT");
}

TEST_CASE("time: both agree with the C library") {
  std::mt19937_64 random(20'251'217);
  std::uniform_int_distribution<int64_t> any(-62'135'596'800, 253'402'300'799);  // years 1 to 9999
  for (int i = 0; i < 2'000; ++i) {
    const time_t at = any(random);
    tm parts{};
    REQUIRE(gmtime_r(&at, &parts) != nullptr);
    // Not strftime: its %Y does not pad.
    std::array<char, 64> expected{};
    std::snprintf(expected.data(), expected.size(), "%04d-%02d-%02dT%02d:%02d:%02dZ", parts.tm_year + 1900,
                  parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
    REQUIRE(rfc3339(seconds(at)) == expected.data());
    std::array<char, 32> names{};
    REQUIRE(strftime(names.data(), names.size(), "%a, %d %b ", &parts) > 0);
    REQUIRE(http_date(seconds(at)).starts_with(names.data()));
  }
}

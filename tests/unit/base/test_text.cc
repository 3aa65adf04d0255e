#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"

using te::parse_bool;
using te::parse_duration_ns;
using te::parse_int;
using te::StringList;

namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();

std::vector<std::string> contents(const StringList& list) {
  std::vector<std::string> out;
  for (const std::string_view one : list) out.emplace_back(one);
  return out;
}

}  // namespace

TEST_CASE("parse_int takes whole decimal numbers of 64 bits") {
  CHECK(parse_int("0") == 0);
  CHECK(parse_int("-1") == -1);
  CHECK(parse_int("007") == 7);
  CHECK(parse_int("9223372036854775807") == kMax);
  CHECK(parse_int("-9223372036854775808") == kMin);
  for (const std::string_view bad :
       {"", "-", "+1", " 1", "1 ", "1x", "0x10", "1.0", "1e3", "--1", "9223372036854775808", "-9223372036854775809"}) {
    CAPTURE(std::string(bad));
    CHECK(!parse_int(bad));
  }
  CHECK(!parse_int(std::string_view("1\0", 2)));
}

TEST_CASE("append_int writes what parse_int reads") {
  for (const int64_t value : {int64_t{0}, int64_t{-1}, int64_t{42}, kMax, kMin}) {
    std::string text = "x";
    te::append_int(text, value);
    CHECK(parse_int(std::string_view(text).substr(1)) == value);
  }
}

TEST_CASE("parse_bool takes Go's words and no others") {
  for (const std::string_view word : {"1", "t", "T", "TRUE", "true", "True"}) CHECK(parse_bool(word) == true);
  for (const std::string_view word : {"0", "f", "F", "FALSE", "false", "False"}) CHECK(parse_bool(word) == false);
  for (const std::string_view word : {"", "yes", "no", "tRUE", "true ", "on", "01"}) CHECK(!parse_bool(word));
}

TEST_CASE("parse_duration_ns takes Go's durations") {
  constexpr int64_t kSecond = 1'000'000'000;
  CHECK(parse_duration_ns("0") == 0);
  CHECK(parse_duration_ns("0s") == 0);
  CHECK(parse_duration_ns("1ns") == 1);
  CHECK(parse_duration_ns("3us") == 3'000);
  CHECK(parse_duration_ns("3µs") == 3'000);
  CHECK(parse_duration_ns("500ms") == kSecond / 2);
  CHECK(parse_duration_ns("30s") == 30 * kSecond);
  CHECK(parse_duration_ns("1h30m") == 5'400 * kSecond);
  CHECK(parse_duration_ns("1h1m1s1ms1us1ns") == 3'661 * kSecond + 1'001'001);
  CHECK(parse_duration_ns("2.5s") == 5 * kSecond / 2);
  CHECK(parse_duration_ns(".5s") == kSecond / 2);
  CHECK(parse_duration_ns("1.s") == kSecond);
  CHECK(parse_duration_ns("1.5ns") == 1);
  CHECK(parse_duration_ns("0.000000000001h") == 3);
  CHECK(parse_duration_ns("1.00000000000000000000000000000001s") == kSecond);
  CHECK(parse_duration_ns("9223372036854775807ns") == kMax);
}

TEST_CASE("parse_duration_ns refuses what is none, and what does not fit") {
  for (const std::string_view bad : {"",
                                     "1",
                                     "10",
                                     "s",
                                     ".s",
                                     ".",
                                     "-1s",
                                     "1x",
                                     "1S",
                                     "1 s",
                                     " 1s",
                                     "1s ",
                                     "1s0",
                                     "0 ",
                                     "00x",
                                     "1h-1m",
                                     "1m2",
                                     "9223372036854775808ns",
                                     "9223372036854775807ns1ns",
                                     "2562048h",
                                     "99999999999999999999h",
                                     "1..5s"}) {
    CAPTURE(std::string(bad));
    CHECK(!parse_duration_ns(bad));
  }
}

TEST_CASE("append_hex32 writes eight lower-case digits") {
  std::string text;
  te::append_hex32(text, 0);
  te::append_hex32(text, 0xDEADBEEF);
  te::append_hex32(text, 0x0000000A);
  CHECK(text == "00000000deadbeef0000000a");
}

TEST_CASE("iequals and starts_with_i fold ASCII letters only") {
  CHECK(te::iequals("Content-Length", "content-lENGTH"));
  CHECK(te::iequals("", ""));
  CHECK(!te::iequals("a", "ab"));
  CHECK(!te::iequals("ab", "a"));
  CHECK(!te::iequals("@", "`"));
  CHECK(!te::iequals("[", "{"));
  CHECK(!te::iequals("\xC4", "\xE4"));
  CHECK(te::starts_with_i("Bearer x", "bearer "));
  CHECK(te::starts_with_i("x", ""));
  CHECK(!te::starts_with_i("Bear", "bearer"));
}

TEST_CASE("a string list keeps its strings in order, empty ones too") {
  StringList list;
  CHECK(list.empty());
  CHECK(contents(list).empty());
  list.add("sh");
  list.add("");
  list.add("-c");
  list.add("");
  CHECK(list.size() == 4);
  CHECK(contents(list) == std::vector<std::string>{"sh", "", "-c", ""});
  CHECK(list.bytes() == std::string_view("sh\0\0-c\0\0", 8));
  list.shrink();
  CHECK(contents(list) == std::vector<std::string>{"sh", "", "-c", ""});
}

TEST_CASE("string lists are equal when their strings are") {
  StringList one;
  StringList other;
  CHECK(one == other);
  one.add("ab");
  CHECK(!(one == other));
  other.add("a");
  other.add("b");
  CHECK(!(one == other));
  StringList third;
  third.add("ab");
  CHECK(one == third);
  third.add("");
  CHECK(!(one == third));
}

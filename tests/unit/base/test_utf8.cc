#include "base/utf8.h"

#include <doctest/doctest.h>

using te::utf8_length;

TEST_CASE("utf8: the length of each valid sequence") {
  CHECK(utf8_length("a", 0) == 1);
  CHECK(utf8_length("\x7F", 0) == 1);
  CHECK(utf8_length(std::string_view("\0", 1), 0) == 1);
  CHECK(utf8_length("\xC2\x80", 0) == 2);
  CHECK(utf8_length("\xDF\xBF", 0) == 2);
  CHECK(utf8_length("\xE0\xA0\x80", 0) == 3);
  CHECK(utf8_length("\xED\x9F\xBF", 0) == 3);
  CHECK(utf8_length("\xEE\x80\x80", 0) == 3);
  CHECK(utf8_length("\xF0\x90\x80\x80", 0) == 4);
  CHECK(utf8_length("\xF4\x8F\xBF\xBF", 0) == 4);
  CHECK(utf8_length("x\xC3\xA9y", 1) == 2);
}

TEST_CASE("utf8: no sequence where there is none") {
  for (const std::string_view bad :
       {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2", "\xC2\x41", "\xC2\xC2", "\xE0\x80\x80", "\xE0\x9F\xBF",
        "\xE2\x82", "\xE2\x41\x80", "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x8F\xBF\xBF", "\xF0\x90\x80",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFE", "\xFF"}) {
    CAPTURE(bad.size());
    CHECK(utf8_length(bad, 0) == 0);
  }
  CHECK(utf8_length("\xC3\xA9", 1) == 0);  // in the middle of one
}

TEST_CASE("utf8: one that the text's end cuts off is none") {
  const std::string_view text = "\xF0\x9F\x98\x80";
  for (size_t size = 1; size < text.size(); ++size) CHECK(utf8_length(text.substr(0, size), 0) == 0);
}

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <string_view>

#include "padded_copy.h"
#include "wire/json_writer.h"

using te::JsonWriter;

namespace {

std::string quoted(std::string_view text) {
  std::string out;
  JsonWriter(out).string(text);
  return out;
}

/// What the reader makes of the writer's string.
std::string read_back(std::string_view text) {
  std::string json;
  JsonWriter(json).begin_array().string(text).end_array();
  te::JsonParser parser;
  const PaddedCopy copy(json);
  std::string out;
  const te::Result<void> read = parser.parse(copy.text(), [&](te::JsonValue& root) {
    return root.array([&](te::JsonValue& one) -> te::Result<void> {
      out = TRY(one.string());
      return {};
    });
  });
  REQUIRE_MESSAGE(read, json);
  return out;
}

}  // namespace

TEST_CASE("json writer: commas stand between values and nowhere else") {
  std::string out;
  JsonWriter json(out);
  json.begin_object().key("a").number(1).key("b").begin_array().end_array().key("c").begin_object().end_object();
  json.key("d").begin_array().string("x").boolean(true).boolean(false).raw("null").begin_array().number(-2).end_array();
  json.begin_object().key("e").string("").end_object().end_array().end_object();
  CHECK(out == R"({"a":1,"b":[],"c":{},"d":["x",true,false,null,[-2],{"e":""}]})");
}

TEST_CASE("json writer: appends to what is there") {
  std::string out = "data: ";
  JsonWriter json(out);
  json.begin_array().end_array();
  CHECK(out == "data: []");
  CHECK(&json.out() == &out);
}

TEST_CASE("json writer: numbers are exact") {
  std::string out;
  JsonWriter json(out);
  json.begin_array()
      .number(std::numeric_limits<int64_t>::min())
      .number(std::numeric_limits<int64_t>::max())
      .end_array();
  CHECK(out == "[-9223372036854775808,9223372036854775807]");
}

TEST_CASE("json writer: escapes") {
  CHECK(quoted("") == "\"\"");
  CHECK(quoted("a/b") == "\"a/b\"");
  CHECK(quoted("\"\\") == R"("\"\\")");
  CHECK(quoted("\n\t\r") == R"("\n\t\r")");
  CHECK(quoted("\b\f\x01\x1F") == R"("\u0008\u000c\u0001\u001f")");
  CHECK(quoted("\x7F") == "\"\\u007f\"");
  CHECK(quoted(std::string_view("a\0b", 3)) == R"("a\u0000b")");
  CHECK(quoted("echo 'Hello' && x <y>") == "\"echo 'Hello' && x <y>\"");
}

TEST_CASE("json writer: UTF-8 passes as it is") {
  for (const std::string_view text : {"\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
                                      "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF", "a\xC3\xA9z"}) {
    CHECK(quoted(text) == "\"" + std::string(text) + "\"");
  }
}

TEST_CASE("json writer: bytes that are not UTF-8 become U+FFFD") {
  const std::string fffd = "\xEF\xBF\xBD";
  CHECK(quoted("\xFF") == "\"" + fffd + "\"");
  CHECK(quoted("a\x80z") == "\"a" + fffd + "z\"");
  CHECK(quoted("\xC0\x80") == "\"" + fffd + fffd + "\"");             // overlong
  CHECK(quoted("\xE0\x9F\xBF") == "\"" + fffd + fffd + fffd + "\"");  // overlong
  CHECK(quoted("\xED\xA0\x80") == "\"" + fffd + fffd + fffd + "\"");  // a surrogate
  CHECK(quoted("\xF4\x90\x80\x80") == "\"" + fffd + fffd + fffd + fffd + "\"");
  CHECK(quoted("\xC3") == "\"" + fffd + "\"");
  CHECK(quoted("\xE2\x82") == "\"" + fffd + fffd + "\"");
  CHECK(quoted("\xE2\x82\"") == "\"" + fffd + fffd + "\\\"\"");
}

TEST_CASE("json writer: valid text comes back from the reader, any other at least is JSON") {
  std::mt19937 random(7);
  std::uniform_int_distribution<int> byte(0, 255);
  std::uniform_int_distribution<int> length(0, 40);
  for (int i = 0; i < 500; ++i) {
    std::string ascii;
    std::string bytes;
    for (int n = length(random); n > 0; --n) {
      ascii += static_cast<char>(byte(random) & 127);
      bytes += static_cast<char>(byte(random));
    }
    CHECK(read_back(ascii) == ascii);
    const std::string valid = read_back(bytes);
    CHECK(read_back(valid) == valid);
  }
}

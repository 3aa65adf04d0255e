#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "wire/query.h"

namespace {

/// "name=[value]" each, or the error.
std::string parsed(std::string_view query) {
  const te::Result<std::vector<te::QueryParameter>> result = te::parse_query(query);
  if (!result) return "refused: " + result.error().text();
  std::string out;
  for (const te::QueryParameter& one : *result) out += one.name + "=[" + one.value + "]";
  return out;
}

}  // namespace

TEST_CASE("query: names and values in order") {
  CHECK(parsed("").empty());
  CHECK(parsed("wait=terminated&timeout=30s") == "wait=[terminated]timeout=[30s]");
  CHECK(parsed("a=1&a=2") == "a=[1]a=[2]");
  CHECK(parsed("follow") == "follow=[]");
  CHECK(parsed("a=") == "a=[]");
  CHECK(parsed("=b") == "=[b]");
  CHECK(parsed("a=b=c") == "a=[b=c]");
  CHECK(parsed("&&a=1&&b&") == "a=[1]b=[]");
  CHECK(parsed("a?b=/c") == "a?b=[/c]");
}

TEST_CASE("query: escapes and plus are decoded, after the text is taken apart") {
  CHECK(parsed("a%3Db=c%26d") == "a=b=[c&d]");
  CHECK(parsed("a+b=c+d%2B") == "a b=[c d+]");
  CHECK(parsed("%c3%A9=%41%7a") == "\xC3\xA9=[Az]");
  CHECK(parsed("%2541") == "%41=[]");
  const auto nul = te::parse_query("a=%00");
  REQUIRE(nul);
  CHECK(nul->at(0).value == std::string(1, '\0'));
}

TEST_CASE("query: a bad escape is refused wherever it stands") {
  for (const std::string_view bad : {"%", "a=%", "a=%4", "a=%4&b=1", "%=1", "%4g", "%g4", "a=1&b=%-1", "%%41", "% 1"}) {
    CAPTURE(std::string(bad));
    const auto result = te::parse_query(bad);
    REQUIRE(!result);
    CHECK(result.error().kind == te::ErrorKind::kInvalid);
  }
}

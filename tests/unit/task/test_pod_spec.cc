#include "task/pod_spec.h"

#include <doctest/doctest.h>

#include "task/quantity.h"

using namespace te;

TEST_CASE("Quantities as Kubernetes writes them") {
  CHECK(parse_quantity("500m", 3) == 500);
  CHECK(parse_quantity("1", 3) == 1000);
  CHECK(parse_quantity("0.5", 3) == 500);
  CHECK(parse_quantity("1.5", 3) == 1500);
  CHECK(parse_quantity("0.0001", 3) == 1);  // rounded up
  CHECK(parse_quantity("100n", 3) == 1);
  CHECK(parse_quantity("0", 3) == 0);
  CHECK(parse_quantity("128Mi", 0) == INT64_C(128) << 20);
  CHECK(parse_quantity("1.5Gi", 0) == INT64_C(3) << 29);
  CHECK(parse_quantity("1k", 0) == 1000);
  CHECK(parse_quantity("1e3", 0) == 1000);
  CHECK(parse_quantity("1E3", 0) == 1000);
  CHECK(parse_quantity("12E-1", 0) == 2);
  CHECK(parse_quantity("1E", 0) == INT64_C(1'000'000'000'000'000'000));
  CHECK(parse_quantity("7Ei", 0) == INT64_C(7) << 60);
  CHECK(parse_quantity(".5", 3) == 500);
  CHECK(parse_quantity("5.", 0) == 5);
  CHECK(parse_quantity("+5", 0) == 5);
  CHECK(parse_quantity("0e40", 0) == 0);
  for (const char* bad : {"", "m", "-1", "1.2.3", "1 ", " 1", "1Mib", "1e", "1e+-3", "8Ei", "1e19", "1e99", "--1",
                          "1234567890123456789", "1K", "."}) {
    CAPTURE(bad);
    CHECK(!parse_quantity(bad, 0));
  }
}

TEST_CASE("$(VAR) is expanded as Kubernetes does it") {
  const std::vector<EnvEntry> env = {{"A", "1"}, {"B", "$(A)"}, {"EMPTY", ""}};
  CHECK(expand_variables("$(A)", env) == "1");
  CHECK(expand_variables("x$(A)y$(A)", env) == "x1y1");
  CHECK(expand_variables("$(B)", env) == "$(A)");  // once only
  CHECK(expand_variables("[$(EMPTY)]", env) == "[]");
  CHECK(expand_variables("$(NONE)", env) == "$(NONE)");
  CHECK(expand_variables("$$(A)", env) == "$(A)");
  CHECK(expand_variables("$$$(A)", env) == "$1");
  CHECK(expand_variables("$$$$", env) == "$$");
  CHECK(expand_variables("$A ${A} $", env) == "$A ${A} $");
  CHECK(expand_variables("$(A", env) == "$(A");
  CHECK(expand_variables("$()", env) == "$()");
}

TEST_CASE("An environment is expanded by what stands before; the last of a name wins in the first place") {
  const std::vector<EnvEntry> out =
      expand_environment({{"A", "1"}, {"B", "$(A)$(C)"}, {"C", "3"}, {"A", "2$(A)"}, {"D", "$(A)"}});
  CHECK(out == std::vector<EnvEntry>{{"A", "21"}, {"B", "1$(C)"}, {"C", "3"}, {"D", "21"}});
}

TEST_CASE("DNS labels") {
  CHECK(valid_label_name("a"));
  CHECK(valid_label_name("a-1"));
  CHECK(valid_label_name(std::string(63, 'x')));
  for (const std::string& bad : {std::string(), std::string("-a"), std::string("a-"), std::string("A"),
                                 std::string("a.b"), std::string("a/b"), std::string(64, 'x')}) {
    CHECK(!valid_label_name(bad));
  }
}

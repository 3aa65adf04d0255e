#include "task/pod_spec.h"

#include <chrono>

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

namespace {

std::string refused(const ContainerSpec& container) {
  const Result<void> counted = expand_container(container, nullptr);
  Expansion out;
  const Result<void> written = expand_container(container, &out);
  CHECK(counted.ok() == written.ok());
  return counted ? "" : counted.error().text();
}

}  // namespace

TEST_CASE("$(VAR) is expanded as Kubernetes does it") {
  ContainerSpec container;
  container.env = {{"A", "1"}, {"B", "$$(A)"}, {"EMPTY", ""}};
  const std::pair<const char*, const char*> texts[] = {{"$(A)", "1"},
                                                       {"x$(A)y$(A)", "x1y1"},
                                                       {"$(B)", "$(A)"} /* once only */,
                                                       {"[$(EMPTY)]", "[]"},
                                                       {"$(NONE)", "$(NONE)"},
                                                       {"$$(A)", "$(A)"},
                                                       {"$$$(A)", "$1"},
                                                       {"$$$$", "$$"},
                                                       {"$A ${A} $", "$A ${A} $"},
                                                       {"$(A", "$(A"},
                                                       {"$()", "$()"},
                                                       {"$(A$(A)", "$(A$(A)"},
                                                       {"$($(A", "$($(A"},
                                                       {"", ""}};
  for (const auto& one : texts) {
    const std::string text = one.first;
    const std::string expanded = one.second;
    CAPTURE(text);
    container.command = {"c", text};
    container.args = {text};
    Expansion out;
    REQUIRE(expand_container(container, &out));
    CHECK(out.command == std::vector<std::string>{"c", expanded});
    CHECK(out.args == std::vector<std::string>{expanded});
  }
}

TEST_CASE("An environment is expanded by what stands before; the last of a name wins in the first place") {
  ContainerSpec container;
  container.env = {{"A", "1"}, {"B", "$(A)$(C)"}, {"C", "3"}, {"A", "2$(A)"}, {"D", "$(A)"}};
  Expansion out;
  REQUIRE(expand_container(container, &out));
  CHECK(out.env == std::vector<EnvEntry>{{"A", "21"}, {"B", "1$(C)"}, {"C", "3"}, {"D", "21"}});
}

TEST_CASE("What expands to more than exec takes is refused, whatever it would come to") {
  ContainerSpec container;
  container.env = {{"A0", "xxxxxxxxxxxxxxxx"}};
  CHECK(refused(container).empty());
  for (int i = 1; i <= 200; ++i) {
    const std::string before = "$(A" + std::to_string(i - 1) + ")";
    container.env.push_back({"A" + std::to_string(i), before + before});
  }
  CHECK(refused(container) == "env: expands to more than 1 MiB");
  container.env.resize(12);  // 64 KiB, of which the last one is half
  CHECK(refused(container).empty());
  container.command.assign(40, "$(A11)");
  CHECK(refused(container) == "command: expands to more than 1 MiB");
  container.args = std::move(container.command);
  container.command.clear();
  CHECK(refused(container) == "args: expands to more than 1 MiB");
  container.env.clear();
  container.args = {std::string(kMostExpanded, 'x')};
  CHECK(refused(container) == "args: expands to more than 1 MiB");
  container.args[0].pop_back();  // its NUL counts
  CHECK(refused(container).empty());
}

TEST_CASE("Many variables, and many that are none, take no long time") {
  ContainerSpec container;
  for (int i = 0; i < 100'000; ++i) container.env.push_back({"V" + std::to_string(i), ""});
  std::string text;
  for (int i = 0; i < 50'000; ++i) text += "$(V9999)";
  container.args = {text, std::string(kMostExpanded / 2, '(')};
  for (size_t at = 0; at < container.args[1].size(); at += 2) container.args[1][at] = '$';
  const auto begin = std::chrono::steady_clock::now();
  (void)refused(container);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(3));
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

#include "specs.h"

using namespace te;
using test::read_list;
using test::read_one;
using test::refusal;

namespace {

std::string task(const std::string& name) { return R"({"name":")" + name + R"(","process":{"command":["x"]}})"; }

}  // namespace

TEST_CASE("request: a task is an object") {
  constexpr std::string_view kMessage = "the body must be a task, an object";
  for (const char* body : {"null", "[]", "\"x\"", "1", "true"}) {
    CAPTURE(std::string(body));
    CHECK(refusal(read_one(body)).find(kMessage) != std::string::npos);
  }
}

TEST_CASE("request: bad JSON is told by its offset, and nothing of it is taken") {
  CHECK(refusal(read_one("")).starts_with("invalid JSON at byte 0"));
  CHECK(refusal(read_one("{\"name\":\"t\",,}")).starts_with("invalid JSON at byte "));
  CHECK(refusal(read_one(task("t") + "x")).starts_with("invalid JSON at byte "));
  CHECK(refusal(read_one(task("t") + task("u"))).starts_with("invalid JSON at byte "));
  // Behind a whole task, where one that reads only what it needs would not look.
  CHECK(refusal(read_one(R"({"name":"t","process":{"command":["x"]},"extra":{"a":[1,2,}})"))
            .starts_with("invalid JSON at byte "));
  CHECK(refusal(read_one(R"({"name":"t","name":"u","process":{"command":["x"]}})")) != "(accepted)");
}

TEST_CASE("request: a list, in its order") {
  const Result<TaskRequests> read = read_list("[" + task("b") + ", " + task("a") + "]");
  REQUIRE(read);
  REQUIRE(read->tasks.size() == 2);
  CHECK(read->tasks[0].name == "b");
  CHECK(read->tasks[1].name == "a");
  CHECK(read_list("[]")->tasks.empty());
}

TEST_CASE("request: what is no list would delete all, so it is refused") {
  constexpr std::string_view kMessage = "the body must be an array of tasks";
  for (const std::string& body : {std::string("null"), std::string("{}"), task("t"), std::string("\"\"")}) {
    CAPTURE(body);
    CHECK(refusal(read_list(body)).find(kMessage) != std::string::npos);
  }
  CHECK(!read_list(""));
  CHECK(!read_list("[] []"));
}

TEST_CASE("request: paths in a list begin with the index") {
  CHECK(refusal(read_list("[" + task("a") + R"(,{"name":"b"}])")) == "[1].spec: required");
  CHECK(refusal(read_list("[{}]")) == "[0].name: required");
  CHECK(refusal(read_list("[null]")) == "[0]: must be an object");
  CHECK(refusal(read_list("[" + task("a") + ",[]]")) == "[1]: must be an object");
  CHECK(refusal(read_list(R"([{"name":"a","spec":{"process":{"command":["x"],"env":[{"name":1}]}}}])")) ==
        "[0].spec.process.env[0].name: must be a string");
  CHECK(refusal(read_list(R"([{"name":"a","spec":{"process":{"command":[]}}}])")) ==
        "[0].spec.process.command: required, and not empty");
  CHECK(refusal(read_list(R"([{"name":"a","spec":{},"process":{}}])")).starts_with("[0].process: "));
  CHECK(refusal(read_list(
            R"([{"name":"a","spec":{"timeoutSeconds":1,"process":{"timeoutSeconds":2,"command":["x"]}}}])")) ==
        "[0].spec.timeoutSeconds: differs from [0].spec.process.timeoutSeconds");
  const Result<TaskRequests> warned = read_list(R"([{"name":"a","proces":1,"process":{"command":["x"]}}])");
  REQUIRE(warned);
  CHECK(warned->warnings == std::vector<std::string>{"unknown field \"[0].proces\""});
}

TEST_CASE("request: a name stands in a list once") {
  CHECK(refusal(read_list("[" + task("a") + "," + task("b") + "," + task("a") + "]")) ==
        "[2].name: \"a\" is there twice");
  CHECK(read_list("[" + task("a") + "," + task("A") + "]"));
}

TEST_CASE("request: both forms may stand in one list, each in its own task") {
  const Result<TaskRequests> read =
      read_list("[" + task("a") + R"(,{"name":"b","spec":{"process":{"command":["x"]}}}])");
  REQUIRE(read);
  CHECK(read->tasks[0].spec.form == WireForm::kController);
  CHECK(read->tasks[1].spec.form == WireForm::kGuide);
}

TEST_CASE("request: nesting is bounded") {
  std::string deep = R"({"name":"t","process":{"command":["x"]},"extra":)" + std::string(500, '[');
  deep += std::string(500, ']') + "}";
  CHECK(refusal(read_one(deep)).find("nested too deeply") != std::string::npos);
}

TEST_CASE("request: a parser serves one body after the other, good or bad") {
  JsonParser parser;
  for (int i = 0; i < 3; ++i) {
    const PaddedCopy good(task("t"));
    const PaddedCopy bad("{\"name\":");
    CHECK(read_task(parser, good.text(), {}));
    CHECK(!read_task(parser, bad.text(), {}));
    CHECK(!read_task_list(parser, good.text(), {}));
  }
}

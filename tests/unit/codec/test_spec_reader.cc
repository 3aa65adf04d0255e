#include "codec/spec_reader.h"

#include "specs.h"

using namespace te;
using test::read_one;
using test::refusal;
using test::rewritten;

namespace {

/// A guide-form task with these fields in `spec.process` beside the command.
std::string with(const std::string& fields) {
  return R"({"name":"t","spec":{"process":{"command":["x"],)" + fields + "}}}";
}

std::string refused(const std::string& fields) { return refusal(read_one(with(fields))); }

}  // namespace

TEST_CASE("spec: the guide's form") {
  const Result<TaskRequests> read = read_one(test::kFullGuide);
  REQUIRE(read);
  REQUIRE(read->tasks.size() == 1);
  CHECK(read->warnings.empty());
  const TaskRequest& task = read->tasks[0];
  CHECK(task.name == "full");
  CHECK(task.spec.form == WireForm::kGuide);
  const ProcessSpec& process = task.spec.process;
  CHECK(process.command.size() == 2);
  CHECK(*process.command.begin() == "sh");
  CHECK(process.args.bytes() == std::string_view("echo \"\xC3\xA9\"\0\0", 11));
  CHECK(process.env.bytes() == std::string_view("A=1=2\0A=\0", 9));
  CHECK(process.working_dir == "/tmp");
  CHECK(process.timeout_seconds == 5);
  CHECK(process.timeout_at_spec);
  CHECK(process.grace_seconds == 0);
  CHECK(task.spec.grace_seconds() == 0);
  CHECK(process.exec_mode == ExecMode::kLocal);
  REQUIRE(process.security != nullptr);
  CHECK(process.security->run_as_user == 0);
  CHECK(process.security->run_as_group == 4294967294U);
  CHECK(process.security->supplemental_groups == std::vector<uint32_t>{1, 2});
  CHECK(process.security->no_new_privileges == false);
  CHECK(process.security->drop_capabilities == ~uint64_t{0});
  CHECK(process.security->add_capabilities == (1U | 1U << 10U));
}

TEST_CASE("spec: the controller's form") {
  const Result<TaskRequests> read = read_one(test::kFullController);
  REQUIRE(read);
  const TaskSpec& spec = read->tasks[0].spec;
  CHECK(spec.form == WireForm::kController);
  CHECK(spec.timeout_seconds() == 7);
  CHECK(!spec.process.timeout_at_spec);
  CHECK(spec.grace_seconds() == 3);
}

TEST_CASE("spec: what is left out has its default") {
  const Result<TaskRequests> read = read_one(R"({"name":"t","process":{"command":["x"]}})");
  REQUIRE(read);
  const TaskSpec& spec = read->tasks[0].spec;
  CHECK(spec.timeout_seconds() == 0);
  CHECK(spec.grace_seconds() == kDefaultGraceSeconds);
  CHECK(spec.process.exec_mode == ExecMode::kDefault);
  CHECK(spec.process.security == nullptr);
  CHECK(spec.process.args.empty());
  CHECK(spec.process.env.empty());
}

TEST_CASE("spec: null means absent, at every level") {
  CHECK(rewritten(R"({"name":"t","spec":{"process":{"command":["x"],"args":null,"env":null,"workingDir":null,
      "timeoutSeconds":null,"execMode":null,"securityContext":null,"lifecycle":null,"resources":null},
      "container":null,"volumes":null,"timeoutSeconds":null},"process":null,"podTemplateSpec":null,
      "creationTimestamp":null,"unknown":null})") == R"({"name":"t","spec":{"process":{"command":["x"]}}})");
  CHECK(rewritten(R"({"name":"t","process":{"command":["x"]},"spec":null})") ==
        R"({"name":"t","process":{"command":["x"]}})");
  CHECK(rewritten(with(R"("env":[{"name":"A","value":null,"valueFrom":null}])")) ==
        R"({"name":"t","spec":{"process":{"command":["x"],"env":[{"name":"A","value":""}]}}})");
  CHECK(refusal(read_one(R"({"name":null,"spec":{"process":{"command":["x"]}}})")) == "name: required");
  CHECK(refusal(read_one(R"({"name":"t","spec":{"process":{"command":null}}})")) ==
        "spec.process.command: required, and not empty");
  CHECK(refusal(read_one(R"({"name":"t","spec":{"process":{"command":["x",null]}}})")) ==
        "spec.process.command[1]: must be a string");
}

TEST_CASE("spec: fields come in any order") {
  CHECK(rewritten(R"({"spec":{"timeoutSeconds":1,"process":{"args":["a"],"command":["x"]}},"name":"t"})") ==
        R"({"name":"t","spec":{"process":{"command":["x"],"args":["a"]},"timeoutSeconds":1}})");
}

TEST_CASE("spec: what must be there") {
  CHECK(refusal(read_one("{}")) == "name: required");
  CHECK(refusal(read_one(R"({"name":"t"})")) == "spec: required");
  CHECK(refusal(read_one(R"({"name":"t","spec":{}})")) == "spec.process: required");
  CHECK(refusal(read_one(R"({"name":"t","spec":{"process":{}}})")) == "spec.process.command: required, and not empty");
  CHECK(refusal(read_one(R"({"name":"t","process":{}})")) == "process.command: required, and not empty");
  CHECK(refusal(read_one(R"({"name":"t","process":{"command":[]}})")) == "process.command: required, and not empty");
  CHECK(refusal(read_one(R"({"name":"t","process":{"command":[""]}})")) == "process.command[0]: must not be empty");
}

TEST_CASE("spec: both forms in one task are refused, whatever stands in them") {
  constexpr std::string_view kMessage = "process: a task is written with \"spec\" or with \"process\", not with both";
  CHECK(refusal(read_one(R"({"name":"t","spec":{"process":{"command":["x"]}},"process":{"command":["x"]}})")) ==
        kMessage);
  CHECK(refusal(read_one(R"({"name":"t","process":{"command":["x"]},"spec":{}})")) == kMessage);
}

TEST_CASE("spec: names that are none") {
  for (const std::string bad : {"", ".", "..", "-a", "a-", "a/b", "../a", "a b", "%2e", "a\xC3\xA9", "a\\u0000"}) {
    CAPTURE(bad);
    CHECK(refusal(read_one(R"({"name":")" + bad + R"(","spec":{"process":{"command":["x"]}}})")) ==
          "name: " + std::string(kTaskNameRule));
  }
  CHECK(read_one(R"({"name":")" + std::string(253, 'a') + R"(","process":{"command":["x"]}})"));
  CHECK(!read_one(R"({"name":")" + std::string(254, 'a') + R"(","process":{"command":["x"]}})"));
}

TEST_CASE("spec: a value of the wrong kind is refused with its path") {
  CHECK(refusal(read_one(R"({"name":1})")) == "name: must be a string");
  CHECK(refusal(read_one(R"({"name":"t","spec":[]})")) == "spec: must be an object");
  CHECK(refusal(read_one(R"({"name":"t","process":"x"})")) == "process: must be an object");
  CHECK(refused(R"("args":"a")") == "spec.process.args: must be an array");
  CHECK(refused(R"("args":[1])") == "spec.process.args[0]: must be a string");
  CHECK(refused(R"("workingDir":1)") == "spec.process.workingDir: must be a string");
  CHECK(refused(R"("env":{})") == "spec.process.env: must be an array");
  CHECK(refused(R"("env":[1])") == "spec.process.env[0]: must be an object");
  CHECK(refused(R"("env":[{"name":"A"},{"name":2}])") == "spec.process.env[1].name: must be a string");
  for (const char* seconds : {"1.5", "\"1\"", "1e3", "true", "99999999999999999999"}) {
    CAPTURE(std::string(seconds));
    CHECK(refused(std::string("\"timeoutSeconds\":") + seconds).starts_with("spec.process.timeoutSeconds: "));
  }
}

TEST_CASE("spec: seconds are not negative, and as great as they are") {
  CHECK(refused(R"("timeoutSeconds":-1)") == "spec.process.timeoutSeconds: must not be negative");
  CHECK(refused(R"("terminationGracePeriodSeconds":-1)") ==
        "spec.process.terminationGracePeriodSeconds: must not be negative");
  CHECK(refusal(read_one(R"({"name":"t","spec":{"process":{"command":["x"]},"timeoutSeconds":-5}})")) ==
        "spec.timeoutSeconds: must not be negative");
  CHECK(read_one(with(R"("timeoutSeconds":9223372036854775807)")));
}

TEST_CASE("spec: seconds in both places must agree") {
  CHECK(rewritten(R"({"name":"t","spec":{"process":{"command":["x"],"timeoutSeconds":5},"timeoutSeconds":5}})") ==
        R"({"name":"t","spec":{"process":{"command":["x"]},"timeoutSeconds":5}})");
  CHECK(
      refusal(read_one(R"({"name":"t","spec":{"process":{"command":["x"],"timeoutSeconds":5},"timeoutSeconds":6}})")) ==
      "spec.timeoutSeconds: differs from spec.process.timeoutSeconds");
  CHECK(refusal(read_one(R"({"name":"t","spec":{"process":{"command":["x"],"terminationGracePeriodSeconds":1},
      "terminationGracePeriodSeconds":0}})")) ==
        "spec.terminationGracePeriodSeconds: differs from spec.process.terminationGracePeriodSeconds");
}

TEST_CASE("spec: environment entries") {
  CHECK(refused(R"("env":[{"value":"x"}])") == "spec.process.env[0].name: required, and not empty");
  CHECK(refused(R"("env":[{"name":"A"},{"name":""}])") == "spec.process.env[1].name: required, and not empty");
  CHECK(refused(R"("env":[{"name":"A=B"}])") == "spec.process.env[0].name: must not contain '='");
  CHECK(refused(R"("env":[{"name":"A","valueFrom":{"fieldRef":{}}}])")
            .starts_with("spec.process.env[0].valueFrom: valueFrom is not supported"));
  CHECK(rewritten(with(R"("env":[{"value":"v","name":"A"}])")) ==
        R"({"name":"t","spec":{"process":{"command":["x"],"env":[{"name":"A","value":"v"}]}}})");
}

TEST_CASE("spec: a NUL in a string, which no argument can carry, is refused where it stands") {
  for (const char* field : {R"("args":["a\u0000b"])", R"("workingDir":"/a\u0000")", R"("env":[{"name":"A\u0000"}])",
                            R"("env":[{"name":"A","value":"\u0000"}])"}) {
    CAPTURE(std::string(field));
    CHECK(refused(field).starts_with("spec.process."));
    CHECK(refused(field).find("NUL") != std::string::npos);
  }
  CHECK(!read_one(R"({"name":"t","process":{"command":["\u0000"]}})"));
}

TEST_CASE("spec: where to run") {
  CHECK(rewritten(with(R"("execMode":"")")) == R"({"name":"t","spec":{"process":{"command":["x"]}}})");
  CHECK(refused(R"("execMode":"local")") == "spec.process.execMode: must be Local or Remote");
  CHECK(refused(R"("execMode":"Remote")") == "spec.process.execMode: Remote needs an agent with --enable-sidecar-mode");
  const Result<TaskRequests> remote = read_one(with(R"("execMode":"Remote")"), {.sidecar_mode = true});
  REQUIRE(remote);
  CHECK(remote->tasks[0].spec.process.exec_mode == ExecMode::kRemote);
}

TEST_CASE("spec: what is not supported is never silently ignored") {
  CHECK(refused(R"("lifecycle":{"preStart":{"sleep":{"seconds":1}}})")
            .starts_with("spec.process.lifecycle.preStart.sleep: "));
  CHECK(refused(R"("resources":{})").starts_with("spec.process.resources: "));
  CHECK(refused(R"("restartPolicy":"Always")") == "spec.process.restartPolicy: only Never is supported for a process");
  CHECK(read_one(with(R"("restartPolicy":"Never")")));
  CHECK(read_one(with(R"("restartPolicy":"")")));
  CHECK(refusal(read_one(R"({"name":"t","spec":{"container":{}}})")) ==
        "spec.container: needs an agent with --enable-container-mode");
  CHECK(refusal(read_one(R"({"name":"t","spec":{"volumes":[]}})")).starts_with("spec.volumes: "));
  CHECK(refusal(read_one(R"({"name":"t","podTemplateSpec":{}})")).starts_with("podTemplateSpec: "));
}

TEST_CASE("spec: identity and rights, where nothing unknown is let pass") {
  const auto security = [](const std::string& fields) { return refused("\"securityContext\":{" + fields + "}"); };
  CHECK(security(R"("runAsUser":-1)") == "spec.process.securityContext.runAsUser: must be from 0 to 4294967294");
  CHECK(security(R"("runAsUser":4294967295)") ==
        "spec.process.securityContext.runAsUser: must be from 0 to 4294967294");
  CHECK(security(R"("runAsGroup":"root")") == "spec.process.securityContext.runAsGroup: must be an integer");
  CHECK(security(R"("supplementalGroups":[1,-2])") ==
        "spec.process.securityContext.supplementalGroups[1]: must be from 0 to 4294967294");
  CHECK(security(R"("noNewPrivileges":1)").starts_with("spec.process.securityContext.noNewPrivileges: "));
  CHECK(security(R"("capabilities":{"add":["FLY"]})") ==
        "spec.process.securityContext.capabilities.add[0]: not a capability");
  CHECK(security(R"("capabilities":{"ambient":[]})") ==
        "spec.process.securityContext.capabilities.ambient: not supported in capabilities");
  CHECK(security(R"("privileged":true)") ==
        "spec.process.securityContext.privileged: not supported in the securityContext of a process");
  CHECK(rewritten(with(R"("securityContext":{"capabilities":{"add":["CAP_KILL","KILL"]}})")) ==
        R"({"name":"t","spec":{"process":{"command":["x"],"securityContext":{"capabilities":{"add":["KILL"]}}}}})");
}

TEST_CASE("spec: unknown fields are accepted and told, up to a bound") {
  const Result<TaskRequests> read = read_one(
      R"({"name":"t","spec":{"process":{"command":["x"],"comand":[{"deep":[1,2]}],"env":[{"name":"A","valu":"1"}]},)"
      R"("proces":{}},"extra":1,"status":{"state":{}},"processStatus":{},"deletionTimestamp":"x"})");
  REQUIRE(read);
  CHECK(read->warnings == std::vector<std::string>{"unknown field \"spec.process.comand\"",
                                                   "unknown field \"spec.process.env[0].valu\"",
                                                   "unknown field \"spec.proces\"", "unknown field \"extra\""});
  std::string many = R"({"name":"t","process":{"command":["x"]})";
  for (int i = 0; i < 100; ++i) many += ",\"f" + std::to_string(i) + "\":{}";
  const Result<TaskRequests> bounded = read_one(many + "}");
  REQUIRE(bounded);
  CHECK(bounded->warnings.size() == kMaxWarnings);
}

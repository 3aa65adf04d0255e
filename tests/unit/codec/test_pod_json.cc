#include <chrono>

#include "../padded_copy.h"
#include "codec/minified_json.h"
#include "codec/state_file.h"
#include "specs.h"

using namespace te;
using namespace te::test;

namespace {

SpecOptions containers() {
  SpecOptions options;
  options.container_mode = true;
  options.volumes = {"named"};
  return options;
}

std::string container(std::string_view fields, std::string_view more = {}) {
  return R"({"name":"t","spec":{"container":{"image":"box",)" + std::string(fields) + "}" + std::string(more) + "}}";
}

std::string pod(std::string_view spec) {
  return R"({"name":"t","podTemplateSpec":{"spec":{)" + std::string(spec) +
         R"("containers":[{"name":"a","image":"b"}]}}})";
}

PodSpec parsed(std::string_view text) {
  Result<TaskRequests> read = read_one(text, containers());
  REQUIRE_MESSAGE(read.ok(), (read.ok() ? std::string() : read.error().text()));
  REQUIRE(read->tasks.at(0).spec.pod != nullptr);
  return read->tasks.at(0).spec.pod->pod;
}

std::string refused(std::string_view text) { return refusal(read_one(text, containers())); }

std::string warning(std::string_view text) {
  const Result<TaskRequests> read = read_one(text, containers());
  REQUIRE(read.ok());
  return read->warnings.size() == 1 ? read->warnings[0] : std::to_string(read->warnings.size()) + " warnings";
}

}  // namespace

TEST_CASE("A container in the guide's form, field by field") {
  const PodSpec pod = parsed(container(
      R"("imagePullPolicy":"Always","command":["a"],"args":["b",""],"env":[{"name":"E","value":"v"},{"name":"F"}],)"
      R"("workingDir":"/w","volumeMounts":[{"name":"v","mountPath":"/v","readOnly":true,"subPath":"x/y"}],)"
      R"("resources":{"limits":{"cpu":0.5,"memory":"64Mi"},"requests":{"cpu":"100m"}},"tty":true,)"
      R"("securityContext":{"runAsUser":5,"privileged":false,"capabilities":{"drop":["ALL"]},)"
      R"("seccompProfile":{"type":"Localhost","localhostProfile":"p"}},"timeoutSeconds":3)",
      R"(,"volumes":[{"name":"v","emptyDir":{}},{"name":"h","hostPath":{"path":"/h","type":"Directory"}}])"));
  REQUIRE(pod.containers.size() == 1);
  const ContainerSpec& one = pod.containers[0];
  CHECK(one.name == "main");
  CHECK(one.image == "box");
  CHECK(one.pull_policy == PullPolicy::kAlways);
  CHECK(one.command == std::vector<std::string>{"a"});
  CHECK(one.args == std::vector<std::string>{"b", ""});
  CHECK(one.env == std::vector<EnvEntry>{{"E", "v"}, {"F", ""}});
  CHECK(one.working_dir == "/w");
  CHECK(one.mounts == std::vector<VolumeMount>{{"v", "/v", "x/y", true}});
  CHECK(one.resources == PodResources{100, 500, INT64_C(64) << 20});
  CHECK(one.security.run_as_user == 5);
  CHECK(one.security.seccomp->localhost_profile == "p");
  CHECK(one.tty);
  CHECK(pod.timeout_seconds == 3);
  CHECK(pod.volumes.at(1).path_type == VolumeSpec::PathType::kDirectory);
}

TEST_CASE("Pull policies by default") {
  const auto policy = [](std::string_view image) {
    return parsed(R"({"name":"t","spec":{"container":{"image":")" + std::string(image) + R"("}}})")
        .containers[0]
        .pull_policy;
  };
  CHECK(policy("box") == PullPolicy::kPreferNewest);
  CHECK(policy("host:5000/box") == PullPolicy::kPreferNewest);
  CHECK(policy("box:latest") == PullPolicy::kPreferNewest);
  CHECK(policy("box:1") == PullPolicy::kIfNotPresent);
  CHECK(policy("box@sha256:00") == PullPolicy::kIfNotPresent);
}

TEST_CASE("A pod template, echoed as it was written and the same after a restart") {
  const std::string text =
      R"({"name":"p","podTemplateSpec":{"metadata":{"creationTimestamp":null,"labels":{"app":"x"}},"spec":{)"
      R"("initContainers":[{"name":"i","image":"b:1","command":["sh"]}],)"
      R"("containers":[{"name":"a","image":"b:1","env":[{"name":"Q","value":"\" \\ é"}],"ports":[{"containerPort":1}]}],)"
      R"("restartPolicy":"Never","hostNetwork":true,"activeDeadlineSeconds":9,"terminationGracePeriodSeconds":4,)"
      R"("securityContext":{"fsGroup":7,"runAsUser":1}}}})";
  const PodSpec first = parsed(text);
  CHECK(first.is_template);
  CHECK(first.init_containers.size() == 1);
  CHECK(first.host_network == true);
  CHECK(first.timeout_seconds == 9);
  CHECK(first.labels.size() == 1);
  CHECK(rewritten(text, containers()) == text);

  Result<TaskRequests> read = read_one(text, containers());
  Task task;
  task.name = "p";
  task.uid = Uid::from("00112233445566778899aabbccddeeff");
  task.sequence = 1;
  task.spec = std::move(read->tasks[0].spec);
  const std::string file = encode_task_file(task);
  JsonParser parser;
  const PaddedCopy copy(file);
  Result<TaskFile> again = decode_task_file(parser, copy.text());
  REQUIRE(again.ok());
  CHECK(same_spec(again->spec, task.spec));
  CHECK(encode_task_file(task) == file);
  CHECK(again->spec.grace_seconds() == 4);
}

TEST_CASE("Blanks of the JSON as it was written go, those in strings stay") {
  CHECK(minified_json("{ \"a b\" :\n[1 , \"\\\" , \\\\\" ]\t}") == R"({"a b":[1,"\" , \\"]})");
  CHECK(rewritten(R"({ "name": "t", "spec": { "container": { "image": "a b" } , "timeoutSeconds": 3 } })",
                  containers()) == R"({"name":"t","spec":{"container":{"image":"a b"},"timeoutSeconds":3}})");
}

TEST_CASE("Specs are compared after parsing and defaulting") {
  const auto same = [](std::string_view a, std::string_view b) {
    Result<TaskRequests> left = read_one(a, containers());
    Result<TaskRequests> right = read_one(b, containers());
    REQUIRE(left.ok());
    REQUIRE(right.ok());
    return same_spec(left->tasks[0].spec, right->tasks[0].spec);
  };
  CHECK(same(container(R"("args":["x"],"unknown":1)"), container(R"("args":["x"],"env":[])")));
  CHECK(same(container(R"("tty":false)", R"(,"terminationGracePeriodSeconds":10)"), container(R"("tty":false)")));
  CHECK(!same(container(R"("args":["x"])"), container(R"("args":["y"])")));
  CHECK(!same(container(R"("tty":true)"), R"({"name":"t","spec":{"process":{"command":["x"]}}})"));
}

TEST_CASE("What is refused, with its path") {
  CHECK(refusal(read_one(container(R"("tty":true)")))
            .find("spec.container: needs an agent with --enable-container-mode") == 0);
  CHECK(refusal(read_one(pod(""))).find("podTemplateSpec: needs an agent with --enable-container-mode") == 0);
  CHECK(refused(R"({"name":"t","spec":{"container":{"image":""}}})") ==
        "spec.container.image: required, and not empty");
  CHECK(refused(R"({"name":"t","spec":{"volumes":[]}})").find("spec.process: required") == 0);
  CHECK(refused(R"({"name":"t","spec":{"container":{"image":"b"},"process":{"command":["x"]}}})").find("not both") !=
        std::string::npos);
  CHECK(refused(R"({"name":"t","spec":{"process":{"command":["x"]},"volumes":[]}})").find("spec.volumes") == 0);
  CHECK(refused(container(R"("volumeMounts":[{"name":"named","mountPath":"/a"},{"name":"nope","mountPath":"/b"}])")) ==
        "spec.container.volumeMounts[1].name: unknown volume \"nope\": neither the task nor --volume has it");
  CHECK(refused(container(R"("volumeMounts":[{"name":"named","mountPath":"/a/../b"}])")).find("mountPath") !=
        std::string::npos);
  CHECK(refused(container(R"("volumeMounts":[{"name":"named","mountPath":"/a","subPath":"../b"}])")).find("subPath") !=
        std::string::npos);
  CHECK(refused(container(R"("volumeMounts":[{"name":"named","mountPath":"/a","mountPropagation":"Bidirectional"}])"))
            .find("mountPropagation") != std::string::npos);
  CHECK(refused(container(R"("env":[{"name":"","value":"x"}])")) ==
        "spec.container.env[0].name: required, and not empty");
  CHECK(refused(container(R"("env":[{"name":"a","valueFrom":{}}])")).find("valueFrom") != std::string::npos);
  CHECK(refused(container(R"("resources":{"limits":{"memory":"x"}})")).find("resources.limits.memory") !=
        std::string::npos);
  CHECK(refused(container(R"("securityContext":{"seLinuxOptions":{}})")).find("seLinuxOptions") != std::string::npos);
  CHECK(refused(container(R"("securityContext":{"runAsGroup":1})")).find("needs runAsUser") != std::string::npos);
  CHECK(refused(container(R"("workingDir":"x")")) == "spec.container.workingDir: must be absolute");
  CHECK(
      refused(container(R"("tty":true)", R"(,"volumes":[{"name":"v","secret":{}}])")).find("spec.volumes[0].secret") ==
      0);
  CHECK(refused(container(R"("tty":true)", R"(,"volumes":[{"name":"v"}])")).find("spec.volumes[0]") == 0);
  CHECK(refused(container(R"("securityContext":{"seccompProfile":{"type":"Localhost","localhostProfile":"../x"}})"))
            .find("localhostProfile: must be relative, without") != std::string::npos);
  std::string labels = R"("a":"")";
  for (int i = 0; i < 10'000; ++i) labels += ",\"b" + std::to_string(i) + "\":\"\"";
  CHECK(refused(R"({"name":"t","podTemplateSpec":{"metadata":{"labels":{)" + labels +
                R"(}},"spec":{"containers":[{"name":"a","image":"b"}]}}})")
            .find("too many") != std::string::npos);
  CHECK(refused(pod(R"("restartPolicy":"Always",)")) ==
        "podTemplateSpec.spec.restartPolicy: only Never is supported yet");
  CHECK(refused(pod(R"("initContainers":[{"name":"a","image":"b"}],)")) ==
        "podTemplateSpec.spec.containers[0].name: \"a\" is there twice");
  CHECK(refused(pod(R"("hostUsers":false,)")).find("hostUsers") != std::string::npos);
  CHECK(refused(R"({"name":"t","podTemplateSpec":{}})") == "podTemplateSpec.spec: required");
  CHECK(refused(R"({"name":"t","podTemplateSpec":{"spec":{"containers":[]}}})") ==
        "podTemplateSpec.spec.containers: required, and not empty");
}

TEST_CASE("What expands to more than exec takes is refused with its field, and taken back from the disk") {
  std::string env = R"({"name":"A0","value":"xxxxxxxxxxxxxxxx"})";
  for (int i = 1; i <= 40; ++i) {
    const std::string before = "$(A" + std::to_string(i - 1) + ")";
    env += R"(,{"name":"A)" + std::to_string(i) + R"(","value":")" + before + before + R"("})";
  }
  const std::string guide = container(R"("env":[)" + env + "]");
  CHECK(refused(guide) == "spec.container.env: expands to more than 1 MiB");
  CHECK(refused(pod(R"("initContainers":[{"name":"i","image":"b","env":[)" + env + "]}],")) ==
        "podTemplateSpec.spec.initContainers[0].env: expands to more than 1 MiB");
  SpecOptions from_disk = containers();
  from_disk.any_volume = true;
  CHECK(read_one(guide, from_disk).ok());
}

TEST_CASE("Volumes and mounts that are there twice, among many too") {
  CHECK(refused(container(R"("tty":true)", R"(,"volumes":[{"name":"v","emptyDir":{}},{"name":"v","emptyDir":{}}])")) ==
        "spec.volumes[1].name: \"v\" is there twice");
  CHECK(refused(pod(R"("volumes":[{"name":"v","emptyDir":{}},{"name":"v","emptyDir":{}}],)")) ==
        "podTemplateSpec.spec.volumes[1].name: \"v\" is there twice");
  CHECK(refused(container(R"("volumeMounts":[{"name":"named","mountPath":"/a"},{"name":"named","mountPath":"/a"}])")) ==
        "spec.container.volumeMounts[1].mountPath: is there twice");
  std::string volumes;
  std::string mounts;
  for (int i = 0; i < 40'000; ++i) {
    const std::string number = std::to_string(i);
    volumes += (i > 0 ? "," : "") + (R"({"name":"v)" + number + R"(","emptyDir":{}})");
    mounts += (i > 0 ? "," : "") + (R"({"name":"v)" + number + R"(","mountPath":"/)" + number + R"("})");
  }
  const auto begin = std::chrono::steady_clock::now();
  CHECK(parsed(container(R"("volumeMounts":[)" + mounts + "]", R"(,"volumes":[)" + volumes + "]")).volumes.size() ==
        40'000);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(3));
}

TEST_CASE("What is left out, with a warning") {
  CHECK(warning(container(R"("livenessProbe":{"x":1})")) == "unsupported field \"spec.container.livenessProbe\"");
  CHECK(warning(container(R"("imagge":"x")")) == "unknown field \"spec.container.imagge\"");
  CHECK(warning(pod(R"("subdomain":"x",)")) == "unsupported field \"podTemplateSpec.spec.subdomain\"");
  CHECK(warning(container(R"("resources":{"limits":{"example.com/gpu":1}})")) ==
        "unsupported field \"spec.container.resources.limits.example.com/gpu\"");
  CHECK(warning(pod(R"("tolerations":[],"nodeSelector":{},"dnsPolicy":"ClusterFirst",)")) == "0 warnings");
}

TEST_CASE("A pod's record survives both files") {
  PodRecord pod;
  pod.step = PodStep::kStop;
  pod.attempt = 3;
  pod.sandbox_id = "sandbox";
  pod.runtime = "containerd";
  pod.failure = "what \"went\" wrong";
  pod.begun_at = 5;
  pod.cpu_us = 6;
  pod.memory_kib = 7;
  pod.containers.resize(2);
  pod.containers[0] = {"id", true, ContainerStage::kTerminated, "Error", "message", "sha256:x", 137, 11, 12};
  pod.containers[1].reason = "PodInitializing";
  JsonParser parser;

  RunRecord run;
  run.attempt = 2;
  run.spawned_at = 4;
  run.pod = pod;
  const PaddedCopy run_text(encode_run(run));
  const Result<RunRecord> run_again = decode_run(parser, run_text.text());
  REQUIRE(run_again.ok());
  CHECK(*run_again->pod == pod);
  CHECK(run_again->attempt == 2);

  ExitRecord end;
  end.cause = EndCause::kTimeout;
  end.pod = pod;
  const PaddedCopy end_text(encode_exit(end));
  const Result<ExitRecord> end_again = decode_exit(parser, end_text.text());
  REQUIRE(end_again.ok());
  CHECK(*end_again->pod == pod);
}

TEST_CASE("Texts of 20 kB are cut so that the end fits its space") {
  ExitRecord end;
  end.pod = PodRecord();
  end.pod->failure = std::string(20'000, '"');
  end.pod->containers.resize(40);
  for (ContainerRecord& one : end.pod->containers) one.message = std::string(20'000, '\x01');
  const std::string text = encode_exit(end);
  CHECK(text.size() <= kExitRecordWithHookMax);
  JsonParser parser;
  const PaddedCopy copy(text);
  CHECK(decode_exit(parser, copy.text()).ok());
}

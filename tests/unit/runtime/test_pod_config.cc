#include "runtime/pod_config.h"

#include "../padded_copy.h"
#include "../support.h"
#include "runtime/pod_volumes.h"
#include "runtime/registry_auth.h"

using namespace te;
using namespace te::test;

namespace {

PodIdentity who() {
  PodIdentity out;
  out.owner = "owner";
  out.name = "task";
  out.uid = Uid::from("00112233445566778899aabbccddeeff");
  out.log_directory = "/logs";
  return out;
}

PodSpec one() {
  PodSpec pod;
  pod.containers.emplace_back();
  pod.containers[0].name = "main";
  pod.containers[0].image = "box";
  return pod;
}

std::string auth_for(std::string_view config, std::string_view image) {
  JsonParser parser;
  const PaddedCopy copy(config);
  const Result<std::optional<cri::ImageAuth>> found = find_registry_auth(parser, copy.text(), image);
  if (!found) return "error";
  return *found ? (*found)->auth : "none";
}

cri::ContainerConfig config_of(const PodSpec& pod, std::string_view image) {
  cri::ContainerConfig out;
  REQUIRE(container_config(pod, 0, who(), image, out));
  return out;
}

}  // namespace

TEST_CASE("The defaults are the kubelet's") {
  const PodSpec pod = one();
  const cri::SandboxConfig sandbox = sandbox_config(pod, who());
  CHECK(sandbox.namespaces.pid == cri::NamespaceMode::kContainer);
  CHECK(sandbox.namespaces.network == cri::NamespaceMode::kPod);
  CHECK(sandbox.seccomp);
  CHECK(sandbox.hostname == "task");
  CHECK(sandbox.log_directory == "/logs");
  CHECK(cri::find_label(sandbox.labels, kUidLabel) == "00112233445566778899aabbccddeeff");
  const cri::ContainerConfig config = config_of(pod, "sha256:x");
  CHECK(config.image == "sha256:x");
  CHECK(config.user_specified_image == "box");
  CHECK(!config.security.masked_paths.empty());
  CHECK(!config.security.readonly_paths.empty());
  CHECK(config.security.namespaces.pid == cri::NamespaceMode::kContainer);
  REQUIRE(config.security.seccomp);
  CHECK(config.security.seccomp->type == cri::SecurityProfile::Type::kRuntimeDefault);
  CHECK(!config.security.privileged);
  CHECK(config.log_path == "main.log");
  CHECK(cri::find_label(config.labels, kContainerLabel) == "main");
}

TEST_CASE("The node's network goes without a host name, and a run of its own has its own uid") {
  PodSpec pod = one();
  pod.hostname = "name";
  PodIdentity identity = who();
  identity.run = 2;
  CHECK(sandbox_config(pod, identity).hostname == "name");
  CHECK(sandbox_config(pod, identity).metadata.uid == "00112233445566778899aabbccddeeff-2");
  identity.host_network = true;
  CHECK(sandbox_config(pod, identity).hostname.empty());
  CHECK(sandbox_config(pod, identity).namespaces.network == cri::NamespaceMode::kNode);
  pod.host_network = false;
  CHECK(sandbox_config(pod, identity).namespaces.network == cri::NamespaceMode::kPod);
}

TEST_CASE("Resources and security, the container's before the pod's") {
  PodSpec pod = one();
  pod.security.run_as_user = 1;
  pod.security.fs_group = 9;
  pod.containers[0].security.run_as_user = 2;
  pod.containers[0].security.allow_escalation = false;
  pod.containers[0].security.drop_capabilities = ~uint64_t{0};
  pod.containers[0].resources = {1, 5, 1024};
  const cri::ContainerConfig config = config_of(pod, "x");
  CHECK(config.security.run_as_user == 2);
  CHECK(config.security.supplemental_groups == std::vector<int64_t>{9});
  CHECK(config.security.no_new_privs);
  CHECK(config.security.drop_capabilities == std::vector<std::string>{"ALL"});
  CHECK(config.resources.cpu_shares == 2);     // the least that there is
  CHECK(config.resources.cpu_quota == 1'000);  // so too
  CHECK(config.resources.cpu_period == 100'000);
  CHECK(config.resources.memory_limit_bytes == 1024);
  pod.containers[0].resources = {300'000, INT64_MAX, 0};
  CHECK(config_of(pod, "x").resources.cpu_shares == 262'144);  // the most that a kernel takes
  CHECK(config_of(pod, "x").resources.cpu_quota > 0);
  pod.containers[0].resources.cpu_request_millis = INT64_MAX;
  CHECK(config_of(pod, "x").resources.cpu_shares == 262'144);
  pod.containers[0].security.privileged = true;
  CHECK(sandbox_config(pod, who()).privileged);
  const cri::ContainerSecurity privileged = config_of(pod, "x").security;
  CHECK(privileged.privileged);
  CHECK(privileged.masked_paths.empty());
  CHECK(privileged.seccomp->type == cri::SecurityProfile::Type::kUnconfined);
}

TEST_CASE("runAsNonRoot") {
  PodSpec pod = one();
  ContainerSpec& container = pod.containers[0];
  CHECK(refuse_root(pod, container, 0, "").empty());
  pod.security.run_as_non_root = true;
  CHECK(!refuse_root(pod, container, 0, "").empty());
  CHECK(!refuse_root(pod, container, {}, "").empty());
  CHECK(!refuse_root(pod, container, {}, "somebody").empty());
  CHECK(refuse_root(pod, container, 5, "").empty());
  container.security.run_as_user = 0;
  CHECK(!refuse_root(pod, container, 5, "").empty());
  container.security.run_as_user = 7;
  CHECK(refuse_root(pod, container, 0, "").empty());
  container.security.run_as_non_root = false;
  container.security.run_as_user.reset();
  CHECK(refuse_root(pod, container, 0, "").empty());
}

unsigned mode_of(const TempDir& dir, const char* path) {
  struct stat info {};
  REQUIRE(::fstatat(dir.fd(), path, &info, 0) == 0);
  return info.st_mode & 07777U;
}

TEST_CASE("Volumes: made, found, refused") {
  const TempDir dir;
  dir.make_dir("task");
  dir.make_dir("host");
  dir.write("file", "x");
  PodSpec pod = one();
  pod.volumes = {{"empty", VolumeSpec::Kind::kEmptyDir, {}, VolumeSpec::PathType::kAny},
                 {"host", VolumeSpec::Kind::kHostPath, dir.path("host"), VolumeSpec::PathType::kDirectory},
                 {"new", VolumeSpec::Kind::kHostPath, dir.path("new/er"), VolumeSpec::PathType::kDirectoryOrCreate},
                 {"wrong", VolumeSpec::Kind::kHostPath, dir.path("file"), VolumeSpec::PathType::kDirectory},
                 {"none", VolumeSpec::Kind::kHostPath, dir.path("none"), VolumeSpec::PathType::kAny}};
  const std::vector<NamedVolume> named = {{"flag", dir.path("host")}};
  const VolumePlace place{dir.fd(), dir.path(), "task", &named};
  REQUIRE(make_pod_folders(pod, place).ok());
  REQUIRE(make_pod_folders(pod, place).ok());
  CHECK(dir.has("task/logs"));
  CHECK(dir.has("task/volumes/empty"));
  const auto resolve = [&](VolumeMount mount) {
    pod.containers[0].mounts = {std::move(mount)};
    Result<std::vector<cri::Mount>> out = resolve_mounts(pod, pod.containers[0], place);
    return out ? out->at(0).host_path : out.error().text();
  };
  CHECK(resolve({"empty", "/x", "", false}) == dir.path("task/volumes/empty"));
  CHECK(resolve({"host", "/x", "", false}) == dir.path("host"));
  CHECK(resolve({"flag", "/x", "", false}) == dir.path("host"));
  CHECK(resolve({"new", "/x", "", false}) == dir.path("new/er"));
  CHECK(mode_of(dir, "new") == 0755);
  CHECK(mode_of(dir, "new/er") == 0755);
  CHECK(resolve({"wrong", "/x", "", false}).find("\"wrong\"") != std::string::npos);
  CHECK(resolve({"none", "/x", "", false}).find("No such file") != std::string::npos);
  CHECK(resolve({"lost", "/x", "", false}).find("--volume does not have it") != std::string::npos);
  CHECK(resolve({"empty", "/x", "a/b", false}) == dir.path("task/volumes/empty/a/b"));
  CHECK(mode_of(dir, "task/volumes/empty/a") == 0777);
  CHECK(mode_of(dir, "task/volumes/empty/a/b") == 0777);
  CHECK(mode_of(dir, "task/logs") == 0700);
  // As in Kubernetes, the group of a volume is the group of all in it.
  REQUIRE(::chmod(dir.path("task/volumes/empty").c_str(), 02777) == 0);
  CHECK(resolve({"empty", "/x", "c", false}) == dir.path("task/volumes/empty/c"));
  CHECK(mode_of(dir, "task/volumes/empty/c") == 02777);
  // A link that a container has left must lead nowhere.
  REQUIRE(::symlink("/", dir.path("task/volumes/empty/link").c_str()) == 0);
  CHECK(resolve({"empty", "/x", "link", false}).find("ELOOP") != std::string::npos);
  CHECK(resolve({"empty", "/x", "link/etc", false}).find("ELOOP") != std::string::npos);
}

TEST_CASE("Credentials: the registry of an image, and the entry that fits best") {
  CHECK(registry_of("ubuntu") == "docker.io");
  CHECK(registry_of("library/ubuntu") == "docker.io");
  CHECK(registry_of("localhost/x") == "localhost");
  CHECK(registry_of("host:5000/x:1") == "host:5000");
  CHECK(registry_of("a.example/x/y@sha256:0") == "a.example");
  const std::string_view config =
      R"({"auths":{"https://index.docker.io/v1/":{"auth":"hub"},"a.example":{"auth":"a"},)"
      R"("a.example/team":{"auth":"team"},"http://host:5000/":{"auth":"host"}},"credsStore":"x"})";
  CHECK(auth_for(config, "ubuntu:latest") == "hub");
  CHECK(auth_for(config, "docker.io/library/ubuntu") == "hub");
  CHECK(auth_for(config, "index.docker.io/team/x:1") == "hub");
  CHECK(auth_for(config, "index.docker.io.example/x") == "none");
  CHECK(auth_for(config, "a.example/x") == "a");
  CHECK(auth_for(config, "a.example/team/x:1") == "team");
  CHECK(auth_for(config, "a.example/teammate/x") == "a");
  CHECK(auth_for(config, "host:5000/x") == "host");
  CHECK(auth_for(config, "b.example/x") == "none");
  CHECK(auth_for("{", "x") == "error");
  CHECK(auth_for(R"({"auths":[]})", "x") == "error");
}

TEST_CASE("A container whose texts expand to too much gets no configuration") {
  PodSpec pod = one();
  pod.containers[0].env = {{"A", std::string(100'000, 'x')}, {"B", "$(A)$(A)$(A)$(A)"}, {"C", "$(B)$(B)$(B)"}};
  cri::ContainerConfig out;
  const Result<void> made = container_config(pod, 0, who(), "x", out);
  REQUIRE(!made);
  CHECK(made.error().text() == "env: expands to more than 1 MiB");
}

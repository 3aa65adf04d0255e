#include <doctest/doctest.h>

#include <string>

#include "../wire/hex.h"
#include "cri/container.h"
#include "cri/container_config.h"
#include "cri/container_event.h"
#include "cri/image.h"
#include "cri/sandbox.h"
#include "cri/version.h"

using namespace te;
using namespace te::cri;

namespace {

template <class Request>
std::string encoded(const Request& request) {
  std::string out;
  encode(request, out);
  return out;
}

/// A message as nested text: "1{1='a' 4=2} 2=''", each length-delimited field shown as a message where `paths` says so.
std::string dump(std::string_view bytes, const std::string& messages, const std::string& prefix = "") {
  ProtoReader reader(bytes);
  std::string out;
  ProtoField field;
  for (;;) {
    const Result<bool> more = reader.next(field);
    REQUIRE(more);
    if (!*more) return out;
    if (!out.empty()) out += ' ';
    const std::string path = prefix + std::to_string(field.number);
    out += std::to_string(field.number);
    if (field.type != ProtoType::kBytes) {
      out += "=" + std::to_string(static_cast<int64_t>(field.value));
    } else if ((" " + messages + " ").find(" " + path + " ") != std::string::npos) {
      out += "{" + dump(field.bytes, messages, path + ".") + "}";
    } else {
      out += "='" + std::string(field.bytes) + "'";
    }
  }
}

}  // namespace

TEST_CASE("cri: a sandbox with the safe defaults") {
  RunPodSandboxRequest request;
  request.config.metadata = {"pod", "u1", "ns", 2};
  request.config.log_directory = "/logs";
  request.config.labels = {{"k", "v"}, {"empty", ""}};
  request.runtime_handler = "runsc";
  CHECK(dump(encoded(request), "1 1.1 1.6 1.8 1.8.2 1.8.2.1 1.8.2.9") ==
        "1{1{1='pod' 2='u1' 3='ns' 4=2} 3='/logs' 6{1='k' 2='v'} 6{1='empty'} 8{2{1{2=1} 9{}}}} 2='runsc'");
}

TEST_CASE("cri: everything that a sandbox can have") {
  RunPodSandboxRequest request;
  SandboxConfig& config = request.config;
  config.hostname = "h";
  config.dns = DnsConfig{{"1.1.1.1", "8.8.8.8"}, {"local"}, {"ndots:2"}};
  config.port_mappings = {{PortMapping::Protocol::kUdp, 53, 5'353, "127.0.0.1"}};
  config.annotations = {{"a", "b"}};
  config.cgroup_parent = "/te";
  config.namespaces = {NamespaceMode::kNode, NamespaceMode::kNode, NamespaceMode::kNode};
  config.run_as_user = 0;
  config.run_as_group = 5;
  config.privileged = true;
  config.seccomp.reset();
  config.sysctls = {{"net.x", "1"}};
  CHECK(dump(encoded(request), "1 1.1 1.4 1.5 1.7 1.8 1.8.2 1.8.2.1 1.8.2.3 1.8.2.8 1.8.3") ==
        "1{1{} 2='h' 4{1='1.1.1.1' 1='8.8.8.8' 2='local' 3='ndots:2'} 5{1=1 2=53 3=5353 4='127.0.0.1'} "
        "7{1='a' 2='b'} 8{1='/te' 2{1{1=2 2=2 3=2} 3{} 6=1 8{1=5}} 3{1='net.x' 2='1'}}}");
}

TEST_CASE("cri: a container with the safe defaults") {
  CreateContainerRequest request;
  request.pod_sandbox_id = "s";
  request.config.name = "main";
  request.config.image = "busybox";
  request.config.command = {"sh", ""};
  request.config.security.masked_paths = {"/m"};
  request.config.security.readonly_paths = {"/r"};
  CHECK(dump(encoded(request),
             "2 2.1 2.2 2.15 2.15.1 2.15.2 2.15.2.1 2.15.2.3 2.15.2.15 3 3.1 3.8 3.8.2 3.8.2.1 3.8.2.9") ==
        "1='s' 2{1{1='main'} 2{1='busybox'} 3='sh' 3='' 15{1{} 2{1{} 3{2=1} 13='/m' 14='/r' 15{}}}} "
        "3{1{} 8{2{1{2=1} 9{}}}}");
  // Empty lists would leave /proc/sys writable.
  CHECK(ContainerSecurity().masked_paths.size() >= 9);
  CHECK(ContainerSecurity().readonly_paths.size() == 5);
}

TEST_CASE("cri: everything that a container can have") {
  CreateContainerRequest request;
  ContainerConfig& config = request.config;
  config.attempt = 3;
  config.user_specified_image = "busybox:1";
  config.args = {"a"};
  config.working_dir = "/w";
  config.envs = {{"K", ""}};
  config.mounts = {{"/c", "/h", true, Mount::Propagation::kBidirectional}};
  config.devices = {{"/dev/a", "/dev/b", "rw"}};
  config.labels = {{"l", "1"}};
  config.annotations = {{"n", "2"}};
  config.log_path = "x.log";
  config.stdin_open = config.stdin_once = config.tty = true;
  config.resources = {100'000, -1, 512, 1'000'000, -998, "0-1"};
  ContainerSecurity& security = config.security;
  security.add_capabilities = {"NET_ADMIN"};
  security.drop_capabilities = {"ALL"};
  security.privileged = true;
  security.run_as_user = 0;
  security.run_as_username = "u";
  security.run_as_group = 7;
  security.readonly_rootfs = true;
  security.supplemental_groups = {0, 9};
  security.no_new_privs = true;
  security.masked_paths.clear();
  security.readonly_paths.clear();
  security.seccomp = SecurityProfile{SecurityProfile::Type::kLocalhost, "p.json"};
  CHECK(dump(encoded(request).substr(0),
             "2 2.1 2.2 2.6 2.7 2.8 2.9 2.10 2.15 2.15.1 2.15.2 2.15.2.1 2.15.2.3 2.15.2.5 2.15.2.12 2.15.2.15 3 3.1 "
             "3.8 3.8.2 3.8.2.1 3.8.2.9") ==
        "2{1{2=3} 2{18='busybox:1'} 4='a' 5='/w' 6{1='K'} 7{1='/c' 2='/h' 3=1 5=2} 8{1='/dev/a' 2='/dev/b' 3='rw'} "
        "9{1='l' 2='1'} 10{1='n' 2='2'} 11='x.log' 12=1 13=1 14=1 "
        "15{1{1=100000 2=-1 3=512 4=1000000 5=-998 6='0-1'} "
        "2{1{1='NET_ADMIN' 2='ALL'} 2=1 3{2=1} 5{} 6='u' 7=1 8=0 8=9 11=1 12{1=7} 15{1=2 2='p.json'}}}} "
        "3{1{} 8{2{1{2=1} 9{}}}}");
}

TEST_CASE("cri: small requests") {
  CHECK(dump(encoded(VersionRequest()), "") == "1='0.1.0'");
  CHECK(dump(encoded(StopPodSandboxRequest{"a"}), "") == "1='a'");
  CHECK(dump(encoded(RemovePodSandboxRequest{"a"}), "") == "1='a'");
  CHECK(dump(encoded(StartContainerRequest{"a"}), "") == "1='a'");
  CHECK(dump(encoded(StopContainerRequest{"a", 30}), "") == "1='a' 2=30");
  CHECK(dump(encoded(StopContainerRequest{"a", 0}), "") == "1='a'");
  CHECK(dump(encoded(RemoveContainerRequest{"a"}), "") == "1='a'");
  CHECK(dump(encoded(ContainerStatusRequest{"a"}), "") == "1='a'");
  CHECK(dump(encoded(ContainerStatsRequest{"a"}), "") == "1='a'");
  CHECK(encoded(GetContainerEventsRequest()).empty());
  CHECK(dump(encoded(ListPodSandboxRequest{"a", SandboxState::kReady, {{"k", "v"}}}), "1 1.2 1.3") ==
        "1{1='a' 2{} 3{1='k' 2='v'}}");
  CHECK(dump(encoded(ListPodSandboxRequest{}), "1") == "1{}");
  CHECK(dump(encoded(ListContainersRequest{"a", ContainerState::kExited, "s", {{"k", "v"}}}), "1 1.2 1.4") ==
        "1{1='a' 2{1=2} 3='s' 4{1='k' 2='v'}}");
  CHECK(dump(encoded(ImageStatusRequest{"i"}), "1") == "1{1='i'}");
  PullImageRequest pull;
  pull.image = "i";
  pull.auth = ImageAuth{"u", "p", "a", "s", "it", "rt"};
  CHECK(dump(encoded(pull), "1 2") == "1{1='i'} 2{1='u' 2='p' 3='a' 4='s' 5='it' 6='rt'}");
  pull.auth.reset();
  pull.sandbox_config.emplace();
  CHECK(dump(encoded(pull), "1 3 3.1 3.8 3.8.2 3.8.2.1 3.8.2.9") == "1{1='i'} 3{1{} 8{2{1{2=1} 9{}}}}");
}

TEST_CASE("cri: a container's status") {
  std::string bytes;
  ProtoWriter writer(bytes);
  writer.message(1, [](ProtoWriter& status) {
    status.text(1, "id");
    status.message(2, [](ProtoWriter& metadata) {
      metadata.text(1, "main");
      metadata.integer(2, 4);
    });
    status.integer(3, 2);
    status.integer(4, 11);
    status.integer(5, 12);
    status.integer(6, 13);
    status.integer(7, -1);
    status.message(8, [](ProtoWriter& image) { image.text(1, "busybox"); });
    status.text(9, "sha256:1");
    status.text(10, "Error");
    status.text(11, "it failed");
    status.message(12, [](ProtoWriter& label) {
      label.text(2, "v");
      label.text(1, "k");
    });
    status.text(15, "/logs/x");
    status.text(99, "of a later version");
  });
  ContainerStatusResponse response;
  REQUIRE(decode(bytes, response));
  const ContainerStatus& status = response.status;
  CHECK(status.id == "id");
  CHECK(status.name == "main");
  CHECK(status.attempt == 4);
  CHECK(status.state == ContainerState::kExited);
  CHECK(status.created_at_ns == 11);
  CHECK(status.started_at_ns == 12);
  CHECK(status.finished_at_ns == 13);
  CHECK(status.exit_code == -1);
  CHECK(status.image == "busybox");
  CHECK(status.image_ref == "sha256:1");
  CHECK(status.reason == "Error");
  CHECK(status.message == "it failed");
  CHECK(status.labels == Labels{{"k", "v"}});
  CHECK(find_label(status.labels, "k") == "v");
  CHECK(find_label(status.labels, "x").empty());
  CHECK(status.log_path == "/logs/x");

  // CREATED is 0 and so never written; what is unknown to us is UNKNOWN.
  ContainerStatusResponse created;
  REQUIRE(decode(from_hex("0a03 0a0161"), created));
  CHECK(created.status.state == ContainerState::kCreated);
  ContainerStatusResponse other;
  REQUIRE(decode(from_hex("0a02 1809"), other));
  CHECK(other.status.state == ContainerState::kUnknown);
}

TEST_CASE("cri: lists") {
  std::string bytes;
  ProtoWriter writer(bytes);
  for (int i = 0; i < 2; ++i) {
    writer.message(1, [&](ProtoWriter& item) {
      item.text(1, "c" + std::to_string(i));
      item.text(2, "s");
      item.message(3, [](ProtoWriter& metadata) { metadata.text(1, "main"); });
      item.integer(6, i);
      item.integer(7, 5);
      item.message(8, [](ProtoWriter& label) { label.text(1, "k"); });
    });
  }
  ListContainersResponse containers;
  REQUIRE(decode(bytes, containers));
  REQUIRE(containers.containers.size() == 2);
  CHECK(containers.containers[0].state == ContainerState::kCreated);
  CHECK(containers.containers[1].id == "c1");
  CHECK(containers.containers[1].pod_sandbox_id == "s");
  CHECK(containers.containers[1].name == "main");
  CHECK(containers.containers[1].state == ContainerState::kRunning);
  CHECK(containers.containers[1].created_at_ns == 5);
  CHECK(containers.containers[1].labels == Labels{{"k", ""}});

  bytes.clear();
  writer.message(1, [](ProtoWriter& item) {
    item.text(1, "s0");
    item.message(2, [](ProtoWriter& metadata) {
      metadata.text(1, "pod");
      metadata.text(2, "uid");
      metadata.text(3, "ns");
      metadata.integer(4, 1);
    });
    item.integer(3, 1);
    item.integer(4, 9);
  });
  ListPodSandboxResponse sandboxes;
  REQUIRE(decode(bytes, sandboxes));
  REQUIRE(sandboxes.items.size() == 1);
  CHECK(sandboxes.items[0].id == "s0");
  CHECK(sandboxes.items[0].metadata.name == "pod");
  CHECK(sandboxes.items[0].metadata.uid == "uid");
  CHECK(sandboxes.items[0].metadata.name_space == "ns");
  CHECK(sandboxes.items[0].metadata.attempt == 1);
  CHECK(sandboxes.items[0].state == SandboxState::kNotReady);
  CHECK(sandboxes.items[0].created_at_ns == 9);
}

TEST_CASE("cri: images, stats, events and ids") {
  ImageStatusResponse absent;
  REQUIRE(decode("", absent));
  CHECK_FALSE(absent.image.has_value());
  std::string bytes;
  ProtoWriter writer(bytes);
  writer.message(1, [](ProtoWriter& image) {
    image.text(1, "sha256:2");
    image.text(2, "a:1");
    image.text(2, "a:2");
    image.wrapped(5, 0);
    image.text(6, "nobody");
  });
  ImageStatusResponse image;
  REQUIRE(decode(bytes, image));
  REQUIRE(image.image.has_value());
  CHECK(image.image->id == "sha256:2");
  CHECK(image.image->repo_tags == std::vector<std::string>{"a:1", "a:2"});
  CHECK(image.image->uid == 0);
  CHECK(image.image->username == "nobody");

  bytes.clear();
  writer.message(1, [](ProtoWriter& stats) {
    stats.message(2, [](ProtoWriter& cpu) { cpu.wrapped(2, 77); });
    stats.message(3, [](ProtoWriter& memory) {
      memory.wrapped(2, 0);
      memory.wrapped(5, 9);
    });
  });
  ContainerStatsResponse stats;
  REQUIRE(decode(bytes, stats));
  CHECK(stats.cpu_nanos == 77);
  CHECK(stats.working_set_bytes == 0);
  CHECK_FALSE(stats.usage_bytes.has_value());
  CHECK(stats.rss_bytes == 9);

  bytes.clear();
  writer.text(1, "c");
  writer.integer(2, 2);
  writer.integer(3, 8);
  writer.text(4, "a sandbox's status, which is not looked at");
  ContainerEvent event;
  REQUIRE(decode(bytes, event));
  CHECK(event.container_id == "c");
  CHECK(event.type == ContainerEvent::Type::kStopped);
  CHECK(event.created_at_ns == 8);

  const std::string id = from_hex("0a03") + "abc";
  RunPodSandboxResponse sandbox;
  CreateContainerResponse container;
  PullImageResponse pulled;
  REQUIRE(decode(id, sandbox));
  REQUIRE(decode(id, container));
  REQUIRE(decode(id, pulled));
  CHECK(sandbox.pod_sandbox_id == "abc");
  CHECK(container.container_id == "abc");
  CHECK(pulled.image_ref == "abc");
}

TEST_CASE("cri: answers that are no messages, and those with too many elements") {
  StartContainerResponse nothing;
  CHECK(decode("", nothing));
  CHECK(decode(from_hex("9a0600"), nothing));
  CHECK_FALSE(decode(from_hex("0a05"), nothing));
  ContainerStatusResponse status;
  CHECK_FALSE(decode(from_hex("0801"), status));
  std::string many;
  for (size_t i = 0; i <= ElementBudget::kMax; ++i) many += std::string("\x0a\x00", 2);
  ListContainersResponse list;
  const Result<void> result = decode(many, list);
  REQUIRE_FALSE(result);
  CHECK(result.error().context == "too many elements in one answer");
}

TEST_CASE("cri: events are asked for only where they are broadcast") {
  const auto broadcasts = [](std::string name, std::string version) {
    return broadcasts_events({"0.1.0", std::move(name), std::move(version), "v1"});
  };
  CHECK_FALSE(broadcasts("containerd", "1.6.20~ds1"));
  CHECK_FALSE(broadcasts("containerd", "v1.7.24"));
  CHECK(broadcasts("containerd", "v2.0.1"));
  CHECK(broadcasts("containerd", "2.1.0-rc.1"));
  CHECK_FALSE(broadcasts("containerd", "unknown"));
  CHECK_FALSE(broadcasts("containerd", ""));
  CHECK_FALSE(broadcasts("cri-o", "2.0.0"));
}

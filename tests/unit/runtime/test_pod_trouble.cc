// A run in containers whose runtime, disk or earlier agent makes trouble: it ends, and tells the truth about it.
#include "pod_bench.h"

using namespace te;
using namespace te::fake;

namespace {

PodSpec pod_of(std::vector<std::string> names, std::vector<std::string> initial = {}) {
  const auto made = [](const std::vector<std::string>& all) {
    std::vector<ContainerSpec> out;
    for (const std::string& name : all) {
      out.emplace_back();
      out.back().name = name;
      out.back().image = "box";
    }
    return out;
  };
  PodSpec pod;
  pod.containers = made(names);
  pod.init_containers = made(initial);
  pod.is_template = true;
  return pod;
}

int64_t count(const PodBench& bench, std::string_view call) {
  return std::count(bench.cri->journal.begin(), bench.cri->journal.end(), call);
}

/// Turns until that much time has passed, or nothing is waited for; at most `most` of them.
int pass(PodBench& bench, MonoNanos time, int most = 5000) {
  const MonoNanos end = bench.clock.now + time;
  int turns = 0;
  while (bench.clock.now < end && turns < most && !bench.gone && bench.turn()) ++turns;
  return turns;
}

bool runs(const PodBench& bench) { return bench.first().stage == ContainerStage::kRunning; }

void set_state(PodBench& bench, cri::ContainerState state) {
  for (auto& [id, one] : bench.world.containers) one.summary.state = one.status.state = state;
}

}  // namespace

TEST_CASE("The end of a container is seen after a restart, whatever another one of its pod did meanwhile") {
  PodBench bench(pod_of({"main", "second"}));
  bench.start();
  REQUIRE(bench.until([&] { return bench.world.starts["second"] == 1; }));
  for (int i = 0; i < 6; ++i) bench.turn();
  bench.world.end("second", 0);
  bench.crash();
  pass(bench, kSecond);
  bench.world.end("main", 3);
  REQUIRE(bench.until_gone());
  CHECK(bench.store.exit->pod->containers[0].exit_code == 3);
}

TEST_CASE("A pod's deadline counts while its sandbox is made again and again") {
  PodSpec pod = pod_of({"main"});
  pod.timeout_seconds = 5;
  PodBench bench(std::move(pod));
  bench.cri->chance = [](Method method) -> std::optional<Fault> {
    if (method != Method::kRunPodSandbox) return std::nullopt;
    return Fault{Verdict::kNewAttempt, false, "cni plugin not initialized"};
  };
  bench.start();
  const MonoNanos begin = bench.clock.now;
  REQUIRE(bench.until_gone());
  CHECK(bench.clock.now - begin < 10 * kSecond);
  CHECK(bench.store.exit->cause == EndCause::kTimeout);
}

TEST_CASE("A container whose state the runtime does not know is stopped when it is to end") {
  PodBench bench(PodBench::one());
  bench.start();
  REQUIRE(bench.until([&] { return runs(bench); }));
  set_state(bench, cri::ContainerState::kUnknown);
  pass(bench, 2 * kSecond);
  bench.runtime->stop(bench.task);
  REQUIRE(bench.until_gone());
  CHECK(!bench.cri->stops.empty());
  CHECK(bench.world.containers.empty());
}

TEST_CASE("A container whose state the runtime does not know for long is lost, and removed") {
  PodBench bench(PodBench::one());
  bench.start();
  REQUIRE(bench.until([&] { return runs(bench); }));
  set_state(bench, cri::ContainerState::kUnknown);
  const MonoNanos begin = bench.clock.now;
  bench.runtime->on_runtime_up(bench.cri->version);
  REQUIRE(bench.until_gone());
  CHECK(bench.clock.now - begin > 20 * kSecond);
  CHECK(!bench.store.exit);
  CHECK(bench.store.run);
  CHECK(bench.world.containers.empty());
}

TEST_CASE("A container that is said to run although it was stopped is stopped again, once a tick") {
  PodBench bench(PodBench::one());
  bench.start();
  REQUIRE(bench.until([&] { return runs(bench); }));
  bench.cri->stop_kills = false;
  bench.runtime->stop(bench.task);
  pass(bench, 10 * kSecond);
  CHECK(!bench.gone);
  CHECK(bench.cri->stops.size() > 5);
  CHECK(bench.cri->stops.size() < 30);
  bench.cri->stop_kills = true;
  CHECK(bench.until_gone());
}

TEST_CASE("A container that ended by itself before its timeout is not told as one that timed out") {
  PodSpec pod = PodBench::one();
  pod.timeout_seconds = 10;
  PodBench bench(std::move(pod));
  bench.cri->on_start = [&](CriWorld::Container& one) { one.status.started_at_ns = bench.clock.wall() * kMicrosecond; };
  bench.start();
  REQUIRE(bench.until([&] { return runs(bench); }));
  const MonoNanos deadline = bench.clock.now + 10 * kSecond;
  // In the last wait, which ends with the deadline.
  REQUIRE(bench.until(
      [&] { return bench.cri->waiting() == 0 && bench.runtime->next_deadline() >= deadline - 10 * kMillisecond; }));
  bench.world.end("main", 0);
  REQUIRE(bench.until_gone());
  CHECK(bench.store.exit->cause == EndCause::kEnded);
  CHECK(bench.store.exit->pod->containers[0].exit_code == 0);
  CHECK(bench.cri->stops.empty());
}

TEST_CASE("Nothing is polled for while no container runs") {
  PodBench bench(pod_of({"main"}, {"init"}));
  bool refusing = false;
  bench.cri->chance = [&](Method method) -> std::optional<Fault> {
    if (method != Method::kCreateContainer || bench.world.starts["init"] == 0) return std::nullopt;
    refusing = true;
    return Fault{Verdict::kRetry, false, "busy"};
  };
  bench.start();
  REQUIRE(bench.until([&] { return bench.world.starts["init"] == 1; }));
  for (int i = 0; i < 20; ++i) bench.turn();
  bench.world.end("init", 0);
  REQUIRE(bench.until([&] { return refusing; }));
  const int64_t before = count(bench, "ListContainers");
  pass(bench, 10 * kSecond);
  CHECK(count(bench, "ListContainers") - before < 5);
}

TEST_CASE("News of one container's image are not written over another one's end") {
  PodBench bench(pod_of({"main", "second"}));
  bool gone_away = true;
  bench.cri->chance = [&](Method method) -> std::optional<Fault> {
    if (method != Method::kPullImage || !gone_away) return std::nullopt;
    return Fault{Verdict::kBackOff, false, "503"};
  };
  bench.start();
  REQUIRE(bench.until([&] { return runs(bench); }));
  bench.cri->faults[Method::kCreateContainer].push_back({Verdict::kImageMissing});
  bench.world.images.clear();
  REQUIRE(bench.until([&] { return bench.task.run.pod->containers[1].reason == "ErrImagePull"; }));
  bench.world.end("main", 137, "OOMKilled");
  REQUIRE(bench.until([&] { return bench.first().ended(); }));
  gone_away = false;
  bench.world.images["box"].id = "sha256:box";
  REQUIRE(bench.until([&] { return bench.world.starts["second"] == 1; }));
  CHECK(bench.first().reason == "OOMKilled");
  for (int i = 0; i < 20; ++i) bench.turn();
  bench.world.end("second", 0);
  REQUIRE(bench.until_gone());
  CHECK(bench.store.exit->pod->containers[0].reason == "OOMKilled");
  CHECK(bench.store.exit->pod->containers[0].exit_code == 137);
}

TEST_CASE("A full disk does not keep a container alive that has timed out or is deleted") {
  PodSpec pod = PodBench::one();
  pod.timeout_seconds = 5;
  PodBench bench(std::move(pod));
  bench.cri->on_start = [&](CriWorld::Container& one) { one.status.started_at_ns = bench.clock.wall() * kMicrosecond; };
  SUBCASE("it runs") {
    bench.start();
    REQUIRE(bench.until([&] { return runs(bench); }));
    bench.store.failing = 1 << 30;
    pass(bench, 20 * kSecond);
    CHECK(bench.cri->stops.size() == 1);
    bench.store.failing = 0;  // the end has room of its own
    REQUIRE(bench.until_gone());
    CHECK(bench.store.exit->cause == EndCause::kTimeout);
  }
  SUBCASE("its first note could not be written") {
    bench.start();
    REQUIRE(bench.until([&] { return count(bench, "CreateContainer") == 1; }));
    bench.store.failing = 1 << 30;
    for (int i = 0; i < 50; ++i) bench.turn();
    bench.runtime->stop(bench.task);
    REQUIRE(bench.until([&] { return bench.world.containers.empty(); }, 200));
    bench.store.failing = 0;
    REQUIRE(bench.until_gone());
    CHECK(bench.world.starts["main"] == 0);
  }
}

TEST_CASE("A sandbox that an earlier agent asked for is removed when it comes after the DELETE") {
  PodBench bench(PodBench::one());
  bench.start();
  REQUIRE(bench.until([&] { return count(bench, "ImageStatus") == 1; }));
  bench.crash();
  bench.runtime->on_runtime_up(bench.cri->version);
  bench.runtime->stop(bench.task);
  REQUIRE(bench.until_gone());
  bench.supervised = false;
  cri::SandboxSummary late;
  late.id = "late";
  late.labels = {{"task-executor.owner", std::string(32, 'a')},
                 {"task-executor.uid", std::string(bench.task.uid.view())}};
  bench.world.sandboxes["late"] = late;
  bench.until([&] { return bench.world.sandboxes.empty(); });
  CHECK(bench.world.sandboxes.empty());
  bench.until([] { return false; });  // and then there is no tick any more
  CHECK(bench.runtime->next_deadline() == kNever);
  CHECK(bench.releases == 1);
}

TEST_CASE("What could not be adopted yet is no orphan") {
  PodBench bench(PodBench::one());
  bench.start();
  REQUIRE(bench.until([&] { return runs(bench); }));
  bench.runtime.reset();
  bench.boot();
  bench.store.read_error = EMFILE;
  CHECK(!bench.runtime->adopt(bench.task).ok());
  bench.runtime->on_runtime_up(bench.cri->version);  // another task has made the connection
  for (int i = 0; i < 20; ++i) bench.turn();
  CHECK(bench.world.containers.size() == 1);
  bench.store.read_error = 0;
  REQUIRE(bench.runtime->adopt(bench.task).ok());
  bench.world.end("main", 4);
  REQUIRE(bench.until_gone());
  CHECK(bench.store.exit->pod->containers[0].exit_code == 4);
}

TEST_CASE("A start that the runtime gives up each time is an error in the end") {
  PodBench bench(PodBench::one());
  bench.cri->on_start = [&](CriWorld::Container& one) {
    bench.world.end(one.summary.name, 128, "StartError");
    one.status.message = "failed to create containerd task: failed to create shim task: context deadline exceeded";
  };
  bench.start();
  REQUIRE(bench.until_gone());
  CHECK(bench.world.starts["main"] < 10);
  CHECK(bench.store.exit->cause == EndCause::kStartError);
}

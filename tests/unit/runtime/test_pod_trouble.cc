// A run in containers whose runtime, disk or earlier agent makes trouble: it ends, and tells the truth about it.
#include <sys/resource.h>

#include <cstdint>
#include <limits>
#include <utility>

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

/// That call fails each time, by the word of a runtime that is there, as long as `condition` holds.
template <class Condition>
void fail_each(PodBench& bench, Method method, Condition condition) {
  bench.cri->chance = [method, condition](Method called) -> std::optional<Fault> {
    if (called != method || !condition()) return std::nullopt;
    return Fault{Verdict::kRetry, false, "it is not to be", true};
  };
}

cri::Labels labels_of(const PodBench& bench) {
  return {{"task-executor.owner", std::string(32, 'a')}, {"task-executor.uid", std::string(bench.task.uid.view())}};
}

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

TEST_CASE("A task whose directory was taken away by hand comes to its end") {
  PodBench bench(PodBench::one());
  bench.start();
  SUBCASE("deleted before anything ran") {
    REQUIRE(bench.until([&] { return !bench.world.sandboxes.empty(); }));
    bench.store.failing = 1 << 30;
    bench.store.error = ENOENT;
    bench.runtime->stop(bench.task);
  }
  SUBCASE("and something else stands there") {
    bench.store.failing = 1 << 30;
    bench.store.error = ENOTDIR;
    bench.runtime->stop(bench.task);
  }
  SUBCASE("about to run") {
    REQUIRE(bench.until([&] { return !bench.world.containers.empty(); }));
    bench.store.failing = 1 << 30;
    bench.store.error = ENOENT;
  }
  REQUIRE(bench.until_gone());
  CHECK(bench.world.starts.empty());
  CHECK(bench.world.empty());
  CHECK(!bench.store.exit);
}

TEST_CASE("A jump of the wall clock moves no deadline") {
  PodSpec pod = pod_of({"main"}, {"init"});
  pod.timeout_seconds = 60;
  PodBench bench(std::move(pod));
  bench.start();
  const MonoNanos begin = bench.clock.now;
  REQUIRE(bench.until([&] { return runs(bench); }));
  SUBCASE("forwards") { bench.clock.jumped = 3600 * kSecond / kMicrosecond; }
  SUBCASE("backwards") { bench.clock.jumped = -3600 * kSecond / kMicrosecond; }
  bench.world.end("init", 0);
  REQUIRE(bench.until([&] { return bench.world.starts["main"] == 1; }));
  REQUIRE(bench.until_gone());
  CHECK(bench.store.exit->cause == EndCause::kTimeout);
  CHECK(bench.clock.now - begin > 59 * kSecond);
  CHECK(bench.clock.now - begin < 70 * kSecond);
}

TEST_CASE("A container whose status can't be had is no reason to stay for ever") {
  PodSpec pod = pod_of({"main", "second"});
  pod.timeout_seconds = 40;
  PodBench bench(std::move(pod));
  bench.start();
  REQUIRE(bench.until([&] { return bench.world.starts["second"] == 1; }));
  pass(bench, kSecond);
  bench.world.end("second", 4);
  REQUIRE(bench.until([&] { return bench.task.run.pod->containers[1].ended(); }));
  fail_each(bench, Method::kContainerStatus, [] { return true; });
  const MonoNanos begin = bench.clock.now;
  SUBCASE("deleted") { bench.runtime->stop(bench.task); }
  SUBCASE("timed out") {}
  REQUIRE(bench.until_gone());
  CHECK(bench.clock.now - begin > 20 * kSecond);
  CHECK(bench.clock.now - begin < 90 * kSecond);
  CHECK(bench.world.empty());
  CHECK(bench.cri->stops.size() >= 1);
}

TEST_CASE("A container whose status can't be had hides no other one's end") {
  PodBench bench(pod_of({"main", "second"}));
  bench.start();
  REQUIRE(bench.until([&] { return bench.world.starts["second"] == 1; }));
  pass(bench, kSecond);
  set_state(bench, cri::ContainerState::kUnknown);
  pass(bench, kSecond);
  bench.world.end("second", 4);
  pass(bench, 5 * kSecond);
  CHECK(bench.task.run.pod->containers[1].ended());
  CHECK(bench.task.run.pod->containers[1].exit_code == 4);
}

TEST_CASE("A runtime that is away for long says nothing about a container") {
  PodBench bench(PodBench::one());
  bench.start();
  REQUIRE(bench.until([&] { return runs(bench); }));
  bool away = true;
  bench.crash();
  bench.cri->chance = [&](Method) -> std::optional<Fault> {
    if (!away) return std::nullopt;
    return Fault{Verdict::kRetry};
  };
  SUBCASE("it shows as running") {}
  SUBCASE("also when it is to end") { bench.runtime->stop(bench.task); }
  CHECK(runs(bench));
  pass(bench, 300 * kSecond);
  CHECK(!bench.gone);
  away = false;
  bench.world.end("main", 5);
  REQUIRE(bench.until_gone());
  CHECK(bench.store.exit->pod->containers[0].exit_code == 5);
}

TEST_CASE("What a runtime may be about to start is not told as never started") {
  PodBench bench(PodBench::one());
  bench.cri->faults[Method::kStartContainer].push_back({Verdict::kLookAgain});
  bench.start();
  REQUIRE(bench.until([&] { return count(bench, "StartContainer") == 1; }));
  bool starting = true;
  SUBCASE("it was, by a call whose answer got lost") {}
  SUBCASE("it was, by a call of an earlier agent") { bench.crash(); }
  SUBCASE("it was not") { starting = false; }
  const bool will_run = starting;
  fail_each(bench, Method::kRemoveContainer, [&] { return starting; });
  bench.runtime->stop(bench.task);
  if (will_run) {
    pass(bench, 2 * kSecond);
    CHECK(!bench.gone);
    CHECK(!bench.store.exit);
    starting = false;
    set_state(bench, cri::ContainerState::kRunning);
  }
  REQUIRE(bench.until_gone());
  REQUIRE(bench.store.exit);
  CHECK(bench.cri->stops.size() == (will_run ? 1 : 0));
  if (will_run) CHECK(bench.store.exit->pod->containers[0].exit_code == 143);
  if (!will_run) CHECK(bench.store.exit->cause == EndCause::kStartError);
  CHECK(bench.world.empty());
}

TEST_CASE("runAsNonRoot is looked at with each image that is fetched") {
  PodSpec pod = PodBench::one();
  pod.security.run_as_non_root = true;
  PodBench bench(std::move(pod));
  bench.world.images["box"].uid = 1000;
  bench.start();
  SUBCASE("the first one") { bench.world.images["box"].uid = 0; }
  SUBCASE("after a restart of the agent") {
    REQUIRE(bench.until([&] { return !bench.world.sandboxes.empty(); }));
    bench.world.images["box"].uid = 0;
    bench.store.run->pod->step = PodStep::kRun;
    bench.store.run->pod->sandbox_id = bench.world.sandboxes.begin()->first;
    bench.crash();
  }
  SUBCASE("when it was missing") {
    bench.cri->faults[Method::kCreateContainer].push_back({Verdict::kImageMissing});
    REQUIRE(bench.until([&] { return count(bench, "CreateContainer") == 1; }));
    bench.world.images["box"].uid = 0;
  }
  REQUIRE(bench.until_gone());
  CHECK(bench.store.exit->cause == EndCause::kStartError);
  CHECK(bench.store.exit->pod->failure.find("root") != std::string::npos);
  CHECK(bench.world.starts.empty());
}

TEST_CASE("A shortage of the host delays a mount, and does not fail the task") {
  PodSpec pod = PodBench::one();
  pod.volumes = {{"v", VolumeSpec::Kind::kEmptyDir, {}, VolumeSpec::PathType::kAny}};
  pod.containers[0].mounts = {{"v", "/v", "a/b", false}};
  PodBench bench(std::move(pod));
  bench.start();
  REQUIRE(bench.until([&] { return count(bench, "ImageStatus") == 1; }));
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none{3, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  pass(bench, 2 * kSecond);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(bench.first().message.find("volume \"v\": subPath") == 0);
  CHECK(bench.first().message.find("EMFILE") != std::string::npos);
  CHECK(!bench.gone);
  REQUIRE(bench.until([&] { return runs(bench); }));
}

TEST_CASE("What the runtime makes after the DELETE is removed") {
  PodBench bench(PodBench::one());
  SUBCASE("a sandbox of a call whose answer got lost") {
    bench.cri->faults[Method::kRunPodSandbox].push_back({Verdict::kLookAgain});
    bench.start();
    REQUIRE(bench.until([&] { return count(bench, "RunPodSandbox") == 1; }));
  }
  SUBCASE("a container of an earlier agent's call, whose sandbox is known") {
    bench.start();
    REQUIRE(bench.until([&] { return count(bench, "CreateContainer") == 1; }));
    bench.world.containers.clear();
    bench.store.run->pod->step = PodStep::kRun;
    bench.store.run->pod->sandbox_id = bench.world.sandboxes.begin()->first;
    bench.crash();
  }
  bench.runtime->on_runtime_up(bench.cri->version);
  bench.runtime->stop(bench.task);
  REQUIRE(bench.until_gone());
  bench.supervised = false;
  REQUIRE(bench.world.empty());
  pass(bench, 60 * kSecond);
  CriWorld::Container late;  // its sandbox has gone
  late.summary.id = late.status.id = "late";
  late.summary.labels = labels_of(bench);
  bench.world.containers["late"] = late;
  CHECK(bench.until([&] { return bench.world.empty(); }));
  bench.until([] { return false; });
  CHECK(bench.releases == 1);
}

TEST_CASE("What appears while there is no connection is removed with the next one") {
  PodBench bench(PodBench::one());
  bench.cri->on_start = [&](CriWorld::Container& one) { bench.world.end(one.summary.name, 0); };
  bench.start();
  bench.runtime->on_runtime_up(bench.cri->version);
  bench.until([] { return false; });
  REQUIRE(bench.releases == 1);
  cri::SandboxSummary late;
  late.id = "late";
  late.labels = labels_of(bench);
  late.labels.back().value = "somebody";
  bench.world.sandboxes["late"] = late;
  bench.store.exit.reset();
  bench.gone = false;
  bench.start();
  bench.runtime->on_runtime_up(bench.cri->version);
  bench.until([] { return false; });
  CHECK(bench.world.empty());
}

TEST_CASE("A runtime that pulls an image and does not have it is asked again with patience") {
  PodBench bench(PodBench::one());
  bool loses = true;
  bench.cri->chance = [&](Method method) -> std::optional<Fault> {
    if (method == Method::kImageStatus && loses) bench.world.images.clear();
    return std::nullopt;
  };
  bench.start();
  pass(bench, 60 * kSecond);
  CHECK(bench.cri->pulls.size() > 2);
  CHECK(bench.cri->pulls.size() < 10);
  CHECK(bench.reasons.back() == "ImagePullBackOff");
  loses = false;
  CHECK(bench.until([&] { return runs(bench); }));
}

TEST_CASE("A grace is no longer than what a runtime can reckon with") {
  PodSpec pod = PodBench::one();
  pod.grace_seconds = std::numeric_limits<int64_t>::max();
  PodBench bench(std::move(pod));
  bench.start();
  REQUIRE(bench.until([&] { return runs(bench); }));
  bench.runtime->stop(bench.task);
  REQUIRE(bench.until_gone());
  CHECK(bench.cri->stops.at(0).grace_seconds == std::numeric_limits<int32_t>::max());
}

TEST_CASE("The time that a stop takes is no part of the patience with a container's state") {
  PodSpec pod = PodBench::one();
  pod.timeout_seconds = 5;
  pod.grace_seconds = 60;
  PodBench bench(std::move(pod));
  bench.cri->on_start = [&](CriWorld::Container& one) { one.status.started_at_ns = bench.clock.wall() * kMicrosecond; };
  bench.cri->on_stop = [&](CriWorld::Container& one) {
    bench.clock.now += 33 * kSecond;
    CriWorld::end(one, 143);
  };
  bench.start();
  REQUIRE(bench.until([&] { return runs(bench); }));
  int failed = 0;  // once before the stop, and once after it
  fail_each(bench, Method::kContainerStatus,
            [&] { return failed < 2 && failed == count(bench, "StopContainer") && ++failed > 0; });
  REQUIRE(bench.until_gone());
  CHECK(failed == 2);
  REQUIRE(bench.store.exit);
  CHECK(bench.store.exit->cause == EndCause::kTimeout);
  CHECK(bench.store.exit->pod->containers[0].exit_code == 143);
  CHECK(bench.world.empty());
}

TEST_CASE("A task that has timed out is told as that, even where nobody knows how it ended") {
  PodSpec pod = PodBench::one();
  pod.timeout_seconds = 5;
  PodBench bench(std::move(pod));
  bench.cri->on_start = [&](CriWorld::Container& one) { one.status.started_at_ns = bench.clock.wall() * kMicrosecond; };
  bench.start();
  REQUIRE(bench.until([&] { return runs(bench); }));
  bool crashes = false;
  SUBCASE("its container is gone after the stop") {
    bench.cri->on_stop = [&](CriWorld::Container&) { bench.world.containers.clear(); };
  }
  SUBCASE("and the agent dies while the rest is removed") {
    bench.cri->on_stop = [&](CriWorld::Container&) { bench.world.containers.clear(); };
    crashes = true;
  }
  SUBCASE("its state can't be had") {
    fail_each(bench, Method::kContainerStatus, [] { return true; });
  }
  if (crashes) {
    REQUIRE(bench.until([&] { return count(bench, "StopPodSandbox") == 1; }));
    bench.crash();
  }
  REQUIRE(bench.until_gone());
  REQUIRE(bench.store.exit);
  CHECK(bench.store.exit->cause == EndCause::kTimeout);
  const ContainerRecord& only = bench.store.exit->pod->containers[0];
  CHECK(only.ended());
  CHECK(only.exit_code == 137);
  CHECK(only.message.find("not known") != std::string::npos);
  CHECK(bench.world.empty());
}

TEST_CASE("What the runtime forgot, and then knows again, is removed") {
  PodBench bench(PodBench::one());
  bench.start();
  REQUIRE(bench.until([&] { return runs(bench); }));
  bench.runtime->on_runtime_up(bench.cri->version);
  for (int i = 0; i < 20; ++i) bench.turn();
  const auto sandboxes = std::exchange(bench.world.sandboxes, {});
  const auto containers = std::exchange(bench.world.containers, {});
  REQUIRE(bench.until_gone());
  CHECK(!bench.store.exit);
  bench.supervised = false;
  bench.world.sandboxes = sandboxes;
  bench.world.containers = containers;
  bench.until([] { return false; });
  CHECK(bench.world.empty());
  CHECK(bench.releases == 1);
}

TEST_CASE("An agent looks for what an earlier one asked for, whose task has gone") {
  PodBench bench(PodBench::one());
  bench.supervised = false;
  SUBCASE("there were container tasks") {
    MonoNanos moment = 9 * kSecond;
    SUBCASE("soon") {}
    SUBCASE("in the last moment") { moment = 299 * kSecond; }
    bench.dir.write(std::string(kOwnerFile), "");
    bench.boot();
    pass(bench, moment);
    cri::SandboxSummary late;
    late.id = "late";
    late.labels = labels_of(bench);
    bench.world.sandboxes["late"] = late;
    bench.until([] { return false; });
    CHECK(bench.world.empty());
    CHECK(bench.releases == 1);
  }
  SUBCASE("there was none ever") {
    bench.boot();
    CHECK(bench.runtime->next_deadline() == kNever);
  }
  CHECK(bench.runtime->next_deadline() == kNever);
}

TEST_CASE("Nothing is made anew under a uid that is being cleared away") {
  PodBench bench(PodBench::one());
  bench.supervised = false;
  cri::SandboxSummary left;
  left.id = "left";
  left.labels = labels_of(bench);
  bench.world.sandboxes["left"] = left;
  bench.dir.write(std::string(kOwnerFile), "");
  bench.boot();
  REQUIRE(bench.until([&] { return bench.cri->next() == Method::kRemovePodSandbox; }));
  const Result<bool> refused = bench.runtime->start(bench.task, 1);
  REQUIRE(!refused);
  CHECK(refused.error().code == EBUSY);
  CHECK(!bench.store.run);
  REQUIRE(bench.until([&] { return bench.world.empty(); }));
  bench.turn();
  bench.start();
  REQUIRE(bench.until([&] { return runs(bench); }));
}

TEST_CASE("An answer from before the end of a run makes no orphan of what the next run has made") {
  PodBench bench(PodBench::one());
  bench.supervised = false;
  Method method = Method::kListContainers;
  SUBCASE("containers") {}
  SUBCASE("sandboxes") { method = Method::kListPodSandbox; }
  bench.start();
  REQUIRE(bench.until([&] { return runs(bench); }));
  bench.runtime->on_runtime_up(bench.cri->version);
  REQUIRE(bench.until([&] { return bench.cri->next() == method; }));
  const std::function<void()> answer = bench.cri->answer_later();
  bench.runtime->stop(bench.task);
  REQUIRE(bench.until_gone());
  CHECK(bench.world.empty());
  answer();
  REQUIRE(bench.cri->next() == Method::kListContainers);
  const std::function<void()> of_a_cleaner = bench.cri->answer_later();
  bench.gone = false;
  bench.store.exit.reset();
  bench.world.starts.clear();
  bench.start();
  REQUIRE(bench.until([&] { return bench.world.starts["main"] == 1; }));
  of_a_cleaner();
  pass(bench, 20 * kSecond);
  CHECK(runs(bench));
  CHECK(bench.world.sandboxes.size() == 1);
  CHECK(count(bench, "RemovePodSandbox") == 1);
}

TEST_CASE("An exit code that would be a success by its low byte alone is none") {
  for (const int code : {256, -256, 65536, INT32_MIN}) {
    CAPTURE(code);
    PodBench bench(PodBench::one());
    bench.cri->on_start = [&](CriWorld::Container& one) { bench.world.end(one.summary.name, code); };
    bench.start();
    REQUIRE(bench.until_gone());
    REQUIRE(bench.store.exit);
    CHECK(bench.store.exit->wait_status == 255 << 8);
    CHECK(bench.store.exit->pod->containers[0].exit_code == 255);
  }
}

TEST_CASE("An image that is there for one call and missing for the other is pulled with patience") {
  PodBench bench(PodBench::one());
  bool missing = true;
  bench.cri->chance = [&](Method method) -> std::optional<Fault> {
    if (method != Method::kCreateContainer || !missing) return std::nullopt;
    return Fault{Verdict::kImageMissing, false, "image \"box\" not found"};
  };
  bench.start();
  pass(bench, 60 * kSecond);
  CHECK(bench.cri->pulls.size() > 3);
  CHECK(bench.cri->pulls.size() < 15);
  missing = false;
  CHECK(bench.until([&] { return runs(bench); }));
}

TEST_CASE("A stop that finds no runtime is not told as a container that does not end") {
  PodBench bench(PodBench::one());
  bench.start();
  REQUIRE(bench.until([&] { return runs(bench); }));
  bool told = false;
  SUBCASE("it is away") {}
  SUBCASE("it is there, and fails") { told = true; }
  bench.cri->faults[Method::kStopContainer].push_back({Verdict::kRetry, false, "no", told});
  bench.runtime->stop(bench.task);
  REQUIRE(bench.until_gone());
  CHECK(bench.cri->stops.size() == 2);
  CHECK((bench.log.text.find("does not end") != std::string::npos) == told);
}

TEST_CASE("A code that the runtime has not read yet is waited for, and at last not invented") {
  PodBench bench(PodBench::one());
  bench.start();
  REQUIRE(bench.until([&] { return runs(bench); }));
  bench.world.end("main", -1);
  SUBCASE("it comes") {
    pass(bench, 2 * kSecond);
    CHECK(!bench.store.exit);
    bench.world.end("main", 0);
    REQUIRE(bench.until_gone());
    CHECK(bench.store.exit->pod->containers[0].exit_code == 0);
  }
  SUBCASE("it never comes") {
    REQUIRE(bench.until_gone());
    CHECK(!bench.store.exit);  // lost
  }
}

TEST_CASE("One that runs since never has its timeout all the same, and no time before 1970 is told") {
  PodSpec pod = PodBench::one();
  pod.timeout_seconds = 5;
  PodBench bench(std::move(pod));
  SUBCASE("it runs") {
    bench.cri->on_start = [](CriWorld::Container& one) { one.status.started_at_ns = 0; };
    bench.start();
    REQUIRE(bench.until_gone());
    CHECK(bench.store.exit->cause == EndCause::kTimeout);
  }
  SUBCASE("it has ended") {
    bench.cri->on_start = [](CriWorld::Container& one) {
      CriWorld::end(one, 3);
      one.status.started_at_ns = one.status.finished_at_ns = -6'795'364'578'871'345'152;  // Go's zero time
    };
    bench.start();
    REQUIRE(bench.until_gone());
    CHECK(bench.store.exit->started_at >= 0);
    CHECK(bench.store.exit->pod->containers[0].finished_at == 0);
  }
}

TEST_CASE("A sandbox that stays in the list whatever is said is removed once a tick, and told of once") {
  PodBench bench(PodBench::one());
  bench.cri->on_start = [](CriWorld::Container& one) { CriWorld::end(one, 0); };
  bench.start();
  REQUIRE(bench.until([&] { return bench.store.exit.has_value(); }));
  const std::map<std::string, cri::SandboxSummary> sandboxes = bench.world.sandboxes;
  const MonoNanos begin = bench.clock.now;
  while (bench.clock.now < begin + 10 * kSecond) {
    bench.world.sandboxes = sandboxes;
    REQUIRE(bench.turn());
    REQUIRE(count(bench, "RemovePodSandbox") < 30);
  }
  CHECK(bench.log.text.find("sandbox stays") != std::string::npos);
  CHECK(bench.log.text.find("sandbox stays") == bench.log.text.rfind("sandbox stays"));
  REQUIRE(bench.until_gone());
  CHECK(bench.store.exit->pod->containers[0].exit_code == 0);
}

TEST_CASE("A start that changes nothing is not made in a hurry") {
  PodBench bench(PodBench::one());
  bench.cri->on_start = [](CriWorld::Container& one) {
    one.summary.state = one.status.state = cri::ContainerState::kCreated;
  };
  bench.start();
  pass(bench, 10 * kSecond);
  CHECK(bench.world.starts["main"] > 1);
  CHECK(bench.world.starts["main"] < 600);
}

TEST_CASE("That no list comes is told, once") {
  PodBench bench(PodBench::one());
  bench.start();
  REQUIRE(bench.until([&] { return runs(bench); }));
  bool fails = true;
  fail_each(bench, Method::kListContainers, [&] { return fails; });
  bench.world.end("main", 4);
  pass(bench, 20 * kSecond);
  const size_t told = bench.log.text.find("can't be listed");
  REQUIRE(told != std::string::npos);
  CHECK(told == bench.log.text.rfind("can't be listed"));
  fails = false;
  REQUIRE(bench.until_gone());
  CHECK(bench.store.exit->pod->containers[0].exit_code == 4);
}

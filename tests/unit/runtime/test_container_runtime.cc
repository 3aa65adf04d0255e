#include "pod_bench.h"

using namespace te;
using namespace te::fake;

namespace {

using Names = std::vector<std::string>;

/// The container ends at once with that code.
void ends_with(PodBench& bench, int code) {
  bench.cri->on_start = [&bench, code](CriWorld::Container& one) { bench.world.end(one.summary.name, code); };
}

void check_run_once(PodBench& bench, int code) {
  REQUIRE(bench.until_gone());
  REQUIRE(bench.store.exit);
  CHECK(bench.store.exit->cause == EndCause::kEnded);
  CHECK(bench.store.exit->pod->containers.at(0).exit_code == code);
  CHECK(bench.world.starts["main"] == 1);
  CHECK(bench.world.violations == Names{});
  CHECK(bench.world.empty());
}

PodSpec with_init() {
  PodSpec pod = PodBench::one();
  ContainerSpec init;
  init.name = "init";
  init.image = "box";
  pod.init_containers.push_back(init);
  ContainerSpec second;
  second.name = "second";
  second.image = "box";
  pod.containers.push_back(second);
  return pod;
}

}  // namespace

TEST_CASE("A container runs: each call once, each step written before it is taken") {
  PodBench bench(PodBench::one());
  ends_with(bench, 3);
  bench.start();
  check_run_once(bench, 3);
  CHECK(bench.store.journal == Names{"run", "run", "exit"});
  CHECK(bench.cri->journal == Names{"ImageStatus", "RunPodSandbox", "CreateContainer", "StartContainer",
                                    "ContainerStatus", "ListContainers", "RemoveContainer", "ListPodSandbox",
                                    "StopPodSandbox", "RemovePodSandbox", "ListPodSandbox"});
  CHECK(bench.store.run->pod->step == PodStep::kRemoved);
  CHECK(bench.reasons == Names{"ContainerCreating"});
}

TEST_CASE("Nothing is started before run.json says so, and a disk that fails is waited for") {
  PodBench bench(PodBench::one());
  ends_with(bench, 0);
  bench.start();
  REQUIRE(bench.until([&] { return !bench.world.containers.empty(); }));
  bench.store.failing = 3;
  bench.turn();
  bench.turn();
  CHECK(bench.world.starts["main"] == 0);
  check_run_once(bench, 0);
}

TEST_CASE("The agent dies at any step: the true code, one run, nothing left") {
  for (int steps = 0; steps < 30; ++steps) {
    CAPTURE(steps);
    PodBench bench(PodBench::one());
    ends_with(bench, 5);
    bench.start();
    for (int i = 0; i < steps && !bench.gone; ++i) bench.turn();
    if (!bench.gone) bench.crash();
    check_run_once(bench, 5);
  }
}

TEST_CASE("The agent dies at any two steps of a pod") {
  for (int first = 0; first < 40; first += 3) {
    for (int second = 0; second < 40; second += 5) {
      CAPTURE(first);
      CAPTURE(second);
      PodBench bench(with_init());
      ends_with(bench, 0);
      bench.start();
      for (const int steps : {first, second}) {
        for (int i = 0; i < steps && !bench.gone; ++i) bench.turn();
        if (!bench.gone) bench.crash();
      }
      REQUIRE(bench.until_gone());
      CHECK(bench.store.exit->cause == EndCause::kEnded);
      CHECK(bench.world.starts == std::map<std::string, int>{{"init", 1}, {"main", 1}, {"second", 1}});
      CHECK(bench.world.violations == Names{});
      CHECK(bench.world.empty());
    }
  }
}

TEST_CASE("An answer is lost, of any call, done or not") {
  for (const Method method :
       {Method::kImageStatus, Method::kRunPodSandbox, Method::kCreateContainer, Method::kStartContainer,
        Method::kContainerStatus, Method::kListContainers, Method::kRemoveContainer, Method::kListPodSandbox,
        Method::kStopPodSandbox, Method::kRemovePodSandbox}) {
    for (const bool done : {false, true}) {
      for (const int times : {1, 2}) {
        CAPTURE(cri::method_name(method));
        CAPTURE(done);
        PodBench bench(PodBench::one());
        ends_with(bench, 4);
        const bool creates = cri::method_effect(method) == cri::Effect::kCreates;
        for (int i = 0; i < times; ++i) {
          bench.cri->faults[method].push_back({creates ? Verdict::kLookAgain : Verdict::kRetry, done && i == 0});
        }
        bench.start();
        check_run_once(bench, 4);
        CHECK(bench.world.max_sandboxes == 1);
      }
    }
  }
}

TEST_CASE("Not connected: every call is repeated, with patience") {
  PodBench bench(PodBench::one());
  ends_with(bench, 0);
  for (int i = 0; i < 3; ++i) {
    for (const Method method : {Method::kImageStatus, Method::kRunPodSandbox, Method::kCreateContainer,
                                Method::kStartContainer, Method::kContainerStatus, Method::kListContainers}) {
      bench.cri->faults[method].push_back({Verdict::kRetry, false, "connect: No such file"});
    }
  }
  bench.start();
  bench.turn();
  CHECK(bench.first().message.find("No such file") != std::string::npos);
  CHECK(bench.first().reason == "ContainerCreating");
  check_run_once(bench, 0);
}

TEST_CASE("Reserved names: adopted when it is there, else the next attempt") {
  SUBCASE("there") {
    PodBench bench(PodBench::one());
    ends_with(bench, 1);
    bench.cri->faults[Method::kRunPodSandbox].push_back({Verdict::kReserved, true});
    bench.cri->faults[Method::kCreateContainer].push_back({Verdict::kReserved, true});
    bench.start();
    check_run_once(bench, 1);
    CHECK(bench.world.max_sandboxes == 1);
  }
  SUBCASE("not there") {
    PodBench bench(PodBench::one());
    ends_with(bench, 1);
    for (int i = 0; i < 2; ++i) {
      bench.cri->faults[Method::kRunPodSandbox].push_back({Verdict::kReserved});
      bench.cri->faults[Method::kCreateContainer].push_back({Verdict::kReserved});
    }
    bench.start();
    REQUIRE(bench.until([&] { return !bench.world.containers.empty(); }));
    CHECK(bench.world.sandboxes.begin()->second.metadata.attempt == 1);
    CHECK(bench.world.containers.begin()->second.summary.attempt == 2);
    check_run_once(bench, 1);
  }
}

TEST_CASE("A sandbox that can't be made, or has died, is made anew with the next attempt") {
  PodBench bench(PodBench::one());
  ends_with(bench, 0);
  bench.cri->faults[Method::kRunPodSandbox].push_back({Verdict::kNewAttempt, false, "no network yet"});
  bench.cri->faults[Method::kCreateContainer].push_back({Verdict::kNewAttempt, false, "sandbox is not running"});
  bench.start();
  REQUIRE(bench.until([&] { return bench.first().message.find("no network yet") != std::string::npos; }));
  REQUIRE(bench.until([&] { return !bench.world.containers.empty(); }));
  CHECK(bench.world.sandboxes.begin()->second.metadata.attempt == 2);
  check_run_once(bench, 0);
  CHECK(bench.world.max_sandboxes == 1);
}

TEST_CASE("A sandbox left NOTREADY by an earlier agent is removed") {
  PodBench bench(PodBench::one());
  ends_with(bench, 0);
  bench.start();
  REQUIRE(bench.until([&] { return !bench.world.sandboxes.empty(); }));
  bench.world.sandboxes.begin()->second.state = cri::SandboxState::kNotReady;
  bench.crash();
  check_run_once(bench, 0);
  CHECK(bench.world.max_sandboxes == 1);
}

TEST_CASE("Failures that no patience helps are start errors, with their text") {
  for (const Method method : {Method::kPullImage, Method::kRunPodSandbox, Method::kCreateContainer}) {
    CAPTURE(cri::method_name(method));
    PodBench bench(PodBench::one("elsewhere:1"));
    bench.cri->faults[method].push_back({Verdict::kFail, false, "it is not to be"});
    bench.start();
    REQUIRE(bench.until_gone());
    CHECK(bench.store.exit->cause == EndCause::kStartError);
    CHECK(bench.store.exit->pod->failure.find("it is not to be") != std::string::npos);
    CHECK(bench.world.empty());
    CHECK(bench.world.starts.empty());
  }
}

TEST_CASE("Texts that expand to too much end the run before its container is made") {
  PodSpec pod = PodBench::one();
  pod.containers[0].env = {{"A0", "xxxxxxxxxxxxxxxx"}};
  for (int i = 1; i <= 40; ++i) {
    const std::string before = "$(A" + std::to_string(i - 1) + ")";
    pod.containers[0].env.push_back({"A" + std::to_string(i), before + before});
  }
  PodBench bench(std::move(pod));
  bench.start();
  REQUIRE(bench.until_gone());
  CHECK(bench.store.exit->cause == EndCause::kStartError);
  CHECK(bench.store.exit->pod->failure == "env: expands to more than 1 MiB");
  CHECK(bench.world.empty());
}

TEST_CASE("StartContainer fails: the container's own status tells how") {
  SUBCASE("the runtime's word") {
    PodBench bench(PodBench::one());
    bench.cri->faults[Method::kStartContainer].push_back({Verdict::kFail, true, "runc failed"});
    bench.cri->on_start = [&](CriWorld::Container& one) {
      bench.world.end("main", 128, "StartError");
      one.status.message = "exec: \"/none\": no such file or directory";
    };
    bench.start();
    REQUIRE(bench.until_gone());
    CHECK(bench.store.exit->cause == EndCause::kStartError);
    CHECK(bench.store.exit->pod->failure.find("/none") != std::string::npos);
    CHECK(bench.store.exit->started_at == 0);
  }
  SUBCASE("still CREATED") {
    PodBench bench(PodBench::one());
    bench.cri->faults[Method::kStartContainer].push_back({Verdict::kFail, false, "runc failed"});
    bench.start();
    REQUIRE(bench.until_gone());
    CHECK(bench.store.exit->cause == EndCause::kStartError);
    CHECK(bench.store.exit->pod->failure.find("runc failed") != std::string::npos);
    CHECK(bench.world.starts.empty());
    CHECK(bench.world.empty());
  }
  SUBCASE("it had been started before") {
    PodBench bench(PodBench::one());
    ends_with(bench, 9);
    bench.cri->faults[Method::kStartContainer].push_back({Verdict::kAlreadyStarted, true});
    bench.start();
    check_run_once(bench, 9);
  }
}

TEST_CASE("An image is pulled when it is missing, and what fails for now is tried again") {
  PodBench bench(PodBench::one("elsewhere:1"));
  ends_with(bench, 0);
  for (int i = 0; i < 3; ++i)
    bench.cri->faults[Method::kPullImage].push_back({Verdict::kBackOff, false, "503 Service"});
  bench.start();
  const MonoNanos begin = bench.clock.now;
  check_run_once(bench, 0);
  CHECK(bench.reasons ==
        Names{"ContainerCreating", "PullingImage", "ErrImagePull", "ImagePullBackOff", "ContainerCreating"});
  CHECK(bench.cri->pulls.size() == 4);
  CHECK(bench.clock.now - begin > 6 * kSecond);  // 1 + 2 + 4 s of patience
}

TEST_CASE("Patience with an image outlasts whatever wakes the runtime in between") {
  for (const Method method : {Method::kImageStatus, Method::kPullImage}) {
    PodBench bench(PodBench::one("elsewhere:1"));
    ends_with(bench, 0);
    bench.cri->faults[method].push_back({Verdict::kRetry});
    bench.start();
    REQUIRE(bench.until([&] { return bench.cri->faults[method].empty(); }));
    bench.runtime->on_runtime_up({});
    check_run_once(bench, 0);
  }
}

TEST_CASE("Pull policies") {
  SUBCASE("Never") {
    PodSpec pod = PodBench::one("elsewhere:1");
    pod.containers[0].pull_policy = PullPolicy::kNeverPull;
    PodBench bench(std::move(pod));
    bench.start();
    REQUIRE(bench.until_gone());
    CHECK(bench.store.exit->pod->failure.find("ErrImageNeverPull") == 0);
    CHECK(bench.cri->pulls.empty());
  }
  SUBCASE("Always") {
    PodSpec pod = PodBench::one();
    pod.containers[0].pull_policy = PullPolicy::kAlways;
    PodBench bench(std::move(pod));
    ends_with(bench, 0);
    bench.start();
    check_run_once(bench, 0);
    CHECK(bench.cri->pulls.size() == 1);
  }
  SUBCASE("latest without a policy: the one that is there does when no newer one can be had") {
    PodSpec pod = PodBench::one();
    pod.containers[0].pull_policy = PullPolicy::kPreferNewest;
    PodBench bench(std::move(pod));
    ends_with(bench, 0);
    bench.cri->faults[Method::kPullImage].push_back({Verdict::kBackOff, false, "dial tcp"});
    bench.start();
    check_run_once(bench, 0);
    CHECK(bench.cri->pulls.size() == 1);
  }
  SUBCASE("so too when there are no credentials") {
    PodSpec pod = PodBench::one();
    pod.containers[0].pull_policy = PullPolicy::kPreferNewest;
    PodBench bench(std::move(pod));
    bench.registry_auth_file = bench.dir.path() + "/nothing";
    bench.boot();
    ends_with(bench, 0);
    bench.start();
    check_run_once(bench, 0);
    CHECK(bench.cri->pulls.empty());
  }
  SUBCASE("no credentials, and no image: it is tried again, ever more slowly") {
    PodBench bench(PodBench::one("elsewhere:1"));
    bench.registry_auth_file = bench.dir.path() + "/nothing";
    bench.boot();
    bench.start();
    const MonoNanos begin = bench.clock.now;
    REQUIRE(bench.until([&] { return bench.first().reason == "ImagePullBackOff"; }));
    CHECK(bench.first().message.find("/nothing") != std::string::npos);
    int turns = 0;
    while (bench.clock.now < begin + 3600 * kSecond && bench.turn()) ++turns;
    CHECK(turns < 100);
  }
  SUBCASE("gone between ImageStatus and CreateContainer") {
    PodBench bench(PodBench::one());
    ends_with(bench, 0);
    bench.cri->faults[Method::kCreateContainer].push_back({Verdict::kImageMissing});
    bench.start();
    check_run_once(bench, 0);
    CHECK(bench.cri->pulls.size() == 1);
  }
}

TEST_CASE("Stopped while an image is pulled: as if it had never been started") {
  PodBench bench(PodBench::one("elsewhere:1"));
  bench.start();
  REQUIRE(bench.until([&] { return !bench.cri->pulls.empty(); }));
  bench.runtime->sweep(bench.task);
  REQUIRE(bench.until_gone());
  CHECK(!bench.store.exit);
  CHECK(!bench.store.run);
  CHECK(bench.world.images.count("elsewhere:1") == 0);  // the pull was cancelled
  CHECK(bench.world.empty());
}

TEST_CASE("A run whose record can't be read just now is not given up") {
  PodBench bench(PodBench::one());
  bench.start();
  REQUIRE(bench.until([&] { return bench.first().stage == ContainerStage::kRunning; }));
  bench.runtime.reset();
  bench.boot();
  bench.store.read_error = EMFILE;
  CHECK(!bench.runtime->adopt(bench.task).ok());
  bench.store.read_error = 0;
  CHECK(bench.runtime->adopt(bench.task).ok());
  bench.world.end("main", 3);
  REQUIRE(bench.until_gone());
  REQUIRE(bench.store.exit);
  CHECK(bench.store.exit->wait_status == 3 << 8);
}

TEST_CASE("Stopped at any step: it ends, and nothing is left") {
  for (int steps = 0; steps < 14; ++steps) {
    CAPTURE(steps);
    PodBench bench(PodBench::one());
    bench.start();
    for (int i = 0; i < steps; ++i) bench.turn();
    bench.runtime->stop(bench.task);
    bench.runtime->stop(bench.task);
    REQUIRE(bench.until_gone());
    CHECK(bench.world.empty());
    CHECK(bench.world.violations == Names{});
    CHECK(bench.store.exit.has_value() == bench.store.run.has_value());
    if (bench.world.starts["main"] != 0) {
      REQUIRE(bench.store.exit);
      CHECK(bench.store.exit->pod->containers[0].exit_code == 143);
    } else if (bench.store.exit) {
      CHECK(bench.store.exit->cause == EndCause::kStartError);
    }
  }
}

TEST_CASE("A stop that is cut off is made again, with the grace of the task") {
  PodSpec pod = PodBench::one();
  pod.grace_seconds = 42;
  PodBench bench(std::move(pod));
  bench.cri->faults[Method::kStopContainer] = {{Verdict::kRetry}, {Verdict::kRetry}};
  bench.start();
  REQUIRE(bench.until([&] { return bench.world.starts["main"] == 1; }));
  bench.runtime->stop(bench.task);
  REQUIRE(bench.until_gone());
  CHECK(bench.cri->stops.size() == 3);
  CHECK(bench.cri->stops.back().grace_seconds == 42);
  CHECK(bench.store.exit->pod->containers[0].exit_code == 143);
}

TEST_CASE("The timeout counts from the start, is written down, and outlives the agent") {
  PodSpec pod = PodBench::one();
  pod.timeout_seconds = 60;
  PodBench bench(std::move(pod));
  bench.start();
  REQUIRE(bench.until([&] { return bench.first().stage == ContainerStage::kRunning; }));
  // The container's start by the runtime's clock is this clock's zero.
  const MonoNanos begin = bench.clock.now;
  for (auto& [id, one] : bench.world.containers) one.status.started_at_ns = bench.clock.wall() * 1'000;
  SUBCASE("agent up") {}
  SUBCASE("agent killed while it is stopped") {
    REQUIRE(bench.until([&] { return bench.store.run->pod->step == PodStep::kStop; }));
    bench.crash();
  }
  REQUIRE(bench.until_gone());
  CHECK(bench.store.exit->cause == EndCause::kTimeout);
  CHECK(bench.store.exit->pod->containers[0].exit_code == 143);
  CHECK(bench.clock.now - begin < 120 * kSecond);
  CHECK(bench.world.empty());
}

TEST_CASE("A timeout that passes while the end is cleaned up wakes nobody") {
  PodSpec pod = PodBench::one();
  pod.timeout_seconds = 1;
  PodBench bench(std::move(pod));
  for (int i = 0; i < 10; ++i) bench.cri->faults[Method::kRemoveContainer].push_back({Verdict::kRetry});
  bench.cri->on_start = [&](CriWorld::Container& one) { one.status.started_at_ns = bench.clock.wall() * kMicrosecond; };
  bench.start();
  REQUIRE(bench.until([&] { return bench.first().stage == ContainerStage::kRunning; }));
  const MonoNanos begin = bench.clock.now;
  bench.world.end("main", 0);
  check_run_once(bench, 0);
  CHECK(bench.clock.now - begin > 2 * kSecond);
}

TEST_CASE("A pod's deadline counts from the very beginning") {
  PodSpec pod = PodBench::one("elsewhere:1");
  pod.timeout_seconds = 5;
  pod.is_template = true;
  PodBench bench(std::move(pod));
  for (int i = 0; i < 9; ++i) bench.cri->faults[Method::kPullImage].push_back({Verdict::kBackOff});
  bench.start();
  REQUIRE(bench.until_gone());
  CHECK(bench.store.exit->cause == EndCause::kTimeout);
  CHECK(bench.world.starts.empty());
}

TEST_CASE("A start that was cut off with the agent: made anew when nothing ran, else lost") {
  PodBench bench(PodBench::one());
  bench.start();
  REQUIRE(bench.until([&] { return bench.world.starts["main"] == 1; }));
  bench.world.end("main", 128, "StartError");
  CriWorld::Container& one = bench.world.containers.begin()->second;
  SUBCASE("created only") {
    one.status.message = "failed to create containerd task: failed to create shim task: context canceled: unknown";
    bench.world.starts.clear();
    ends_with(bench, 3);
    bench.crash();
    SUBCASE("") {}
    SUBCASE("and killed again on the way") {
      for (int i = 0; i < 6; ++i) bench.turn();
      bench.crash();
    }
    check_run_once(bench, 3);
  }
  SUBCASE("perhaps started") {
    one.status.message = "failed to start containerd task \"x\": context canceled: unknown";
    bench.crash();
    REQUIRE(bench.until_gone());
    CHECK(!bench.store.exit);
    CHECK(bench.world.empty());
  }
}

TEST_CASE("What the runtime no longer knows is lost, and no code is invented") {
  SUBCASE("the container is gone") {
    PodBench bench(PodBench::one());
    bench.start();
    REQUIRE(bench.until([&] { return bench.world.starts["main"] == 1; }));
    bench.world.containers.clear();
    REQUIRE(bench.until_gone());
    CHECK(!bench.store.exit);
    CHECK(bench.store.run);
    CHECK(bench.world.empty());
  }
  SUBCASE("255 and Unknown, as after a reboot") {
    PodBench bench(PodBench::one());
    bench.start();
    REQUIRE(bench.until([&] { return bench.world.starts["main"] == 1; }));
    bench.world.end("main", 255, "Unknown");
    bench.crash();
    REQUIRE(bench.until_gone());
    CHECK(!bench.store.exit);
  }
  SUBCASE("255 alone is a code") {
    PodBench bench(PodBench::one());
    ends_with(bench, 255);
    bench.start();
    check_run_once(bench, 255);
  }
  SUBCASE("run.json can't be read") {
    PodBench bench(PodBench::one());
    bench.start();
    REQUIRE(bench.until([&] { return bench.world.starts["main"] == 1; }));
    bench.store.run = RunRecord();
    bench.crash();
    REQUIRE(bench.until_gone());
    CHECK(!bench.store.exit);
    CHECK(bench.world.empty());
  }
}

TEST_CASE("An end is seen by the poll, the sooner the shorter it ran, and by an event at once") {
  PodBench bench(PodBench::one());
  bench.start();
  REQUIRE(bench.until([&] { return bench.first().stage == ContainerStage::kRunning; }));
  const MonoNanos begin = bench.clock.now;
  REQUIRE(bench.until([&] { return bench.clock.now > begin + 40 * kMillisecond; }));
  bench.world.end("main", 2);
  const MonoNanos ended = bench.clock.now;
  SUBCASE("poll") {
    check_run_once(bench, 2);
    CHECK(bench.clock.now - ended < 30 * kMillisecond);
  }
  SUBCASE("event") {
    bench.cri->version = {"0.1.0", "containerd", "2.0.0", "v1"};
    bench.runtime->on_runtime_up(bench.cri->version);
    REQUIRE(bench.cri->events != nullptr);
    bench.cri->events->on_container_event({bench.first().id, cri::ContainerEvent::Type::kStopped, 0});
    check_run_once(bench, 2);
    CHECK(bench.clock.now == ended);
  }
}

TEST_CASE("An end is seen by the poll of a runtime that measures nothing and tells no events") {
  PodBench bench(PodBench::one());
  bench.cri->faults[Method::kContainerStats].push_back({Verdict::kUnsupported});
  bench.start();
  REQUIRE(bench.until([&] { return bench.first().stage == ContainerStage::kRunning; }));
  const MonoNanos begin = bench.clock.now;
  REQUIRE(bench.until([&] { return bench.clock.now > begin + 60 * kSecond; }));
  bench.world.end("main", 3);
  const MonoNanos ended = bench.clock.now;
  check_run_once(bench, 3);
  CHECK(bench.clock.now - ended < kSecond);
}

TEST_CASE("An init container that fails is the end; usage is the most that was measured") {
  PodBench bench(with_init());
  bench.cri->on_start = [&](CriWorld::Container& one) { bench.world.end(one.summary.name, 6); };
  bench.start();
  REQUIRE(bench.until_gone());
  CHECK(bench.store.exit->cause == EndCause::kEnded);
  CHECK(bench.store.exit->wait_status == 6 << 8);
  CHECK(bench.world.starts == std::map<std::string, int>{{"init", 1}});
  CHECK(bench.store.exit->pod->containers[1].stage == ContainerStage::kWaiting);
}

TEST_CASE("Usage is measured while it runs") {
  PodBench bench(PodBench::one());
  bench.start();
  REQUIRE(bench.until([&] {
    return std::find(bench.cri->journal.begin(), bench.cri->journal.end(), "ContainerStats") !=
           bench.cri->journal.end();
  }));
  bench.world.end("main", 0);
  check_run_once(bench, 0);
  CHECK(bench.store.exit->pod->memory_kib == 2048);
  CHECK(bench.store.exit->pod->cpu_us == 5000);
}

TEST_CASE("A tick takes no time for runs that are not due") {
  std::vector<Task> others(200);
  PodBench bench(PodBench::one());  // the same record and container stands for each of them
  bench.start();
  REQUIRE(bench.until([&] { return bench.first().stage == ContainerStage::kRunning; }));
  for (Task& other : others) {
    other.name = "o";
    other.sequence = bench.task.sequence + 1 + static_cast<uint64_t>(&other - others.data());
    other.spec.pod = std::make_unique<PodTask>();
    other.spec.pod->pod = PodBench::one();
    bench.clock.now += 49 * kMillisecond;  // each is measured at a time of its own
    REQUIRE(bench.runtime->adopt(other).ok());
    while (bench.cri->answer()) {
    }
  }
  REQUIRE(bench.until([begin = bench.clock.now, &bench] { return bench.clock.now > begin + 60 * kSecond; }, 20'000));
  int ticks = 0;
  int looks = 0;
  while (ticks < 1'000) {
    if (bench.cri->answer()) continue;
    bench.clock.now = std::max(bench.clock.now, bench.runtime->next_deadline());
    const int before = bench.clock.asked;
    bench.runtime->tick();
    ++ticks;
    looks += bench.clock.asked - before;
  }
  CHECK(looks < 20 * ticks);
  CHECK(bench.world.starts["main"] == 1);
}

TEST_CASE("What is this owner's and no task's is removed; nobody else's is touched") {
  PodBench bench(PodBench::one());
  ends_with(bench, 0);
  const std::string owner(32, 'a');
  bench.world.sandboxes["orphan"] = {
      "orphan", {}, {}, 0, {{std::string(kOwnerLabel), owner}, {std::string(kUidLabel), "gone"}}};
  bench.world.sandboxes["other"] = {
      "other", {}, {}, 0, {{std::string(kOwnerLabel), "somebody"}, {std::string(kUidLabel), "else"}}};
  bench.start();
  bench.runtime->on_runtime_up(bench.cri->version);
  REQUIRE(bench.until([&] { return bench.gone && !bench.world.sandboxes.contains("orphan"); }));
  CHECK(bench.world.sandboxes.contains("other"));
}

TEST_CASE("Nothing is connected before a task needs it, and nothing stays connected for long") {
  PodBench bench(PodBench::one());
  ends_with(bench, 0);
  CHECK(bench.runtime->next_deadline() == kNever);
  CHECK(bench.connects == 0);
  bench.start();
  REQUIRE(bench.until_gone());
  CHECK(bench.connects == 1);
  while (bench.turn()) {
  }
  CHECK(bench.releases == 1);
  CHECK(bench.runtime->next_deadline() == kNever);
}

TEST_CASE("A task that had ended, and was not cleaned up, is only cleaned up") {
  PodBench bench(PodBench::one());
  ends_with(bench, 0);
  bench.start();
  REQUIRE(bench.until([&] { return bench.store.exit.has_value(); }));
  CHECK(!bench.world.empty());
  bench.crash();
  check_run_once(bench, 0);
}

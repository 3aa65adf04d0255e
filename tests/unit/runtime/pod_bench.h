// A container runtime over a fake CRI, a disk and a clock in memory; the test is the manager.
#pragma once

#include <doctest/doctest.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../support.h"
#include "../task/fakes.h"
#include "fake_cri.h"
#include "runtime/container_runtime.h"

namespace te::fake {

class MemoryRunStore final : public RunStore {
 public:
  std::optional<RunRecord> run;
  std::optional<ExitRecord> exit;
  std::vector<std::string> journal;
  int failing = 0;     ///< so many durable writes will fail
  int error = ENOSPC;  ///< of those

  Result<void> owner(std::string& out) override {
    out = std::string(32, 'a');
    return {};
  }
  Result<void> write_run(const Task&, const RunRecord& record, bool durable) override {
    if (durable) TRY(write("run"));
    run = record;
    return {};
  }
  Result<void> record_end(const Task&, const ExitRecord& end) override {
    TRY(write("exit"));
    CHECK(!exit);
    exit = end;
    return {};
  }
  Result<void> clear_run(const Task&) override {
    TRY(write("clear"));
    run.reset();
    return {};
  }
  Result<std::optional<RunRecord>> read_run(const Task&) override {
    if (read_error != 0) return system_error("read", "run.json", read_error);
    return run;
  }
  int read_error = 0;

 private:
  Result<void> write(const char* what) {
    if (failing > 0) {
      --failing;
      return system_error("write", what, error);
    }
    journal.emplace_back(what);
    return {};
  }
};

class KeptLog final : public LogSink {
 public:
  std::string text;

  void write(LogLevel, std::string_view line) override { text.append(line).append("\n"); }
};

class PodBench final : private RuntimeEvents, private CriConnector {
 public:
  explicit PodBench(PodSpec pod) {
    task.name = "t";
    task.uid = Uid::from("00112233445566778899aabbccddeeff");
    task.sequence = 7;
    task.spec.pod = std::make_unique<PodTask>();
    task.spec.pod->pod = std::move(pod);
    dir.make_dir("t");
    world.images["box"].id = "sha256:box";
    boot();
  }
  ~PodBench() { runtime.reset(); }

  static PodSpec one(std::string image = "box") {
    PodSpec pod;
    ContainerSpec only;
    only.name = "main";
    only.image = std::move(image);
    pod.containers.push_back(std::move(only));
    return pod;
  }

  /// A new agent, and a new connection.
  void boot() {
    PodSettings settings;
    settings.data_dir = dir.path();
    settings.root = dir.fd();
    settings.volumes = volumes;
    settings.registry_auth_file = registry_auth_file;
    auto old = std::move(cri);
    cri = std::make_unique<FakeCri>(world);
    if (old) cri->on_start = old->on_start;
    runtime =
        std::make_unique<ContainerRuntime>(std::move(settings), static_cast<CriConnector&>(*this), store, clock, log_);
    runtime->open(static_cast<RuntimeEvents&>(*this));
    graveyard_.push_back(std::move(old));
  }
  void crash() {
    runtime.reset();
    graveyard_.clear();
    steps_.clear();
    boot();
    task.run = {};
    if (store.exit) task.end = std::make_unique<ExitRecord>(*store.exit);
    if (store.run && !gone) CHECK(runtime->adopt(task).ok());
  }

  void start() { CHECK(runtime->start(task, 1).ok()); }
  /// One thing that happens: an answer, a durable write, or time. False: nothing is waited for.
  bool turn() {
    if (cri->answer()) return true;
    if (!steps_.empty()) {
      steps_.pop_front();
      if (!runtime->take_step(task)) steps_.push_back(task.sequence);
      return true;
    }
    const MonoNanos next = runtime->next_deadline();
    if (next == kNever) return false;
    clock.now = std::max(clock.now, next);
    runtime->tick();
    return true;
  }
  /// Turns until `condition` holds.
  template <class Condition>
  bool until(Condition condition, int most = 3000) {
    for (int i = 0; i < most; ++i) {
      if (condition()) return true;
      if (!turn()) return condition();
    }
    return false;
  }
  bool until_gone() {
    return until([&] { return gone; });
  }
  const ContainerRecord& first() const { return task.run.pod->containers.front(); }

  test::TempDir dir;
  FakeClock clock;
  KeptLog log;
  CriWorld world;
  MemoryRunStore store;
  std::vector<NamedVolume> volumes;
  std::string registry_auth_file;
  Task task;
  std::unique_ptr<FakeCri> cri;
  std::unique_ptr<ContainerRuntime> runtime;
  bool gone = false;
  bool supervised = true;  ///< as the manager has it
  int connects = 0;
  int releases = 0;
  std::vector<std::string> reasons;  ///< of the first container's waiting, as they came

 private:
  void on_record(uint64_t) override {}
  void on_end(uint64_t) override {}
  void on_supervisor_end(uint64_t, bool clean) override {
    CHECK(clean);
    CHECK(!gone);
    gone = true;
  }
  void on_swept(uint64_t) override {}
  void on_step_due(uint64_t id) override {
    CHECK(steps_.empty());
    steps_.push_back(id);
  }
  bool is_supervised(std::string_view uid) const override { return supervised && uid == task.uid.view(); }
  void on_pod(uint64_t, const PodRecord& pod) override {
    task.run.pod = pod;
    const ContainerRecord& one = pod.containers.front();
    if (one.stage == ContainerStage::kWaiting && (reasons.empty() || reasons.back() != one.reason))
      reasons.push_back(one.reason);
  }
  cri::Client& connect(cri::RuntimeObserver&) override {
    ++connects;
    return *cri;
  }
  void release() override { ++releases; }

  Log log_{log, clock};
  std::deque<uint64_t> steps_;
  std::vector<std::unique_ptr<FakeCri>> graveyard_;
};

}  // namespace te::fake

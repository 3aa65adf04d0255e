// Lifecycle hooks as the manager sees them: what is shown, and a postStop whose supervisor died before it.
#include <doctest/doctest.h>

#include "task/fakes.h"

using namespace te;
using fake::World;

TEST_SUITE_BEGIN("task/manager hooks");

namespace {

TaskSpec hooked(bool pre_start, bool post_stop, WireForm form = WireForm::kGuide) {
  TaskSpec spec = fake::spec_of("run", form);
  if (pre_start) {
    spec.process.pre_start = std::make_unique<Hook>();
    spec.process.pre_start->command.add("before");
  }
  if (post_stop) {
    spec.process.post_stop = std::make_unique<Hook>();
    spec.process.post_stop->command.add("after");
  }
  return spec;
}

ManagerOptions on_lost(OnLost what) {
  ManagerOptions options;
  options.on_lost = what;
  return options;
}

}  // namespace

TEST_CASE("preStart is shown while it runs, and main's run follows it") {
  World world;
  world.create("a", hooked(true, false));
  world.settle();
  CHECK(world.reason("a") == "Initialized");
  const size_t changes = world.observer.changed.size();
  world.record_phase("a", RunPhase::kPreStart);
  world.settle();
  CHECK(world.reason("a") == "PreStartHook");
  CHECK(world.observer.changed.size() == changes + 1);
  CHECK(world.task("a").phase == TaskPhase::kStarting);
  world.restart();
  world.settle();
  CHECK(world.reason("a") == "PreStartHook");
  world.observer.changed.clear();
  world.record_run("a", false);  // main is held
  world.settle();
  CHECK(world.reason("a") == "Initialized");
  CHECK(world.observer.changed.size() == 1);
  world.record_phase("a", RunPhase::kMain);
  world.settle();
  CHECK(world.task("a").phase == TaskPhase::kRunning);
}

TEST_CASE("postStop under the task's own supervisor: the end is told before, a failure added") {
  World world;
  world.create("a", hooked(false, true));
  world.settle();
  world.record_run("a");
  world.settle();
  world.record_end("a", 5);
  world.settle();
  CHECK(world.reason("a") == "Failed");
  const std::string before = status_of(world.task("a")).message;
  world.record_phase("a", RunPhase::kPostStop);
  world.settle();
  CHECK(status_of(world.task("a")).message == before);
  const HookEnd failed{HookOutcome::kEnded, StartStage::kNone, 0, 9 << 8};
  world.record_phase("a", RunPhase::kPostStop, failed);
  world.settle();
  CHECK(status_of(world.task("a")).message == before + "; postStop hook exited with code 9");
  CHECK(status_of(world.task("a")).exit_code == 5);
  world.supervisor_gone("a");
  world.settle();
  CHECK(world.count("post_stop a") == 0);
  world.restart();
  world.settle();
  CHECK(status_of(world.task("a")).message == before + "; postStop hook exited with code 9");
  CHECK(world.count("post_stop a") == 0);
}

TEST_CASE("a supervisor that died between the end and postStop is replaced, once") {
  World world;
  world.create("a", hooked(false, true));
  world.settle();
  world.record_run("a");
  world.record_end("a");
  world.settle();
  world.supervisor_gone("a", true);
  world.settle();
  CHECK(world.count("post_stop a") == 1);
  CHECK(world.task("a").supervised);
  world.record_phase("a", RunPhase::kPostStop);
  world.settle();
  world.supervisor_gone("a", true);
  world.settle();
  world.tick();
  CHECK(world.count("post_stop a") == 1);
  CHECK(world.count("start a") == 1);
}

TEST_CASE("postStop is not left out because records can't be read for a moment") {
  for (const bool end_is_told : {true, false}) {
    World world;
    world.create("a", hooked(false, true));
    world.settle();
    world.record_run("a");
    world.settle();
    world.record_end("a");
    if (end_is_told) world.settle();
    world.store.read_error = EMFILE;
    world.supervisor_gone("a", false);
    CHECK(world.reply(world.remove("a")).kind == Reply::Kind::kDeleted);
    world.swept("a");
    world.tick();
    CHECK(world.count("discard a") == 0);
    world.store.read_error = 0;
    world.tick();
    CHECK(world.count("post_stop a") == 1);
    CHECK(world.count("discard a") == 0);
    world.record_phase("a", RunPhase::kPostStop);
    world.settle();
    world.store.read_error = EMFILE;
    world.supervisor_gone("a");
    world.tick();
    CHECK(world.count("discard a") == 0);
    world.store.read_error = 0;
    world.tick();
    CHECK(world.count("post_stop a") == 1);
    CHECK(world.count("discard a") == 1);
    CHECK(world.manager->size() == 0);
  }
}

TEST_CASE("what is left behind without a supervisor is not hit for postStop's sake: it runs at DELETE") {
  World world;
  world.create("a", hooked(false, true));
  world.settle();
  world.record_run("a");
  world.record_end("a");
  world.settle();
  world.supervisor_gone("a", false);
  world.settle();
  CHECK(world.count("post_stop a") == 0);
  world.remove("a");
  world.settle();
  world.swept("a");
  CHECK(world.count("post_stop a") == 1);
  CHECK(world.count("discard a") == 0);
  world.record_phase("a", RunPhase::kPostStop);
  world.supervisor_gone("a");
  world.settle();
  CHECK(world.before("post_stop a", "discard a"));
  CHECK(world.manager->size() == 0);
}

TEST_CASE("recovery: postStop of one that ended meanwhile, and never of one that has begun it") {
  for (const RunPhase phase : {RunPhase::kMain, RunPhase::kPostStop}) {
    World world;
    world.create("a", hooked(false, true));
    world.settle();
    world.record_phase("a", phase);
    world.record_end("a");
    fake::Dir& dir = world.dir("a");
    dir.locked = dir.marked = false;
    world.restart();
    world.settle();
    CHECK(world.count("post_stop a") == (phase == RunPhase::kMain ? 1 : 0));
    if (phase == RunPhase::kMain) world.supervisor_gone("a");
  }
}

TEST_CASE("a run.json that can't be read may say that postStop has begun") {
  World world;
  world.create("a", hooked(false, true));
  world.settle();
  world.record_run("a");
  world.record_end("a");
  world.settle();
  world.dir("a").run_unreadable = true;
  world.supervisor_gone("a");
  world.settle();
  CHECK(world.count("post_stop a") == 0);
  world.remove("a");
  world.settle();
  CHECK(world.manager->size() == 0);
}

TEST_CASE("a lost run has its postStop too, whatever becomes of it") {
  for (const OnLost what : {OnLost::kFail, OnLost::kForget, OnLost::kRestart}) {
    World world(on_lost(what));
    world.create("a", hooked(true, true));
    world.settle();
    world.record_phase("a", RunPhase::kPreStart);
    world.settle();
    world.supervisor_gone("a", false);
    world.settle();
    CHECK(world.count("post_stop a") == 0);
    world.swept("a");
    switch (what) {
      case OnLost::kFail:
        CHECK(world.reason("a") == "Lost");
        CHECK(status_of(world.task("a")).started_at == 0);
        CHECK(world.before("record_lost a", "post_stop a"));
        break;
      case OnLost::kForget:
        CHECK(world.before("mark a", "post_stop a"));
        CHECK(world.count("discard a") == 0);
        world.record_phase("a", RunPhase::kPostStop);
        world.supervisor_gone("a");
        world.settle();
        CHECK(world.manager->size() == 0);
        break;
      case OnLost::kRestart:
        world.tick();
        CHECK(world.count("post_stop a") == 0);
        CHECK(world.count("start a") == 2);
        break;
      case OnLost::kAuto: break;
    }
  }
}

TEST_CASE("a task that was never begun has no postStop") {
  ManagerOptions options;
  options.max_concurrent = 1;
  World world(options);
  world.create("a");
  world.create("b", hooked(true, true));
  world.settle();
  CHECK(world.reason("b") == "Queued");
  world.remove("b");
  world.settle();
  CHECK(world.names() == "a");
  CHECK(world.count("post_stop b") == 0);
}

TEST_CASE("records that can't be read are looked at once a tick, however long that lasts") {
  World world;
  world.create("a", hooked(false, true));
  world.settle();
  world.record_run("a");
  world.settle();
  world.supervisor_gone("a", false);
  world.remove("a");
  world.settle();
  world.swept("a");
  REQUIRE(world.count("post_stop a") == 1);
  world.store.read_error = EMFILE;
  world.supervisor_gone("a");
  for (int i = 0; i < 10; ++i) {
    world.store.run_reads = 0;
    world.tick();
    CHECK(world.store.run_reads <= 3);
  }
  world.store.read_error = 0;
  world.tick();
  world.tick();
  CHECK(world.count("post_stop a") == 2);
}

TEST_CASE("a postStop hook is no leftover") {
  World world;
  world.runtime.leftovers = 1;
  world.create("a", hooked(false, true));
  world.settle();
  world.record_run("a");
  world.record_end("a");
  world.settle();
  CHECK(world.task("a").leftover == 1);
  world.observer.changed.clear();
  world.record_phase("a", RunPhase::kPostStop);
  world.tick();
  CHECK(world.task("a").leftover == 0);
  CHECK(world.observer.changed.size() == 1);
  world.create("b", hooked(false, true));
  world.settle();
  world.record_run("b");
  world.record_end("b", 0, EndCause::kEnded, true);
  world.settle();
  world.tick();  // the hook is on its way
  CHECK(world.task("b").leftover == 0);
}

TEST_CASE("recovery: a supervisor for postStop that had not named itself yet is taken up later") {
  World world;
  world.create("a", hooked(false, true));
  world.settle();
  world.record_run("a");
  world.record_end("a");
  world.settle();
  world.supervisor_gone("a");
  world.settle();
  REQUIRE(world.count("post_stop a") == 1);
  world.runtime.by_run = true;
  world.dir("a").run->supervisor = {99, 1};  // the one that died
  world.runtime.adopt_error = ESRCH;
  world.restart();
  world.settle();
  world.runtime.adopt_error = 0;
  REQUIRE(!world.task("a").held);
  world.record_phase("a", RunPhase::kPostStop);
  world.tick();
  CHECK(world.task("a").held);
  world.remove("a");
  world.settle();
  CHECK(world.count("sweep a") >= 1);
  CHECK(world.count("sweep_by_mark a") == 0);
}

TEST_CASE("a supervisor for postStop that can't be started, or ends before it began, is tried once a tick") {
  World world;
  world.create("a", hooked(false, true));
  world.settle();
  world.record_run("a");
  world.record_end("a");
  world.settle();
  world.runtime.start_error = EAGAIN;
  world.supervisor_gone("a");
  world.settle();
  CHECK(world.count("start_fails a") == 1);
  world.runtime.start_error = 0;
  world.tick();
  CHECK(world.count("post_stop a") == 1);
  world.supervisor_gone("a");
  world.settle();
  CHECK(world.count("post_stop a") == 1);
  world.tick();
  CHECK(world.count("post_stop a") == 2);
  // And a deletion does not overtake it.
  world.remove("a");
  world.settle();
  world.record_phase("a", RunPhase::kPostStop);
  world.supervisor_gone("a");
  world.settle();
  CHECK(world.manager->size() == 0);
}

TEST_SUITE_END();

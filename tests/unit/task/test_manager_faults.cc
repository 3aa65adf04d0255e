// What the manager makes of a machine that fails it for a moment.
#include <doctest/doctest.h>

#include "fakes.h"

using namespace te;
using namespace te::fake;

TEST_SUITE_BEGIN("task/manager_faults");

namespace {

ManagerOptions on_lost(OnLost what) {
  ManagerOptions options;
  options.on_lost = what;
  return options;
}

/// To its end, which is told; its supervisor still lives.
void run_a(World& world, int code) {
  world.create("a");
  world.settle();
  world.record_run("a");
  world.record_end("a", code);
  world.settle();
}

}  // namespace

TEST_CASE("records that can't be read just now make no lost run") {
  for (const OnLost what : {OnLost::kFail, OnLost::kForget, OnLost::kRestart}) {
    World world(on_lost(what));
    world.create("a");
    world.settle();
    world.record_run("a");
    world.settle();
    Dir& dir = world.dir("a");
    ExitRecord end;
    end.wait_status = 3 << 8;
    end.finished_at = world.clock.wall();
    dir.exit = end;
    dir.locked = false;
    world.store.read_error = EMFILE;
    world.manager->on_supervisor_end(dir.sequence, true);
    world.settle();
    for (int i = 0; i < 3; ++i) world.tick();
    CHECK(world.reason("a") != "Lost");
    CHECK(world.count("sweep_by_mark a") == 0);
    CHECK(world.count("start a") == 1);
    world.store.read_error = 0;
    world.tick();
    CHECK(world.reason("a") == "Failed");
    CHECK(world.task("a").end->wait_status == 3 << 8);
    CHECK(world.count("start a") == 1);
  }
}

TEST_CASE("the same at a restart") {
  World world(on_lost(OnLost::kRestart));
  run_a(world, 5);
  world.dir("a").locked = world.dir("a").marked = false;
  world.store.read_error = EIO;
  world.restart();
  world.settle();
  world.tick();
  CHECK(world.count("start a") == 1);
  world.store.read_error = 0;
  world.tick();
  CHECK(world.reason("a") == "Failed");
  CHECK(world.count("start a") == 1);
}

TEST_CASE("recovery is not complete while records can't be read") {
  World world;
  run_a(world, 5);
  world.dir("a").locked = world.dir("a").marked = false;
  world.store.read_error = EMFILE;
  world.restart();
  world.settle();
  CHECK_FALSE(world.manager->settled());
  world.store.read_error = 0;
  world.tick();
  CHECK(world.manager->settled());
  CHECK(world.reason("a") == "Failed");
}

TEST_CASE("recovery does not wait for what can't be killed") {
  World world(on_lost(OnLost::kFail));
  world.create("a");
  world.settle();
  world.record_run("a");
  world.dir("a").locked = false;
  world.restart();
  world.settle();
  const uint64_t id = world.dir("a").sequence;
  CHECK(world.runtime.sweeping.contains(id));
  CHECK(!world.manager->settled());
  for (int i = 0; i < 2; ++i) {
    world.manager->on_sweep_put_off(id);
    CHECK(world.manager->settled());
  }
  CHECK(world.reason("a") != "Lost");
  world.dir("a").marked = false;
  world.manager->on_swept(id);
  world.settle();
  CHECK(world.manager->settled());
  CHECK(world.reason("a") == "Lost");
}

TEST_CASE("recovery does not wait for ever for records that stay unreadable") {
  World world;
  run_a(world, 5);
  world.dir("a").locked = world.dir("a").marked = false;
  world.store.read_error = EIO;
  world.restart();
  for (int i = 0; i < 10; ++i) world.tick();
  CHECK(world.manager->settled());
  CHECK(world.count("start a") == 1);
  world.store.read_error = 0;
  world.tick();
  CHECK(world.reason("a") == "Failed");
}

TEST_CASE("as long as something stands in the way of a name, no such task is said to be gone, or made") {
  World world;
  world.store.in_the_way.insert("a");
  world.restart();
  CHECK(world.reply(world.create("a")).kind == Reply::Kind::kFailed);
  CHECK(world.reply(world.create("b")).kind == Reply::Kind::kCreated);
  CHECK(world.reply(world.remove("a")).kind == Reply::Kind::kFailed);
  CHECK(world.reply(world.set({{"b", "run"}})).kind == Reply::Kind::kFailed);
  world.store.in_the_way.clear();
  CHECK(world.reply(world.set({{"b", "run"}})).kind == Reply::Kind::kSet);
  CHECK(world.reply(world.remove("a")).kind == Reply::Kind::kDeleted);
  CHECK(world.reply(world.create("a")).kind == Reply::Kind::kCreated);
}

TEST_CASE("what a failed creation has left is looked after with the next tick") {
  World world;
  world.store.in_the_way.insert("a");
  CHECK(world.reply(world.create("a")).kind == Reply::Kind::kFailed);
  world.tick();
  CHECK(world.runtime.trash_calls == 0);
  CHECK(world.manager->next_deadline() != kNever);
  world.store.in_the_way.clear();
  world.tick();
  CHECK(world.runtime.trash_calls == 1);
  CHECK(world.manager->next_deadline() == kNever);
}

TEST_CASE("a run.json that somebody has removed was there all the same: nothing runs twice") {
  World world(on_lost(OnLost::kFail));
  world.create("a");
  world.settle();
  world.record_run("a");
  world.settle();
  world.dir("a").run.reset();
  world.supervisor_gone("a", false);
  world.settle();
  world.swept("a");
  world.tick();
  CHECK(world.reason("a") == "Lost");
  CHECK(world.count("start a") == 1);
}

TEST_CASE("an end that can't be read was one all the same, without a run.json too") {
  for (const OnLost what : {OnLost::kFail, OnLost::kRestart}) {
    World world(on_lost(what));
    run_a(world, 5);
    Dir& dir = world.dir("a");
    dir.locked = dir.marked = false;
    dir.run.reset();
    dir.exit.reset();
    dir.exit_unreadable = true;
    world.restart();
    world.swept("a");
    world.tick();
    CHECK(world.count("clear_run a") == (what == OnLost::kRestart ? 1 : 0));
    CHECK(world.count("start a") == (what == OnLost::kRestart ? 2 : 1));
    if (what == OnLost::kFail) CHECK(world.reason("a") == "Lost");
  }
}

TEST_CASE("a container's record that somebody has removed was there all the same, once one was begun") {
  for (const bool begun : {true, false}) {
    World world(on_lost(OnLost::kFail));
    world.create("a");
    world.settle();
    RunRecord run;
    run.pod = PodRecord{};
    run.pod->containers.resize(2);
    run.pod->containers[1].begun = begun;
    world.dir("a").run = run;
    world.manager->on_record(world.dir("a").sequence);
    world.settle();
    REQUIRE(world.task("a").run.pod);
    world.dir("a").run.reset();
    world.supervisor_gone("a");
    world.settle();
    world.tick();
    CHECK((world.reason("a") == "Lost") == begun);
    CHECK(world.count("start a") == (begun ? 1 : 2));
  }
}

TEST_CASE("a task whose directory somebody has removed ends as lost") {
  for (const OnLost what : {OnLost::kFail, OnLost::kRestart}) {
    World world(on_lost(what));
    world.create("a");
    world.settle();
    world.record_run("a");
    world.settle();
    const uint64_t id = world.dir("a").sequence;
    world.store.live.erase("a");
    world.store.taken_away = true;
    world.manager->on_supervisor_end(id, false);
    world.manager->on_swept(id);
    world.settle();
    CHECK(world.reason("a") == "Lost");
    CHECK(world.count("start a") == 1);
  }
}

TEST_CASE("watchers are told that a task waits again") {
  World world(on_lost(OnLost::kRestart));
  world.create("a");
  world.settle();
  world.record_run("a");
  world.settle();
  REQUIRE(world.task("a").phase == TaskPhase::kRunning);
  world.observer.changed.clear();
  Dir& dir = world.dir("a");
  dir.locked = false;
  world.manager->on_supervisor_end(dir.sequence, false);
  dir.marked = false;
  world.manager->on_swept(dir.sequence);
  world.settle();
  CHECK(world.task("a").phase == TaskPhase::kAccepted);
  CHECK(world.observer.changed == std::vector<uint64_t>{dir.sequence});
}

TEST_CASE("records that can't be read do not keep a task from being deleted") {
  World world;
  world.create("a");
  world.settle();
  world.record_run("a");
  world.settle();
  world.store.read_error = EIO;
  Dir& dir = world.dir("a");
  dir.locked = false;
  const uint64_t id = dir.sequence;
  world.manager->on_supervisor_end(id, false);
  CHECK(world.reply(world.remove("a")).kind == Reply::Kind::kDeleted);
  world.settle();
  REQUIRE(world.runtime.sweeping.contains(id));
  dir.marked = false;
  world.manager->on_swept(id);
  world.settle();
  CHECK(world.manager->size() == 0);
}

TEST_CASE("an end that appears at the last moment is the one that is told") {
  for (const OnLost what : {OnLost::kFail, OnLost::kForget, OnLost::kRestart}) {
    World world(on_lost(what));
    world.create("a");
    world.settle();
    world.record_run("a");
    world.settle();
    Dir& dir = world.dir("a");
    dir.locked = false;
    world.manager->on_supervisor_end(dir.sequence, false);
    ExitRecord end;
    end.finished_at = world.clock.wall();
    dir.exit = end;
    dir.marked = false;
    world.manager->on_swept(dir.sequence);
    world.settle();
    CHECK(world.reason("a") == "Succeeded");
    CHECK(world.count("start a") == 1);
  }
}

TEST_CASE("an end is told when it is durable, and not before") {
  World world;
  world.create("a");
  world.settle();
  world.record_run("a");
  world.settle();
  world.record_end("a", 0);
  world.dir("a").exit_durable = false;
  world.settle();
  CHECK(world.task("a").phase == TaskPhase::kRunning);
  CHECK(world.count("confirm a") == 0);  // its supervisor is at it
  world.dir("a").exit_durable = true;
  world.manager->on_record(world.dir("a").sequence);
  world.settle();
  CHECK(world.reason("a") == "Succeeded");
  CHECK(world.count("confirm a") == 0);
}

TEST_CASE("an end that its supervisor does not make durable is made so by the agent") {
  World world;
  for (const char* name : {"slow", "killed", "unmarked"}) {
    world.create(name);
    world.settle();
    world.record_run(name);
    world.settle();
    world.record_end(name, 0);
    world.dir(name).exit_durable = false;
    world.settle();
    CHECK(world.task(name).phase == TaskPhase::kRunning);
  }
  world.supervisor_gone("killed", false);
  CHECK(world.reason("killed") == "Succeeded");
  world.manager->on_end(world.dir("unmarked").sequence);
  world.settle();
  CHECK(world.reason("unmarked") == "Succeeded");
  world.store.fail(Call::kConfirm, 1, EIO);
  world.tick();
  CHECK(world.task("slow").phase == TaskPhase::kRunning);
  world.tick();
  CHECK(world.reason("slow") == "Succeeded");
  CHECK(world.count("confirm slow") == 1);
}

TEST_CASE("an end found at a restart is durable, one that comes after that when it is marked") {
  World world;
  for (const char* name : {"ended", "supervised", "ending"}) {
    world.create(name);
    world.settle();
    world.record_run(name);
    world.settle();
    if (std::string_view(name) == "ending") continue;
    world.record_end(name, 0);
    world.dir(name).exit_durable = false;
  }
  world.dir("ended").locked = world.dir("ended").marked = false;
  world.restart();
  for (const char* name : {"ended", "supervised"}) {
    CHECK(world.reason(name) == "Succeeded");
    CHECK(world.count(std::string("confirm ") + name) == 0);
  }
  world.record_end("ending", 0);
  world.dir("ending").exit_durable = false;
  world.settle();
  CHECK(world.task("ending").phase != TaskPhase::kEnded);
  world.dir("ending").exit_durable = true;
  world.manager->on_end(world.dir("ending").sequence);
  world.settle();
  CHECK(world.reason("ending") == "Succeeded");
  CHECK(world.count("confirm ending") == 0);
}

TEST_CASE("a supervisor that can't be watched at once is adopted, and its task not started again") {
  World world;
  world.runtime.held_at_once = false;
  world.create("a");
  world.settle();
  CHECK(world.count("start a") == 1);
  world.record_run("a");
  world.settle();
  world.tick();
  CHECK(world.count("adopt a") == 1);
  CHECK(world.count("start a") == 1);
  world.reply(world.remove("a"));
  CHECK(world.runtime.swept_by_supervisor.contains(world.task("a").sequence));
}

TEST_CASE("an end that was told is known at once after a restart, even where it can't be marked as durable") {
  World world;
  run_a(world, 3);
  REQUIRE(world.reason("a") == "Failed");
  world.dir("a").exit_durable = false;
  world.dir("a").locked = true;  // by its supervisor, which has a leftover to watch
  world.restart();
  CHECK(world.reason("a") == "Failed");
  CHECK(world.count("start a") == 1);
}

TEST_CASE("recovery waits for the records of a task whose supervisor lives, too") {
  World world;
  run_a(world, 3);
  world.dir("a").locked = true;
  world.store.read_error = EMFILE;
  world.restart();
  world.settle();
  CHECK(!world.manager->settled());
  world.tick();
  CHECK(!world.manager->settled());
  world.store.read_error = 0;
  world.tick();
  CHECK(world.manager->settled());
  CHECK(world.reason("a") == "Failed");
  CHECK(world.task("a").held);
  CHECK(world.count("start a") == 1);
}

TEST_CASE("nothing is concluded from a lock while the supervisor can't be taken up") {
  World world;
  world.runtime.held_at_once = false;
  world.runtime.adopt_error = ENOMEM;
  world.create("a");
  world.settle();
  world.record_run("a");
  world.settle();
  world.dir("a").locked = false;  // it has ended; its end is still to be reaped
  world.tick();
  CHECK(world.task("a").supervised);
  world.runtime.adopt_error = 0;
  world.tick();
  CHECK(!world.task("a").supervised);
  CHECK(world.count("start a") == 1);
}

TEST_CASE("a task is run again no faster than once a tick") {
  World world(on_lost(OnLost::kRestart));
  world.create("a");
  world.settle();
  for (int i = 1; i <= 3; ++i) {
    world.record_run("a");
    world.settle();
    Dir& dir = world.dir("a");
    dir.locked = false;
    world.manager->on_supervisor_end(dir.sequence, false);
    dir.marked = false;
    world.manager->on_swept(dir.sequence);
    world.settle();
    CHECK(world.count("start a") == static_cast<size_t>(i));
    world.tick();
    CHECK(world.count("start a") == static_cast<size_t>(i) + 1);
  }
}

TEST_CASE("those whose start failed come before those that came later") {
  ManagerOptions options;
  options.max_concurrent = 1;
  World world(options);
  world.runtime.start_error = EAGAIN;
  world.create("a");
  world.settle();
  world.runtime.start_error = 0;
  world.create("b");
  world.settle();
  world.record_run("b");
  world.record_end("b");
  world.create("c");
  world.tick();
  CHECK(world.count("start a") == 1);
  CHECK(world.count("start c") == 0);
}

TEST_CASE("a supervisor that is stopped goes on with the next tick") {
  World world;
  world.create("a");
  world.settle();
  world.record_run("a");
  world.settle();
  world.tick();
  CHECK(world.runtime.woken.contains(world.task("a").sequence));
}

TEST_CASE("recovery looks again within a second, however long a tick is") {
  ManagerOptions options;
  options.tick_interval = 3'600 * kSecond;
  World world(options);
  run_a(world, 5);
  world.dir("a").locked = world.dir("a").marked = false;
  world.store.read_error = EMFILE;
  world.restart();
  world.settle();
  CHECK(!world.manager->settled());
  world.store.read_error = 0;
  CHECK(world.manager->next_deadline() <= world.clock.now + kSecond);
  world.advance_clock(kSecond);
  world.manager->tick();
  world.settle();
  CHECK(world.manager->settled());
  CHECK(world.reason("a") == "Failed");
}

TEST_CASE("what ended long ago can be read for a while after a restart, which does not wait for its removal") {
  ManagerOptions options;
  options.ttl_after_finished = kSecond;
  World world(options);
  run_a(world, 5);
  world.dir("a").locked = world.dir("a").marked = false;
  world.advance_clock(3'600 * kSecond);
  world.restart();
  CHECK(world.manager->settled());
  world.settle();
  CHECK(world.reason("a") == "Failed");
  world.advance_clock(9 * kSecond);
  world.settle();
  CHECK(world.names() == "a");
  world.advance_clock(kSecond);
  world.settle();
  world.swept("a");
  CHECK(world.names() == "");
}

TEST_CASE("a write that keeps failing is logged when it fails otherwise") {
  World world;
  world.create("a");
  world.settle();
  world.run_to_end("a");
  world.store.fail(Call::kDiscard, 100);
  world.remove("a");
  world.settle();
  for (int i = 0; i < 5; ++i) world.tick();
  CHECK(world.sink.errors == 1);
  world.store.fail(Call::kDiscard, 100, EPERM);
  for (int i = 0; i < 5; ++i) world.tick();
  CHECK(world.sink.errors == 2);
  world.store.heal();
  world.tick();
  CHECK(world.names() == "");
}

TEST_CASE("a start that keeps failing is news when it fails otherwise") {
  World world;
  world.runtime.start_error = EAGAIN;
  world.create("a");
  world.settle();
  const size_t told = world.observer.changed.size();
  CHECK(world.sink.errors == 1);
  for (int i = 0; i < 5; ++i) world.tick();
  CHECK(world.count("start_fails a") == 6);
  CHECK(world.observer.changed.size() == told);
  CHECK(world.sink.errors == 1);
  world.runtime.start_error = ENOMEM;
  for (int i = 0; i < 5; ++i) world.tick();
  CHECK(world.observer.changed.size() == told + 1);
  CHECK(world.sink.errors == 2);
  world.runtime.start_error = 0;
  world.tick();
  CHECK(world.observer.changed.size() == told + 2);
}

TEST_CASE("a turn looks at so many records, and the next one goes on") {
  World world;
  constexpr int kTasks = 200;
  for (int i = 0; i < kTasks; ++i) world.create("t" + std::to_string(i));
  world.settle();
  for (int i = 0; i < kTasks; ++i) world.record_run("t" + std::to_string(i));
  uint64_t before = world.store.run_reads;
  for (bool more = true; more; before = world.store.run_reads) {
    more = world.step();
    CHECK(world.store.run_reads - before <= 64);
  }
  for (int i = 0; i < kTasks; ++i) CHECK(world.task("t" + std::to_string(i)).phase == TaskPhase::kRunning);
}

TEST_CASE("ends that could not be read for a while are made durable one a turn") {
  World world;
  const std::vector<std::string> names{"a", "b", "c", "d"};
  for (const std::string& name : names) {
    world.create(name);
    world.settle();
    world.record_run(name);
    world.settle();
  }
  world.store.read_error = EMFILE;
  for (const std::string& name : names) {
    world.record_end(name, 1);
    world.dir(name).exit_durable = false;
    world.supervisor_gone(name);
  }
  world.settle();
  world.tick();
  const size_t logged = world.sink.errors;
  world.tick();
  CHECK(world.sink.errors == logged);
  world.store.read_error = 0;
  const uint64_t before = world.store.writes;
  world.advance_clock(world.options.tick_interval);
  world.manager->tick();
  CHECK(world.store.writes == before);
  world.settle();
  CHECK(world.store.writes == before + names.size());
  for (const std::string& name : names) CHECK(world.reason(name) == "Failed");
}

TEST_CASE("recovery does not wait until all that is marked and gone is out of the way") {
  World world;
  for (const char* name : {"a", "b", "c"}) {
    world.create(name);
    world.settle();
    world.run_to_end(name);
  }
  world.store.fail(Call::kDiscard, 100);
  for (const char* name : {"a", "b", "c"}) world.remove(name);
  world.settle();
  world.store.heal();
  const uint64_t before = world.store.writes;
  world.restart();
  for (const char* name : {"a", "b", "c"}) {
    const uint64_t id = world.dir(name).sequence;
    if (world.runtime.sweeping.erase(id) == 1) world.manager->on_swept(id);
  }
  CHECK(world.store.writes == before);
  CHECK(world.manager->settled());
  CHECK(world.names() == "-a -b -c");
  world.settle();
  CHECK(world.names() == "");
}

TEST_SUITE_END();

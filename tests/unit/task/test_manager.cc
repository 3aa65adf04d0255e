// What a client's create and delete do (contract, sections 2 and 4).
#include <doctest/doctest.h>

#include "task/fakes.h"

using namespace te;
using fake::Call;
using fake::spec_of;
using fake::World;

TEST_SUITE_BEGIN("task/manager");

TEST_CASE("create: answered with the task once it is durable, then it is started") {
  World world;
  const uint64_t ticket = world.create("a");
  CHECK_FALSE(world.answered(ticket));
  const auto& reply = world.reply(ticket);
  CHECK(reply.kind == Reply::Kind::kCreated);
  CHECK(reply.name == "a");
  CHECK(reply.reason == "Initialized");
  CHECK(world.journal == fake::Journal{"create a", "reply 1", "start a"});
  CHECK(world.manager->counters().created == 1);
  CHECK(world.manager->counters().started == 1);
}

TEST_CASE("create: the start follows in the same turn as the answer") {
  World world;
  world.create("a");
  world.step();
  CHECK(world.count("start a") == 1);
}

TEST_CASE("create: the start is expected before the write, and the one after it when one is made") {
  World world;
  world.create("a");
  world.create("b");
  world.settle();
  CHECK(world.runtime.expected.at(0) == "0 a");
  CHECK(world.count("create a") == 1);
  const uint64_t ticket = world.create("a");
  CHECK(world.reply(ticket).kind == Reply::Kind::kExists);
  CHECK(std::count(world.runtime.expected.begin(), world.runtime.expected.end(), "0 a") == 1);
  CHECK(std::count_if(world.runtime.expected.begin(), world.runtime.expected.end(),
                      [](const std::string& one) { return one.ends_with(" b"); }) >= 1);
}

TEST_CASE("create again: the same spec is the task as it is, another one a conflict") {
  World world;
  const uint64_t id = world.reply(world.create("a")).id;
  world.record_run("a");
  world.settle();
  const auto& same = world.reply(world.create("a"));
  CHECK(same.kind == Reply::Kind::kExists);
  CHECK(same.id == id);
  const auto& other = world.reply(world.create("a", spec_of("other")));
  CHECK(other.kind == Reply::Kind::kFailed);
  CHECK(other.error_kind == ErrorKind::kConflict);
  CHECK(world.count("create a") == 1);
  CHECK(world.count("start a") == 1);
}

TEST_CASE("create: specs are compared after defaulting, whatever their form") {
  World world;
  world.create("a");
  world.settle();
  TaskSpec same = spec_of("run", WireForm::kController);
  same.process.grace_seconds = kDefaultGraceSeconds;
  same.process.timeout_seconds = 0;
  CHECK(world.reply(world.create("a", std::move(same))).kind == Reply::Kind::kExists);
}

TEST_CASE("create on a full disk: the error, and nothing left behind") {
  World world;
  world.store.fail(Call::kCreate);
  const auto& reply = world.reply(world.create("a"));
  CHECK(reply.kind == Reply::Kind::kFailed);
  CHECK(reply.error_code == ENOSPC);
  CHECK(world.manager->size() == 0);
  CHECK(world.manager->find("a") == nullptr);
  CHECK(world.count("start a") == 0);
  CHECK(world.manager->counters().store_errors == 1);

  CHECK(world.reply(world.create("a")).kind == Reply::Kind::kCreated);
  CHECK(world.manager->counters().store_errors == 1);
}

TEST_CASE("delete of an unknown name costs no write") {
  World world;
  CHECK(world.reply(world.remove("nobody")).kind == Reply::Kind::kDeleted);
  CHECK(world.store.writes == 0);
}

TEST_CASE("delete of a running task: mark, answer, sweep, and gone once its supervisor is") {
  World world;
  world.create("a");
  world.settle();
  world.record_run("a");
  world.settle();
  const uint64_t ticket = world.remove("a");
  CHECK(world.reply(ticket).kind == Reply::Kind::kDeleted);
  CHECK(world.before("mark a", "reply 2"));
  CHECK(world.count("sweep a") >= 1);
  CHECK(world.task("a").deleting());
  CHECK(world.names() == "-a");
  CHECK(world.count("gone a") == 0);

  world.record_end("a", 143);
  world.settle();
  CHECK(world.count("gone a") == 0);
  world.supervisor_gone("a");
  world.settle();
  CHECK(world.before("discard a", "gone a"));
  CHECK(world.manager->size() == 0);
  CHECK(world.store.live.empty());
  CHECK(world.runtime.trash_calls == 1);
  CHECK_FALSE(world.manager->anything_running());
}

TEST_CASE("delete of a finished task") {
  World world;
  world.create("a");
  world.settle();
  world.run_to_end("a");
  CHECK(world.reply(world.remove("a")).kind == Reply::Kind::kDeleted);
  world.settle();
  CHECK(world.manager->size() == 0);
  CHECK(world.count("sweep_by_mark a") == 0);
}

TEST_CASE("of a tree that was gone when the end was recorded nothing is left, and nobody looks") {
  World world;
  world.runtime.leftovers = 2;
  world.create("a");
  world.settle();
  world.record_run("a");
  world.record_end("a", 0, EndCause::kEnded, true);
  world.settle();
  CHECK(world.task("a").phase == TaskPhase::kEnded);
  CHECK(world.task("a").leftover == 0);
}

TEST_CASE("delete of a finished task with leftovers waits for its supervisor") {
  World world;
  world.runtime.leftovers = 2;
  world.create("a");
  world.settle();
  world.record_run("a");
  world.record_end("a");
  world.settle();
  CHECK(world.task("a").leftover == 2);
  CHECK(world.manager->anything_running());
  world.remove("a");
  world.settle();
  CHECK(world.count("sweep a") >= 1);
  CHECK(world.names() == "-a");
  world.supervisor_gone("a");
  world.settle();
  CHECK(world.manager->size() == 0);
}

TEST_CASE("that nothing is left any more is told") {
  World world;
  world.runtime.leftovers = 2;
  world.create("a");
  world.settle();
  world.record_run("a");
  world.record_end("a");
  world.settle();
  REQUIRE(world.task("a").leftover == 2);
  world.observer.changed.clear();
  world.supervisor_gone("a");
  world.settle();
  CHECK(world.task("a").leftover == 0);
  CHECK(world.observer.changed.size() == 1);
}

TEST_CASE("a tick looks at so many leftovers, and the next one goes on") {
  World world;
  world.runtime.leftovers = 100;
  for (const char* name : {"a", "b", "c", "d", "e"}) {
    world.create(name);
    world.settle();
    world.record_run(name);
    world.record_end(name);
    world.settle();
  }
  for (int i = 0; i < 3; ++i) {
    world.runtime.woken.clear();
    world.runtime.counted = 0;
    world.tick();
    CHECK(world.runtime.counted <= 256);
    CHECK(world.runtime.woken.size() == (i < 2 ? 2 : 1));
  }
  world.runtime.leftovers = 1'000;  // one that is too big for any tick has one for itself
  for (int i = 0; i < 10; ++i) world.tick();
  for (const char* name : {"a", "b", "c", "d", "e"}) CHECK(world.task(name).leftover == 1'000);
}

TEST_CASE("logs are bounded one part a turn, and the turns follow each other until all is done") {
  ManagerOptions options;
  options.log_max_bytes = 1'000;
  World world(options);
  const auto looks = [&world] { return world.count("bound_logs a") + world.count("bound_logs b"); };
  for (const char* name : {"a", "b"}) {
    world.create(name);
    world.settle();
    world.record_run(name);
  }
  world.settle();
  world.store.logs_left = 20;
  world.advance_clock(options.tick_interval);
  world.manager->tick();
  CHECK(looks() == 0);
  for (size_t before = 0; world.step(); before = looks()) CHECK(looks() <= before + 1);
  CHECK(world.store.logs_left == 0);
  CHECK(world.count("bound_logs b") >= 10);
  // What came since the last tick; the next one would not look at it.
  world.store.logs_left = 3;
  const size_t before = looks();
  world.run_to_end("a");
  CHECK(looks() == before + 3);
}

TEST_CASE("what a task wrote while no agent was there is bounded by the next one") {
  ManagerOptions options;
  options.log_max_bytes = 1'000;
  World world(options);
  for (const char* name : {"a", "b"}) world.create(name);
  world.settle();
  for (const char* name : {"a", "b"}) {
    world.record_run(name);
    world.record_end(name);
    world.dir(name).locked = world.dir(name).marked = false;
  }
  world.create("new");
  world.settle();
  world.dir("new").locked = world.dir("new").marked = false;
  world.store.logs_left = 3;
  world.restart();
  world.settle();
  CHECK(world.count("bound_logs a") == 2);
  CHECK(world.count("bound_logs b") == 2);
  CHECK(world.count("bound_logs new") == 0);
  CHECK(world.manager->settled());
}

TEST_CASE("a task that is gone expires no more") {
  ManagerOptions options;
  options.ttl_after_finished = 3'600 * kSecond;
  World world(options);
  for (const char* name : {"a", "b"}) {
    world.create(name);
    world.settle();
    world.run_to_end(name);
  }
  world.remove("a");
  world.settle();
  CHECK(world.manager->next_deadline() != kNever);
  world.remove("b");
  world.settle();
  REQUIRE(world.manager->size() == 0);
  world.tick();
  CHECK(world.manager->next_deadline() == kNever);
}

TEST_CASE("those that go while they wait for their start leave the queue") {
  ManagerOptions options;
  options.max_concurrent = 50;
  World world(options);
  world.runtime.ready = false;
  world.create("first");
  world.settle();
  for (int i = 0; i < 100; ++i) {
    world.create("a");
    world.settle();
    world.remove("a");
    world.settle();
  }
  world.create("b");
  world.settle();
  CHECK(world.reason("b") == "Initialized");  // there is room for it
  world.runtime.ready = true;
  world.settle();
  CHECK(world.before("start first", "start b"));
}

TEST_CASE("delete twice: the second one writes nothing") {
  World world;
  world.create("a");
  world.settle();
  world.reply(world.remove("a"));
  CHECK(world.reply(world.remove("a")).kind == Reply::Kind::kDeleted);
  CHECK(world.count("mark a") == 1);
}

TEST_CASE("delete while the create is still in the queue: they keep their order") {
  World world;
  const uint64_t create = world.create("a");
  const uint64_t remove = world.remove("a");
  CHECK(world.reply(create).kind == Reply::Kind::kCreated);
  CHECK(world.reply(remove).kind == Reply::Kind::kDeleted);
  CHECK(world.before("reply 1", "reply 2"));
}

TEST_CASE("a mark that can't be written is told, and the task lives on") {
  World world;
  world.create("a");
  world.settle();
  world.store.fail(Call::kMark, 1, EROFS);
  const auto& reply = world.reply(world.remove("a"));
  CHECK(reply.kind == Reply::Kind::kFailed);
  CHECK(reply.error_code == EROFS);
  CHECK_FALSE(world.task("a").deleting());
  CHECK(world.count("sweep a") == 0);
  CHECK(world.reply(world.remove("a")).kind == Reply::Kind::kDeleted);
}

TEST_CASE("a discard that fails is tried again by the tick, and nobody is told early") {
  World world;
  world.create("a");
  world.settle();
  world.run_to_end("a");
  world.store.fail(Call::kDiscard, 2);
  CHECK(world.reply(world.remove("a")).kind == Reply::Kind::kDeleted);
  CHECK(world.names() == "-a");
  CHECK(world.manager->next_deadline() != kNever);
  world.tick();
  CHECK(world.names() == "-a");
  world.tick();
  CHECK(world.names() == "");
  CHECK(world.manager->next_deadline() == kNever);
}

TEST_CASE("a start that fails is tried again by a tick, not in a tight loop") {
  World world;
  world.runtime.start_error = EAGAIN;
  CHECK(world.reply(world.create("a")).kind == Reply::Kind::kCreated);
  world.settle();
  CHECK(world.count("start_fails a") == 1);
  CHECK(status_of(world.task("a")).message != "");
  world.manager->tick();  // too early
  world.settle();
  CHECK(world.count("start_fails a") == 1);
  world.tick();
  CHECK(world.count("start_fails a") == 2);
  world.runtime.start_error = 0;
  world.tick();
  CHECK(world.count("start a") == 1);
  CHECK(status_of(world.task("a")).message == "");
}

TEST_CASE("a start that would have to wait is left to a later turn, and keeps its place") {
  World world;
  world.runtime.ready = false;
  for (const char* name : {"a", "b", "c"}) world.create(name);
  world.settle();  // and does not ask for more turns
  CHECK(world.names() == "a b c");
  CHECK(world.count("start a") == 0);
  world.remove("a");
  world.settle();
  world.runtime.ready = true;
  world.settle();
  CHECK(world.count("start a") == 0);
  CHECK(world.before("start b", "start c"));
}

TEST_CASE("commands are carried out in the order in which they came, one write a step") {
  World world;
  for (int i = 1; i <= 5; ++i) world.create("t" + std::to_string(i));
  world.settle();
  for (int i = 1; i <= 5; ++i) world.remove("t" + std::to_string(i));
  for (uint64_t i = 6; i <= 10; ++i) {
    CHECK_FALSE(world.answered(i));
    world.step();
    CHECK(world.answered(i));
  }
  world.settle();
  CHECK(world.names() == "-t1 -t2 -t3 -t4 -t5");
}

TEST_CASE("creations that follow each other share a write, and more of them the faster the disk is") {
  World world;
  for (int i = 1; i <= 40; ++i) world.create("t" + std::to_string(i));
  world.settle();
  CHECK(world.store.groups == std::vector<size_t>{1, 2, 4, 8, 8, 8, 8, 1});
  for (uint64_t i = 1; i < 40; ++i) {
    CHECK(world.before("reply " + std::to_string(i), "reply " + std::to_string(i + 1)));
    CHECK(world.before("start t" + std::to_string(i), "start t" + std::to_string(i + 1)));
  }
  world.store.groups.clear();
  world.slow_disk();
  for (int i = 1; i <= 40; ++i) world.create("s" + std::to_string(i));
  world.settle();
  CHECK(world.store.groups ==
        std::vector<size_t>{8, 4, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
}

TEST_CASE("creations that share a write: each has its own answer, and a name is taken once") {
  World world;
  for (const char* name : {"w1", "w2", "w3"}) world.create(name);  // the next ones may be four at a time
  world.settle();
  world.store.fail_after(Call::kCreate, 1);
  const uint64_t good = world.create("a");
  const uint64_t bad = world.create("b");
  const uint64_t last = world.create("c");
  const uint64_t again = world.create("a");
  const uint64_t other = world.create("a", spec_of("another"));
  world.step();
  CHECK(world.store.groups.back() == 3);
  CHECK(world.reply(good).kind == Reply::Kind::kCreated);
  CHECK(world.reply(bad).kind == Reply::Kind::kFailed);
  CHECK(world.reply(bad).error_code == ENOSPC);
  CHECK(world.reply(last).kind == Reply::Kind::kCreated);
  CHECK(world.reply(again).kind == Reply::Kind::kExists);
  CHECK(world.reply(other).kind == Reply::Kind::kFailed);
  CHECK(world.names() == "w1 w2 w3 a c");
  CHECK(world.count("start a") == 1);
}

TEST_CASE("chores and commands take turns") {
  World world;
  world.slow_disk();
  for (const char* name : {"a", "b", "c"}) world.create(name);
  world.settle();
  for (const char* name : {"a", "b", "c"}) world.remove(name);
  world.settle();
  for (const char* name : {"a", "b", "c"}) world.supervisor_gone(name);
  for (const char* name : {"x", "y", "z"}) world.create(name);
  for (int i = 0; i < 6; ++i) world.step();
  CHECK(world.names() == "x y z");
  CHECK(world.place_of("create y") < world.place_of("discard c"));
  CHECK(world.place_of("discard b") < world.place_of("create z"));
}

TEST_CASE("successor by create: waits for the old one and its own start") {
  World world;
  const uint64_t old_id = world.reply(world.create("a")).id;
  world.record_run("a");
  world.settle();
  world.reply(world.remove("a"));
  const auto& reply = world.reply(world.create("a"));
  CHECK(reply.kind == Reply::Kind::kCreated);
  CHECK(reply.id != old_id);
  CHECK(world.names() == "a -a");
  CHECK(world.manager->find("a")->sequence == reply.id);
  CHECK(world.manager->find_current("a")->sequence == old_id);
  CHECK(world.count("start a") == 1);

  world.supervisor_gone("a");
  world.settle();
  CHECK(world.before("gone a", "promote a"));
  CHECK(world.count("start a") == 2);
  CHECK(world.manager->find_current("a")->sequence == reply.id);
  CHECK(world.names() == "a");
}

TEST_CASE("successor: the same spec again is that successor, another one replaces it") {
  World world;
  world.create("a");
  world.remove("a");
  const uint64_t first = world.reply(world.create("a", spec_of("one"))).id;
  const auto& same = world.reply(world.create("a", spec_of("one")));
  CHECK(same.kind == Reply::Kind::kExists);
  CHECK(same.id == first);
  const auto& later = world.reply(world.create("a", spec_of("two")));
  CHECK(later.kind == Reply::Kind::kCreated);
  CHECK(world.observer.gone.count(first) == 1);
  CHECK(world.names() == "a -a");
  world.supervisor_gone("a");
  world.settle();
  CHECK(world.task("a").sequence == later.id);
  CHECK(world.runtime.starts[world.task("a").uid] == 1);
}

TEST_CASE("successor: one that can't be replaced stays") {
  World world;
  world.create("a");
  world.remove("a");
  const uint64_t first = world.reply(world.create("a", spec_of("one"))).id;
  world.store.fail(Call::kReplaceNext);
  CHECK(world.reply(world.create("a", spec_of("two"))).kind == Reply::Kind::kFailed);
  CHECK(world.manager->find("a")->sequence == first);
}

TEST_CASE("successor: DELETE cancels it, and the old one goes its way") {
  World world;
  const uint64_t old_id = world.reply(world.create("a")).id;
  world.remove("a");
  const uint64_t next_id = world.reply(world.create("a", spec_of("one"))).id;
  CHECK(world.reply(world.remove("a")).kind == Reply::Kind::kDeleted);
  CHECK(world.count("discard_next a") == 1);
  CHECK(world.observer.gone.count(next_id) == 1);
  CHECK(world.manager->find("a")->sequence == old_id);
  CHECK(world.names() == "-a");
  world.supervisor_gone("a");
  world.settle();
  CHECK(world.manager->size() == 0);
  CHECK(world.count("start a") == 1);
}

TEST_CASE("successor: a promotion that fails is tried again") {
  World world;
  world.create("a");
  world.remove("a");
  world.create("a", spec_of("one"));
  world.settle();
  world.store.fail(Call::kPromote);
  world.supervisor_gone("a");
  world.settle();
  CHECK(world.count("start a") == 1);
  CHECK(world.names() == "a");
  world.tick();
  CHECK(world.count("promote a") == 1);
  CHECK(world.count("start a") == 2);
}

TEST_CASE("successor: replaced and deleted while its promotion waits") {
  World world;
  world.create("a");
  world.remove("a");
  const uint64_t first = world.reply(world.create("a", spec_of("one"))).id;
  world.store.fail(Call::kPromote);
  world.supervisor_gone("a");
  world.settle();
  SUBCASE("replaced") {
    const auto& later = world.reply(world.create("a", spec_of("two")));
    CHECK(later.kind == Reply::Kind::kCreated);
    CHECK(world.observer.gone.count(first) == 1);
    world.tick();
    CHECK(world.names() == "a");
    CHECK(world.task("a").sequence == later.id);
    CHECK(world.runtime.starts[world.task("a").uid] == 1);
    CHECK(world.store.next.empty());
  }
  SUBCASE("deleted") {
    CHECK(world.reply(world.remove("a")).kind == Reply::Kind::kDeleted);
    world.tick();
    CHECK(world.manager->size() == 0);
    CHECK(world.store.live.empty());
    CHECK(world.store.next.empty());
  }
}

TEST_SUITE_END();

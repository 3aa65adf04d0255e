// setTasks: all or nothing on its input, one durable write a step (contract, section 2; protocol, Steps).
#include <doctest/doctest.h>

#include "task/fakes.h"

using namespace te;
using fake::Call;
using fake::spec_of;
using fake::World;

TEST_SUITE_BEGIN("task/manager_set");

TEST_CASE("set: makes what is missing and deletes what is too much") {
  World world;
  CHECK(world.reply(world.set({{"a", "run"}, {"b", "run"}})).kind == Reply::Kind::kSet);
  CHECK(world.names() == "a b");
  CHECK(world.before("reply 1", "start a"));
  CHECK(world.reply(world.set({{"b", "run"}, {"c", "run"}})).kind == Reply::Kind::kSet);
  CHECK(world.names() == "b c -a");
  CHECK(world.before("create c", "mark a"));
  CHECK(world.reply(world.set({})).kind == Reply::Kind::kSet);
  CHECK(world.names() == "-a -b -c");
}

TEST_CASE("set: the same list again writes nothing") {
  World world;
  world.reply(world.set({{"a", "run"}, {"b", "run"}}));
  const uint64_t writes = world.store.writes;
  CHECK(world.reply(world.set({{"a", "run"}, {"b", "run"}})).kind == Reply::Kind::kSet);
  CHECK(world.store.writes == writes);
  CHECK(world.count("start a") == 1);
}

TEST_CASE("set: live ones in order of creation, those being deleted last") {
  World world;
  world.reply(world.set({{"c", "run"}, {"a", "run"}, {"b", "run"}}));
  CHECK(world.names() == "c a b");
  world.reply(world.remove("c"));
  CHECK(world.names() == "a b -c");
  world.reply(world.create("d"));
  CHECK(world.names() == "a b d -c");
}

TEST_CASE("set: another spec is left alone and named") {
  World world;
  const uint64_t id = world.reply(world.create("a")).id;
  const auto& reply = world.reply(world.set({{"a", "other"}}));
  CHECK(reply.kind == Reply::Kind::kSet);
  REQUIRE(reply.warnings.size() == 1);
  CHECK(reply.warnings[0].find("\"a\"") != std::string::npos);
  CHECK(world.task("a").sequence == id);
  CHECK_FALSE(world.task("a").deleting());
}

TEST_CASE("set with replace: the new one is durable before the old one is marked, and follows it") {
  World world;
  world.create("a");
  world.settle();
  const auto& reply = world.reply(world.set({{"a", "other"}}, OnSpecChange::kReplace));
  CHECK(reply.kind == Reply::Kind::kSet);
  CHECK(reply.warnings.empty());
  CHECK(world.names() == "a -a");
  CHECK(world.store.next.count("a") == 1);
  CHECK(world.place_of("mark a") > world.place_of("create a"));
  world.supervisor_gone("a");
  world.settle();
  CHECK(world.names() == "a");
  CHECK(world.count("start a") == 2);
}

TEST_CASE("set: a name that is being deleted gets a successor") {
  World world;
  world.create("a");
  world.remove("a");
  world.settle();
  CHECK(world.reply(world.set({{"a", "run"}, {"b", "run"}})).kind == Reply::Kind::kSet);
  CHECK(world.names() == "a b -a");
  CHECK(world.reply(world.set({{"a", "run"}, {"b", "run"}})).kind == Reply::Kind::kSet);
  CHECK(world.names() == "a b -a");
  SUBCASE("an empty set cancels it") {
    CHECK(world.reply(world.set({})).kind == Reply::Kind::kSet);
    CHECK(world.count("discard_next a") == 1);
    CHECK(world.names() == "-a -b");
  }
  SUBCASE("with another spec it is left alone") {
    CHECK(world.reply(world.set({{"a", "two"}, {"b", "run"}})).warnings.size() == 1);
    CHECK(world.count("replace_next a") == 0);
  }
  SUBCASE("or replaced") {
    const uint64_t first = world.manager->find("a")->sequence;
    CHECK(world.reply(world.set({{"a", "two"}, {"b", "run"}}, OnSpecChange::kReplace)).kind == Reply::Kind::kSet);
    CHECK(world.observer.gone.count(first) == 1);
    world.supervisor_gone("a");
    world.settle();
    CHECK(world.names() == "b a");
    CHECK(world.runtime.starts[world.task("a").uid] == 1);
  }
}

TEST_CASE("set: a creation that fails undoes the others, and marks nothing") {
  World world;
  world.create("old");
  world.settle();
  world.store.fail_after(Call::kCreate, 2);
  const auto& reply = world.reply(world.set({{"a", "run"}, {"b", "run"}, {"c", "run"}}));
  CHECK(reply.kind == Reply::Kind::kFailed);
  CHECK(reply.error_code == ENOSPC);
  CHECK(world.names() == "old");
  CHECK(world.store.live.size() == 1);
  CHECK(world.count("mark old") == 0);
  CHECK(world.count("start a") == 0);
  CHECK(world.count("discard a") == 1);
  CHECK(world.count("discard b") == 1);
  CHECK(world.runtime.trash_calls == 1);
  world.restart();
  world.settle();
  CHECK(world.names() == "old");
}

TEST_CASE(
    "set: what can't be taken back is no task, and neither its name nor an empty set is answered as if it were gone") {
  World world;
  world.store.fail_after(Call::kCreate, 1);
  world.store.fail(Call::kDiscard, 4, EROFS);
  CHECK(world.reply(world.set({{"a", "run"}, {"b", "run"}})).error_code == ENOSPC);
  CHECK(world.names().empty());
  CHECK(world.reply(world.create("a")).error_code == EROFS);
  CHECK(world.reply(world.remove("a")).error_code == EROFS);
  CHECK(world.reply(world.set({})).error_code == EROFS);
  REQUIRE(world.store.live.count("a") == 1);
  SUBCASE("it goes with the next tick") {
    world.tick();
    CHECK(world.store.live.empty());
    CHECK(world.count("start a") == 0);
  }
  SUBCASE("or before the next one of its name") {
    CHECK(world.reply(world.create("a")).kind == Reply::Kind::kCreated);
    CHECK(world.count("start a") == 1);
    world.tick();
    CHECK(world.store.live.size() == 1);
    CHECK(world.names() == "a");
  }
}

TEST_CASE("set: a task that can't be marked does not keep the others from it") {
  World world;
  for (const char* name : {"a", "b", "c"}) world.create(name);
  world.settle();
  world.store.fail(Call::kMark, 1, EACCES);
  CHECK(world.reply(world.set({})).error_code == EACCES);
  CHECK(world.names() == "a -b -c");
  CHECK(world.reply(world.set({})).kind == Reply::Kind::kSet);
  CHECK(world.names() == "-a -b -c");
}

TEST_CASE("set: nobody sees it half done, and no command comes in between") {
  World world;
  world.slow_disk();
  world.create("old");
  world.settle();
  const uint64_t set = world.set({{"a", "run"}, {"b", "run"}});
  const uint64_t remove = world.remove("a");
  world.step();
  CHECK(world.names() == "old");
  CHECK_FALSE(world.answered(remove));
  CHECK(world.reply(set).kind == Reply::Kind::kSet);
  CHECK(world.before("reply 2", "reply 3"));
  CHECK(world.names() == "b -old -a");
}

TEST_CASE("set: killed in the middle, the same set sent again finishes it") {
  World world;
  world.create("old");
  world.settle();
  world.set({{"a", "run"}, {"b", "run"}});
  world.step();
  world.restart();
  world.settle();
  CHECK(world.reply(world.set({{"a", "run"}, {"b", "run"}})).kind == Reply::Kind::kSet);
  CHECK(world.names() == "a b -old");
}

TEST_CASE("set: a mark that fails is told, and the same set sent again finishes it") {
  World world;
  world.create("a");
  world.settle();
  world.store.fail(Call::kMark, 1, EIO);
  SUBCASE("too much") {
    CHECK(world.reply(world.set({{"b", "run"}})).kind == Reply::Kind::kFailed);
    CHECK(world.reply(world.set({{"b", "run"}})).kind == Reply::Kind::kSet);
    CHECK(world.names() == "b -a");
  }
  SUBCASE("replaced") {
    CHECK(world.reply(world.set({{"a", "two"}}, OnSpecChange::kReplace)).kind == Reply::Kind::kFailed);
    world.settle();
    world.tick();
    CHECK(world.reply(world.set({{"a", "two"}}, OnSpecChange::kReplace)).kind == Reply::Kind::kSet);
    CHECK(world.names() == "a -a");
    world.supervisor_gone("a");
    world.settle();
    CHECK(world.names() == "a");
    CHECK(world.count("start a") == 2);
  }
}

TEST_CASE("set: the old one goes while the rest is still being written") {
  World world;
  world.create("a");
  world.remove("a");
  world.settle();
  world.set({{"a", "run"}, {"b", "run"}, {"c", "run"}});
  world.step();  // the successor of a is durable, and not yet to be seen
  world.supervisor_gone("a");
  world.settle();
  CHECK(world.names() == "a b c");
  CHECK(world.count("promote a") == 1);
  CHECK(world.store.next.empty());
  CHECK(world.runtime.starts[world.task("a").uid] == 1);
}

TEST_CASE("set with replace: the old one goes between the replacement of its successor and the rest") {
  World world;
  for (const char* name : {"a", "x"}) world.create(name);
  world.remove("a");
  world.create("a", spec_of("one"));
  world.settle();
  world.supervisor_gone("a");
  const uint64_t set = world.set({{"a", "two"}}, OnSpecChange::kReplace);  // and x is too much
  CHECK(world.reply(set).kind == Reply::Kind::kSet);
  world.settle();
  CHECK(world.names() == "a -x");
  CHECK(same_spec(world.task("a").spec, spec_of("two")));
}

TEST_CASE("set with replace: a successor that came into its own meanwhile is marked, not only followed") {
  World world;
  world.slow_disk();
  world.create("a");
  world.remove("a");
  world.create("a", spec_of("one"));
  world.settle();
  const uint64_t set = world.set({{"b", "run"}, {"c", "run"}, {"a", "two"}}, OnSpecChange::kReplace);
  world.step();  // b is written; a's turn comes last
  world.supervisor_gone("a");
  CHECK(world.reply(set).kind == Reply::Kind::kSet);
  CHECK(world.count("promote a") == 1);
  CHECK(world.names() == "b c a -a");
  world.settle();
  if (world.dir("a").locked) world.supervisor_gone("a");
  world.settle();
  CHECK(same_spec(world.task("a").spec, spec_of("two")));
}

TEST_CASE("set with replace: two successors, and the second can't be written") {
  World world;
  for (const char* name : {"a", "b"}) {
    world.create(name);
    world.remove(name);
    world.create(name, spec_of("one"));
  }
  world.settle();
  world.store.fail_after(Call::kReplaceNext, 1);
  CHECK(world.reply(world.set({{"a", "two"}, {"b", "two"}}, OnSpecChange::kReplace)).kind == Reply::Kind::kFailed);
  // What was replaced can't be brought back, but neither name may be without its successor.
  world.supervisor_gone("a");
  world.supervisor_gone("b");
  world.settle();
  world.tick();
  CHECK(world.manager->list().size() == 2);
  CHECK(world.runtime.starts[world.task("a").uid] == 1);
  CHECK(world.runtime.starts[world.task("b").uid] == 1);
  CHECK(same_spec(world.task("b").spec, spec_of("one")));
}

TEST_SUITE_END();

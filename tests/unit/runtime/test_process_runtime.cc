// The runtime with real supervisors and helpers: the test program is them, under their names (main.cc).
#include "runtime/process_runtime.h"

#include <linux/capability.h>
#include <sys/prctl.h>

#include <array>
#include <functional>

#include "../codec/specs.h"
#include "../support.h"
#include "../task/fakes.h"
#include "children.h"
#include "runtime/supervisor.h"
#include "store/file_store.h"
#include "sys/credentials.h"
#include "sys/process_environment.h"

using namespace te;
using test::children_called;
using test::Tidy;

namespace {

struct Events final : RuntimeEvents {
  void on_record(uint64_t id) override { records.insert(id); }
  void on_end(uint64_t id) override { records.insert(id); }
  void on_supervisor_end(uint64_t id, bool clean) override { (clean ? ended : crashed).insert(id); }
  void on_swept(uint64_t id) override { swept.insert(id); }
  void on_sweep_put_off(uint64_t id) override { put_off.insert(id); }
  void on_step_due(uint64_t) override {}
  void on_pod(uint64_t, const PodRecord&) override {}
  bool is_supervised(std::string_view) const override { return true; }
  std::multiset<uint64_t> records;
  std::multiset<uint64_t> ended;
  std::multiset<uint64_t> crashed;
  std::multiset<uint64_t> swept;
  std::multiset<uint64_t> put_off;
};

/// A store and a runtime on a directory of their own.
struct Machine {
  Machine() : reactor(std::move(Reactor::create()).value()) {
    store = std::move(FileStore::open(dir.path(), clock, log)).value();
    boot();
  }
  ~Machine() {
    runtime.reset();
    // They end with the agent, whose parent would reap them.
    for (const pid_t pid : children_called(kZygoteName)) ::waitpid(pid, nullptr, 0);
  }
  /// The runtime of the next agent: supervisors live on.
  void boot(size_t starts_at_once = 4, MonoNanos start_takes = 20 * kMillisecond) {
    runtime.reset();
    const char* const environment[] = {"PATH=/bin:/usr/bin", nullptr};
    runtime = std::make_unique<ProcessRuntime>(
        reactor, log,
        ProcessRuntimeOptions{
            dir.path(), store->root(), &store->trash(), {1024, 4096}, {}, starts_at_once, start_takes},
        BaseEnvironment(environment));
    REQUIRE(runtime->open(events));
  }
  Task create(std::string name, std::string_view script) {
    Task task;
    task.name = std::move(name);
    task.spec = fake::spec_of("sh");
    task.spec.process.args.add("-c");
    task.spec.process.args.add(script);
    task.spec.process.grace_seconds = 0;
    REQUIRE(store->identify(task));
    REQUIRE(fake::create_one(*store, task, Place::kLive));
    return task;
  }
  template <class Condition>
  bool until(Condition condition) {
    return test::eventually([&] {
      REQUIRE(reactor.turn(false));
      return condition();
    });
  }
  bool runs(const Task& task) {
    return until([&] {
      const Result<std::optional<RunRecord>> run = store->read_run(task);
      return run && *run && (*run)->execed_at != 0;
    });
  }
  bool ends(const Task& task) {
    return until([&] { return events.ended.contains(task.sequence); });
  }
  ExitRecord end_of(const Task& task) {
    const Result<std::optional<ExitRecord>> end = store->read_exit(task);
    REQUIRE(end);
    REQUIRE(*end);
    return **end;
  }

  const test::SignalsBlocked blocked;
  test::TempDir dir;
  fake::FakeClock clock;
  fake::NullSink sink;
  Log log{sink, clock};
  Reactor reactor;
  Events events;
  std::unique_ptr<FileStore> store;
  std::unique_ptr<ProcessRuntime> runtime;
};

}  // namespace

TEST_CASE_FIXTURE(Tidy, "runtime: a run from start to recorded end") {
  Machine machine;
  const Task task = machine.create("t", "echo out; echo error >&2; echo $TASK_EXECUTOR_RUN; exit 3");
  REQUIRE(machine.runtime->start(task, 1));
  CHECK(machine.runtime->supervisors() == 1);
  CHECK(!*machine.store->unlocked(task));
  CHECK(machine.ends(task));
  CHECK(machine.runtime->supervisors() == 0);
  CHECK(*machine.store->unlocked(task));
  CHECK(machine.events.records.count(task.sequence) >= 2);  // run.json and exit.json were told
  const ExitRecord end = machine.end_of(task);
  CHECK(end.cause == EndCause::kEnded);
  CHECK(end.wait_status == 3 << 8);
  CHECK(end.execed_at >= end.started_at);
  CHECK(end.finished_at >= end.execed_at);
  CHECK(machine.dir.read("t/stdout.log") == "out\n" + std::string(task.uid.view()) + "\n");
  CHECK(machine.dir.read("t/stderr.log") == "error\n");
  CHECK(machine.dir.names("t") ==
        std::vector<std::string>{"exit.json", "run.json", "stderr.log", "stdout.log", "task.json"});
}

TEST_CASE_FIXTURE(Tidy,
                  "runtime: the supervisor of an expected start is there before, and stays when the zygote goes") {
  Machine machine;
  const Task task = machine.create("t", "echo out; sleep 1000");
  REQUIRE(machine.reactor.turn(false));  // it knows the time from then on
  machine.runtime->expect_start(task, 2);
  machine.runtime->expect_start(task, 2);
  CHECK(machine.until([&] { return children_called(kZygoteName).size() == 3; }));
  CHECK(machine.runtime->can_start(task));
  REQUIRE(machine.runtime->start(task, 1));
  CHECK(machine.until(
      [&] { return children_called(kZygoteName).size() == 2 && children_called(kSupervisorName).size() == 1; }));
  CHECK(machine.runs(task));
  CHECK(machine.until([&] { return children_called(kZygoteName).size() == 0; }));
  CHECK(children_called(kSupervisorName).size() == 1);
  machine.runtime->sweep(task);
  CHECK(machine.ends(task));
  CHECK(machine.dir.read("t/stdout.log") == "out\n");
}

TEST_CASE_FIXTURE(Tidy, "runtime: few get to their exec at once, and one that takes long does not count") {
  Machine machine;
  const Task first = machine.create("first", "sleep 1000");
  const Task second = machine.create("second", "sleep 1000");
  SUBCASE("until it has got there") {
    machine.boot(1, 1'000 * kSecond);
    REQUIRE(machine.runtime->start(first, 1));
    CHECK_FALSE(machine.runtime->can_start(second));
    CHECK(machine.runs(first));
  }
  SUBCASE("until it is over") {
    machine.boot(1, 1'000 * kSecond);
    const Task bad = machine.create("bad", "exec /none");
    REQUIRE(machine.runtime->start(bad, 1));
    CHECK_FALSE(machine.runtime->can_start(second));
    CHECK(machine.ends(bad));
    REQUIRE(machine.runtime->start(first, 1));
  }
  SUBCASE("until its time is over") {
    machine.boot(1, 50 * kMillisecond);
    REQUIRE(::mkfifo((machine.dir.path() + "/first/stdout.log").c_str(), 0600) == 0);  // nobody reads: opening it hangs
    REQUIRE(machine.runtime->start(first, 1));
    CHECK_FALSE(machine.runtime->can_start(second));
  }
  CHECK(machine.until([&] { return machine.runtime->can_start(second); }));
  REQUIRE(machine.runtime->start(second, 1));
  for (const Task* task : {&first, &second}) machine.runtime->sweep(*task);
  CHECK(machine.ends(first));
  CHECK(machine.ends(second));
}

TEST_CASE_FIXTURE(Tidy, "runtime: a command that can't be started") {
  Machine machine;
  Task task;
  task.name = "t";
  task.spec = fake::spec_of("no-such-program");
  REQUIRE(machine.store->identify(task));
  REQUIRE(fake::create_one(*machine.store, task, Place::kLive));
  REQUIRE(machine.runtime->start(task, 1));
  CHECK(machine.ends(task));
  const ExitRecord end = machine.end_of(task);
  CHECK(end.cause == EndCause::kStartError);
  CHECK(end.stage == StartStage::kExec);
  CHECK(end.error == ENOENT);
  CHECK(end.object == "no-such-program");
}

TEST_CASE_FIXTURE(Tidy, "runtime: one supervisor a task, and none for a task that is not there") {
  Machine machine;
  const Task task = machine.create("t", "exec sleep 1000");
  REQUIRE(machine.runtime->start(task, 1));
  const Result<bool> second = machine.runtime->start(task, 1);
  REQUIRE(!second);
  CHECK(second.error().code == EBUSY);
  Task missing;
  missing.name = "missing";
  CHECK(machine.runtime->start(missing, 1).error().code == ENOENT);
  CHECK(machine.runs(task));
  machine.runtime->stop(task);
  CHECK(machine.ends(task));
  CHECK(machine.end_of(task).wait_status == SIGTERM);
}

TEST_CASE_FIXTURE(Tidy, "runtime: what outlives main is counted, and swept when asked") {
  Machine machine;
  const Task task = machine.create("t", "setsid sleep 1000 & exit 0");
  REQUIRE(machine.runtime->start(task, 1));
  CHECK(machine.until([&] { return machine.store->read_exit(task)->has_value(); }));
  CHECK(machine.until([&] { return machine.runtime->count_leftovers(task) == 1; }));
  CHECK(machine.events.ended.empty());
  machine.runtime->sweep(task);
  CHECK(machine.ends(task));
  CHECK(machine.end_of(task).wait_status == 0);  // told once, whatever came later
  CHECK(machine.runtime->count_leftovers(task) == 0);
}

TEST_CASE_FIXTURE(Tidy, "runtime: a timeout is kept by the supervisor") {
  Machine machine;
  Task task = machine.create("t", "exec sleep 1000");
  task.spec.process.timeout_seconds = 1;
  REQUIRE(machine.runtime->start(task, 1));
  CHECK(machine.ends(task));
  CHECK(machine.end_of(task).cause == EndCause::kTimeout);
  CHECK(machine.end_of(task).wait_status == SIGTERM);
}

TEST_CASE_FIXTURE(Tidy, "runtime: the next agent takes a supervisor up, but no stranger") {
  Machine machine;
  Task task = machine.create("t", "exec sleep 1000");
  REQUIRE(machine.runtime->start(task, 1));
  REQUIRE(machine.runs(task));
  machine.boot();
  CHECK(machine.runtime->supervisors() == 0);
  task.run = **machine.store->read_run(task);
  ++task.run.supervisor.start_ticks;
  CHECK(!*machine.runtime->adopt(task));
  --task.run.supervisor.start_ticks;
  machine.events.records.clear();
  CHECK(*machine.runtime->adopt(task));
  CHECK(machine.events.records.contains(task.sequence));  // what was written before is looked at
  CHECK(machine.runtime->supervisors() == 1);
  machine.runtime->stop(task);
  CHECK(machine.ends(task));
  CHECK(!*machine.runtime->adopt(task));
}

TEST_CASE_FIXTURE(Tidy, "runtime: a killed supervisor is told, main dies with it, and the mark finds the rest") {
  Machine machine;
  REQUIRE(::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0);  // so that orphans can be reaped here
  Task task = machine.create("t", "setsid sleep 1000 & exec sleep 1000");
  REQUIRE(machine.runtime->start(task, 1));
  REQUIRE(machine.runs(task));
  CHECK(machine.until([&] { return machine.runtime->count_leftovers(task) == 2; }));
  task.run = **machine.store->read_run(task);
  REQUIRE(::kill(task.run.supervisor.pid, SIGKILL) == 0);
  CHECK(machine.until([&] { return machine.events.crashed.contains(task.sequence); }));
  CHECK(!machine.store->read_exit(task)->has_value());
  const auto marked = [&] {
    struct Counter final : sys::MarkVisitor {
      std::string_view uid;
      int count = 0;
      void visit(int, std::string_view value) override { count += value == uid ? 1 : 0; }
    } counter;
    counter.uid = task.uid.view();
    REQUIRE(sys::visit_marked(kRunMark, counter));
    return counter.count;
  };
  CHECK(marked() >= 1);
  machine.runtime->sweep_by_mark(task);
  CHECK(machine.until([&] { return machine.events.swept.contains(task.sequence); }));
  CHECK(marked() == 0);
  while (::waitpid(-1, nullptr, 0) > 0) continue;
  REQUIRE(::prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) == 0);
}

TEST_CASE_FIXTURE(Tidy, "runtime: a child that hangs before its exec dies with its supervisor") {
  Machine machine;
  REQUIRE(::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0);  // so that the child is reaped here
  const Task task = machine.create("t", "true");
  REQUIRE(::mkfifo(machine.dir.path("t/stdout.log").c_str(), 0600) == 0);
  REQUIRE(machine.runtime->start(task, 1));
  const auto run = [&] { return machine.store->read_run(task); };
  REQUIRE(machine.until([&] { return run() && *run() && (*run())->process.pid != 0; }));
  const RunRecord record = **run();
  const auto hangs = [&] {
    const std::optional<sys::ProcStat> stat = sys::read_stat(record.process.pid);
    return stat && stat->state == 'S' && stat->group == record.process.pid;
  };
  REQUIRE(machine.until(hangs));
  REQUIRE(::kill(record.supervisor.pid, SIGKILL) == 0);
  CHECK(machine.until([&] { return machine.events.crashed.contains(task.sequence); }));
  CHECK(machine.until([&] { return ::waitpid(record.process.pid, nullptr, WNOHANG) == record.process.pid; }));
  REQUIRE(::prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) == 0);
}

TEST_CASE_FIXTURE(Tidy, "runtime: a postStop that hangs before its exec has its time and no more") {
  Machine machine;
  Task task = machine.create("t", "true");
  task.spec.process.post_stop = std::make_unique<Hook>();
  task.spec.process.post_stop->command.add("true");
  task.spec.process.post_stop->timeout_seconds = 1;
  REQUIRE(::mkfifo(machine.dir.path("t/poststop.log").c_str(), 0600) == 0);
  REQUIRE(machine.runtime->start(task, 1));
  CHECK(machine.ends(task));
  const Result<std::optional<RunRecord>> run = machine.store->read_run(task);
  CHECK((*run)->post_stop.outcome == HookOutcome::kStartError);
}

TEST_CASE_FIXTURE(Tidy, "runtime: nothing marked is swept at once, many in one go") {
  Machine machine;
  std::vector<Task> tasks;
  for (int i = 0; i < 20; ++i) tasks.push_back(machine.create("t" + std::to_string(i), "true"));
  for (const Task& task : tasks) machine.runtime->sweep_by_mark(task);
  CHECK(machine.until([&] { return machine.events.swept.size() == 20; }));
}

TEST_CASE_FIXTURE(Tidy, "runtime: what can't be killed keeps no other sweep waiting, and is tried again") {
  if (!test::is_root()) return test::skip("a process that we may see and not kill");
  CHECK(test::in_child([]() -> std::string {
          Machine machine;
          const Task stuck = machine.create("stuck", "true");
          const Task other = machine.create("other", "true");
          const Task late = machine.create("late", "true");
          test::Pipe go;
          const std::string mark = std::string(kRunMark) + "=" + std::string(stuck.uid.view());
          const pid_t pid = ::fork();
          if (pid == 0) {
            ::dup2(go.out.get(), 0);
            go.in.reset();
            if (::setresuid(65534, 65534, 65534) != 0) ::_exit(1);
            ::execle("/bin/sh", "sh", "-c", "read x", nullptr, std::array<const char*, 2>{mark.c_str()}.data());
            ::_exit(1);
          }
          sys::Credentials no_kill;
          no_kill.drop = uint64_t{1} << CAP_KILL;
          MUST(sys::take_on(no_kill));
          Events& events = machine.events;
          MUST(machine.until([&] { return sys::read_stat(pid)->name() == "sh"; }));
          machine.runtime->sweep_by_mark(stuck);
          machine.runtime->sweep_by_mark(other);
          MUST(machine.until([&] { return events.swept.contains(other.sequence); }));
          MUST(!events.swept.contains(stuck.sequence));
          MUST(events.put_off.count(stuck.sequence) == 1);
          machine.runtime->sweep_by_mark(late);
          MUST(machine.until([&] { return events.swept.contains(late.sequence); }));
          MUST(machine.until([&] { return events.put_off.count(stuck.sequence) >= 2; }));
          go.in.reset();
          MUST(machine.until([&] { return events.swept.contains(stuck.sequence); }));
          sys::wait_child(pid);
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "runtime: the trash is emptied by a process of its own") {
  Machine machine;
  for (int i = 0; i < 3; ++i) {
    const Task task = machine.create("t", "true");
    REQUIRE(machine.store->discard(task, Place::kLive));
    machine.runtime->empty_trash();
  }
  CHECK(!machine.store->trash_is_empty());
  CHECK(machine.until([&] { return machine.store->trash_is_empty(); }));
  // The helper itself is reaped by the loop.
  CHECK(machine.until([] {
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == -1;
  }));
}

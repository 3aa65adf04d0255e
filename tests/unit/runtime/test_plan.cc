#include "runtime/plan.h"

#include <cstring>

#include "../task/fakes.h"

using namespace te;

namespace {

Task a_task() {
  Task task;
  task.name = "t";
  task.uid = Uid::from("0123456789abcdef0123456789abcdef");
  task.spec = fake::spec_of("run");
  return task;
}

BaseEnvironment environment(std::vector<const char*> entries) {
  entries.push_back(nullptr);
  return BaseEnvironment(entries.data());
}

/// The plan as a supervisor sees it; keeps the bytes, at an address that suits the header, as a mapping has.
struct Decoded {
  explicit Decoded(const std::string& plan) : words(plan.size() / 8 + 1), size(plan.size()) {
    std::memcpy(words.data(), plan.data(), size);
    good = view.decode({reinterpret_cast<const char*>(words.data()), size});
  }
  const PlanHeader& header() const { return view.header(); }
  std::vector<std::string> argv(RunPhase phase = RunPhase::kMain) const { return all(view.process(phase).argv); }
  std::vector<std::string> env() const { return all(header().local_env); }
  std::vector<std::string> own_env() const { return all(header().own_env); }
  std::vector<std::string> all(StringRun run) const {
    std::vector<const char*> out;
    view.collect(run, out);
    return {out.begin(), out.end()};
  }

  std::vector<uint64_t> words;
  size_t size;
  bool good = false;
  PlanView view;
};

constexpr PlanLimits kLimits{1024, 4096};
using Strings = std::vector<std::string>;
const std::string kMark = "TASK_EXECUTOR_RUN=0123456789abcdef0123456789abcdef";

}  // namespace

TEST_CASE("plan: everything that a run needs comes through") {
  Task task = a_task();
  task.spec.process.command.add("second");
  task.spec.process.args.add("");
  task.spec.process.args.add("third word");
  task.spec.process.working_dir = "/work";
  task.spec.process.timeout_seconds = 5;
  task.spec.process.grace_seconds = 0;
  const Decoded plan(encode_plan(task, 3, environment({"A=1"}), kLimits));
  REQUIRE(plan.good);
  const PlanHeader& header = plan.header();
  CHECK(header.attempt == 3);
  CHECK(plan.view.process(RunPhase::kMain).timeout_seconds == 5);
  CHECK(header.grace_seconds == 0);
  CHECK(header.nofile_soft == 1024);
  CHECK(header.nofile_hard == 4096);
  CHECK(!header.has_security);
  CHECK(header.group_count == 0);
  CHECK(plan.argv() == Strings{"run", "second", "", "third word"});
  CHECK(plan.env() == Strings{kMark, "A=1"});
  CHECK(std::string(plan.view.text(plan.header().working_dir)) == "/work");
}

TEST_CASE("plan: what is not asked for has its default") {
  const Decoded plan(encode_plan(a_task(), 1, environment({}), kLimits));
  REQUIRE(plan.good);
  CHECK(plan.view.process(RunPhase::kMain).timeout_seconds == 0);
  CHECK(plan.header().grace_seconds == kDefaultGraceSeconds);
  CHECK(std::string(plan.view.text(plan.header().working_dir)).empty());
  CHECK(plan.env() == Strings{kMark});
}

TEST_CASE("plan: identity and rights, numbers of 0 too") {
  Task task = a_task();
  task.spec.process.security = std::make_unique<SecurityContext>();
  SecurityContext& security = *task.spec.process.security;
  security.run_as_user = 0;
  security.supplemental_groups = {7, 8, 9};
  security.no_new_privileges = true;
  security.drop_capabilities = ~uint64_t{0};
  security.add_capabilities = 2;
  const Decoded plan(encode_plan(task, 1, environment({"A=1"}), kLimits));
  REQUIRE(plan.good);
  const PlanHeader& header = plan.header();
  CHECK(header.has_security);
  CHECK(header.has_user);
  CHECK(header.user == 0);
  CHECK(!header.has_group);
  CHECK(header.no_new_privileges);
  CHECK(header.drop_capabilities == ~uint64_t{0});
  CHECK(header.add_capabilities == 2);
  REQUIRE(header.group_count == 3);
  CHECK(plan.view.groups()[0] == 7);
  CHECK(plan.view.groups()[2] == 9);
  CHECK(plan.argv() == Strings{"run"});
  CHECK(plan.env() == Strings{kMark, "A=1"});
}

TEST_CASE("environment: the agent's own, less what is not the task's business") {
  const BaseEnvironment base =
      environment({"PATH=/bin", "NOTIFY_SOCKET=/run/x", "LISTEN_FDS=1", "LISTEN_PID=2", "LISTEN_FDNAMES=x",
                   "WATCHDOG_USEC=1", "WATCHDOG_PID=1", "AUTH_TOKEN=secret", "AUTH_TOKEN_FILE=/x",
                   "TASK_EXECUTOR_RUN=another", "=oddity", "EMPTY=", "LISTENER=kept", "NOTIFY_SOCKETS=kept"});
  CHECK(base.entries() == Strings{"PATH=/bin", "EMPTY=", "LISTENER=kept", "NOTIFY_SOCKETS=kept"});
  CHECK(BaseEnvironment(nullptr).entries().empty());
}

TEST_CASE("environment: the mark comes first, and nobody can give a task another one") {
  Task task = a_task();
  task.spec.process.env.add("TASK_EXECUTOR_RUN=ffffffffffffffffffffffffffffffff");
  task.spec.process.env.add("B=2");
  const Decoded plan(encode_plan(task, 1, environment({"A=1", "TASK_EXECUTOR_RUN=x"}), kLimits));
  REQUIRE(plan.good);
  CHECK(plan.env() == Strings{kMark, "A=1", "B=2"});
}

TEST_CASE("environment: of entries with one name the last one counts, the task's behind the agent's") {
  Task task = a_task();
  for (const char* entry : {"A=task", "C=1", "C=2", "C=3", "AB=", "D="}) task.spec.process.env.add(entry);
  const Decoded plan(encode_plan(task, 1, environment({"A=agent", "B=agent", "B=again", "D=agent"}), kLimits));
  REQUIRE(plan.good);
  CHECK(plan.env() == Strings{kMark, "B=again", "A=task", "C=3", "AB=", "D="});
}

TEST_CASE("plan: bytes that are no plan of this binary are refused") {
  const std::string good = encode_plan(a_task(), 1, environment({"A=1"}), kLimits);
  CHECK(Decoded(good).good);
  for (size_t size = 0; size < good.size(); ++size) CHECK(!Decoded(good.substr(0, size)).good);
  CHECK(!Decoded(good + '\0').good);
  std::string other = good;
  other[0] = 'X';
  CHECK(!Decoded(other).good);
  std::string unended = good;
  unended.back() = 'x';
  CHECK(!Decoded(unended).good);
}

TEST_CASE("plan: a big one") {
  Task task = a_task();
  task.spec.process.args.add(std::string(3'000'000, 'a'));
  std::vector<std::string> names;
  for (int i = 0; i < 5000; ++i) names.push_back("NAME" + std::to_string(i) + "=value");
  for (const std::string& name : names) task.spec.process.env.add(name);
  const Decoded plan(encode_plan(task, 1, environment({}), kLimits));
  REQUIRE(plan.good);
  CHECK(plan.argv().at(1).size() == 3'000'000);
  CHECK(plan.header().local_env.count == 5001);
  CHECK(plan.env().back() == "NAME4999=value");
}

namespace {

std::unique_ptr<Hook> hook(std::string_view command, ExecMode mode = ExecMode::kDefault) {
  auto out = std::make_unique<Hook>();
  out->command.add(command);
  out->exec_mode = mode;
  return out;
}

const SidecarOptions kSidecar{true, "app", true, {5, 6}};

}  // namespace

TEST_CASE("plan: without hooks and sidecar mode there is main, beside the agent") {
  const Decoded plan(encode_plan(a_task(), 1, environment({"A=1"}), kLimits));
  REQUIRE(plan.good);
  CHECK(plan.header().first == RunPhase::kMain);
  CHECK(!plan.view.has(RunPhase::kPreStart));
  CHECK(!plan.view.has(RunPhase::kPostStop));
  CHECK(!plan.view.process(RunPhase::kMain).remote);
  CHECK(plan.own_env().empty());
}

TEST_CASE("plan: hooks with their timeouts, beside the agent unless they say otherwise") {
  Task task = a_task();
  task.spec.process.pre_start = hook("before");
  task.spec.process.pre_start->timeout_seconds = 4;
  task.spec.process.post_stop = hook("after", ExecMode::kRemote);
  const Decoded plan(encode_plan(task, 1, environment({"A=1"}), kLimits, kSidecar));
  REQUIRE(plan.good);
  CHECK(plan.header().first == RunPhase::kPreStart);
  CHECK(plan.argv(RunPhase::kPreStart) == Strings{"before"});
  CHECK(plan.argv(RunPhase::kPostStop) == Strings{"after"});
  CHECK(plan.view.process(RunPhase::kPreStart).timeout_seconds == 4);
  CHECK(plan.view.process(RunPhase::kPostStop).timeout_seconds == 30);
  CHECK(!plan.view.process(RunPhase::kPreStart).remote);
  CHECK(!plan.view.process(RunPhase::kPreStart).in_working_dir);
  CHECK(plan.view.process(RunPhase::kMain).remote);
  CHECK(plan.view.process(RunPhase::kPostStop).remote);
  CHECK(plan.view.process(RunPhase::kPostStop).in_working_dir);
  CHECK(plan.env() == Strings{kMark, "A=1"});
}

TEST_CASE("plan: in the main container a task gets its own entries only, none of the agent's") {
  Task task = a_task();
  for (const char* entry : {"B=1", "B=2"}) task.spec.process.env.add(entry);
  const Decoded plan(encode_plan(task, 1, environment({"A=1"}), kLimits, kSidecar));
  REQUIRE(plan.good);
  CHECK(plan.own_env() == Strings{kMark, "B=2"});
  CHECK(plan.env().empty());
  CHECK(std::string(plan.view.text(plan.header().container)) == "app");
  CHECK(plan.header().agent_user);
  CHECK(plan.header().program.device == 5);
  CHECK(plan.header().program.inode == 6);
}

TEST_CASE("plan: execMode says where main runs, the agent's mode only where it is silent") {
  for (const auto& [mode, remote] :
       {std::pair(ExecMode::kDefault, true), std::pair(ExecMode::kLocal, false), std::pair(ExecMode::kRemote, true)}) {
    Task task = a_task();
    task.spec.process.exec_mode = mode;
    const Decoded plan(encode_plan(task, 1, environment({}), kLimits, kSidecar));
    REQUIRE(plan.good);
    CHECK(plan.view.process(RunPhase::kMain).remote == remote);
  }
  // Accepted by an agent in sidecar mode, started by one that is not: never on the host instead.
  Task task = a_task();
  task.spec.process.exec_mode = ExecMode::kRemote;
  const Decoded plan(encode_plan(task, 1, environment({}), kLimits));
  CHECK(plan.view.process(RunPhase::kMain).remote);
}

TEST_CASE("plan: of a task that has ended or is lost, postStop alone") {
  for (const bool lost : {false, true}) {
    Task task = a_task();
    task.spec.process.pre_start = hook("before");
    task.spec.process.post_stop = hook("after");
    if (lost) {
      task.lost = true;
    } else {
      task.end = std::make_unique<ExitRecord>();
    }
    const Decoded plan(encode_plan(task, 1, environment({}), kLimits));
    REQUIRE(plan.good);
    CHECK(plan.header().first == RunPhase::kPostStop);
    CHECK(!plan.view.has(RunPhase::kPreStart));
    CHECK(!plan.view.has(RunPhase::kMain));
    CHECK(plan.argv(RunPhase::kPostStop) == Strings{"after"});
  }
}

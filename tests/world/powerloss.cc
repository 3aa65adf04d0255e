// Power loss at every change of the disk (make powerloss): lives of tasks on the simulated machine, and for each moment
// of them every disk that may be left (disk.h). From each of these an agent recovers, and all that was promised must be
// there, no more and no less (ledger.h). Where there are too many disks, a sample of them.
//
//     powerloss [--quick] [--kills N] [--seed N] [--life NAME] [--killed-at N]
//
// Each life is lived once undisturbed, and then again and again with whoever makes its first, second, third … change of
// the disk killed before it (at N of them with --kills N), and the power losses after that.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <unordered_set>
#include <vector>

#include "machine.h"
#include "random.h"
#include "sys/clock.h"

namespace te::world {

namespace {

struct Limits {
  uint32_t exhaustive = 1'000;  ///< so many disks of one moment are all tried
  uint32_t sample = 100;        ///< of those of a moment that has more
  uint64_t only = 0;            ///< kill at that change alone; 0: at all of them
  uint64_t kills = 1'000;       ///< at so many changes somebody is killed first
};

/// A way through all choices, one after the other.
class Tape {
 public:
  void begin() { at_ = 0; }
  uint32_t pick(uint32_t options) {
    if (at_ == choices_.size()) choices_.push_back({0, options});
    return choices_[at_++].choice;
  }
  /// False: that was the last one.
  bool next() {
    choices_.resize(at_);
    while (!choices_.empty() && choices_.back().choice + 1 == choices_.back().options) choices_.pop_back();
    if (choices_.empty()) return false;
    ++choices_.back().choice;
    return true;
  }

 private:
  struct Choice {
    uint32_t choice;
    uint32_t options;
  };
  std::vector<Choice> choices_;
  size_t at_ = 0;
};

struct Counts {
  uint64_t moments = 0;
  uint64_t whole = 0;  ///< moments of which all disks were tried
  uint64_t disks = 0;
  uint64_t recovered = 0;
};

struct Life_ {
  const char* name;
  ManagerOptions options;
  void (*run)(Machine& machine);
};

class Explorer {
 public:
  Explorer(const ManagerOptions& options, const Limits& limits, uint64_t seed)
      : options_(options), limits_(limits), random_(seed) {}

  void begin(uint64_t killed_at) { killed_at_ = killed_at; }

  void explore(Machine& machine) {
    if (busy_) return;
    busy_ = true;
    ++counts_.moments;
    const Ledger known = machine.ledger_at_power_loss();
    const PodState pods = machine.pods().after_power_loss();
    const uint64_t about = known.fingerprint() * 31 + pods.fingerprint();
    const Disk& disk = machine.kernel().disk;
    const auto try_disk = [&](Disk survivor) { this->try_disk(machine, known, pods, about, std::move(survivor)); };
    Tape tape;
    bool more = true;
    for (uint32_t i = 0; more && i < limits_.exhaustive; ++i) {
      tape.begin();
      try_disk(disk.survivor([&](uint32_t options) { return tape.pick(options); }));
      more = tape.next();
    }
    if (more) {
      for (uint32_t i = 0; i < limits_.sample; ++i) {
        try_disk(disk.survivor([&](uint32_t options) { return random_.below(options); }));
      }
    } else {
      ++counts_.whole;
    }
    busy_ = false;
  }

  /// Wrong already without a power loss.
  void blame(Machine& machine, uint64_t killed_at) {
    if (machine.ledger().violations().empty()) return;
    problem("killed at change " + std::to_string(killed_at) + ", with power", machine);
  }

  const Counts& counts() const { return counts_; }
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  void try_disk(Machine& machine, const Ledger& known, const PodState& pods, uint64_t about, Disk disk) {
    if (!seen_.insert(disk.fingerprint() * 31 + about).second) return;
    ++counts_.disks;
    const std::string before = std::getenv("WORLD_LOG") != nullptr ? disk.listing() : std::string();
    Machine next(options_, known, std::move(disk), pods);
    Kernel* outer = Kernel::enter(&next.kernel());
    next.kernel().set_clocks(machine.kernel().mono() + kSecond, machine.kernel().wall() + 1'000'000);
    next.kernel().seed(static_cast<uint64_t>(machine.kernel().mono()));
    const bool settled = next.settle();
    if (!settled) next.ledger().violation("not at rest: " + next.state());
    if (next.manager() != nullptr) {
      next.ledger().check(*next.manager());
      next.check_leftovers();
    }
    if (next.ledger().violations().empty()) {
      ++counts_.recovered;
    } else {
      problem("killed at " + std::to_string(killed_at_) + ", power lost after change " +
                  std::to_string(machine.kernel().changes()),
              next, before);
    }
    Kernel::enter(outer);
  }

  void problem(std::string text, Machine& machine, const std::string& disk = {}) {
    if (problems_.size() == 5) return;
    for (const std::string& one : machine.ledger().violations()) text += "\n    " + one;
    problems_.push_back(text + "\n" + disk);
  }

  const ManagerOptions& options_;
  Limits limits_;
  Random random_;
  Counts counts_;
  std::unordered_set<uint64_t> seen_;
  std::vector<std::string> problems_;
  bool busy_ = false;
  uint64_t killed_at_ = 0;
};

Wish wish(std::string name, std::string command) {
  Wish out;
  out.name = std::move(name);
  out.command = std::move(command);
  return out;
}

void run_for(Machine& machine, MonoNanos time) {
  const MonoNanos until = machine.kernel().mono() + time;
  do {
    while (machine.step()) {
    }
  } while (machine.sleep(until));
}

void create_and_end(Machine& machine) {
  machine.create(wish("a", "code=3,ms=20"));
  machine.settle();
}

void does_not_start(Machine& machine) {
  machine.create(wish("a", "err=2"));
  machine.settle();
}

void delete_finished(Machine& machine) {
  machine.create(wish("a", "ms=20"));
  machine.settle();
  machine.remove("a");
  machine.settle();
}

void delete_running(Machine& machine) {
  machine.create(wish("a", "ms=60000,left=1"));
  run_for(machine, kSecond);
  machine.remove("a");
  machine.settle();
}

void delete_deaf(Machine& machine) {
  machine.create(wish("a", "ms=60000,deaf"));
  run_for(machine, kSecond);
  machine.remove("a");
  run_for(machine, 100 * kMillisecond);
  machine.create(wish("a", "code=1"));  // a successor
  machine.settle();
}

void replace_set(Machine& machine) {
  machine.set({wish("a", "ms=60000"), wish("b", "ms=5")}, OnSpecChange::kKeep);
  run_for(machine, kSecond);
  machine.set({wish("a", "ms=7,code=2"), wish("c", "ms=1")}, OnSpecChange::kReplace);
  machine.settle();
}

void replace_twice(Machine& machine) {
  machine.set({wish("a", "ms=60000,deaf")}, OnSpecChange::kKeep);
  run_for(machine, kSecond);
  machine.set({wish("a", "ms=8")}, OnSpecChange::kReplace);
  machine.set({wish("a", "ms=9")}, OnSpecChange::kReplace);
  run_for(machine, 50 * kMillisecond);
  machine.remove("a");
  machine.settle();
}

Wish with_hooks(std::string name) {
  Wish out = wish(std::move(name), "ms=20");
  out.pre_start = "ms=3";
  out.post_stop = "ms=4";
  return out;
}

void hooks(Machine& machine) {
  machine.create(with_hooks("a"));
  machine.settle();
  machine.remove("a");
  machine.settle();
}

void pre_start_fails(Machine& machine) {
  Wish one = with_hooks("a");
  one.pre_start = "code=1";
  machine.create(one);
  machine.settle();
}

void timeout(Machine& machine) {
  Wish one = wish("a", "ms=60000,deaf");
  one.timeout_seconds = 1;
  machine.create(one);
  machine.settle();
}

Wish in_container(std::string name, std::string command) {
  Wish out = wish(std::move(name), std::move(command));
  out.container = true;
  return out;
}

void container(Machine& machine) {
  machine.create(in_container("a", "code=3,ms=20"));
  machine.settle();
  machine.remove("a");
  machine.settle();
}

void replace_container(Machine& machine) {
  machine.create(in_container("a", "ms=60000"));
  run_for(machine, kSecond);
  machine.set({in_container("a", "ms=5"), wish("b", "ms=5")}, OnSpecChange::kReplace);
  machine.settle();
}

void full_disk(Machine& machine) {
  machine.create(wish("a", "ms=50"));
  machine.create(with_hooks("b"));
  run_for(machine, 10 * kMillisecond);
  machine.kernel().disk.full = true;
  machine.create(wish("c", ""));
  run_for(machine, kSecond);
  machine.remove("a");
  run_for(machine, kSecond);
  machine.kernel().disk.full = false;
  machine.settle();
}

void agent_killed(Machine& machine) {
  machine.create(wish("a", "ms=50,code=4"));
  machine.create(wish("b", "ms=500"));
  run_for(machine, 10 * kMillisecond);
  machine.kill_agent();
  machine.settle();
}

void logs(Machine& machine) {
  machine.create(wish("a", "ms=3000,log=9000"));
  machine.settle();
}

void lost_supervisor(Machine& machine) {
  machine.create(wish("a", "ms=60000"));
  machine.create(with_hooks("b"));
  run_for(machine, 10 * kMillisecond);
  std::vector<int32_t> supervisors;
  for (const auto& [pid, process] : machine.kernel().processes()) {
    if (process->kind == ProcessKind::kProgram) supervisors.push_back(pid);
  }
  for (const int32_t pid : supervisors) machine.kill_program(*machine.kernel().find(pid));
  machine.settle();
}

ManagerOptions with(OnLost on_lost, int64_t log_max_bytes = 0) {
  ManagerOptions options;
  options.on_lost = on_lost;
  options.log_max_bytes = log_max_bytes;
  return options;
}

const Life_ kLives[] = {
    {"create, start, exit", with(OnLost::kFail), create_and_end},
    {"create, start, exit, run again when lost", with(OnLost::kRestart), create_and_end},
    {"create, start, exit, forgotten when lost", with(OnLost::kForget), create_and_end},
    {"does not start", with(OnLost::kFail), does_not_start},
    {"delete finished", with(OnLost::kFail), delete_finished},
    {"delete running", with(OnLost::kFail), delete_running},
    {"successor", with(OnLost::kFail), delete_deaf},
    {"set with replace", with(OnLost::kFail), replace_set},
    {"replaced twice", with(OnLost::kFail), replace_twice},
    {"hooks", with(OnLost::kFail), hooks},
    {"preStart fails", with(OnLost::kFail), pre_start_fails},
    {"timeout", with(OnLost::kFail), timeout},
    {"container", with(OnLost::kFail), container},
    {"container, run again when lost", with(OnLost::kRestart), container},
    {"container replaced", with(OnLost::kFail), replace_container},
    {"full disk", with(OnLost::kFail), full_disk},
    {"log bound", with(OnLost::kFail, 8192), logs},
    {"agent killed", with(OnLost::kFail), agent_killed},
    {"supervisors killed", with(OnLost::kFail), lost_supervisor},
    {"supervisors killed, run again", with(OnLost::kRestart), lost_supervisor},
};

constexpr WallMicros kClockStep = 3'600'000'000;

/// One life with all of its power losses. `killed_at`: who makes that change is killed before it, just when the wall
/// clock is set; 0: nobody. Answers how many changes there were.
uint64_t live_once(const Life_& life, Journal journal, uint64_t killed_at, Explorer& explorer) {
  Machine machine(life.options, Ledger(life.options));
  Kernel* outer = Kernel::enter(&machine.kernel());
  machine.kernel().disk.journal = journal;
  while (machine.manager() == nullptr) machine.step();
  uint64_t changes = 0;
  explorer.begin(killed_at);
  machine.strikes = [&](DiskOp) {
    if (++changes != killed_at) return false;
    machine.kernel().jump_wall(kClockStep);  // what has just been written looks old
    return true;
  };
  machine.on_change = [&](DiskOp) {
    if (changes >= killed_at) explorer.explore(machine);
    return 0;
  };
  life.run(machine);
  explorer.explore(machine);
  explorer.blame(machine, killed_at);
  machine.on_change = nullptr;
  machine.strikes = nullptr;
  Kernel::enter(outer);
  return changes;
}

bool live(const Life_& life, Journal journal, const Limits& limits, uint64_t seed, Counts& total) {
  Explorer explorer(life.options, limits, seed);
  const uint64_t changes = live_once(life, journal, 0, explorer);
  const uint64_t stride = limits.kills == 0 ? changes + 1 : std::max<uint64_t>(1, changes / limits.kills);
  uint64_t killed = 0;
  if (limits.only != 0) return live_once(life, journal, limits.only, explorer), explorer.problems().empty();
  for (uint64_t at = 1 + seed % stride; at <= changes; at += stride, ++killed) live_once(life, journal, at, explorer);
  const Counts& counts = explorer.counts();
  const auto number = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf(
      "%-42s %-7s %3llu changes, killed at %3llu: %6llu moments (%llu with every disk), %llu disks of %llu recovered\n",
      life.name, journal == Journal::kStrict ? "strict" : "ordered", number(changes), number(killed),
      number(counts.moments), number(counts.whole), number(counts.recovered), number(counts.disks));
  for (const std::string& problem : explorer.problems()) std::printf("  %s\n", problem.c_str());
  std::fflush(stdout);
  total.moments += counts.moments;
  total.disks += counts.disks;
  total.recovered += counts.recovered;
  return explorer.problems().empty();
}

int run(int argc, char** argv) {
  Limits limits;
  uint64_t seed = 1;
  std::string only;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--quick") limits = {64, 16, 0, 6};
    if (word == "--seed" && i + 1 < argc) seed = std::strtoull(argv[++i], nullptr, 10);
    if (word == "--kills" && i + 1 < argc) limits.kills = std::strtoull(argv[++i], nullptr, 10);
    if (word == "--killed-at" && i + 1 < argc) limits.only = std::strtoull(argv[++i], nullptr, 10);
    if (word == "--life" && i + 1 < argc) only = argv[++i];
  }
  Counts total;
  bool good = true;
  for (const Life_& life : kLives) {
    if (!only.empty() && only != life.name) continue;
    for (const Journal journal : {Journal::kStrict, Journal::kOrdered}) {
      good = live(life, journal, limits, seed, total) && good;
    }
  }
  std::printf("seed %llu: %llu disks of %llu recovered\n", static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(total.recovered), static_cast<unsigned long long>(total.disks));
  return good ? 0 : 1;
}

}  // namespace

}  // namespace te::world

int main(int argc, char** argv) { return te::world::run(argc, argv); }

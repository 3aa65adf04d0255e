// The simulated world (make world): clients at random, faults at random, one episode after the other, each from its
// seed alone. After each turn of the agent all that clients were told is compared with what happened (ledger.h). At the
// end of an episode nothing fails any more, and everything has to come to its end.
//
//     world [--seed N] [--episodes N | --seconds N]
//
// A failing episode says its seed; the same seed with --episodes 1 does the same again.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "machine.h"
#include "random.h"

namespace te::world {

namespace {

constexpr uint32_t kSteps = 6'000;  ///< of an episode

double seconds_of(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// How often what goes wrong: once in so many times; 0: never.
struct Weather {
  uint32_t disk_error = 0;
  uint32_t slow_disk = 0;
  uint32_t slow_sync = 0;
  uint32_t slow_runtime = 0;
  uint32_t struck = 0;  ///< who makes a change of the disk is killed
  uint32_t power = 0;
  std::map<std::string, uint32_t, std::less<>> chances;
};

class Episode {
 public:
  explicit Episode(uint64_t seed) : random_(seed) {
    constexpr OnLost kOnLost[] = {OnLost::kAuto, OnLost::kFail, OnLost::kForget, OnLost::kRestart};
    options_.on_lost = kOnLost[random_.below(4)];
    options_.max_concurrent = random_.once_in(2) ? 0 : 1 + random_.below(4);
    options_.ttl_after_finished = random_.once_in(4) ? kSecond : 0;
    options_.log_max_bytes = random_.once_in(4) ? 8192 : 0;
    names_ = 1 + random_.below(12);
    containers_ = random_.once_in(2) ? 0 : 1 + random_.below(4);
    if (!random_.once_in(5)) brew();
    begin(Ledger(options_), Disk());
    machine_->kernel().disk.journal = random_.once_in(2) ? Journal::kStrict : Journal::kOrdered;
  }
  Episode(const Episode&) = delete;
  Episode& operator=(const Episode&) = delete;
  ~Episode() {
    machine_.reset();
    Kernel::enter(nullptr);
  }

  void run() {
    for (uint32_t i = 0; i < kSteps && good(); ++i) {
      if (!machine_->has_power()) restore_power();
      if (machine_->manager() != nullptr && random_.once_in(5)) {
        act();
      } else if (!machine_->step()) {
        machine_->sleep(machine_->kernel().mono() + random_.below(30) * kMillisecond);
      }
      if (random_.once_in(400)) mishap();
    }
    if (good()) come_to_rest();
    if (good()) clean_up();
  }

  bool good() const { return machine_->ledger().violations().empty(); }
  const std::vector<std::string>& violations() const { return machine_->ledger().violations(); }
  uint64_t tasks() const { return machine_->ledger().tasks(); }
  uint64_t ends() const { return machine_->ledger().ends_told(); }
  uint64_t changes() const { return changes_; }
  uint64_t power_losses() const { return power_losses_; }
  uint64_t kills() const { return kills_; }

 private:
  void brew() {
    const auto some = [&](uint32_t often, uint32_t seldom) {
      return random_.once_in(2) ? 0 : often + random_.below(seldom - often);
    };
    weather_.disk_error = some(30, 2'000);
    weather_.slow_disk = some(10, 1'000);
    weather_.slow_sync = some(5, 500);
    weather_.slow_runtime = some(5, 200);
    weather_.chances["noanswer"] = some(10, 500);
    weather_.struck = some(200, 3'000);
    weather_.power = some(1'000, 20'000);
    for (const char* what : {"late", "unnoticed", "overflow"}) weather_.chances[what] = some(2, 50);
    for (const char* what : {"emfile", "unreadable", "nofork", "nowatch", "nonotify", "unsent", "deaf"}) {
      weather_.chances[what] = some(20, 2'000);
    }
    if (random_.once_in(4)) weather_.chances["noattributes"] = 1;  // a file system that has none
  }

  void begin(Ledger ledger, Disk disk, PodState pods = {}) {
    auto next = std::make_unique<Machine>(options_, std::move(ledger), std::move(disk), std::move(pods));
    if (machine_ != nullptr) {
      next->kernel().set_clocks(machine_->kernel().mono() + kSecond, machine_->kernel().wall() + 1'000'000);
    }
    next->kernel().seed(random_.below(UINT32_MAX) * uint64_t{UINT32_MAX} + random_.below(UINT32_MAX));
    next->pick = [this](uint32_t options) { return random_.below(options); };
    next->happens = [this](std::string_view what) { return happens(what); };
    next->strikes = [this](DiskOp) {
      ++changes_;
      if (random_.once_in(weather_.power)) lose_power();
      if (!machine_->has_power() || !random_.once_in(weather_.struck)) return false;
      ++kills_;
      return true;
    };
    next->slowness = [this](DiskOp op) {
      const bool slow = op == DiskOp::kSync && random_.once_in(weather_.slow_sync);
      return slow ? random_.below(random_.once_in(4) ? 10'000 : 500) * kMillisecond : MonoNanos{0};
    };
    next->answer_time = [this] {
      return random_.once_in(weather_.slow_runtime) ? random_.below(5'000) * kMillisecond : MonoNanos{0};
    };
    next->on_change = [this](DiskOp op) { return fault(op); };
    next->on_step = [this] { machine_->ledger().check(*machine_->manager()); };
    machine_ = std::move(next);
    Kernel::enter(&machine_->kernel());
  }

  bool happens(std::string_view what) {
    if (what == "yield") return random_.once_in(4);
    if (what == "done") return random_.once_in(2);
    const auto found = weather_.chances.find(what);
    return found != weather_.chances.end() && random_.once_in(found->second);
  }

  int fault(DiskOp op) {
    if (random_.once_in(weather_.slow_disk)) machine_->kernel().spend(random_.below(200) * kMillisecond);
    if (!random_.once_in(weather_.disk_error)) return 0;
    const bool space = op == DiskOp::kCreate || op == DiskOp::kWrite || op == DiskOp::kAllocate;
    return space && random_.once_in(2) ? ENOSPC : EIO;
  }

  void lose_power() {
    ++power_losses_;
    pods_ = machine_->pods().after_power_loss();
    known_ = std::make_unique<Ledger>(machine_->ledger_at_power_loss());
    left_ = std::make_unique<Disk>(
        machine_->kernel().disk.survivor([this](uint32_t options) { return random_.below(options); }));
    machine_->lose_power();
  }

  void restore_power() { begin(std::move(*known_), std::move(*left_), std::move(pods_)); }

  void mishap() {
    if (weather_.chances.empty() || !machine_->has_power()) return;
    switch (random_.below(8)) {
      case 0: machine_->kernel().jump_wall(random_.below(20) * 1'000'000); break;
      case 1: machine_->kernel().jump_wall(-static_cast<WallMicros>(random_.below(3'600)) * 1'000'000); break;
      case 2:
      case 3: machine_->kernel().disk.full = !machine_->kernel().disk.full; break;
      case 4:
        ++kills_;
        machine_->kill_agent();
        break;
      case 5:
        if (weather_.power != 0) lose_power();
        break;
      case 6: machine_->pods().go_away(random_.below(5'000) * kMillisecond); break;
      default: kill_somebody(); break;
    }
  }

  void kill_somebody() {
    std::vector<int32_t> programs;
    for (const auto& [pid, process] : machine_->kernel().processes()) {
      if (process->kind == ProcessKind::kProgram && !process->ended) programs.push_back(pid);
    }
    if (programs.empty()) return;
    ++kills_;
    const auto chosen = random_.below(static_cast<uint32_t>(programs.size()));
    machine_->kill_program(*machine_->kernel().find(programs[chosen]));
  }

  std::string name() { return std::string(1, static_cast<char>('a' + random_.below(names_))); }

  /// The command says all, so that two wishes are the same when their commands are.
  Wish wish() {
    Wish out;
    out.name = name();
    const uint32_t kind = random_.below(8);
    out.command = "k=" + std::to_string(kind);
    switch (kind) {
      case 0: out.command += ",code=3,ms=1"; break;
      case 1: out.command += ",ms=200"; break;
      case 2: out.command += ",err=2"; break;
      case 3: out.command += ",ms=3,left=2"; break;
      case 4:
        out.command += ",ms=8000,deaf";
        out.timeout_seconds = 1;
        break;
      case 5:
        out.pre_start = random_.once_in(3) ? "code=1" : "ms=2";
        out.post_stop = "ms=2";
        out.command += out.pre_start + ",ms=10,code=0";
        break;
      case 6:
        out.post_stop = "ms=2";
        out.command += ",ms=2";
        break;
      default: out.command += ",ms=2"; break;
    }
    if (out.pre_start.empty() && out.post_stop.empty() && kind != 2 && random_.once_in(containers_)) {
      out.container = true;
      out.command += ",pod";
      return out;
    }
    if (random_.once_in(3)) {
      out.form = WireForm::kController;
      out.command += ",c";
    }
    return out;
  }

  void act() {
    switch (random_.below(8)) {
      case 0: {
        std::map<std::string, Wish> wishes;
        for (uint32_t i = random_.below(4); i > 0; --i) {
          Wish one = wish();
          wishes[one.name] = one;
        }
        std::vector<Wish> list;
        for (const auto& [key, one] : wishes) list.push_back(one);
        machine_->set(list, random_.once_in(2) ? OnSpecChange::kReplace : OnSpecChange::kKeep);
        break;
      }
      case 1:
      case 2:
      case 3: machine_->remove(name()); break;
      default: machine_->create(wish()); break;
    }
  }

  void come_to_rest() {
    weather_ = {};
    if (!machine_->has_power()) restore_power();
    machine_->kernel().disk.full = false;
    // What could not be removed when the disk failed is found by the next agent.
    machine_->kill_agent();
    if (!machine_->settle()) return machine_->ledger().violation("not at rest:\n" + machine_->state());
    machine_->ledger().check(*machine_->manager());
    machine_->check_leftovers();
  }

  void clean_up() {
    machine_->set({}, OnSpecChange::kKeep);
    if (!machine_->settle() || machine_->manager()->size() != 0) {
      machine_->ledger().violation("not empty:\n" + machine_->state());
    }
    machine_->check_leftovers();
  }

  Random random_;
  ManagerOptions options_;
  Weather weather_;
  uint32_t names_ = 1;
  uint32_t containers_ = 0;  ///< one task in so many is in a container
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Ledger> known_;
  std::unique_ptr<Disk> left_;
  PodState pods_;
  uint64_t changes_ = 0;
  uint64_t power_losses_ = 0;
  uint64_t kills_ = 0;
};

struct Options {
  uint64_t seed = 1;
  uint64_t episodes = 1'000;
  double seconds = 0;  ///< instead of a number of episodes
  uint64_t jobs = 1;
};

struct Tally {
  uint64_t episodes = 0;
  uint64_t bad = 0;
  uint64_t tasks = 0;
  uint64_t ends = 0;
  uint64_t changes = 0;
  uint64_t kills = 0;
  uint64_t power_losses = 0;
  double cpu = 0;

  void add(const Tally& other) {
    episodes += other.episodes;
    bad += other.bad;
    tasks += other.tasks;
    ends += other.ends;
    changes += other.changes;
    kills += other.kills;
    power_losses += other.power_losses;
    cpu += other.cpu;
  }
};

unsigned long long number(uint64_t value) { return value; }

/// Every `jobs`-th episode, beginning with the `first`.
Tally go_through(const Options& options, uint64_t first) {
  const double began = seconds_of(CLOCK_MONOTONIC);
  const auto goes_on = [&](uint64_t at) {
    return options.seconds > 0 ? seconds_of(CLOCK_MONOTONIC) - began < options.seconds : at < options.episodes;
  };
  Tally tally;
  for (uint64_t at = first; goes_on(at) && tally.bad < 10; at += options.jobs) {
    Episode episode(options.seed + at);
    episode.run();
    ++tally.episodes;
    tally.tasks += episode.tasks();
    tally.ends += episode.ends();
    tally.changes += episode.changes();
    tally.kills += episode.kills();
    tally.power_losses += episode.power_losses();
    if (episode.good()) continue;
    ++tally.bad;
    std::string text = "failed: make world SEED=" + std::to_string(options.seed + at) + " EPISODES=1\n";
    for (const std::string& one : episode.violations()) text += "  " + one + "\n";
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
  }
  tally.cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  return tally;
}

// A process for each job. One that does not come to its end is a failure.
Tally go_through_beside_each_other(const Options& options) {
  std::vector<int> pipes;
  for (uint64_t job = 0; job < options.jobs; ++job) {
    int ends[2] = {-1, -1};
    if (::pipe(ends) != 0 || ::fcntl(ends[0], F_SETFD, FD_CLOEXEC) != 0) std::abort();
    if (::fork() == 0) {
      const Tally tally = go_through(options, job);
      ::_exit(::write(ends[1], &tally, sizeof tally) == ssize_t{sizeof tally} ? 0 : 1);
    }
    ::close(ends[1]);
    pipes.push_back(ends[0]);
  }
  Tally all;
  for (const int from : pipes) {
    Tally tally;
    if (::read(from, &tally, sizeof tally) != ssize_t{sizeof tally}) {
      std::printf("failed: one of the processes has crashed\n");
      tally = {};
      tally.bad = 1;
    }
    all.add(tally);
    ::close(from);
  }
  while (::wait(nullptr) > 0) continue;
  return all;
}

int run(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string word = argv[i];
    if (word == "--seed") options.seed = std::strtoull(argv[i + 1], nullptr, 10);
    if (word == "--episodes") options.episodes = std::strtoull(argv[i + 1], nullptr, 10);
    if (word == "--seconds") options.seconds = std::strtod(argv[i + 1], nullptr);
    if (word == "--jobs") options.jobs = std::max(1ULL, std::strtoull(argv[i + 1], nullptr, 10));
  }
  const double began = seconds_of(CLOCK_MONOTONIC);
  const Tally all = options.jobs == 1 ? go_through(options, 0) : go_through_beside_each_other(options);
  const double took = seconds_of(CLOCK_MONOTONIC) - began;
  std::printf(
      "seed %llu: %llu episodes, %llu failed; %llu tasks, %llu ends told, %llu changes of the disk, %llu kills, "
      "%llu power losses; %.1f s, %.1f s of CPU, %.0f tasks a minute\n",
      number(options.seed), number(all.episodes), number(all.bad), number(all.tasks), number(all.ends),
      number(all.changes), number(all.kills), number(all.power_losses), took, all.cpu,
      static_cast<double>(all.tasks) / took * 60);
  return all.bad == 0 ? 0 : 1;
}

}  // namespace

}  // namespace te::world

int main(int argc, char** argv) { return te::world::run(argc, argv); }

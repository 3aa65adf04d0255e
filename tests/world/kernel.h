// The kernel that the program meets in the simulated world: time, processes, descriptors and a disk, all in one thread.
//
// sys_*.cc answer the headers of src/sys with it, so that the real store, manager, reactor, process runtime and
// supervisor run on it, linked and not adapted. The agent is the thread itself; each supervisor or helper that it
// spawns is the same code on a stack of its own (fiber.h), which goes on when schedule() says so: another one may have
// its turn at each change of the disk. What a supervisor forks is no code, but a Behaviour.
//
// A process that is killed may hold objects on its stack. So it goes on as a ghost until it has come to its end: all
// calls of it return at once, and reach nothing.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/process_id.h"
#include "base/result.h"
#include "base/time.h"
#include "disk.h"
#include "fiber.h"
#include "sys/notify.h"
#include "task/record.h"

namespace te::world {

/// What a command does: "code=3,ms=50,left=2,deaf,err=2" as argv[0].
struct Behaviour {
  int code = 0;
  MonoNanos lasts = 0;
  int leaves = 0;      ///< processes that outlive it
  bool deaf = false;   ///< to TERM
  int exec_error = 0;  ///< errno of the exec

  static Behaviour parse(std::string_view text);
};

enum class ProcessKind : uint8_t { kAgent, kProgram, kTask };

struct Process {
  int32_t pid = 0;
  uint64_t start_ticks = 0;
  ProcessKind kind = ProcessKind::kTask;
  Process* parent = nullptr;  ///< none: init, which reaps at once
  std::set<int32_t> children;
  bool ended = false;  ///< not reaped yet
  int status = 0;      ///< as wait4(2)
  std::string mark;
  std::set<int> watched_by;  ///< numbers of descriptors that are pidfds of it

  // A program of ours, and the agent.
  std::unique_ptr<Fiber> fiber;
  std::vector<std::string> argv;
  std::map<int, int> inherited;  ///< its small descriptors
  std::set<int> descriptors;
  uint32_t signals = 0;  ///< waiting, bit n is signal n
  bool ready = false;    ///< to go on
  MonoNanos wakes_at = kNever;
  bool ghost = false;
  std::vector<int32_t> limbo;  ///< a ghost's children, still to be reaped
  std::string plan;            ///< mapped
  int socket = 0;              ///< the description of the pair made last

  // One of a task.
  bool held = false;  ///< not let go yet
  Behaviour behaviour;
  int32_t group = 0;
  MonoNanos ends_at = kNever;
};

/// An open description, shared by descriptors.
struct Description {
  enum class Kind : uint8_t { kNone, kFile, kPidfd, kNotify, kPoller, kMemory, kSocket, kDevice };
  struct Event {
    int watch;
    sys::Notifier::Change change;
    std::string name;
  };
  Kind kind = Kind::kNone;
  int references = 0;
  Ino ino = kNoIno;
  bool append = false;
  int64_t offset = 0;
  int32_t pid = 0;                 ///< kPidfd; kSocket: the child behind it
  std::string bytes;               ///< kMemory; kSocket: to be read
  std::map<int, Ino> watches;      ///< kNotify
  std::vector<Event> events;       ///< kNotify
  std::map<int, uint64_t> polled;  ///< kPoller: descriptor to key
  std::set<int> notifiers;         ///< kPoller: those of `polled` that are one
  MonoNanos deadline = kNever;     ///< kPoller
  bool fired = false;              ///< kPoller: its last wait met the deadline
};

/// The changes of the disk, as faults are asked for them.
enum class DiskOp : uint8_t { kCreate, kRename, kUnlink, kWrite, kResize, kAllocate, kAttribute, kSync };

/// What the world makes of the kernel's chances.
class KernelEvents {
 public:
  virtual ~KernelEvents() = default;
  /// Before each change; the disk is whole. An errno lets it fail.
  virtual int on_disk(DiskOp op) = 0;
  /// How long it takes. Meanwhile all others go on.
  virtual MonoNanos takes(DiskOp op) = 0;
  /// How long the container runtime takes for a call.
  virtual MonoNanos answers_in() = 0;
  /// Whether something that may fail or happen late does so; `what` is one word.
  virtual bool chance(std::string_view what) = 0;
  /// A command or hook may exec from now on.
  virtual void on_release(const Process& child, const RunRecord& run, bool durable) = 0;
  /// A process of a task has ended.
  virtual void on_end(const Process& process) = 0;
};

class Kernel {
 public:
  explicit Kernel(KernelEvents& events, Disk start = {});
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;
  ~Kernel();

  /// The one whose system calls are made now.
  static Kernel& get();
  /// Makes it that one, and answers which one it was.
  static Kernel* enter(Kernel* kernel);

  // Time.
  MonoNanos mono() const { return mono_; }
  WallMicros wall() const { return wall_base_ + mono_ / 1'000; }
  void advance_to(MonoNanos at);
  /// Somebody has been busy, or the disk slow.
  void spend(MonoNanos time) { mono_ += time; }
  void jump_wall(WallMicros by) { wall_base_ += by; }
  void set_clocks(MonoNanos mono, WallMicros wall) {
    mono_ = mono;
    wall_base_ = wall - mono / 1'000;
  }
  /// When something will happen by itself.
  MonoNanos next_event() const;

  // Processes.
  Process& current() { return *current_; }
  bool ghost() const { return current_->ghost; }
  Process* find(int32_t pid);
  Process& begin_agent();
  /// All that the agent has open is gone, and its children are orphans.
  void end_agent();
  Process& fork_task(Process& parent, const std::string& mark);
  Result<int32_t> spawn_program(std::vector<std::string> argv, std::map<int, int> fds);
  void signal(Process& process, int number);
  void end(Process& process, int status);
  void reap(Process& process);
  /// The child may exec. False: it can't, and has ended.
  bool release(Process& child);
  /// KILL to a program of ours, at once; the current one goes on as a ghost.
  void kill_program(Process& process);
  void each_living(FunctionRef<void(Process&)> visit);
  std::vector<int32_t> living_below(const Process& ancestor);
  int32_t newest_pid() const { return next_pid_ - 1; }
  /// Of this kernel alone, and the same again when it goes the same way again.
  uint64_t next_random();
  void seed(uint64_t seed) { random_ = seed; }

  /// Programs that could go on.
  const std::set<int32_t>& ready() const { return ready_; }
  const std::map<int32_t, std::unique_ptr<Process>>& processes() const { return processes_; }
  /// One of them goes on until it waits.
  void schedule(int32_t pid);
  /// Of a program: waits for a signal or that time.
  void wait(MonoNanos deadline);
  /// Power is lost: everybody is a ghost, and only the disk is of use.
  void lose_power();
  /// All ghosts come to their end; what was the agent's is to be destroyed before.
  void bury();

  // Descriptors.
  int open(Description description);
  int share(int fd);  ///< another number for the same description
  void close(int fd);
  Description* at(int fd);
  int number(int fd) const;  ///< of its description
  Description& numbered(int number) { return descriptions_[static_cast<size_t>(number)]; }
  bool lock(int fd);
  void notify(Ino dir, std::string_view name);
  /// Of a file, wherever it has a name.
  void notify_attributes(Ino file);
  void watch_dir(int fd, int watch, Ino dir);
  void unwatch_dir(int fd, int watch);
  std::set<int>& ready_pidfds() { return ready_pidfds_; }
  /// The agent's loop would not sleep.
  bool agent_is_woken() const;
  /// A deadline has passed in its last turn, so that the next one is not armed yet.
  bool agent_met_deadline() const { return descriptions_[static_cast<size_t>(poller_)].fired; }

  Disk disk;
  /// Before a change of the disk by whoever is current; the errno with which it fails.
  int change(DiskOp op);
  uint64_t changes() const { return changes_; }
  /// Whether a file and its name in `dir` would outlive a power loss.
  bool durable(Ino dir, std::string_view name) const;
  std::map<Ino, int32_t> record_locks;
  KernelEvents& events() { return events_; }

 private:
  void set_timer(Process& process, MonoNanos at, MonoNanos& slot);
  Process& add(ProcessKind kind, Process* parent);
  void close_all(Process& process);
  void orphan_children(Process& process);
  void stand_still(MonoNanos time);
  void run(Process& process);

  KernelEvents& events_;
  MonoNanos mono_ = 1'000 * kSecond;
  MonoNanos written_back_ = 1'000 * kSecond;
  WallMicros wall_base_ = 1'700'000'000'000'000;
  std::map<int32_t, std::unique_ptr<Process>> processes_;
  Process* agent_ = nullptr;
  Process* current_ = nullptr;
  std::set<int32_t> ready_;
  std::set<std::pair<MonoNanos, int32_t>> timers_;
  int32_t next_pid_ = 100;
  std::vector<Description> descriptions_;
  std::vector<int> free_descriptions_;
  struct Slot {
    int description = 0;  ///< 0: free
    int32_t owner = 0;
  };
  std::vector<Slot> fds_;
  std::vector<int> free_fds_;
  std::map<Ino, std::set<int>> notifiers_;  ///< descriptions that watch a directory
  std::set<int> ready_pidfds_;
  int poller_ = 0;  ///< the agent's
  uint64_t changes_ = 0;
  uint64_t random_ = 1;
};

}  // namespace te::world

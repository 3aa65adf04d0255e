// sys/clock.h, poller.h, notify.h, process.h, process_environment.h, supervise.h and what of signals.h and net.h a
// supervisor asks for, on the simulated kernel.
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "codec/state_file.h"
#include "kernel.h"
#include "runtime/launch.h"
#include "runtime/plan.h"
#include "runtime/supervisor.h"
#include "sys/clock.h"
#include "sys/net.h"
#include "sys/notify.h"
#include "sys/poller.h"
#include "sys/process.h"
#include "sys/process_environment.h"
#include "sys/process_room.h"
#include "sys/signals.h"
#include "sys/small_wait.h"
#include "sys/spawn.h"
#include "sys/supervise.h"
#include "sys/zygote.h"

namespace te::sys {

namespace {

using world::Description;
using world::Ino;
using world::Kernel;
using world::kNoIno;
using world::Process;
using world::ProcessKind;

constexpr int kNoSuchFd = -1;

Kernel& kernel() { return Kernel::get(); }
bool ghost() { return kernel().ghost(); }

[[noreturn]] void not_simulated(const char* what) {
  std::fprintf(stderr, "the simulated world has no %s\n", what);
  std::abort();
}

Fd open_kind(Description::Kind kind) {
  Description made;
  made.kind = kind;
  return Fd(kernel().open(std::move(made)));
}

Fd pidfd_of(Process& process) {
  Description made;
  made.kind = Description::Kind::kPidfd;
  made.pid = process.pid;
  Fd fd(kernel().open(std::move(made)));
  process.watched_by.insert(fd.get());
  if (process.ended) kernel().ready_pidfds().insert(fd.get());
  return fd;
}

ProcStat stat_of(const Process& process) {
  ProcStat stat;
  stat.id = {process.pid, process.start_ticks};
  stat.parent = process.parent != nullptr ? process.parent->pid : 1;
  stat.group = process.group;
  stat.state = process.ended ? 'Z' : 'S';
  stat.execed = !process.held;
  return stat;
}

ChildEnd end_of(Process& process) {
  ChildEnd end;
  end.pid = process.pid;
  end.status = process.status;
  kernel().reap(process);
  return end;
}

int take_signal(uint32_t wanted) {
  Process& self = kernel().current();
  for (int number = 1; number < 32; ++number) {
    const uint32_t bit = 1U << static_cast<unsigned>(number);
    if ((self.signals & wanted & bit) == 0) continue;
    self.signals &= ~bit;
    return number;
  }
  return 0;
}

constexpr uint32_t kStops = 1U << SIGTERM | 1U << SIGUSR1;

/// What the child behind a channel is to do, by the supervisor's plan and its word in run.json.
void let_go(Process& supervisor, Process& child) {
  const Ino dir = kernel().at(kSupervisorDirFd)->ino;
  const Ino file = kernel().disk.find(dir, "run.json");
  std::string text = file == kNoIno ? std::string() : kernel().disk.at(file).data;
  const size_t size = text.size();
  text.resize(size + kJsonPadding);
  JsonParser parser;
  const Result<RunRecord> run = decode_run(parser, PaddedText{text.data(), size});
  PlanView plan;
  if (!run || !plan.decode(supervisor.plan)) std::abort();
  child.behaviour = world::Behaviour::parse(plan.text(plan.process(run->phase).argv));
  kernel().events().on_release(child, *run, kernel().durable(dir, "run.json"));
  kernel().release(child);
}

}  // namespace

MonoNanos mono_now() {
  // A ghost does not wait.
  return ghost() ? kernel().mono() + 1'000'000 * kSecond : kernel().mono();
}
WallMicros wall_now() { return kernel().wall(); }

Result<void> Poller::open() {
  epoll_ = open_kind(Description::Kind::kPoller);
  return {};
}

Result<void> Poller::add(int fd, uint32_t, uint64_t key) {
  if (ghost()) return system_error("epoll_ctl", {}, EIO);
  if (kernel().events().chance("nowatch")) return system_error("epoll_ctl", {}, ENOSPC);
  Description& poller = *kernel().at(epoll_.get());
  poller.polled[fd] = key;
  if (kernel().at(fd)->kind == Description::Kind::kNotify) poller.notifiers.insert(fd);
  return {};
}

Result<void> Poller::modify(int, uint32_t, uint64_t) { not_simulated("epoll_ctl(EPOLL_CTL_MOD)"); }

void Poller::remove(int fd) {
  if (ghost()) return;
  kernel().at(epoll_.get())->polled.erase(fd);
  kernel().at(epoll_.get())->notifiers.erase(fd);
}

Result<void> Poller::set_deadline(MonoNanos deadline) {
  if (ghost()) return system_error("timerfd_settime", {}, EIO);
  kernel().at(epoll_.get())->deadline = deadline;
  return {};
}

Result<size_t> Poller::wait(std::span<epoll_event> events, bool) {
  if (ghost()) return system_error("epoll_wait", {}, EIO);
  Description& poller = *kernel().at(epoll_.get());
  size_t count = 0;
  const auto tell = [&](uint64_t key) {
    events[count] = {};
    events[count].events = EPOLLIN;
    events[count].data.u64 = key;
    ++count;
  };
  poller.fired = poller.deadline <= kernel().mono();
  if (poller.fired) {
    poller.deadline = kNever;
    tell(kDeadlineKey);
  }
  for (const int fd : poller.notifiers) {
    if (!kernel().at(fd)->events.empty()) tell(poller.polled[fd]);
  }
  for (const int fd : kernel().ready_pidfds()) {
    const auto found = poller.polled.find(fd);
    if (found == poller.polled.end() || count == events.size()) continue;
    if (!kernel().events().chance("late")) tell(found->second);
  }
  return count;
}

Result<void> Notifier::open() {
  if (kernel().events().chance("nonotify")) return system_error("inotify_init1", {}, EMFILE);
  fd_ = open_kind(Description::Kind::kNotify);
  return {};
}

Result<int> Notifier::add(const char* directory) {
  if (ghost()) return system_error("inotify_add_watch", {}, EIO);
  if (kernel().events().chance("nonotify")) return system_error("inotify_add_watch", directory, ENOSPC);
  Ino ino = world::kRootIno;
  std::string_view path(directory);
  while (!path.empty()) {
    const std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), part.size() + 1));
    if (!part.empty()) ino = kernel().disk.find(ino, part);
    if (ino == kNoIno) return system_error("inotify_add_watch", directory, ENOENT);
  }
  const int watch = static_cast<int>(ino);  // the same directory has the same number
  kernel().watch_dir(fd_.get(), watch, ino);
  return watch;
}

Result<int> Notifier::add_written(const char*) { not_simulated("watches of files"); }

void Notifier::remove(int number) {
  if (!ghost()) kernel().unwatch_dir(fd_.get(), number);
}

bool Notifier::read(Visitor& visitor) {
  if (ghost()) return false;
  std::vector<Description::Event> events;
  events.swap(kernel().at(fd_.get())->events);
  if (!events.empty() && kernel().events().chance("overflow")) events = {{-1, Change::kLost, {}}};
  for (const Description::Event& event : events) visitor.visit(event.watch, event.change, event.name);
  return !events.empty();
}

Result<Spawned> spawn(const SpawnPlan& plan) {
  if (ghost()) return system_error("clone", {}, EIO);
  if (kernel().events().chance("nofork")) return system_error("clone", {}, EAGAIN);
  std::vector<std::string> argv;
  for (const char* const* word = plan.argv; *word != nullptr; ++word) argv.emplace_back(*word);
  std::map<int, int> fds;
  for (const FdMap& map : plan.fds) fds[map.to] = map.from;
  const int32_t pid = TRY(kernel().spawn_program(std::move(argv), std::move(fds)));
  return Spawned{pid, pidfd_of(*kernel().find(pid))};
}

/// Nothing is under way here: a child's exec takes no time.
struct Spawner::Start {};
Spawner::Spawner() { static_cast<void>(kStarts); }
Spawner::~Spawner() = default;
bool Spawner::ready() const { return true; }
Result<Spawned> Spawner::start(const SpawnPlan& plan) { return spawn(plan); }

/// None: an exec takes no time either.
Result<Attached> spawn_zygote(Spawner&, int, int, const char*) { return system_error("clone", {}, EAGAIN); }
bool ask_zygote(int) { not_simulated("zygote"); }
Result<std::optional<Attached>> next_child(int) { not_simulated("zygote"); }
bool give_to_child(int, const std::array<int, kGivenToChild>&, std::string_view) { not_simulated("zygote"); }

ZygoteEnd serve_as_zygote(int, char**, std::string_view) { not_simulated("zygote"); }
size_t process_room() { return SIZE_MAX; }

Result<Fd> open_pidfd(int32_t) { not_simulated("open_pidfd"); }
Result<Fd> open_self() { return open_kind(Description::Kind::kDevice); }
Result<Fd> open_self_sealed() { return open_kind(Description::Kind::kDevice); }

Result<void> send_signal(int pidfd, int signal) {
  if (ghost()) return {};
  if (kernel().events().chance("unsent")) return system_error("pidfd_send_signal", {}, EPERM);
  Process* process = kernel().find(kernel().at(pidfd)->pid);
  const bool lost = signal != SIGKILL && kernel().events().chance("deaf");
  if (process != nullptr && !lost) kernel().signal(*process, signal);
  return {};
}

Result<Fd> open_process(const ProcessId& id) {
  if (ghost()) return system_error("pidfd_open", {}, EIO);
  if (kernel().events().chance("emfile")) return system_error("pidfd_open", {}, EMFILE);
  Process* process = kernel().find(id.pid);
  if (process == nullptr || stat_of(*process).id.start_ticks != id.start_ticks) return Fd();
  return pidfd_of(*process);
}

Fd open_hidden_process(int32_t) { return {}; }

Result<std::optional<ChildEnd>> reap(int pidfd) {
  if (ghost()) return system_error("waitid", {}, ECHILD);
  Process* process = kernel().find(kernel().at(pidfd)->pid);
  if (process == nullptr || process->parent != &kernel().current()) return system_error("waitid", {}, ECHILD);
  if (!process->ended) return std::optional<ChildEnd>();
  return std::optional<ChildEnd>(end_of(*process));
}

Result<std::optional<ChildEnd>> reap_child(int32_t) {
  Process& self = kernel().current();
  if (ghost()) {
    if (self.limbo.empty()) return system_error("wait4", {}, ECHILD);
    ChildEnd end;
    end.pid = self.limbo.back();
    self.limbo.pop_back();
    return std::optional<ChildEnd>(end);
  }
  if (self.children.empty()) return system_error("wait4", {}, ECHILD);
  for (const int32_t pid : self.children) {
    if (kernel().find(pid)->ended) return std::optional<ChildEnd>(end_of(*kernel().find(pid)));
  }
  return std::optional<ChildEnd>();
}

bool child_has_ended(int32_t pid) {
  const Process* process = kernel().find(pid);
  return process == nullptr || process->ended;
}

void wait_child(int32_t pid) {
  if (ghost()) return;
  Process* process = kernel().find(pid);
  if (process == nullptr) return;
  if (!process->ended) kernel().signal(*process, SIGKILL);
  kernel().reap(*kernel().find(pid));
}

std::optional<ProcStat> read_stat(int32_t pid) {
  if (ghost()) return ProcStat{};
  const Process* process = kernel().find(pid);
  if (process == nullptr) return std::nullopt;
  return stat_of(*process);
}

int32_t newest_pid() { return kernel().newest_pid(); }
int32_t only_child(int32_t) { not_simulated("only_child"); }
std::optional<int32_t> wait_status_of(int, int32_t, MonoNanos) { not_simulated("wait_status_of"); }
std::optional<int32_t> peek_ended_child() { not_simulated("peek_ended_child"); }
Result<ProgramFile> program_of(int) { not_simulated("program_of"); }
Result<ProgramFile> program_of_self() { return ProgramFile{1, 1}; }

void visit_descendants(int32_t root, DescendantVisitor& visitor) {
  if (ghost()) return;
  for (const int32_t pid : kernel().living_below(*kernel().find(root))) {
    Process* process = kernel().find(pid);
    if (process == nullptr || process->ended) continue;
    const Fd pidfd = pidfd_of(*process);
    visitor.visit(pidfd.get(), stat_of(*process));
  }
}

uint32_t count_descendants(int32_t root, uint32_t most, std::string_view) {
  if (ghost()) return 0;
  const Process* ancestor = kernel().find(root);
  if (ancestor == nullptr) return 0;
  return std::min(static_cast<uint32_t>(kernel().living_below(*ancestor).size()), most);
}

Result<void> visit_marked(std::string_view, MarkVisitor& visitor) {
  if (ghost()) return {};
  kernel().each_living([&](Process& process) {
    if (process.mark.empty()) return;
    const Fd pidfd = pidfd_of(process);
    const std::string mark = process.mark;  // killed, it is gone before the visit is over
    visitor.visit(pidfd.get(), mark);
  });
  return {};
}

Result<void> visit_environments(MonoNanos, FunctionRef<void(int32_t, std::string_view)>) {
  not_simulated("visit_environments");
}
Result<std::string_view> await_environment(int, int32_t, MonoNanos, std::string&) {
  not_simulated("await_environment");
}
std::optional<std::string_view> value_in_environment(std::string_view, std::string_view) {
  not_simulated("value_in_environment");
}

int wait_signal(const sigset_t&, MonoNanos deadline) {
  while (!ghost() && kernel().mono() < deadline) kernel().wait(deadline);
  return 0;
}

Result<void> become_supervisor(const char*) { return {}; }
int32_t self_pid() { return kernel().current().pid; }
bool stop_requested() { return take_signal(kStops) != 0; }
bool stop_pending() { return (kernel().current().signals & kStops) != 0; }
bool readable_within(int, int) { return true; }
void kill_child(int32_t pid) {
  Process* process = kernel().find(pid);
  if (process != nullptr) kernel().signal(*process, SIGKILL);
}

void continue_child(int32_t) {}

int wait_supervisor_signal(MonoNanos deadline) {
  for (;;) {
    if (ghost()) return 0;
    const int signal = take_signal(kStops | 1U << SIGCHLD | 1U << SIGIO);
    if (signal != 0 || kernel().mono() >= deadline) return signal;
    kernel().wait(deadline);
  }
}

bool signal_child_group(int32_t leader, int signal) {
  if (ghost()) return true;
  if (kernel().events().chance("unsent")) return false;
  for (const int32_t pid : kernel().living_below(kernel().current())) {
    Process* process = kernel().find(pid);
    if (process != nullptr && !process->ended && process->group == leader) kernel().signal(*process, signal);
  }
  return true;
}

Result<SocketPair> socket_pair() {
  if (ghost()) return SocketPair{};
  if (kernel().events().chance("emfile")) return system_error("socketpair", {}, EMFILE);
  SocketPair pair{open_kind(Description::Kind::kSocket), open_kind(Description::Kind::kSocket)};
  kernel().current().socket = kernel().number(pair.here.get());
  return pair;
}

Result<Pipe> make_pipe() {
  if (ghost()) return Pipe{};
  return Pipe{open_kind(Description::Kind::kSocket), open_kind(Description::Kind::kSocket)};
}

Result<void> signal_when_readable(int) { return {}; }
Result<int64_t> read_some(int, char*, size_t) { return int64_t{0}; }

Result<int32_t> fork_child() {
  Process& self = kernel().current();
  if (ghost()) {
    self.limbo.push_back(kNoSuchFd);
    return self.limbo.back();
  }
  if (kernel().events().chance("nofork")) return system_error("fork", {}, EAGAIN);
  PlanView plan;
  if (!plan.decode(self.plan)) std::abort();
  const std::string_view entry = plan.text(plan.header().local_env);
  Process& child = kernel().fork_task(self, std::string(entry.substr(entry.find('=') + 1)));
  child.held = true;
  kernel().numbered(self.socket).pid = child.pid;
  return child.pid;
}

void end_process(int) { not_simulated("_exit"); }

Result<std::string_view> map_file(int fd) {
  Process& self = kernel().current();
  if (!ghost() && self.plan.empty()) self.plan = kernel().at(fd)->bytes;
  return std::string_view(self.plan);
}

void unmap(std::string_view) {}

Result<int64_t> receive(int fd, char* to, size_t size) {
  if (ghost()) return int64_t{0};
  Description* socket = kernel().at(fd);
  if (socket == nullptr) return int64_t{0};
  return static_cast<int64_t>(std::exchange(socket->bytes, {}).copy(to, size));
}

Result<int64_t> send(int fd, std::string_view bytes) {
  if (ghost()) return static_cast<int64_t>(bytes.size());
  Description& socket = *kernel().at(fd);
  Process* child = kernel().find(socket.pid);
  if (child == nullptr || child->ended) return system_error("send", {}, EPIPE);
  if (child->held) {
    let_go(kernel().current(), *child);
    if (child->behaviour.exec_error != 0) {
      const StartFailure failure{StartStage::kExec, child->behaviour.exec_error};
      socket.bytes.assign(reinterpret_cast<const char*>(&failure), sizeof failure);
    }
  }
  return static_cast<int64_t>(bytes.size());
}

// Only after a send that has failed: whoever could read it has gone.
void shutdown_write(int) {}
void shutdown_both(int) {}

void prepare_child(uint64_t, uint64_t) { not_simulated("prepare_child"); }
Result<void> become_subreaper(const char*) { not_simulated("become_subreaper"); }
int32_t parent_pid() { not_simulated("parent_pid"); }
void keep_only(int) { not_simulated("keep_only"); }
Result<void> die_with_parent() { return {}; }  // of a sweeper, which has an end of its own
Result<void> set_owner(int, const uint32_t*, const uint32_t*) { not_simulated("set_owner"); }
Result<void> replace_fd(int, int) { not_simulated("replace_fd"); }
Result<void> change_dir(const char*) { not_simulated("change_dir"); }
int exec(const char*, const char* const*, const char* const*) { not_simulated("exec"); }

}  // namespace te::sys

#include "kernel.h"

#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <utility>

#include "runtime/helpers.h"
#include "runtime/supervisor.h"

namespace te::world {

namespace {

constexpr int kSmallFds = 10;  ///< numbers below are a process's own, see Process::inherited
constexpr MonoNanos kChangeCosts = 2'000;
constexpr MonoNanos kWriteBack = 30 * kSecond;  ///< the kernel writes out by itself what is older

Kernel* current_kernel = nullptr;

int run_program(const std::vector<std::string>& argv) {
  if (argv[0] == kSupervisorName) return run_supervisor();
  if (argv[0] == kUnlinkerName) return run_unlinker();
  if (argv[0] != kSweeperName) std::abort();
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  return run_sweeper(static_cast<int>(words.size()), words.data());
}

}  // namespace

Behaviour Behaviour::parse(std::string_view text) {
  Behaviour out;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    const size_t equal = word.find('=');
    int number = 0;
    if (equal != std::string_view::npos) {
      std::from_chars(word.data() + equal + 1, word.data() + word.size(), number);
    }
    const std::string_view name = word.substr(0, equal);
    if (name == "code") out.code = number;
    if (name == "ms") out.lasts = number * kMillisecond;
    if (name == "left") out.leaves = number;
    if (name == "deaf") out.deaf = true;
    if (name == "err") out.exec_error = number;
  }
  return out;
}

Kernel::Kernel(KernelEvents& events, Disk start) : disk(std::move(start)), events_(events) {
  descriptions_.emplace_back();  // number 0 is none
  fds_.resize(kSmallFds);
}

Kernel::~Kernel() { bury(); }

Kernel& Kernel::get() {
  if (current_kernel == nullptr) std::abort();
  return *current_kernel;
}

Kernel* Kernel::enter(Kernel* kernel) { return std::exchange(current_kernel, kernel); }

void Kernel::set_timer(Process& process, MonoNanos at, MonoNanos& slot) {
  if (slot != kNever) timers_.erase({slot, process.pid});
  slot = at;
  if (slot != kNever) timers_.insert({slot, process.pid});
}

void Kernel::advance_to(MonoNanos at) {
  mono_ = std::max(mono_, at);
  if (mono_ - written_back_ >= kWriteBack) {
    written_back_ = mono_;
    disk.sync_all();
  }
  while (!timers_.empty() && timers_.begin()->first <= mono_) {
    Process& process = *find(timers_.begin()->second);
    if (process.kind == ProcessKind::kProgram) {
      set_timer(process, kNever, process.wakes_at);
      ready_.insert(process.pid);
    } else {
      set_timer(process, kNever, process.ends_at);
      end(process, process.behaviour.code << 8);
    }
  }
}

Process* Kernel::find(int32_t pid) {
  const auto found = processes_.find(pid);
  return found == processes_.end() ? nullptr : found->second.get();
}

Process& Kernel::add(ProcessKind kind, Process* parent) {
  auto made = std::make_unique<Process>();
  Process& process = *made;
  process.pid = next_pid_++;
  process.start_ticks = static_cast<uint64_t>(mono_ / 1'000);
  process.kind = kind;
  process.parent = parent;
  if (parent != nullptr) parent->children.insert(process.pid);
  processes_[process.pid] = std::move(made);
  return process;
}

Process& Kernel::begin_agent() {
  agent_ = current_ = &add(ProcessKind::kAgent, nullptr);
  return *agent_;
}

void Kernel::end_agent() {
  close_all(*agent_);
  std::erase_if(record_locks, [&](const auto& lock) { return lock.second == agent_->pid; });
  orphan_children(*agent_);
  ready_pidfds_.clear();
  poller_ = 0;
  processes_.erase(agent_->pid);
  agent_ = current_ = nullptr;
}

Process& Kernel::fork_task(Process& parent, const std::string& mark) {
  Process& process = add(ProcessKind::kTask, &parent);
  process.mark = mark;
  process.group = parent.kind == ProcessKind::kTask ? parent.group : process.pid;
  return process;
}

Result<int32_t> Kernel::spawn_program(std::vector<std::string> argv, std::map<int, int> fds) {
  Process& process = add(ProcessKind::kProgram, current_);
  process.argv = std::move(argv);
  for (const auto& [to, from] : fds) {
    if (to < 3) continue;
    const int copy = share(from);
    current_->descriptors.erase(copy);
    process.descriptors.insert(copy);
    fds_[static_cast<size_t>(copy)].owner = process.pid;
    process.inherited[to] = copy;
  }
  process.fiber = std::make_unique<Fiber>([&process] { process.status = run_program(process.argv) << 8; });
  ready_.insert(process.pid);
  return process.pid;
}

void Kernel::signal(Process& process, int number) {
  if (process.ended || process.ghost) return;
  if (process.kind == ProcessKind::kTask) {
    if (number == SIGKILL || (number == SIGTERM && (process.held || !process.behaviour.deaf))) end(process, number);
    return;
  }
  if (number == SIGKILL) return kill_program(process);
  if (number == SIGCONT) return;
  process.signals |= 1U << static_cast<unsigned>(number);
  ready_.insert(process.pid);
}

void Kernel::close_all(Process& process) {
  for (const int fd : std::set<int>(process.descriptors)) close(fd);
  process.descriptors.clear();
}

void Kernel::orphan_children(Process& process) {
  for (const int32_t pid : std::set<int32_t>(process.children)) {
    Process& child = *find(pid);
    if (child.held && !child.ended) {
      child.parent = nullptr;
      end(child, SIGKILL);
      continue;
    }
    // To the supervisor, which is a subreaper, or to init.
    Process* heir = process.kind == ProcessKind::kTask ? process.parent : nullptr;
    while (heir != nullptr && heir->kind == ProcessKind::kTask) heir = heir->parent;
    child.parent = heir;
    if (heir != nullptr) heir->children.insert(pid);
    if (child.ended && heir == nullptr) reap(child);
  }
  process.children.clear();
}

void Kernel::end(Process& process, int status) {
  process.ended = true;
  process.status = status;
  if (process.kind == ProcessKind::kTask) events_.on_end(process);
  set_timer(process, kNever, process.wakes_at);
  set_timer(process, kNever, process.ends_at);
  ready_.erase(process.pid);
  close_all(process);
  orphan_children(process);
  for (const int fd : process.watched_by) ready_pidfds_.insert(fd);
  if (process.parent == nullptr) return reap(process);
  if (process.parent->kind == ProcessKind::kProgram) signal(*process.parent, SIGCHLD);
  // Of a task: who reaps is the program above, a task's own children are reaped by it.
  if (process.parent->kind == ProcessKind::kTask) reap(process);
}

void Kernel::reap(Process& process) {
  if (process.parent != nullptr) process.parent->children.erase(process.pid);
  processes_.erase(process.pid);
}

bool Kernel::release(Process& child) {
  child.held = false;
  if (child.behaviour.exec_error != 0) {
    end(child, 127 << 8);
    return false;
  }
  for (int i = 0; i < child.behaviour.leaves; ++i) fork_task(child, child.mark);
  set_timer(child, mono_ + child.behaviour.lasts, child.ends_at);
  return true;
}

// The ghost runs on in here, and nobody else meanwhile.
void Kernel::run(Process& process) {
  Process* before = std::exchange(current_, &process);
  process.fiber->resume();
  current_ = before;
  if (!process.fiber->done()) return;
  end(process, process.ghost ? SIGKILL : process.status);
}

void Kernel::schedule(int32_t pid) {
  ready_.erase(pid);
  run(*find(pid));
}

void Kernel::kill_program(Process& process) {
  process.ghost = true;
  process.limbo.assign(process.children.begin(), process.children.end());
  if (&process != current_) run(process);
}

void Kernel::wait(MonoNanos deadline) {
  Process& self = *current_;
  if (self.ghost || deadline <= mono_) return;
  set_timer(self, deadline, self.wakes_at);
  self.fiber->yield();
  set_timer(self, kNever, self.wakes_at);
}

void Kernel::lose_power() {
  for (auto& [pid, process] : processes_) {
    process->ghost = true;
    process->limbo.assign(process->children.begin(), process->children.end());
  }
}

void Kernel::bury() {
  if (current_ != nullptr && current_ != agent_) std::abort();
  Kernel* before = enter(this);
  lose_power();
  std::vector<int32_t> programs;
  for (const auto& [pid, process] : processes_) {
    if (process->fiber != nullptr && !process->ended) programs.push_back(pid);
  }
  for (const int32_t pid : programs) {
    if (Process* process = find(pid)) run(*process);
  }
  enter(before);
}

void Kernel::each_living(FunctionRef<void(Process&)> visit) {
  std::vector<int32_t> pids;
  for (const auto& [pid, process] : processes_) {
    if (!process->ended) pids.push_back(pid);
  }
  for (const int32_t pid : pids) {
    Process* process = find(pid);
    if (process != nullptr && !process->ended) visit(*process);
  }
}

std::vector<int32_t> Kernel::living_below(const Process& ancestor) {
  std::vector<int32_t> out;
  const auto walk = [&](const auto& self, const Process& at) -> void {
    for (const int32_t pid : at.children) {
      const Process& child = *find(pid);
      if (!child.ended) out.push_back(pid);
      self(self, child);
    }
  };
  walk(walk, ancestor);
  return out;
}

MonoNanos Kernel::next_event() const {
  const MonoNanos deadline = poller_ == 0 ? kNever : descriptions_[static_cast<size_t>(poller_)].deadline;
  return timers_.empty() ? deadline : std::min(deadline, timers_.begin()->first);
}

bool Kernel::agent_is_woken() const {
  if (poller_ == 0) return false;
  const Description& poller = descriptions_[static_cast<size_t>(poller_)];
  if (poller.deadline <= mono_) return true;
  for (const int fd : poller.notifiers) {
    if (!descriptions_[static_cast<size_t>(fds_[static_cast<size_t>(fd)].description)].events.empty()) return true;
  }
  for (const int fd : ready_pidfds_) {
    if (poller.polled.contains(fd)) return true;
  }
  return false;
}

int Kernel::open(Description description) {
  int number = 0;
  if (free_descriptions_.empty()) {
    number = static_cast<int>(descriptions_.size());
    descriptions_.emplace_back();
  } else {
    number = free_descriptions_.back();
    free_descriptions_.pop_back();
  }
  if (description.ino != kNoIno) disk.opened(description.ino);
  if (description.kind == Description::Kind::kPoller) poller_ = number;
  descriptions_[static_cast<size_t>(number)] = std::move(description);
  int fd = 0;
  if (free_fds_.empty()) {
    fd = static_cast<int>(fds_.size());
    fds_.emplace_back();
  } else {
    fd = free_fds_.back();
    free_fds_.pop_back();
  }
  descriptions_[static_cast<size_t>(number)].references = 1;
  fds_[static_cast<size_t>(fd)] = {number, current_->pid};
  current_->descriptors.insert(fd);
  return fd;
}

int Kernel::share(int fd) {
  const int of = number(fd);
  const int copy = open({});
  const int unused = fds_[static_cast<size_t>(copy)].description;
  fds_[static_cast<size_t>(copy)].description = of;
  ++descriptions_[static_cast<size_t>(of)].references;
  free_descriptions_.push_back(unused);
  return copy;
}

int Kernel::number(int fd) const {
  if (fd >= 0 && fd < kSmallFds) {
    const auto own = current_->inherited.find(fd);
    if (own == current_->inherited.end()) return 0;
    fd = own->second;
  }
  return fd < 0 || static_cast<size_t>(fd) >= fds_.size() ? 0 : fds_[static_cast<size_t>(fd)].description;
}

Description* Kernel::at(int fd) {
  const int of = number(fd);
  return of == 0 ? nullptr : &descriptions_[static_cast<size_t>(of)];
}

void Kernel::close(int fd) {
  if (fd < kSmallFds) {
    const auto own = current_->inherited.find(fd);
    if (own == current_->inherited.end()) return;
    fd = own->second;
    current_->inherited.erase(own);
  }
  Slot& slot = fds_[static_cast<size_t>(fd)];
  if (slot.description == 0) std::abort();
  const int of = std::exchange(slot.description, 0);
  if (Process* owner = find(slot.owner)) owner->descriptors.erase(fd);
  free_fds_.push_back(fd);
  Description& description = descriptions_[static_cast<size_t>(of)];
  ready_pidfds_.erase(fd);
  if (description.kind == Description::Kind::kPidfd) {
    if (Process* watched = find(description.pid)) watched->watched_by.erase(fd);
  }
  if (--description.references > 0) return;
  const Description gone = std::exchange(description, {});
  free_descriptions_.push_back(of);
  if (gone.ino != kNoIno) {
    Inode& inode = disk.at(gone.ino);
    if (inode.flock_holder == of) inode.flock_holder = 0;
    disk.closed(gone.ino);
  }
  for (const auto& [watch, ino] : gone.watches) notifiers_[ino].erase(of);
  if (gone.kind == Description::Kind::kSocket && gone.pid != 0) {
    Process* child = find(gone.pid);
    if (child != nullptr && child->held) end(*child, 127 << 8);  // it sees the end of its channel
  }
}

bool Kernel::lock(int fd) {
  int& holder = disk.at(at(fd)->ino).flock_holder;
  if (holder == 0) holder = number(fd);
  return holder == number(fd);
}

void Kernel::notify_attributes(Ino file) {
  for (const auto& [dir, watchers] : notifiers_) {
    if (!disk.has(dir)) continue;  // watched beyond its removal
    for (const auto& [name, ino] : disk.at(dir).entries) {
      if (ino == file) notify(dir, name);
    }
  }
}

void Kernel::notify(Ino dir, std::string_view name) {
  const auto found = notifiers_.find(dir);
  if (found == notifiers_.end()) return;
  for (const int of : found->second) {
    if (events_.chance("unnoticed")) continue;
    Description& notifier = descriptions_[static_cast<size_t>(of)];
    for (const auto& [watch, ino] : notifier.watches) {
      if (ino == dir) notifier.events.push_back({watch, sys::Notifier::Change::kAttributes, std::string(name)});
    }
  }
}

void Kernel::watch_dir(int fd, int watch, Ino dir) {
  at(fd)->watches[watch] = dir;
  notifiers_[dir].insert(number(fd));
}

void Kernel::unwatch_dir(int fd, int watch) {
  const auto found = at(fd)->watches.find(watch);
  if (found == at(fd)->watches.end()) return;
  const auto of = notifiers_.find(found->second);
  at(fd)->watches.erase(found);
  of->second.erase(number(fd));
  if (of->second.empty()) notifiers_.erase(of);
}

// splitmix64
uint64_t Kernel::next_random() {
  uint64_t z = random_ += 0x9e3779b97f4a7c15U;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31U);
}

// The current process waits for the disk: no signal but KILL wakes it.
void Kernel::stand_still(MonoNanos time) {
  Process& self = *current_;
  const MonoNanos until = mono_ + time;
  if (self.kind == ProcessKind::kProgram) {
    while (!self.ghost && mono_ < until) wait(until);
    return;
  }
  while (!self.ghost && mono_ < until) {
    if (ready_.empty()) {
      advance_to(timers_.empty() ? until : std::min(until, timers_.begin()->first));
    } else {
      schedule(*std::next(ready_.begin(), static_cast<ptrdiff_t>(next_random() % ready_.size())));
    }
  }
}

int Kernel::change(DiskOp op) {
  Process& self = *current_;
  ++changes_;
  mono_ += kChangeCosts;
  disk.now = wall();
  if (self.kind == ProcessKind::kProgram && events_.chance("yield")) {
    ready_.insert(self.pid);
    self.fiber->yield();
    if (self.ghost) return EIO;
  }
  if (const MonoNanos time = events_.takes(op)) {
    stand_still(time);
    if (self.ghost) return EIO;
  }
  const int error = events_.on_disk(op);
  return self.ghost ? EIO : error;
}

bool Kernel::durable(Ino dir, std::string_view name) const {
  const auto& names = disk.at(dir).durable_entries;
  const auto found = names.find(name);
  return found != names.end() && found->second == disk.find(dir, name) && !disk.at(found->second).dirty;
}

}  // namespace te::world

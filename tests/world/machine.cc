#include "machine.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "codec/task_json.h"
#include "runtime/pod_config.h"
#include "runtime/supervisor.h"
#include "wire/json_reader.h"

namespace te::world {

namespace {

constexpr MonoNanos kRestartPause = 100 * kMillisecond;

std::unique_ptr<Hook> hook(const std::string& command) {
  if (command.empty()) return nullptr;
  auto made = std::make_unique<Hook>();
  made->command.add(command);
  return made;
}

/// As its JSON is read, because that is what stands in task.json.
TaskSpec container_spec(const Wish& wish) {
  std::string body = R"({"name":")" + wish.name + R"(","spec":{"container":{"image":"box","command":[")" +
                     wish.command + R"("]},"timeoutSeconds":)" + std::to_string(wish.timeout_seconds) +
                     R"(,"terminationGracePeriodSeconds":)" + std::to_string(wish.grace_seconds) + "}}";
  const size_t size = body.size();
  body.resize(size + kJsonPadding);
  SpecOptions options;
  options.container_mode = true;
  JsonParser parser;
  Result<TaskRequests> read = read_task(parser, PaddedText{body.data(), size}, options);
  if (!read) std::abort();
  return std::move(read->tasks.front().spec);
}

}  // namespace

void NoLog::write(LogLevel, std::string_view line) {
  static const bool wanted = std::getenv("WORLD_LOG") != nullptr;
  if (wanted) std::fprintf(stderr, "%.*s", static_cast<int>(line.size()), line.data());
}

TaskSpec Wish::spec() const {
  if (container) return container_spec(*this);
  TaskSpec out;
  out.form = form;
  out.process.command.add(command);
  out.process.pre_start = hook(pre_start);
  out.process.post_stop = hook(post_stop);
  if (timeout_seconds != 0) out.process.timeout_seconds = timeout_seconds;
  out.process.grace_seconds = grace_seconds;
  return out;
}

Machine::Machine(const ManagerOptions& options, Ledger ledger, Disk disk, PodState pods)
    : options_(options),
      ledger_(std::move(ledger)),
      kernel_(std::make_unique<Kernel>(static_cast<KernelEvents&>(*this), std::move(disk))),
      pods_(std::make_unique<Pods>(*kernel_, std::move(pods))) {
  const auto uid_of = [](const Container& one) { return cri::find_label(one.summary.labels, kUidLabel); };
  pods_->on_start = [this, uid_of](const Container& one) {
    if (!power_) return;
    const Ino dir =
        kernel_->disk.find(kernel_->disk.find(kRootIno, "tasks"), cri::find_label(one.summary.labels, kTaskLabel));
    const bool durable = dir != kNoIno && kernel_->durable(dir, "run.json");
    ledger_.container_started(uid_of(one), cri::find_label(one.summary.labels, kRunLabel), durable);
  };
  pods_->on_end = [this, uid_of](const Container& one, int code) {
    if (power_) ledger_.container_ended(uid_of(one), code);
  };
}

Machine::~Machine() {
  Kernel* before = Kernel::enter(kernel_.get());
  kernel_->lose_power();
  agent_.reset();
  pods_.reset();
  kernel_.reset();
  Kernel::enter(before);
}

void Machine::bury_agent() {
  sink_.write(LogLevel::kInfo, "-- agent killed\n");
  // Its destructors are a ghost's.
  kernel_->current().ghost = true;
  agent_.reset();
  pods_->hang_up();
  kernel_->end_agent();
  ledger_.forget_wishes();
  met_ = false;
  boot_at_ = kernel_->mono() + kRestartPause;
}

void Machine::boot() {
  kernel_->begin_agent();
  agent_ = std::make_unique<Agent>(options_, static_cast<Observer&>(*this), *pods_, sink_);
  const Result<void> booted = agent_->boot();
  if (!power_) return;
  if (!booted || kernel_->ghost()) return bury_agent();
  ledger_.learn(agent_->manager());
}

void Machine::kill_agent() {
  if (agent_ != nullptr) bury_agent();
}

void Machine::kill_program(Process& process) {
  if (process.argv[0] == kSupervisorName) {
    const Ino dir = kernel_->disk.find(kernel_->disk.find(kRootIno, "tasks"), process.argv[1]);
    ledger_.supervisor_died(process.argv[1], dir != kNoIno && kernel_->disk.find(dir, "exit.json") != kNoIno);
  }
  kernel_->kill_program(process);
}

void Machine::kill_current() {
  Process& process = kernel_->current();
  if (process.kind == ProcessKind::kProgram) return kill_program(process);
  process.ghost = true;
}

Ledger Machine::ledger_at_power_loss() const {
  Ledger after = ledger_;
  const Ino tasks = kernel_->disk.find(kRootIno, "tasks");
  after.power_lost([&](std::string_view name) {
    const Ino dir = kernel_->disk.find(tasks, name);
    return dir != kNoIno && kernel_->durable(dir, "exit.json");
  });
  return after;
}

void Machine::lose_power() {
  power_ = false;
  kernel_->lose_power();
}

void Machine::on_release(const Process& child, const RunRecord& run, bool durable) {
  ledger_.released(child, run, durable);
}

void Machine::on_reply(uint64_t ticket, const Reply& reply) {
  if (kernel_->ghost()) return;
  sent_.erase(ticket);
  ledger_.answered(ticket, reply, agent_->manager());
}

void Machine::on_added(const Task& task) {
  if (!kernel_->ghost()) ledger_.added(task);
}

void Machine::on_changed(const Task& task) {
  if (!kernel_->ghost()) ledger_.changed(task);
}

void Machine::on_gone(const Task& task) {
  if (!kernel_->ghost()) ledger_.went(task);
}

void Machine::send(std::function<void(uint64_t)> wish) {
  while (power_ && manager() == nullptr) {
    if (!step()) sleep(kNever);
  }
  if (!power_) return;
  const uint64_t ticket = next_ticket_++;
  wish(ticket);
  sent_[ticket] = std::move(wish);
  agent_->poke();
}

void Machine::create(const Wish& wish) {
  send([this, wish](uint64_t ticket) {
    ledger_.wish_there(ticket, wish.name, wish.command, agent_->manager());
    agent_->manager().create(ticket, NewTask{wish.name, wish.spec()});
  });
}

void Machine::remove(const std::string& name) {
  send([this, name](uint64_t ticket) {
    ledger_.wish_gone(ticket, name);
    agent_->manager().remove(ticket, name);
  });
}

void Machine::set(const std::vector<Wish>& wishes, OnSpecChange change) {
  send([this, wishes, change](uint64_t ticket) {
    std::vector<std::pair<std::string, std::string>> names;
    std::vector<NewTask> tasks;
    for (const Wish& wish : wishes) {
      names.emplace_back(wish.name, wish.command);
      tasks.push_back({wish.name, wish.spec()});
    }
    ledger_.wish_only(ticket, std::move(names), change == OnSpecChange::kReplace);
    agent_->manager().set(ticket, std::move(tasks), change);
  });
}

int Machine::on_disk(DiskOp op) {
  if (strikes && strikes(op)) {
    kill_current();
    return EIO;
  }
  return on_change ? on_change(op) : 0;
}

void Machine::turn() {
  if (agent_->recovered() && pods_->due()) {
    pods_->deliver();
    agent_->poke();
  }
  const Result<void> turned = agent_->turn();
  if (!power_) return;
  if (kernel_->ghost()) return bury_agent();
  if (!turned) {
    ledger_.violation("the loop has failed: " + turned.error().text());
    return;
  }
  if (!agent_->recovered()) return;
  if (!met_) {
    met_ = true;
    ledger_.meet(agent_->manager());
    const auto again = std::exchange(sent_, {});
    for (const auto& [ticket, wish] : again) send(wish);
  }
  if (on_step) on_step();
}

bool Machine::step() {
  if (!power_) return false;
  if (agent_ == nullptr && kernel_->mono() >= boot_at_) {
    boot();
    return true;
  }
  pods_->advance();
  const bool told = agent_ != nullptr && agent_->recovered() && pods_->due();
  const bool agent = agent_ != nullptr && (agent_->busy() || kernel_->agent_is_woken() || told);
  const auto& ready = kernel_->ready();
  if (!ready.empty() && (!agent || !pick || pick(2) == 0)) {
    auto chosen = ready.begin();
    if (pick) std::advance(chosen, pick(static_cast<uint32_t>(ready.size())));
    kernel_->schedule(*chosen);
    return true;
  }
  if (agent) turn();
  return agent;
}

bool Machine::sleep(MonoNanos until) {
  MonoNanos next = kernel_->next_event();
  // What is due already waits for an agent that has recovered.
  if (const MonoNanos pods = pods_->next_event(); pods > kernel_->mono()) next = std::min(next, pods);
  if (agent_ == nullptr) next = std::min(next, boot_at_);
  if (next > until) {
    kernel_->advance_to(until);
    return false;
  }
  kernel_->advance_to(next);
  return true;
}

bool Machine::is_over() {
  Manager* manager = this->manager();
  if (manager == nullptr || !sent_.empty() || !kernel_->ready().empty() || agent_->busy()) return false;
  uint64_t last = 0;
  for (const Task* task = manager->next_after(0); task != nullptr; task = manager->next_after(last)) {
    last = task->sequence;
    if (task->phase != TaskPhase::kEnded || task->deleting()) return false;
    const bool hook = task->spec.process.post_stop != nullptr;
    if (task->supervised && (hook || task->leftover == 0)) return false;
  }
  for (const auto& [pid, process] : kernel_->processes()) {
    if (process->kind == ProcessKind::kProgram && process->argv[0] != kSupervisorName) return false;
  }
  return kernel_->disk.at(kernel_->disk.find(kernel_->disk.find(kRootIno, "tasks"), ".trash")).entries.empty();
}

bool Machine::settle(MonoNanos at_most) {
  const MonoNanos until = kernel_->mono() + at_most;
  MonoNanos over_since = kNever;
  for (;;) {
    while (step()) {
    }
    if (!power_) return true;
    // A little longer: the trash has its own pace.
    if (!is_over()) {
      over_since = kNever;
    } else if (over_since == kNever) {
      over_since = kernel_->mono();
    } else if (kernel_->mono() - over_since > 3 * kSecond) {
      return true;
    }
    if (!sleep(over_since != kNever ? over_since + 3 * kSecond + 1 : until) && over_since == kNever) return false;
  }
}

void Machine::check_leftovers() {
  const auto stands = [&](std::string_view folder) {
    Ino dir = kernel_->disk.find(kRootIno, "tasks");
    if (!folder.empty()) dir = kernel_->disk.find(dir, folder);
    return kernel_->disk.at(dir).entries;
  };
  for (const std::string_view folder : {".new", ".next", ".trash", ".quarantine"}) {
    for (const auto& [name, ino] : stands(folder)) ledger_.violation(std::string(folder) + " holds " + name);
  }
  Manager* manager = this->manager();
  for (const auto& [name, ino] : stands("")) {
    if (!name.starts_with('.') && manager->find_current(name) == nullptr) ledger_.violation(name + " is left on disk");
  }
  for (const auto& [id, one] : pods_->state().world.sandboxes) {
    ledger_.violation("a sandbox is left of " + std::string(cri::find_label(one.labels, kTaskLabel)) + " " +
                      std::string(cri::find_label(one.labels, kUidLabel)));
  }
  for (const auto& [pid, process] : kernel_->processes()) {
    if (process->mark.empty() || process->ended) continue;
    bool known = false;
    uint64_t last = 0;
    for (const Task* task = manager->next_after(0); task != nullptr; task = manager->next_after(last)) {
      last = task->sequence;
      known = known || task->uid.view() == process->mark;
    }
    if (!known) ledger_.violation("a process of a deleted task lives");
  }
}

std::string Machine::state() const {
  std::string text;
  if (agent_ == nullptr) return "no agent";
  uint64_t last = 0;
  for (const Task* task = agent_->manager().next_after(0); task != nullptr; task = agent_->manager().next_after(last)) {
    last = task->sequence;
    text += task->name + " phase " + std::to_string(static_cast<int>(task->phase)) +
            (task->deleting() ? " deleting" : "") + (task->supervised ? " supervised" : "") +
            (task->lost ? " lost" : "") + (task->unclear ? " unclear" : "") + (task->swept ? "" : " unswept") +
            (task->sweeping ? " sweeping" : "") + (task->chore_due ? " chore" : "") +
            (task->start_due ? " start" : "") + (task->held ? " held" : "") + "\n";
  }
  const Ino trash = kernel_->disk.find(kernel_->disk.find(kRootIno, "tasks"), ".trash");
  for (const auto& [name, ino] : kernel_->disk.at(trash).entries) {
    text += "in the trash " + name + (kernel_->disk.at(ino).is_dir ? "/" : "") + "\n";
    for (const auto& [inner, file] : kernel_->disk.at(ino).entries) text += "  " + inner + "\n";
  }
  for (const auto& [pid, process] : kernel_->processes()) {
    text += std::to_string(pid) + (process->argv.empty() ? "" : " " + process->argv[0]) +
            (process->ended ? " ended" : "") + "\n";
  }
  return text + "waiting " + std::to_string(sent_.size());
}

}  // namespace te::world

#include "ledger.h"

#include <algorithm>
#include <cstdlib>

#include <cstdio>

#include "codec/state_file.h"
#include "fingerprint.h"
#include "task/status.h"

namespace te::world {

namespace {

std::string command_of(const Task& task) {
  const ProcessSpec& process = task.spec.process;
  return std::string(task.spec.pod ? *task.spec.pod->pod.containers.front().command.begin() : *process.command.begin());
}

/// What a watcher can see of it.
std::string shown(const Task& task) {
  const Status status = status_of(task);
  return std::to_string(static_cast<int>(status.state)) + " " + std::string(status.reason) + " " + status.message +
         (task.deleting() ? " deleting" : "");
}

bool ran(const Life& life) {
  return std::any_of(life.released.begin(), life.released.end(),
                     [](const auto& one) { return one.first == RunPhase::kMain; });
}

void note(const char* what, std::string_view uid, std::string_view name, std::string_view more = {}) {
  static const bool wanted = std::getenv("WORLD_LOG") != nullptr;
  if (!wanted) return;
  std::fprintf(stderr, "%s %.*s %.4s %.*s\n", what, static_cast<int>(name.size()), name.data(), uid.data(),
               static_cast<int>(more.size()), more.data());
}

/// It is told that its code is none.
bool unseen(const ExitRecord& end) {
  return end.cause == EndCause::kTimeout && end.pod &&
         std::ranges::any_of(end.pod->containers, [](const ContainerRecord& one) {
           return one.message.find("not known") != std::string::npos;
         });
}

}  // namespace

Life& Ledger::life_of(const Task& task) {
  const auto [at, is_new] = lives_.try_emplace(std::string(task.uid.view()));
  if (is_new && gone_.contains(at->first)) violation(task.name + " has come back");
  Life& life = at->second;
  if (!is_new) {
    if (life.name != task.name || life.command != command_of(task)) violation(task.name + " has become another task");
    return life;
  }
  ++tasks_;
  note("new", task.uid.view(), task.name, command_of(task));
  life.name = task.name;
  life.command = command_of(task);
  life.id = task.sequence;
  if (!wished_.contains({life.name, life.command})) violation(task.name + " was wished by nobody");
  for (const Removal& removal : removals_) {
    life.may_go = life.may_go || covers(removal, life);
    life.may_be_replaced = life.may_be_replaced || (removal.successors && removal.names[0].first == life.name);
  }
  return life;
}

bool Ledger::covers(const Removal& removal, const Life& life) const {
  if (removal.successors) return false;
  for (const auto& [name, command] : removal.names) {
    if (name != life.name) continue;
    if (!removal.all_but) return true;
    return removal.replaces && command != life.command;
  }
  return removal.all_but;
}

void Ledger::wish_there(uint64_t ticket, std::string_view name, std::string_view command, const Manager& manager) {
  note("POST", "", name, command);
  wished_.emplace(name, command);
  removals_.push_back({ticket, false, false, true, {{std::string(name), std::string(command)}}});
  const Task* current = manager.find_current(name);
  for (auto& [uid, life] : lives_) {
    if (life.name == name && (current == nullptr || current->uid.view() != uid)) life.may_be_replaced = true;
  }
}

void Ledger::wish_gone(uint64_t ticket, std::string_view name) {
  note("DELETE", "", name, std::to_string(ticket));
  removals_.push_back({ticket, false, false, false, {{std::string(name), ""}}});
  for (auto& [uid, life] : lives_) life.may_go = life.may_go || covers(removals_.back(), life);
}

void Ledger::wish_only(uint64_t ticket, std::vector<std::pair<std::string, std::string>> names, bool replaces) {
  for (const auto& [name, command] : names) wished_.emplace(name, command);
  removals_.push_back({ticket, true, replaces, false, std::move(names)});
  for (auto& [uid, life] : lives_) life.may_go = life.may_go || covers(removals_.back(), life);
}

void Ledger::answered(uint64_t ticket, const Reply& reply, const Manager& manager) {
  note("answer", "", std::to_string(ticket), std::to_string(static_cast<int>(reply.kind)));
  const auto removal =
      std::find_if(removals_.begin(), removals_.end(), [&](const Removal& one) { return one.ticket == ticket; });
  switch (reply.kind) {
    case Reply::Kind::kCreated:
    case Reply::Kind::kExists: {
      Life& life = life_of(*reply.task);
      life.promised = true;
      if (reply.task->deleting()) violation(life.name + " was promised while it is being deleted");
      break;
    }
    case Reply::Kind::kDeleted:
    case Reply::Kind::kSet:
      for (auto& [uid, life] : lives_) {
        if (!covers(*removal, life)) continue;
        const Task* task = manager.find_id(life.id);
        if (task != nullptr && task->uid.view() == uid && !task->deleting()) {
          violation(life.name + " stands although its deletion was answered");
        }
        life.must_go = true;
      }
      if (reply.kind != Reply::Kind::kSet) break;
      for (const auto& [name, command] : removal->names) {
        const Task* task = manager.find(name);
        // Its time may have run out while the rest of the set was written, and a lost one is forgotten at any time.
        const bool may_expire = options_->ttl_after_finished != 0 || options_->on_lost != OnLost::kFail;
        if (task == nullptr || task->deleting()) {
          if (!may_expire) violation(name + " is not there although the set was answered");
        } else {
          life_of(*task).promised = true;
        }
      }
      break;
    case Reply::Kind::kFailed: break;
  }
  if (removal != removals_.end()) removals_.erase(removal);
}

void Ledger::added(const Task& task) { life_of(task).shown = shown(task); }

void Ledger::changed(const Task& task) {
  note("changed", task.uid.view(), task.name, shown(task));
  Life& life = life_of(task);
  life.shown = shown(task);
  if (task.phase == TaskPhase::kEnded && life.told.empty()) {
    life.told = encode_exit(*task.end);
    ++ends_told_;
    check_end(task, life);
  }
  check_one(task, life);
}

void Ledger::went(const Task& task) {
  const Life& life = life_of(task);
  if (life.promised && !task.deleting() && !life.may_go && !life.may_be_replaced)
    violation(life.name + " went although nobody wished so");
  std::string uid(task.uid.view());
  note("gone", uid, task.name, task.deleting() ? "" : "undeleted");
  lives_.erase(uid);
  gone_.insert(std::move(uid));
}

void Ledger::released(const Process& child, const RunRecord& run, bool durable) {
  const auto found = lives_.find(child.mark);
  if (found == lives_.end()) return violation("a command of an unknown task was let go");
  Life& life = found->second;
  if (!durable) violation(life.name + " was let go before its run.json was durable");
  if (!life.released.insert({run.phase, run.attempt}).second)
    violation(life.name + " runs twice, phase " + std::to_string(static_cast<int>(run.phase)));
  if (run.phase != RunPhase::kMain) return;
  life.main = child.pid;
  life.main_status = -1;
  mains_[child.pid] = child.mark;
}

void Ledger::ended(const Process& process) {
  const auto found = mains_.find(process.pid);
  if (found == mains_.end()) return;
  const auto life = lives_.find(found->second);
  if (life != lives_.end()) life->second.main_status = process.status;
  mains_.erase(found);
}

void Ledger::container_started(std::string_view uid, std::string_view run, bool durable) {
  const auto found = lives_.find(uid);
  if (found == lives_.end()) return violation("a container of an unknown task was started");
  Life& life = found->second;
  note("started", uid, life.name, run);
  if (!durable) violation(life.name + " was started before its run.json was durable");
  if (!life.released.insert({RunPhase::kMain, std::atoi(std::string(run).c_str())}).second) {
    violation(life.name + " runs twice, in containers");
  }
  life.main_status = -1;
}

void Ledger::container_ended(std::string_view uid, int code) {
  const auto found = lives_.find(uid);
  if (found == lives_.end()) return;
  note("ended", uid, found->second.name, std::to_string(code));
  found->second.main_status = code << 8;
}

void Ledger::strike(Life& life) {
  life.unlucky = true;
  if (options_->on_lost == OnLost::kRestart) {
    std::erase_if(life.released, [](const auto& one) { return one.first != RunPhase::kPostStop; });
  } else if (options_->on_lost != OnLost::kFail) {
    life.may_go = true;
  }
}

void Ledger::supervisor_died(std::string_view name, bool recorded) {
  for (auto& [uid, life] : lives_) {
    if (life.name == name && !recorded) strike(life);
  }
}

void Ledger::power_lost(FunctionRef<bool(std::string_view)> recorded) {
  mains_.clear();
  removals_.clear();
  for (auto& [uid, life] : lives_) {
    if (!recorded(life.name)) strike(life);
  }
}

void Ledger::check_end(const Task& task, const Life& life) {
  const ExitRecord& end = *task.end;
  switch (end.cause) {
    case EndCause::kEnded:
    case EndCause::kTimeout:
      if (end.wait_status != life.main_status && !(life.unlucky && unseen(end))) {
        violation(life.name + " is told to have ended otherwise than it did");
      }
      if (end.cause == EndCause::kTimeout && task.spec.timeout_seconds() == 0) violation(life.name + " has no timeout");
      break;
    case EndCause::kStartError:
      // With EMFILE and the like everywhere it may be any stage; never a command that ran.
      // An earlier run, which was lost, is another matter.
      if (life.main_status >= 0 && ran(life) && Behaviour::parse(life.command).exec_error == 0) {
        violation(life.name + " ran, and is told not to have started");
      }
      break;
    case EndCause::kPreStart:
      if (task.spec.process.pre_start == nullptr) violation(life.name + " has no preStart");
      break;
    case EndCause::kLost:
      if (!life.unlucky) violation(life.name + " is told to be lost, and was not");
      break;
  }
}

void Ledger::check_one(const Task& task, Life& life) {
  if (life.must_go && !task.deleting()) violation(life.name + " is alive again after its deletion was answered");
  if (life.told.empty() || (task.phase == TaskPhase::kEnded && task.end.get() == life.end)) return;
  if (task.phase != TaskPhase::kEnded || encode_exit(*task.end) != life.told) {
    violation(life.name + " has another end than was told: " + shown(task) + (task.end ? encode_exit(*task.end) : "") +
              life.told);
  }
  life.end = task.end.get();
}

void Ledger::check(const Manager& manager) {
  uint32_t running = 0;
  uint64_t last = 0;
  for (const Task* task = manager.next_after(0); task != nullptr; task = manager.next_after(last)) {
    last = task->sequence;
    Life& life = life_of(*task);
    check_one(*task, life);
    if (life.shown != shown(*task)) violation(life.name + " is " + shown(*task) + ", and watchers know " + life.shown);
    if (task->in_slot) ++running;
  }
  // What an agent finds may be more: a pod that an earlier one has known as lost and was removing counts until this one
  // knows it too. Nothing may start beside it.
  most_running_ = std::max(options_->max_concurrent, std::min(most_running_, running));
  if (options_->max_concurrent != 0 && running > most_running_) violation("too many run at once");
  for (const auto& [uid, life] : lives_) {
    if (!life.promised || life.may_go || life.may_be_replaced) continue;
    if (options_->ttl_after_finished != 0 && !life.told.empty()) continue;
    const Task* task = manager.find_id(life.id);
    if (task == nullptr || task->uid.view() != uid) violation(life.name + " was promised and is not there");
  }
}

uint64_t Ledger::fingerprint() const {
  Fingerprint out;
  for (const auto& [uid, life] : lives_) {
    out.mix(uid)
        .mix(life.name)
        .mix(life.command)
        .mix(life.told)
        .mix(life.id)
        .mix(static_cast<uint64_t>(life.main_status));
    for (const bool one : {life.promised, life.may_go, life.may_be_replaced, life.must_go, life.unlucky}) out.mix(one);
    for (const auto& [phase, attempt] : life.released) {
      out.mix(static_cast<uint64_t>(phase)).mix(static_cast<uint64_t>(attempt));
    }
  }
  for (const std::string& uid : gone_) out.mix(uid);
  for (const auto& [name, command] : wished_) out.mix(name).mix(command);
  return out.value();
}

void Ledger::learn(const Manager& manager) {
  most_running_ = 0;
  uint64_t last = 0;
  for (const Task* task = manager.next_after(0); task != nullptr; task = manager.next_after(last)) {
    last = task->sequence;
    life_of(*task).end = nullptr;
    if (task->in_slot) ++most_running_;
  }
}

void Ledger::meet(const Manager& manager) {
  uint64_t last = 0;
  for (const Task* task = manager.next_after(0); task != nullptr; task = manager.next_after(last)) {
    last = task->sequence;
    Life& life = life_of(*task);
    life.shown = shown(*task);
    life.end = nullptr;  // of the agent before
    if (task->phase == TaskPhase::kEnded) changed(*task);
  }
  check(manager);
}

}  // namespace te::world

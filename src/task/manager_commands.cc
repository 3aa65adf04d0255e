#include <algorithm>
#include <unordered_set>

#include "task/manager.h"
#include "task/manager_command.h"

namespace te {

void Manager::create(uint64_t ticket, NewTask wish) {
  auto command = std::make_unique<Command>();
  command->kind = Command::Kind::kCreate;
  command->ticket = ticket;
  command->wishes.push_back(std::move(wish));
  commands_.push_back(std::move(command));
}

void Manager::remove(uint64_t ticket, std::string_view name) {
  auto command = std::make_unique<Command>();
  command->kind = Command::Kind::kRemove;
  command->ticket = ticket;
  command->name = name;
  commands_.push_back(std::move(command));
}

void Manager::set(uint64_t ticket, std::vector<NewTask> wishes, OnSpecChange on_change) {
  auto command = std::make_unique<Command>();
  command->kind = Command::Kind::kSet;
  command->ticket = ticket;
  command->wishes = std::move(wishes);
  command->on_change = on_change;
  commands_.push_back(std::move(command));
}

// The first command takes its next step: one durable write. It stays at the front until its last one, so that no
// command sees half of another.
void Manager::run_command() {
  if (const std::vector<NewTask*> wishes = first_creations(); !wishes.empty()) {
    for (Result<Made>& made : make(wishes)) {
      Reply answer;
      if (made) {
        Command& command = *commands_.front();
        show(std::move(made).value(), command);
        answer.kind = Reply::Kind::kCreated;
        answer.task = by_id(command.created.front());
      } else {
        answer.error = std::move(made).error();
      }
      answer_first(std::move(answer));
    }
    return;
  }
  Command& command = *commands_.front();
  Reply answer;
  bool done = true;
  switch (command.kind) {
    case Command::Kind::kCreate: done = step_create(command, answer); break;
    case Command::Kind::kRemove: done = step_remove(command, answer); break;
    case Command::Kind::kSet: done = step_set(command, answer); break;
  }
  if (done) answer_first(std::move(answer));
}

void Manager::answer_first(Reply answer) {
  const std::unique_ptr<Command> finished = std::move(commands_.front());
  commands_.pop_front();
  answer.warnings = std::move(finished->warnings);
  observer_.on_reply(finished->ticket, answer);
  // Only now, so that the answer tells the tasks as they were accepted.
  for (const uint64_t id : finished->created) {
    if (Task* task = by_id(id)) advance(*task);
  }
}

// The commands at the front that make a task of a name that nobody has, or that waits for a successor: as many as may
// share a durable write.
std::vector<NewTask*> Manager::first_creations() {
  std::vector<NewTask*> out;
  for (const std::unique_ptr<Command>& command : commands_) {
    if (command->kind != Command::Kind::kCreate || out.size() == group_limit_) break;
    NewTask& wish = command->wishes.front();
    const Task* known = find(wish.name);
    if (known != nullptr && !known->deleting()) break;
    if (std::ranges::any_of(out, [&](const NewTask* other) { return other->name == wish.name; })) break;
    out.push_back(&wish);
  }
  return out;
}

Result<Manager::Made> Manager::prepare(NewTask& wish) {
  const auto at = names_.find(wish.name);
  const bool taken = at != names_.end();
  // A name that waits for the promotion of its successor is taken too.
  Made made{std::make_unique<Task>(), taken ? Place::kNext : Place::kLive, taken && at->second.next != nullptr};
  made.task->name = std::move(wish.name);
  made.task->spec = std::move(wish.spec);
  TRY(store_.identify(*made.task));
  return made;
}

// All in one durable write; each has a result of its own.
std::vector<Result<Manager::Made>> Manager::make(const std::vector<NewTask*>& wishes) {
  std::vector<Result<Made>> out;
  std::vector<Creation> creations;
  out.reserve(wishes.size());
  creations.reserve(wishes.size());
  for (NewTask* wish : wishes) {
    const Result<Made>& made = out.emplace_back(prepare(*wish));
    if (made) creations.push_back({made->task.get(), made->place, {}});
  }
  if (creations.empty()) return out;
  size_t coming = start_queue_.size();
  // A disk takes as long for them as a supervisor to come to life.
  for (const Creation& creation : creations) expect_start(*creation.task, ++coming);
  const MonoNanos began = clock_.mono();
  store_.create(creations);
  adapt_group(creations.size(), clock_.mono() - began);
  auto creation = creations.begin();
  for (Result<Made>& made : out) {
    if (!made) continue;
    const Result<void> stored = noted(std::move(creation++->result));
    if (stored) {
      made->task->persisted_at = clock_.wall();
    } else {
      made = stored.error();
      obstructed();
    }
  }
  return out;
}

Result<Manager::Made> Manager::make_instead(NewTask& wish, const Task& old) {
  Made made = TRY(prepare(wish));
  TRY(noted(store_.replace_next(*made.task, old)));
  runtime_.empty_trash();
  made.task->persisted_at = clock_.wall();
  return made;
}

// As many as the disk takes in a few milliseconds, for which everybody else waits.
void Manager::adapt_group(size_t count, MonoNanos took) {
  constexpr MonoNanos kLong = 5 * kMillisecond;
  constexpr size_t kMost = 8;
  if (took > kLong) {
    group_limit_ = std::max<size_t>(1, group_limit_ / 2);
  } else if (count == group_limit_) {
    group_limit_ = std::min(2 * group_limit_, kMost);
  }
}

// From now on everybody sees it; a successor that it replaces is gone.
void Manager::show(Made made, Command& command) {
  if (made.replaces) forget(*names_.find(made.task->name)->second.next);
  Task& shown = insert(std::move(made.task), made.place);
  // The predecessor may have gone while the rest of a set was being written.
  if (made.place == Place::kNext && find_current(shown.name) == nullptr) add_chore(Chore::kPromote, shown);
  ++counters_.created;
  counters_.create_to_durable.add(std::max<WallMicros>(0, shown.persisted_at - shown.accepted_at) * 1'000);
  command.created.push_back(shown.sequence);
  observer_.on_added(shown);
}

// Where the mark of a replaced task could not be written, it stands beside its successor as if nothing were the matter.
// Whoever asks for the name next makes up for it.
Task* Manager::unmarked_predecessor(std::string_view name) {
  const auto at = names_.find(name);
  if (at == names_.end() || at->second.next == nullptr || at->second.current == nullptr) return nullptr;
  return at->second.current->deleting() ? nullptr : at->second.current;
}

// Of a name that somebody has.
bool Manager::step_create(Command& command, Reply& answer) {
  NewTask& wish = command.wishes.front();
  if (Task* predecessor = unmarked_predecessor(wish.name)) {
    Result<void> marked = mark(*predecessor);
    if (marked) return false;
    answer.error = std::move(marked).error();
    return true;
  }
  const Task& known = *find(wish.name);
  if (same_spec(known.spec, wish.spec)) {
    answer.kind = Reply::Kind::kExists;
    answer.task = &known;
    return true;
  }
  const bool is_successor = find_current(wish.name) != &known;
  if (!is_successor) {
    answer.error = Error{ErrorKind::kConflict, 0, "task \"" + wish.name + "\" exists with another spec"};
    return true;
  }
  Result<Made> made = make_instead(wish, known);
  if (!made) {
    answer.error = std::move(made).error();
    return true;
  }
  show(std::move(made).value(), command);
  answer.kind = Reply::Kind::kCreated;
  answer.task = by_id(command.created.front());
  return true;
}

// A successor is cancelled, a living task is marked, one that is being deleted or unknown needs nothing.
Result<void> Manager::remove_task(Task& task) {
  const auto at = names_.find(task.name);
  if (at->second.next == &task) {
    TRY(noted(store_.discard(task, Place::kNext)));
    runtime_.empty_trash();
    forget(task);
    return {};
  }
  if (task.deleting()) return {};
  return mark(task);
}

bool Manager::step_remove(Command& command, Reply& answer) {
  Result<void> removed = store_.clear_way(command.name);
  if (!removed) {
    answer.error = std::move(removed).error();
    return true;
  }
  answer.kind = Reply::Kind::kDeleted;
  const auto at = names_.find(command.name);
  if (at == names_.end()) return true;
  const bool both = unmarked_predecessor(command.name) != nullptr;
  Task* task = at->second.next != nullptr ? at->second.next : at->second.current;
  removed = remove_task(*task);
  if (removed) return !both;
  answer.kind = Reply::Kind::kFailed;
  answer.error = std::move(removed).error();
  return true;
}

void Manager::plan_set(Command& command) {
  command.planned = true;
  std::unordered_set<std::string_view> wished;
  std::vector<size_t> replacing;
  for (size_t i = 0; i < command.wishes.size(); ++i) {
    const NewTask& wish = command.wishes[i];
    wished.insert(wish.name);
    const Task* known = find(wish.name);
    if (known == nullptr || known->deleting()) {
      command.creations.push_back(i);
    } else if (!same_spec(known->spec, wish.spec)) {
      if (command.on_change == OnSpecChange::kKeep) {
        command.warnings.push_back("task \"" + wish.name + "\" exists with another spec and was left as it is");
      } else if (find_current(wish.name) == known) {
        command.creations.push_back(i);
        command.removals.push_back(known->sequence);
      } else {
        replacing.push_back(i);
      }
    }
    if (const Task* predecessor = unmarked_predecessor(wish.name)) command.removals.push_back(predecessor->sequence);
  }
  // Last, because a successor that has been replaced can't be brought back.
  command.creations.insert(command.creations.end(), replacing.begin(), replacing.end());
  for (const auto& [id, task] : by_id_) {
    if (wished.contains(task->name) || task->deleting()) continue;
    command.removals.push_back(id);
  }
}

// True when the answer is ready.
bool Manager::step_set(Command& command, Reply& answer) {
  if (!command.planned) plan_set(command);
  if (command.failure) return undo_one(command, answer);
  const bool writes = command.next_creation < command.creations.size();
  if (writes) {
    if (!create_some(command, answer)) return false;
    if (command.failure) return true;
  }
  if (!command.shown) {
    command.shown = true;
    for (Made& made : command.made) show(std::move(made), command);
    command.made.clear();
    // A successor that was to be replaced may have come into its own while the others were written.
    for (const uint64_t id : command.created) {
      if (const Task* predecessor = unmarked_predecessor(by_id(id)->name)) {
        command.removals.push_back(predecessor->sequence);
      }
    }
  }
  if (writes && !command.removals.empty()) return false;
  return remove_one(command, answer);
}

bool Manager::remove_one(Command& command, Reply& answer) {
  while (command.next_removal < command.removals.size()) {
    Task* task = by_id(command.removals[command.next_removal++]);
    if (task == nullptr || task->deleting()) continue;
    Result<void> removed = remove_task(*task);
    if (!removed && !command.refusal) command.refusal = std::move(removed).error();
    if (command.next_removal < command.removals.size()) return false;
  }
  if (!command.refusal) {
    Result<void> cleared = store_.clear_way({});  // an empty list means that all is gone
    if (!cleared) command.refusal = std::move(cleared).error();
  }
  if (command.refusal) {
    answer.error = std::move(*command.refusal);
  } else {
    answer.kind = Reply::Kind::kSet;
  }
  return true;
}

// True when it was the last one, or has failed with nothing to undo.
bool Manager::create_some(Command& command, Reply& answer) {
  const auto wish = [&]() -> NewTask& { return command.wishes[command.creations[command.next_creation]]; };
  const auto successor = [&] {
    const auto at = names_.find(wish().name);
    return at == names_.end() ? nullptr : at->second.next;
  };
  std::vector<NewTask*> wishes;
  for (; command.next_creation < command.creations.size(); ++command.next_creation) {
    if (wishes.size() == group_limit_ || successor() != nullptr) break;
    wishes.push_back(&wish());
  }
  if (wishes.empty()) {
    const Task* old = successor();
    Result<Made> made = make_instead(wish(), *old);
    ++command.next_creation;
    if (made) {
      show(std::move(made).value(), command);
    } else {
      command.failure = std::move(made).error();
    }
  }
  for (Result<Made>& made : make(wishes)) {
    if (made) {
      command.made.push_back(std::move(made).value());
    } else if (!command.failure) {
      command.failure = std::move(made).error();
    }
  }
  if (!command.failure) return command.next_creation == command.creations.size();
  if (command.made.empty()) answer.error = *command.failure;
  return command.made.empty();
}

bool Manager::undo_one(Command& command, Reply& answer) {
  Made made = std::move(command.made.back());
  command.made.pop_back();
  const Result<void> undone = store_.take_back(*made.task, made.place);
  if (!undone) {
    // It stands on disk, where nobody sees it, and goes as soon as the disk allows.
    log_.error("a new task can't be taken back yet", {{"task", made.task->name}, {"error", undone.error().text()}});
    obstructed();
  }
  if (!command.made.empty()) return false;
  runtime_.empty_trash();
  answer.error = *command.failure;
  return true;
}

}  // namespace te

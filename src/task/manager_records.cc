// Manager: what the records on disk say of a run, and its end.
#include <algorithm>
#include <utility>

#include "task/manager.h"
#include "task/status.h"

namespace te {

namespace {

/// Between two times of the wall clock, which may have been set back meanwhile, or are what a container runtime says.
void add_span(Histogram& histogram, WallMicros from, WallMicros to) {
  constexpr WallMicros kLongest = 366LL * 24 * 3'600 * 1'000'000;
  if (from != 0 && to != 0) histogram.add(std::clamp<WallMicros>(to - from, 0, kLongest) * 1'000);
}

bool may_have_run(const RunRecord& run) {
  return run.supervisor.pid != 0 || (run.pod && std::ranges::any_of(run.pod->containers, &ContainerRecord::begun));
}

}  // namespace

// The end has been told; how the postStop hook ended is added when it is known. The supervisor may be another one by
// now, for the hook alone.
void Manager::look_at_post_stop(Task& task) {
  if (task.spec.process.post_stop == nullptr || task.run.post_stop.outcome != HookOutcome::kNone) return;
  const Result<std::optional<RunRecord>> run = store_.read_run(task);
  if (!run || !*run) return;
  task.run = **run;
  if (task.run.post_stop.outcome != HookOutcome::kNone) observer_.on_changed(task);
}

// An end is told when no power loss can take it back. As long as its supervisor lives that one sees to it; should it be
// slow in that, or not come to it any more, we do.
Result<bool> Manager::is_tellable(const Task& task, const ExitRecord& end) {
  if (end.durable) return true;
  if (task.supervised && !task.end_due) return false;
  TRY(noted(store_.make_exit_durable(task)));
  return true;
}

Manager::Told Manager::look_at_records(Task& task, bool found) {
  if (task.phase == TaskPhase::kEnded) {
    look_at_post_stop(task);
    return Told::kEnded;
  }
  Result<std::optional<ExitRecord>> end = store_.read_exit(task);
  if (end && *end) {
    const Result<bool> tellable = found ? Result<bool>(true) : is_tellable(task, **end);
    if (!tellable) return Told::kUnclear;
    if (!*tellable) return Told::kNotYet;
    // What is left of it, or a hook that is to follow, is found by its run; the end says all else.
    if (!task.started() && (task.supervised || task.spec.process.post_stop != nullptr || task.spec.pod != nullptr)) {
      const Result<std::optional<RunRecord>> run = store_.read_run(task);
      if (run && *run) task.run = **run;
    }
    set_ended(task, std::move(**end), found);
    return Told::kEnded;
  }
  if (!end) {
    if (!task.unclear) log_.error("exit record can't be read", {{"task", task.name}, {"error", end.error().text()}});
    if (end.error().kind == ErrorKind::kSystem) return Told::kUnclear;
  }
  const Result<std::optional<RunRecord>> run = store_.read_run(task);
  if (!run) return run.error().kind == ErrorKind::kSystem ? Told::kUnclear : Told::kBegun;
  // One that was seen and is not there any more was removed by hand: what it told is still so. So is what a broken end
  // tells.
  if (!*run) return !end || may_have_run(task.run) ? Told::kBegun : Told::kNotBegun;
  if (!(*run)->begun()) return Told::kBegun;
  if ((*run)->pod) {
    if (!task.run.pod) task.run = **run;  // later news come by on_pod()
    task.attempt = task.run.attempt;
    return Told::kBegun;
  }
  const bool was_in_hook = task.run.supervisor.pid != 0 && task.run.phase == RunPhase::kPreStart;
  task.run = **run;
  task.attempt = task.run.attempt;
  const bool runs = task.run.phase == RunPhase::kMain && task.run.execed_at != 0;
  if (runs && task.phase != TaskPhase::kRunning) {
    task.phase = TaskPhase::kRunning;
    if (task.persisted_at != 0) add_span(counters_.create_to_exec, task.accepted_at, task.run.execed_at);
    observer_.on_changed(task);
  } else if (was_in_hook != (task.run.phase == RunPhase::kPreStart)) {
    observer_.on_changed(task);
  }
  return Told::kBegun;
}

// There is no supervisor any more: what is on disk is all that will ever be. Nothing is concluded from records that
// can't be read just now (out of descriptors, say): a true end must not become a lost one, nor be run again.
void Manager::conclude(Task& task, bool found) {
  const Told told = look_at_records(task, found);
  task.unclear = false;
  switch (told) {
    case Told::kEnded:
    case Told::kNotBegun:
    case Told::kNotYet: break;
    case Told::kBegun:
      leave_slot(task);
      task.lost = true;
      break;
    case Told::kUnclear: look_later(task); break;
  }
}

void Manager::look_later(Task& task) {
  task.unclear = true;
  if (!std::exchange(task.look_due, true)) unclear_.push_back(task.sequence);
  // However long a tick is: recovery may wait for it.
  next_tick_ = std::min(next_tick_, clock_.mono() + std::min(options_.tick_interval, kSecond));
}

void Manager::look_at_unclear(Task& task) {
  if (!task.supervised) return after_supervisor(task);
  const Told told = look_at_records(task);
  task.unclear = false;
  if (told == Told::kUnclear) look_later(task);
}

void Manager::expire_at(Task& task, MonoNanos when) {
  task.expires = true;
  task.expiry = expiries_.emplace(when, task.sequence);
}

void Manager::count_end(std::string_view reason) {
  ++counters_.ended;
  for (ManagerCounters::Ends& ends : counters_.ended_by_reason) {
    if (ends.reason != reason) continue;
    ++ends.count;
    return;
  }
  counters_.ended_by_reason.push_back({reason, 1});
}

// `found`: at the start of this agent. Most likely an earlier one has told it, so it is no news.
void Manager::set_ended(Task& task, ExitRecord end, bool found) {
  if (task.persisted_at != 0) {
    // One that ended at once was never seen running.
    if (task.phase != TaskPhase::kRunning) add_span(counters_.create_to_exec, task.accepted_at, end.execed_at);
    add_span(counters_.exit_to_recorded, end.finished_at, clock_.wall());
  }
  task.phase = TaskPhase::kEnded;
  task.recorded_at = task.persisted_at != 0 ? clock_.wall() : 0;
  const WallMicros finished_at = end.finished_at;
  task.end = std::make_unique<ExitRecord>(std::move(end));
  task.wait_message.clear();
  const bool may_be_left = task.supervised && task.held && !task.end->tree_gone;
  task.leftover = may_be_left ? runtime_.count_leftovers(task) : 0;
  leave_slot(task);
  if (options_.ttl_after_finished > 0) {
    const WallMicros age = std::max<WallMicros>(0, clock_.wall() - finished_at) * 1'000;
    // Clients may not have been able to read it while no agent was there; nor has recovery to wait for the removals.
    const MonoNanos least = found ? 10 * kSecond : 0;
    expire_at(task, clock_.mono() + std::max(least, options_.ttl_after_finished - age));
  }
  if (!found) {
    const Status status = status_of(task);
    count_end(status.reason);
    log_.info("task ended", {{"task", task.name}, {"reason", status.reason}, {"code", status.exit_code}});
  }
  observer_.on_changed(task);
}

// The last look before a lost run is told, forgotten or run again: its end would make it another story.
Result<bool> Manager::ended_after_all(Task& task) {
  if (!task.lost) return false;
  Result<std::optional<ExitRecord>> end = store_.read_exit(task);
  if (!end && end.error().kind == ErrorKind::kSystem) return std::move(end).error();
  if (!end || !*end || !TRY(is_tellable(task, **end))) return false;
  task.lost = false;
  set_ended(task, std::move(**end));
  return true;
}

}  // namespace te

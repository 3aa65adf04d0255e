#include "runtime/supervisor.h"

#include <string>
#include <string_view>
#include <utility>

#include "codec/state_file.h"
#include "runtime/helpers.h"
#include "runtime/hook_output.h"
#include "runtime/launch.h"
#include "runtime/plan.h"
#include "runtime/tree_signals.h"
#include "sys/atomic_file.h"
#include "sys/clock.h"
#include "sys/fs.h"
#include "sys/process.h"
#include "sys/signals.h"
#include "sys/supervise.h"
#include "sys/zygote.h"

namespace te {

namespace {

constexpr MonoNanos kKillInterval = 10 * kMillisecond;  ///< KILL again: something forked while we looked
constexpr MonoNanos kTermPauseMin = 2 * kMillisecond;
constexpr MonoNanos kTermPauseMax = kSecond;
constexpr MonoNanos kSweepInterval = 10 * kSecond;         ///< again: something would not die
constexpr MonoNanos kRecordInterval = 200 * kMillisecond;  ///< the end could not be written: try again

MonoNanos after_seconds(MonoNanos from, int64_t seconds) {
  return seconds > (kNever - from) / kSecond ? kNever : from + seconds * kSecond;
}

bool is_shortage(int error) { return error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE; }

/// Not the task's fault, and nothing is recorded: the agent tries it again.
bool refused_by_machine(const StartFailure& failure, bool recorded) {
  const int error = failure.error;
  if (failure.stage != StartStage::kRecord)
    return failure.stage != StartStage::kNone && !recorded && is_shortage(error);
  return is_shortage(error) || error == ENOSPC || error == EDQUOT || error == EROFS;
}

HookEnd hook_failed(const StartFailure& failure) { return {HookOutcome::kStartError, failure.stage, failure.error, 0}; }

class Supervisor {
 public:
  int run();

 private:
  enum class Stopping : uint8_t { kNo, kTerm, kKill };

  // What runs, and what follows.
  bool start();
  void begin(RunPhase phase);
  StartFailure hold(RunPhase phase);
  bool is_passing(const StartFailure& failure) const;
  void could_not_start(const StartFailure& failure);
  void ended(const sys::ChildEnd& end);
  void pre_start_failed(const HookEnd& hook);
  void post_stop_ended(const HookEnd& hook);
  bool reap();
  void inner_gone(const sys::ChildEnd& inner);
  // Records.
  static bool can_be_recorded();
  Result<void> write_run(bool durable);
  void write_exec(MonoNanos now);
  void write_exit(MonoNanos now);
  void write_hook_end(MonoNanos now);
  // Stopping.
  void begin_stop(MonoNanos now);
  void keep_deadlines(MonoNanos now);
  MonoNanos next_deadline() const;
  /// The tree is gone, and the end is on disk.
  bool post_stop_can_begin() const { return post_stop_due_ && recorded_ && tree_gone(); }
  bool tree_gone() const { return tree_empty_ && !escaped_; }
  int32_t leader() const { return running_ && launch_.inner() == 0 ? launch_.child() : 0; }
  void take_signal(int signal);

  Launch launch_;
  HookOutput hook_output_;
  RunRecord run_;
  ExitRecord end_;
  TreeSignals signals_;
  int64_t grace_seconds_ = 0;
  MonoNanos timeout_at_ = kNever;
  MonoNanos term_at_ = kNever;  ///< look for those that TERM has missed
  MonoNanos term_pause_ = 0;
  MonoNanos kill_at_ = kNever;
  MonoNanos record_at_ = 0;  ///< try to write what could not be written
  Stopping stopping_ = Stopping::kNo;
  bool running_ = false;    ///< the process of `run_.phase`, which is not reaped
  bool timed_out_ = false;  ///< that one
  bool main_due_ = false;   ///< preStart has done well
  bool over_ = false;       ///< `end_` is complete, or an earlier supervisor recorded the end
  bool recorded_ = false;
  bool post_stop_due_ = false;  ///< it is to run once the tree is empty
  bool post_stop_remote_ = false;
  bool hook_end_due_ = false;  ///< how postStop ended is to be written
  bool exec_due_ = false;      ///< that the process of the phase has been exec'd is to be written
  bool deleted_ = false;       ///< SIGUSR1: nobody will read what comes now
  bool tree_empty_ = false;
  RunPhase first_ = RunPhase::kMain;  ///< of this supervisor
  bool not_now_ = false;              ///< nothing was begun, and it is not the task's fault
  bool begun_ = false;                ///< run.json may name the process of the phase
  bool stop_asked_ = false;           ///< before the process that is held was let go
  bool escaped_ = false;              ///< an inner subreaper was killed, and the mark has not been swept yet
  MonoNanos sweep_at_ = 0;            ///< not before
  bool lost_ = false;                 ///< how main ended can't be known
  std::string uid_;                   ///< the mark's; only where some process runs in the main container
};

// False: asked to stop before anything was begun, so there is nothing to tell.
bool Supervisor::start() {
  run_.spawned_at = sys::wall_now();
  const PlanHeader& header = launch_.plan().header();
  run_.attempt = header.attempt;
  first_ = header.first;
  grace_seconds_ = header.grace_seconds;
  end_.spawned_at = run_.spawned_at;
  const auto self = sys::read_stat(sys::self_pid());
  if (!self) {  // who can't say who it is would not be found again
    not_now_ = true;
    return false;
  }
  run_.supervisor = self->id;
  post_stop_due_ = launch_.plan().has(RunPhase::kPostStop);
  post_stop_remote_ = launch_.plan().process(RunPhase::kPostStop).remote;
  if (header.own_env.count > 0)
    uid_ = std::string_view(launch_.plan().text(header.own_env)).substr(kRunMark.size() + 1);
  if (header.first == RunPhase::kPostStop) {
    run_.phase = RunPhase::kPostStop;
    over_ = recorded_ = true;
    return true;
  }
  // An agent that could not see an earlier supervisor of this run must not be able to make us run it again.
  if (sys::exists_at(kSupervisorDirFd, "run.json") || sys::exists_at(kSupervisorDirFd, "exit.json")) {
    not_now_ = true;
    return false;
  }
  begin(header.first);
  return !not_now_ && (run_.process.pid != 0 || over_);
}

/// The child of the phase, held, and durable in run.json.
StartFailure Supervisor::hold(RunPhase phase) {
  const Fd errors = phase == RunPhase::kPreStart ? hook_output_.open(kSupervisorDirFd) : Fd();
  const StartFailure failure = launch_.fork_held(phase, errors.get());
  const bool held = failure.stage == StartStage::kNone;
  if (phase != RunPhase::kPostStop && sys::stop_requested()) {
    if (held) launch_.abandon();
    stop_asked_ = true;
    return {};
  }
  if (!held) return failure;
  begun_ = true;
  run_.phase = phase;
  const auto child = sys::read_stat(launch_.child());
  run_.process = child ? child->id : ProcessId{launch_.child(), 0};  // the number is all that is shown
  run_.started_at = sys::wall_now();
  run_.execed_at = 0;
  const Result<void> written = write_run(true);
  if (written) return launch_.release();
  launch_.abandon();
  return {StartStage::kRecord, written.error().code};
}

/// postStop has not begun, for a reason of this machine at this moment: it is tried again. A main container that is
/// gone is no such reason: a fork in it says ENOMEM (pid_namespaces(7)).
bool Supervisor::is_passing(const StartFailure& failure) const {
  if (failure.stage == StartStage::kRecord || (failure.stage == StartStage::kFork && !post_stop_remote_)) return true;
  return !begun_ && is_shortage(failure.error) && failure.error != ENOMEM;
}

void Supervisor::begin(RunPhase phase) {
  tree_empty_ = false;
  main_due_ = stop_asked_ = begun_ = false;
  const bool loaded = launch_.load_plan(kSupervisorPlanFd);
  const StartFailure failure = loaded ? hold(phase) : StartFailure{StartStage::kFork, EAGAIN};
  if (refused_by_machine(failure, begun_) && phase == first_ && phase != RunPhase::kPostStop) {
    not_now_ = true;
    return;
  }
  if (failure.stage != StartStage::kNone) {
    // Killed about the moment of its exec, and its inner subreaper with it: it may have left something to the
    // container.
    escaped_ = escaped_ || (failure.error == EINTR && !uid_.empty());
    if (phase == RunPhase::kPostStop && is_passing(failure)) {
      post_stop_due_ = can_be_recorded();
      record_at_ = sys::mono_now() + kRecordInterval;
      return;
    }
    run_.phase = phase;
    could_not_start(failure);
  } else if (stop_asked_) {
    // In the last moment. Where a preStart hook has run, somebody has to be told.
    if (phase == RunPhase::kMain && run_.process.pid != 0) pre_start_failed({HookOutcome::kEnded, {}, 0, 0});
  } else {
    running_ = true;
    if (launch_.inner() != 0) signals_.spare(launch_.inner());
    timed_out_ = false;
    run_.execed_at = sys::wall_now();
    if (phase == RunPhase::kMain) {
      end_.started_at = run_.started_at;
      end_.execed_at = run_.execed_at;
    }
    const int64_t seconds = launch_.plan().process(phase).timeout_seconds;
    timeout_at_ = seconds > 0 ? after_seconds(sys::mono_now(), seconds) : kNever;
    write_exec(sys::mono_now());
  }
  if (phase == RunPhase::kPostStop) post_stop_due_ = false;
  const bool more = phase == RunPhase::kPreStart || post_stop_due_;
  launch_.unload_plan(!more);
}

void Supervisor::could_not_start(const StartFailure& failure) {
  end_.finished_at = sys::wall_now();
  switch (run_.phase) {
    case RunPhase::kPreStart:
      end_.object = launch_.object_of(run_.phase, failure.stage);
      pre_start_failed(hook_failed(failure));
      break;
    case RunPhase::kMain:
      end_.cause = EndCause::kStartError;
      end_.stage = failure.stage;
      end_.error = failure.error;
      end_.object = launch_.object_of(run_.phase, failure.stage);
      over_ = true;
      break;
    case RunPhase::kPostStop: post_stop_ended(hook_failed(failure)); break;
  }
}

void Supervisor::pre_start_failed(const HookEnd& hook) {
  hook_output_.copy();
  end_.cause = EndCause::kPreStart;
  end_.pre_start = hook;
  end_.output = hook_output_.tail();
  end_.finished_at = sys::wall_now();
  over_ = true;
  if (stopping_ == Stopping::kNo) begin_stop(sys::mono_now());  // main never starts, so nothing else has a use
}

void Supervisor::post_stop_ended(const HookEnd& hook) {
  run_.post_stop = hook;
  hook_end_due_ = !hook.good();
  record_at_ = 0;
  begin_stop(sys::mono_now());
}

// The process of the phase has been reaped.
void Supervisor::ended(const sys::ChildEnd& end) {
  running_ = false;
  timeout_at_ = kNever;
  const HookEnd hook = {timed_out_ ? HookOutcome::kTimeout : HookOutcome::kEnded, StartStage::kNone, 0, end.status};
  switch (run_.phase) {
    case RunPhase::kPreStart:
      main_due_ = hook.good() && stopping_ == Stopping::kNo;
      if (!main_due_) pre_start_failed(hook);
      hook_output_.drop_tail();
      break;
    case RunPhase::kMain:
      end_.cause = timed_out_ ? EndCause::kTimeout : EndCause::kEnded;
      end_.wait_status = end.status;
      end_.user_cpu_us = end.usage.ru_utime.tv_sec * 1'000'000 + end.usage.ru_utime.tv_usec;
      end_.system_cpu_us = end.usage.ru_stime.tv_sec * 1'000'000 + end.usage.ru_stime.tv_usec;
      end_.max_rss_kib = end.usage.ru_maxrss;
      end_.finished_at = sys::wall_now();
      over_ = true;
      break;
    case RunPhase::kPostStop: post_stop_ended(hook); break;
  }
}

// True: there may be more of them. A tree that ends or stops without a pause must not keep us from our deadlines.
bool Supervisor::reap() {
  constexpr int kMost = 256;
  signals_.wake_spared();
  if (running_) {
    if (const auto end = launch_.inner_report()) ended(*end);
  }
  for (int looks = 0; looks < kMost; ++looks) {
    const Result<std::optional<sys::ChildEnd>> child = sys::reap_child(-1);
    if (!child) {
      tree_empty_ = child.error().code == ECHILD;
      // Those that have got out of our sight are found by the mark, as after our own death.
      if (tree_empty_ && escaped_ && sys::mono_now() >= sweep_at_) {
        Swept tree{uid_};
        escaped_ = !sweep_marked({&tree, 1}) || tree.left();
        sweep_at_ = escaped_ ? sys::mono_now() + kSweepInterval : 0;
      }
      return false;
    }
    if (!*child) return false;
    const sys::ChildEnd& end = **child;
    if (signals_.forget_spared(end.pid)) {
      inner_gone(end);
    } else if (running_ && launch_.inner() == 0 && end.pid == launch_.child()) {
      ended(end);
    }  // else an orphan that came to us
  }
  return true;
}

// By itself, when nothing of the tree was left; or it was killed, and most likely its PID namespace with it.
void Supervisor::inner_gone(const sys::ChildEnd& inner) {
  escaped_ = escaped_ || inner.status != 0;  // whoever outlives it went to another parent
  if (inner.pid != launch_.inner()) return;  // a hook's
  std::optional<sys::ChildEnd> end;
  if (running_) end = launch_.inner_report();
  if (running_ && !end) end = launch_.end_without_report();
  launch_.forget_inner();
  if (end) {
    ended(*end);
  } else if (running_) {
    lost_ = true;
  }
}

// Not where somebody has removed the task's directory: nobody would ever read it.
bool Supervisor::can_be_recorded() {
  const Result<sys::FileVersion> directory = sys::file_version(kSupervisorDirFd);
  return !directory || !directory->removed;
}

Result<void> Supervisor::write_run(bool durable) {
  const std::string text = encode_run(run_);
  // This one must not fail for want of space: the hook would have to wait for it.
  if (run_.phase == RunPhase::kPostStop && run_.execed_at == 0) {
    return sys::fill_reserved_over(kSupervisorDirFd, kPostStopReserve, "run.json", text);
  }
  return sys::write_atomic(kSupervisorDirFd, "run.tmp", "run.json", text, durable);
}

// Not synced. Until it is there the agent says "waiting" of a process that runs.
void Supervisor::write_exec(MonoNanos now) {
  bool written = sys::add_note(kSupervisorDirFd, "run.json", kExecedNote, encode_execed(run_)).ok();
  if (!written && write_run(false)) {  // a file system without attributes
    (void)sys::announce(kSupervisorDirFd, "run.json").ok();
    written = true;
  }
  exec_due_ = !written && can_be_recorded();
  if (exec_due_) record_at_ = now + kRecordInterval;
}

// Over the blocks that creation has taken: no space is asked for.
void Supervisor::write_exit(MonoNanos now) {
  end_.tree_gone = tree_gone();
  recorded_ = sys::fill_reserved(kSupervisorDirFd, "exit.tmp", "exit.json", encode_exit(end_)).ok() || deleted_ ||
              !can_be_recorded();
  if (!recorded_) record_at_ = now + kRecordInterval;
}

void Supervisor::write_hook_end(MonoNanos now) {
  const bool written = write_run(true).ok();
  if (written) (void)sys::announce(kSupervisorDirFd, "run.json").ok();
  hook_end_due_ = !written && !deleted_ && can_be_recorded();
  if (hook_end_due_) record_at_ = now + kRecordInterval;
}

void Supervisor::take_signal(int signal) {
  if (signal != SIGTERM && signal != SIGUSR1) return;
  if (signal == SIGUSR1) deleted_ = true;
  // postStop is part of every stop, and has a timeout of its own.
  if (run_.phase != RunPhase::kPostStop) begin_stop(sys::mono_now());
}

void Supervisor::begin_stop(MonoNanos now) {
  if (stopping_ != Stopping::kNo) return;
  stopping_ = Stopping::kTerm;
  kill_at_ = after_seconds(now, grace_seconds_);
  signals_.begin(leader());
  term_pause_ = kTermPauseMin;
  term_at_ = now + term_pause_;
}

void Supervisor::keep_deadlines(MonoNanos now) {
  if (now >= timeout_at_) {
    timeout_at_ = kNever;
    timed_out_ = true;
    begin_stop(now);
  }
  if (stopping_ == Stopping::kTerm && now >= term_at_) {
    signals_.again();
    term_pause_ = std::min(2 * term_pause_, kTermPauseMax);
    term_at_ = now + term_pause_;
  }
  if (stopping_ != Stopping::kNo && now >= kill_at_) {
    stopping_ = Stopping::kKill;
    signals_.kill(leader());
    kill_at_ = sys::mono_now() + kKillInterval;
  }
  if (now >= record_at_) {
    if (exec_due_ && running_) write_exec(now);
    if (over_ && !recorded_) write_exit(now);
    if (hook_end_due_) write_hook_end(now);
  }
}

MonoNanos Supervisor::next_deadline() const {
  MonoNanos next = timeout_at_;
  if (stopping_ == Stopping::kTerm) next = std::min(next, term_at_);
  if (stopping_ != Stopping::kNo) next = std::min(next, kill_at_);
  if (tree_empty_ && escaped_) next = std::min(next, sweep_at_);
  if (post_stop_can_begin() || (over_ && !recorded_) || hook_end_due_ || (exec_due_ && running_))
    next = std::min(next, record_at_);
  return next;
}

int Supervisor::run() {
  if (!sys::become_supervisor(kSupervisorName) || !launch_.load_plan(kSupervisorPlanFd)) return kSupervisorNotNow;
  if (!start()) return not_now_ ? kSupervisorNotNow : 0;
  for (;;) {
    const bool more_output = hook_output_.copy();
    const bool more_ends = reap();
    if (lost_) return 1;
    if (main_due_) {
      begin(RunPhase::kMain);
      continue;
    }
    const MonoNanos now = sys::mono_now();
    keep_deadlines(now);
    if (post_stop_can_begin() && now >= record_at_) {
      stopping_ = Stopping::kNo;
      begin(RunPhase::kPostStop);
      continue;
    }
    if (recorded_ && tree_gone() && !post_stop_due_ && !hook_end_due_) return 0;
    take_signal(sys::wait_supervisor_signal(more_output || more_ends ? 0 : next_deadline()));
  }
}

}  // namespace

int run_supervisor() { return Supervisor().run(); }

int run_zygote(int argc, char** argv) {
  switch (sys::serve_as_zygote(argc, argv, kSupervisorName)) {
    case sys::ZygoteEnd::kOver: return 0;
    case sys::ZygoteEnd::kGiven: return run_supervisor();
    case sys::ZygoteEnd::kNotWhole: return kSupervisorNotNow;
  }
  return kSupervisorNotNow;
}

}  // namespace te

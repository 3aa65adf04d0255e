#include "runtime/launch.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "runtime/enter_target.h"
#include "runtime/inner_reaper.h"
#include "runtime/supervisor.h"
#include "sys/clock.h"
#include "sys/credentials.h"
#include "sys/fs.h"
#include "sys/namespaces.h"
#include "sys/net.h"
#include "sys/supervise.h"

namespace te {

namespace {

struct LogNames {
  const char* output;
  const char* errors;
};
// A hook has one file for both.
constexpr std::array<LogNames, 3> kLogNames = {
    {{"prestart.log", "prestart.log"}, {"stdout.log", "stderr.log"}, {"poststop.log", "poststop.log"}}};

constexpr int64_t kMostSeconds = 366LL * 24 * 3'600;

LogNames log_names(RunPhase phase) { return kLogNames[static_cast<size_t>(phase)]; }

template <class Message>
bool receive_message(const Fd& socket, Message& message) {
  const Result<int64_t> size = sys::receive(socket.get(), reinterpret_cast<char*>(&message), sizeof message);
  return size.ok() && *size == static_cast<int64_t>(sizeof message);
}

/// What can't be sent is told by the end of the conversation, which others than us may hold open too.
void send_or_hang_up(const Fd& socket, std::string_view bytes) {
  if (!sys::send(socket.get(), bytes)) sys::shutdown_both(socket.get());
}

template <class Message>
void send_message(const Fd& socket, const Message& message) {
  send_or_hang_up(socket, {reinterpret_cast<const char*>(&message), sizeof message});
}

}  // namespace

bool Launch::load_plan(int fd) {
  if (!bytes_.empty()) return true;
  const Result<std::string_view> bytes = sys::map_file(fd);
  if (!bytes) return false;
  bytes_ = *bytes;
  return plan_.decode(bytes_);
}

void Launch::unload_plan(bool for_good) {
  sys::unmap(bytes_);
  bytes_ = {};
  plan_ = {};
  if (for_good) Fd(kSupervisorPlanFd).reset();
}

std::string Launch::object_of(RunPhase phase, StartStage stage) const {
  switch (stage) {
    case StartStage::kExec: return plan_.text(plan_.process(phase).argv);
    case StartStage::kWorkingDir: return plan_.text(plan_.header().working_dir);
    case StartStage::kLog:
      return phase == RunPhase::kMain ? "stdout.log, stderr.log" : std::string(log_names(phase).output);
    case StartStage::kRecord: return "run.json";
    case StartStage::kTarget:
    case StartStage::kNamespaces: return plan_.text(plan_.header().container);
    case StartStage::kCredentials:
    case StartStage::kFork:
    case StartStage::kNone: return {};
  }
  return {};
}

StartFailure Launch::fork_held(RunPhase phase, int error_output) {
  const bool remote = plan_.process(phase).remote;
  Result<sys::SocketPair> pair = sys::socket_pair();
  if (!pair) return {StartStage::kFork, pair.error().code};
  Result<sys::SocketPair> report = remote ? sys::socket_pair() : sys::SocketPair{};
  if (!report) return {StartStage::kFork, report.error().code};
  parent_ = sys::self_pid();
  const Result<int32_t> pid = sys::fork_child();
  if (!pid) return {StartStage::kFork, pid.error().code};
  if (*pid == 0) {
    pair->here.reset();
    report->here.reset();
    channel_ = std::move(pair->there);
    report_ = std::move(report->there);
    run_child(phase, error_output);
  }
  child_ = *pid;
  stopped_ = false;
  // Whoever stops a task wants its postStop to run; that one has its own time.
  const int64_t seconds = phase == RunPhase::kPostStop ? plan_.process(phase).timeout_seconds : 0;
  give_up_at_ = seconds > 0 ? sys::mono_now() + std::min(seconds, kMostSeconds) * kSecond : kNever;
  forget_inner();  // an earlier one, of a hook
  channel_ = std::move(pair->here);
  report_ = std::move(report->here);
  report->there.reset();
  return remote ? await_entry() : StartFailure{};
}

// What the child has to say. A file system that hangs may keep it from its exec, or its working directory, for ever;
// then it is killed as soon as we are asked to stop, and postStop when its time is over.
Result<int64_t> Launch::hear(const Fd& socket, char* to, size_t size) {
  constexpr int kPause = 50;  // milliseconds, the longest that a wish to stop waits here
  while (!sys::readable_within(socket.get(), kPause)) {
    // Killed before it could tell of the sibling that it has made, which holds the socket open: nothing will come.
    if (inner_ == 0 && sys::child_has_ended(child_) && !sys::readable_within(socket.get(), 0)) return int64_t{0};
    if (give_up_at_ == kNever ? !sys::stop_pending() : sys::mono_now() < give_up_at_) continue;
    if (sys::readable_within(socket.get(), 0)) break;  // we may have been kept from the processor
    sys::kill_child(inner_ != 0 ? inner_ : child_);
    stopped_ = true;
  }
  return sys::receive(socket.get(), to, size);
}

template <class Message>
bool Launch::hear_message(Message& message) {
  const Result<int64_t> size = hear(report_, reinterpret_cast<char*>(&message), sizeof message);
  return size.ok() && *size == static_cast<int64_t>(sizeof message);
}

// Of a process in the main container it is known only when it is in there who is to be watched.
StartFailure Launch::await_entry() {
  HeldMessage held;
  if (!hear_message(held)) held = {StartStage::kNamespaces, EIO, 0};
  if (held.stage == StartStage::kNone && held.inner != 0) {
    sys::kill_child(child_);  // it has done its part, and is about to end if nobody stops it
    sys::wait_child(child_);
    inner_ = held.inner;
    send_or_hang_up(report_, "g");
    if (!hear_message(held)) held = {StartStage::kNamespaces, EIO, 0};
    child_ = sys::only_child(inner_);
    Result<Fd> pidfd = sys::open_pidfd(child_);
    const int error = pidfd ? 0 : child_ != 0 ? pidfd.error().code : ESRCH;
    if (pidfd) pidfd_ = std::move(pidfd).value();
    if (held.stage == StartStage::kNone && !pidfd_.valid()) {
      const StartFailure early = early_end(error);
      held = {early.stage, early.error, 0};
    }
    if (held.stage == StartStage::kNone && sys::signal_when_readable(report_.get())) return {};
  }
  if (held.stage == StartStage::kNone && inner_ == 0) {
    report_.reset();
    return {};
  }
  if (held.stage == StartStage::kNone) held = {StartStage::kFork, EIO, 0};
  abandon();
  return {held.stage, held.error};
}

// It was gone before it could be looked for: it has said why, if it was not killed.
StartFailure Launch::early_end(int error) const {
  StartFailure failure;
  const bool told = sys::readable_within(channel_.get(), 0) && receive_message(channel_, failure);
  return told ? failure : StartFailure{StartStage::kFork, error};
}

StartFailure Launch::release() {
  StartFailure failure;
  // A child that has gone before its release: then the byte finds no reader, and its failure, if it was not killed, is
  // already here. One that lives and can't be told (ENOBUFS) must not wait for ever.
  const Result<int64_t> sent = sys::send(channel_.get(), "x");
  if (!sent) sys::shutdown_write(channel_.get());
  const Result<int64_t> size = hear(channel_, reinterpret_cast<char*>(&failure), sizeof failure);
  channel_.reset();
  if (sent && size && *size == 0 && (!stopped_ || was_execed())) return {};
  if (!size || *size != static_cast<int64_t>(sizeof failure)) {
    failure = {StartStage::kExec, stopped_ ? EINTR : EIO};
    if (!sent && sent.error().code != EPIPE) failure.error = sent.error().code;
  }
  abandon();
  return failure;
}

/// What was killed in the last moment before its exec has never run; just after it, it has an end like any other.
bool Launch::was_execed() const {
  const std::optional<sys::ProcStat> stat = sys::read_stat(child_);
  return stat && stat->execed;
}

void Launch::abandon() {
  channel_.reset();
  report_.reset();
  // Whatever it is doing, even what we were never told: the wait must have an end.
  sys::kill_child(inner_ != 0 ? inner_ : child_);
  sys::wait_child(inner_ != 0 ? inner_ : child_);
  forget_inner();
}

void Launch::forget_inner() {
  report_.reset();
  pidfd_.reset();
  inner_ = 0;
}

std::optional<sys::ChildEnd> Launch::inner_report() {
  sys::ChildEnd end;
  if (!report_.valid() || !receive_message(report_, end)) return std::nullopt;
  end.pid = child_;
  return end;
}

std::optional<sys::ChildEnd> Launch::end_without_report() const {
  constexpr MonoNanos kPatience = 2 * kSecond;
  const std::optional<int32_t> status = sys::wait_status_of(pidfd_.get(), child_, sys::mono_now() + kPatience);
  if (!status) return std::nullopt;
  sys::ChildEnd end;
  end.pid = child_;
  end.status = *status;
  return end;
}

void Launch::run_child(RunPhase phase, int error_output) {
  TargetEntry target(plan_);
  TargetEntry* entry = plan_.process(phase).remote ? &target : nullptr;
  StartFailure failure = prepare(phase, error_output, entry);
  if (failure.stage == StartStage::kNone) {
    char go = 0;
    const Result<int64_t> n = sys::receive(channel_.get(), &go, 1);
    if (!n || *n != 1) sys::end_process(127);  // the supervisor has gone, or changed its mind
    failure = {StartStage::kExec, exec_command(phase, entry)};
  }
  if (report_.valid()) {  // not in there yet
    send_message(report_, HeldMessage{failure.stage, failure.error, 0});
  } else {
    send_message(channel_, failure);
  }
  sys::end_process(127);
}

StartFailure Launch::prepare(RunPhase phase, int error_output, TargetEntry* target) {
  const PlanHeader& header = plan_.header();
  StartFailure failure;
  sys::prepare_child(header.nofile_soft, header.nofile_hard);
  failure = die_with_supervisor();  // whatever it may hang in from here on
  if (failure.stage == StartStage::kNone && target != nullptr) failure = target->find();
  if (failure.stage == StartStage::kNone) failure = open_logs(phase, error_output, target);
  if (failure.stage == StartStage::kNone && target != nullptr) failure = enter(*target);
  if (failure.stage == StartStage::kNone) failure = take_credentials(target);
  if (failure.stage == StartStage::kNone) failure = die_with_supervisor();  // other credentials have cleared that
  if (failure.stage != StartStage::kNone) return failure;
  if (target != nullptr) failure = target->go_to_working_dir();
  if (failure.stage != StartStage::kNone) return failure;
  const char* working_dir = plan_.text(header.working_dir);
  if (*working_dir != '\0' && plan_.process(phase).in_working_dir) {
    const Result<void> entered = sys::change_dir(working_dir);
    if (!entered) return {StartStage::kWorkingDir, entered.error().code};
    if (target != nullptr && !sys::working_dir_is_inside()) return {StartStage::kWorkingDir, EACCES};
  }
  return {};
}

StartFailure Launch::die_with_supervisor() const {
  const Result<void> bound = sys::die_with_parent();
  if (!bound) return {StartStage::kCredentials, bound.error().code};
  // It may have died before, and with its word to go on in the channel already.
  if (sys::parent_pid() != parent_) sys::end_process(127);
  return {};
}

StartFailure Launch::open_logs(RunPhase phase, int error_output, const TargetEntry* target) {
  const PlanHeader& header = plan_.header();
  std::optional<uint32_t> user;
  std::optional<uint32_t> group;
  if (header.has_user) user = header.user;
  if (header.has_group) group = header.group;
  if (target != nullptr) {
    user = target->outer_user();
    group = target->outer_group();
  }
  const auto own = [&](int file) {
    return user || group ? sys::set_owner(file, user ? &*user : nullptr, group ? &*group : nullptr) : Result<void>();
  };
  const LogNames names = log_names(phase);
  int number = 1;
  for (const std::string_view name : {names.output, names.errors}) {
    Result<Fd> log = sys::open_at(kSupervisorDirFd, name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
    if (!log) return {StartStage::kLog, log.error().code};
    if (const Result<void> owned = own(log->get()); !owned) return {StartStage::kCredentials, owned.error().code};
    const Result<void> ready = sys::replace_fd(log->get(), number++);
    if (!ready) return {StartStage::kLog, ready.error().code};
  }
  if (error_output >= 0) {
    if (const Result<void> owned = own(error_output); !owned) return {StartStage::kCredentials, owned.error().code};
    const Result<void> ready = sys::replace_fd(error_output, 2);
    if (!ready) return {StartStage::kLog, ready.error().code};
  }
  return {};
}

// The rest of the way is the same, in whichever process it is that comes back.
StartFailure Launch::enter(TargetEntry& target) {
  // So that no path of /proc/self/fd leads back out.
  Fd(kSupervisorDirFd).reset();
  Fd(kSupervisorPlanFd).reset();
  const StartFailure failure = target.enter();
  if (failure.stage != StartStage::kNone) return failure;
  if (!target.needs_fork()) {
    send_message(report_, HeldMessage{});
    report_.reset();
    return {};
  }
  const Result<int32_t> pid = sys::fork_sibling();
  if (!pid) return {StartStage::kFork, pid.error().code};
  if (*pid != 0) {
    send_message(report_, HeldMessage{StartStage::kNone, 0, *pid});
    sys::end_process(0);
  }
  parent_ = become_inner_reaper(report_, bytes_);
  sys::prepare_child(plan_.header().nofile_soft, plan_.header().nofile_hard);
  return die_with_supervisor();
}

StartFailure Launch::take_credentials(const TargetEntry* target) {
  const PlanHeader& header = plan_.header();
  if (!header.has_security && target == nullptr) return {};
  sys::Credentials credentials;
  if (header.has_user) credentials.user = header.user;
  if (header.has_group) credentials.group = header.group;
  // Another user without groups of its own must not keep ours, or the main container's.
  if (header.has_user || header.group_count > 0) {
    credentials.groups = std::span(plan_.groups(), header.group_count);
  }
  credentials.no_new_privileges = header.no_new_privileges;
  credentials.drop = header.drop_capabilities;
  credentials.add = header.add_capabilities;
  if (target != nullptr) target->add_to(credentials);
  const Result<void> taken = sys::take_on(credentials);
  if (!taken) return {StartStage::kCredentials, taken.error().code};
  return {};
}

// argv[0] in the task's own PATH, as execvp(3) looks it up, but never through a shell.
int Launch::exec_command(RunPhase phase, const TargetEntry* target) {
  std::vector<const char*> argv;
  plan_.collect(plan_.process(phase).argv, argv);
  argv.push_back(nullptr);
  std::vector<const char*> envp;
  if (target != nullptr) {
    target->collect_environment(envp);
  } else {
    plan_.collect(plan_.header().local_env, envp);
  }
  std::string_view path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (const std::string_view entry : envp) {
    if (entry.starts_with("PATH=")) path = entry.substr(5);
  }
  envp.push_back(nullptr);

  const std::string_view command = argv[0];
  if (command.find('/') != std::string_view::npos) return sys::exec(argv[0], argv.data(), envp.data());
  int error = ENOENT;
  std::string candidate;
  for (size_t start = 0; start <= path.size();) {
    const size_t end = std::min(path.find(':', start), path.size());
    candidate = path.substr(start, end - start);  // an empty part means the working directory
    if (!candidate.empty()) candidate += '/';
    candidate += command;
    const int failed = sys::exec(candidate.c_str(), argv.data(), envp.data());
    if (failed == EACCES) {
      error = EACCES;  // a file of that name there was; a later one may still do
    } else if (failed != ENOENT && failed != ENOTDIR) {
      return failed;
    }
    start = end + 1;
  }
  return error;
}

}  // namespace te

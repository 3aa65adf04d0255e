// crashpoint_tracer [--report FILE] [--trace] [FAULT] -- COMMAND...: an agent at whose system calls things go wrong.
//
// The command becomes this very process, so that whoever started it has the agent for a child; the tracer is another
// one beside it, attached by PTRACE_SEIZE without EXITKILL. It follows what the agent makes and gives each process a
// role: `agent`, `spawn` (a copy of the agent before its exec), `zygote`, `supervisor` (a copy of that one, or a
// program of its own), `child` (a copy of the supervisor before the exec of a command or hook), `sweeper`, `unlinker`,
// `keeper`. A task's own command is let go at its exec.
//
// System calls are counted from 1, for each role over all of its processes, in the order in which they are made.
//
//   --role ROLE --point N --when before|after    SIGKILL to that process: before the call is carried out, or when it
//                                                 has been and the process has not seen it yet
//   --role ROLE --call NAME --point N --errno E  the N-th call of that name fails with E and is not carried out
//   --carried-out                                ... or is, and tells the error all the same (close(2))
//   --trace                                       every call is reported
//
// Once the fault has been, the tracer leaves, and everything runs on without it. It reports a line each:
// "call ROLE N PID NAME", "hit ROLE N PID NAME", "total ROLE N", "gone ROLE PID WAITSTATUS".
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "registers.h"

namespace te::crashpoints {

namespace {

struct CallName {
  long number;
  const char* name;
};
constexpr CallName kCallNames[] = {
#include "call_names.inc"
};

std::string call_name(uint64_t number) {
  for (const CallName& one : kCallNames) {
    if (static_cast<uint64_t>(one.number) == number) return one.name;
  }
  return "call_" + std::to_string(number);
}

enum class Role : uint8_t { kNone, kAgent, kSpawn, kSupervisor, kChild, kSweeper, kUnlinker, kKeeper, kZygote, kCount };
constexpr std::array<const char*, static_cast<size_t>(Role::kCount)> kRoleNames = {
    "none", "agent", "spawn", "supervisor", "child", "sweeper", "unlinker", "keeper", "zygote"};

const char* name_of(Role role) { return kRoleNames[static_cast<size_t>(role)]; }

std::optional<Role> role_named(std::string_view name) {
  for (size_t i = 1; i < kRoleNames.size(); ++i) {
    if (name == kRoleNames[i]) return static_cast<Role>(i);
  }
  return std::nullopt;
}

/// By argv[0], as main.cc tells its programs apart; nothing: a stranger.
std::optional<Role> role_of_program(std::string_view called) {
  if (called == "task-supervisor") return Role::kSupervisor;
  if (called == "task-sweeper") return Role::kSweeper;
  if (called == "task-unlinker") return Role::kUnlinker;
  if (called == "task-cri-keeper") return Role::kKeeper;
  if (called == "task-zygote") return Role::kZygote;
  return std::nullopt;
}

/// Of a copy that a process makes of itself.
Role role_of_copy(Role parent) {
  switch (parent) {
    case Role::kAgent: return Role::kSpawn;
    case Role::kZygote: return Role::kSupervisor;
    case Role::kSupervisor: return Role::kChild;
    case Role::kNone:
    case Role::kSpawn:
    case Role::kChild:
    case Role::kSweeper:
    case Role::kUnlinker:
    case Role::kKeeper:
    case Role::kCount: return parent;
  }
  return parent;
}

enum class When : uint8_t { kNever, kBefore, kAfter, kError };

struct Options {
  int report = STDERR_FILENO;
  bool trace = false;
  Role role = Role::kNone;
  uint64_t point = 0;
  When when = When::kNever;
  std::string call;  ///< only calls of this name count; empty: all
  int error = 0;
  bool carried_out = false;
  char** command = nullptr;
};

struct Tracee {
  Role role = Role::kNone;
  bool stopped_early = false;  ///< its first stop came before its parent told of it
  bool in_call = false;
  bool due = false;  ///< the fault is to come at the exit of the call it is in
  uint64_t count = 0;
  std::string call;
  int64_t program_break = 0;  ///< what brk(2) returned last
};

int64_t page_end(int64_t address) {
  const int64_t page = ::sysconf(_SC_PAGESIZE);
  return (address + page - 1) / page * page;
}

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "crashpoint_tracer: %s: %s\n", what, std::strerror(errno));
  std::exit(3);
}

class Tracer {
 public:
  explicit Tracer(const Options& options) : options_(options) {}

  void attach(pid_t pid);
  void run();

 private:
  void on_stop(pid_t pid, int status);
  void on_call(pid_t pid, Tracee& tracee);
  void enter(pid_t pid, Tracee& tracee, uint64_t number, int64_t first_argument);
  void leave(pid_t pid, Tracee& tracee);
  void on_exec(pid_t pid, Tracee& tracee);
  void on_copy(pid_t pid, Role parent);
  void go_on(pid_t pid, int signal = 0);
  void strike(pid_t pid, const Tracee& tracee);
  void tell(const std::string& line);
  void flush();

  bool counts(Role role) const { return options_.trace || role == options_.role; }

  const Options& options_;
  std::map<pid_t, Tracee> tracees_;
  std::array<uint64_t, static_cast<size_t>(Role::kCount)> totals_{};
  std::array<uint64_t, static_cast<size_t>(Role::kCount)> named_{};
  std::string lines_;
  bool struck_ = false;
};

void Tracer::tell(const std::string& line) {
  lines_ += line + "\n";
  if (lines_.size() > 60'000) flush();
}

void Tracer::flush() {
  if (!lines_.empty() && ::write(options_.report, lines_.data(), lines_.size()) < 0) fail("report");
  lines_.clear();
}

void Tracer::attach(pid_t pid) {
  constexpr unsigned long kFollow =
      PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC;
  if (::ptrace(PTRACE_SEIZE, pid, 0, kFollow) != 0) fail("PTRACE_SEIZE");
  tracees_[pid] = {};
}

void Tracer::run() {
  while (!tracees_.empty() && !struck_) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, __WALL);
    if (pid < 0 && errno == EINTR) continue;
    if (pid < 0) break;
    if (WIFSTOPPED(status)) {
      on_stop(pid, status);
      continue;
    }
    const Tracee& tracee = tracees_[pid];
    if (tracee.due)
      tell(std::string("hit ") + name_of(tracee.role) + " " + std::to_string(tracee.count) + " " + std::to_string(pid) +
           " " + tracee.call);
    tell(std::string("gone ") + name_of(tracee.role) + " " + std::to_string(pid) + " " + std::to_string(status));
    tracees_.erase(pid);
  }
  for (size_t i = 1; i < totals_.size(); ++i) {
    if (totals_[i] != 0) tell(std::string("total ") + kRoleNames[i] + " " + std::to_string(totals_[i]));
  }
  flush();
}

void Tracer::on_stop(pid_t pid, int status) {
  const int signal = WSTOPSIG(status);
  const int event = status >> 16;
  const auto [at, is_new] = tracees_.try_emplace(pid);
  Tracee& tracee = at->second;
  if (is_new) {
    tracee.stopped_early = true;  // it waits until its parent's stop says who it is
    return;
  }
  if (event == PTRACE_EVENT_STOP) {
    const bool group_stop = signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
    if (!group_stop) return go_on(pid);
    if (::ptrace(PTRACE_LISTEN, pid, 0, 0) != 0 && errno != ESRCH) fail("PTRACE_LISTEN");
    return;
  }
  if (signal == (SIGTRAP | 0x80)) return on_call(pid, tracee);
  switch (event) {
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
    case PTRACE_EVENT_CLONE: on_copy(pid, tracee.role); return go_on(pid);
    case PTRACE_EVENT_EXEC: return on_exec(pid, tracee);
    default: return go_on(pid, event == 0 ? signal : 0);
  }
}

void Tracer::on_copy(pid_t pid, Role parent) {
  unsigned long message = 0;
  if (::ptrace(PTRACE_GETEVENTMSG, pid, 0, &message) != 0) return;
  const auto child = static_cast<pid_t>(message);
  Tracee& tracee = tracees_[child];
  tracee.role = role_of_copy(parent);
  if (tracee.stopped_early) go_on(child);
}

void Tracer::on_exec(pid_t pid, Tracee& tracee) {
  std::array<char, 256> called{};
  const std::string path = "/proc/" + std::to_string(pid) + "/cmdline";
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    if (::read(fd, called.data(), called.size() - 1) < 0) called[0] = '\0';
    ::close(fd);
  }
  if (tracee.role == Role::kNone) {
    tracee.role = Role::kAgent;
    tracee.in_call = true;  // the exit of execve, which is nobody's call
    return go_on(pid);
  }
  if (const std::optional<Role> role = role_of_program(called.data())) {
    // Where the fault is that of the call itself it comes at its exit.
    if (!tracee.due) tracee.role = *role;
    return go_on(pid);
  }
  if (tracee.due) return strike(pid, tracee);
  ::ptrace(PTRACE_DETACH, pid, 0, 0);
  tracees_.erase(pid);
}

void Tracer::on_call(pid_t pid, Tracee& tracee) {
  __ptrace_syscall_info info{};
  if (::ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) < 0) {
    if (errno == ESRCH) return;
    fail("PTRACE_GET_SYSCALL_INFO");
  }
  if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
    enter(pid, tracee, info.entry.nr, static_cast<int64_t>(info.entry.args[0]));
  } else {
    if (tracee.call == "brk" && !tracee.due) tracee.program_break = info.exit.rval;
    leave(pid, tracee);
  }
  if (!struck_) go_on(pid);
}

void Tracer::enter(pid_t pid, Tracee& tracee, uint64_t number, int64_t first_argument) {
  tracee.in_call = true;
  const auto role = static_cast<size_t>(tracee.role);
  tracee.count = ++totals_[role];
  tracee.call = call_name(number);
  if (options_.trace) {
    tell(std::string("call ") + name_of(tracee.role) + " " + std::to_string(tracee.count) + " " + std::to_string(pid) +
         " " + tracee.call);
  }
  if (options_.when == When::kNever || tracee.role != options_.role) return;
  if (!options_.call.empty()) {
    if (tracee.call != options_.call) return;
    tracee.count = ++named_[role];
  }
  if (tracee.count != options_.point) return;
  switch (options_.when) {
    case When::kBefore:
      if (!skip_call(pid)) fail("skip");
      return strike(pid, tracee);
    case When::kError:
      // Asking where it is (0), giving back, and what takes no new page can't fail.
      if (tracee.call == "brk" && first_argument <= page_end(tracee.program_break)) return;
      if (!options_.carried_out && !skip_call(pid)) fail("skip");
      tracee.due = true;
      return;
    case When::kAfter: tracee.due = true; return;
    case When::kNever: return;
  }
}

void Tracer::leave(pid_t pid, Tracee& tracee) {
  tracee.in_call = false;
  if (!tracee.due) return;
  if (options_.when == When::kError) {
    // The kernel's brk(2) tells no errors: it returns where the break is, which is not where it was asked for.
    const int64_t result = tracee.call == "brk" ? tracee.program_break : -static_cast<int64_t>(options_.error);
    if (!set_result(pid, result)) fail("set_result");
  }
  strike(pid, tracee);
}

void Tracer::strike(pid_t pid, const Tracee& tracee) {
  tell(std::string("hit ") + name_of(tracee.role) + " " + std::to_string(tracee.count) + " " + std::to_string(pid) +
       " " + tracee.call);
  if (options_.when != When::kError) ::kill(pid, SIGKILL);
  struck_ = true;
}

void Tracer::go_on(pid_t pid, int signal) {
  const Role role = tracees_[pid].role;
  // Its own program has not begun yet, or nobody asks for its calls.
  const auto how = role != Role::kNone && counts(role) ? PTRACE_SYSCALL : PTRACE_CONT;
  // A tracee that was killed meanwhile is no longer stopped; waitpid tells of its end.
  if (::ptrace(how, pid, 0, signal) != 0 && errno != ESRCH) fail("continue");
}

std::optional<Options> read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--") {
      options.command = argv + i + 1;
      const bool complete = options.when == When::kNever || (options.role != Role::kNone && options.point != 0);
      return *options.command != nullptr && complete ? std::optional(options) : std::nullopt;
    }
    if (flag == "--trace") {
      options.trace = true;
      continue;
    }
    if (flag == "--carried-out") {
      options.carried_out = true;
      continue;
    }
    if (i + 1 >= argc) return std::nullopt;
    const std::string_view value = argv[++i];
    if (flag == "--report") {
      options.report = ::open(argv[i], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
      if (options.report < 0) fail(argv[i]);
    } else if (flag == "--role") {
      const std::optional<Role> role = role_named(value);
      if (!role) return std::nullopt;
      options.role = *role;
    } else if (flag == "--point") {
      options.point = std::strtoull(argv[i], nullptr, 10);
    } else if (flag == "--call") {
      options.call = value;
    } else if (flag == "--errno") {
      options.error = std::atoi(argv[i]);
      options.when = When::kError;
    } else if (flag == "--when" && value == "before") {
      options.when = When::kBefore;
    } else if (flag == "--when" && value == "after") {
      options.when = When::kAfter;
    } else {
      return std::nullopt;
    }
  }
  return std::nullopt;
}

/// In a process of its own that nobody waits for. The agent-to-be goes on when the pipe `ready` is closed.
[[noreturn]] void trace_beside(const Options& options, pid_t agent, int ready) {
  ::setsid();
  // Descriptors of the agent's that somebody waits for the end of must not stay open with us.
  ::dup2(::open("/dev/null", O_RDWR | O_CLOEXEC), STDIN_FILENO);
  ::dup2(STDIN_FILENO, STDOUT_FILENO);
  // Nor must we be taken for a process of the agent's, whose mark is in the environment (/proc/PID/environ).
  for (char** entry = environ; *entry != nullptr; ++entry) std::memset(*entry, 0, std::strlen(*entry));
  Tracer tracer(options);
  tracer.attach(agent);
  ::close(ready);
  tracer.run();
  std::exit(0);
}

int start(const Options& options) {
  ::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0UL, 0UL, 0UL);
  std::array<int, 2> ready{};
  if (::pipe2(ready.data(), O_CLOEXEC) != 0) fail("pipe2");
  const pid_t agent = ::getpid();
  const pid_t middle = ::fork();
  if (middle < 0) fail("fork");
  if (middle == 0) {
    ::close(ready[0]);
    const pid_t tracer = ::fork();
    if (tracer < 0) fail("fork");
    if (tracer == 0) trace_beside(options, agent, ready[1]);
    ::_exit(0);
  }
  ::close(ready[1]);
  ::waitpid(middle, nullptr, 0);
  char none = 0;
  if (::read(ready[0], &none, 1) < 0) fail("read");
  ::close(ready[0]);
  ::execv(options.command[0], options.command);
  fail(options.command[0]);
}

}  // namespace

}  // namespace te::crashpoints

int main(int argc, char** argv) {
  const auto options = te::crashpoints::read_options(argc, argv);
  if (options) return te::crashpoints::start(*options);
  std::fprintf(stderr,
               "usage: crashpoint_tracer [--report FILE] [--trace] [--role ROLE [--call NAME] --point N "
               "(--when before|after | --errno NUMBER [--carried-out])] -- COMMAND...\n");
  return 2;
}

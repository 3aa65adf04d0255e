#include "sys/spawn.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <string>
#include <vector>

#include "base/size.h"
#include "sys/raw_call.h"

namespace te::sys {

namespace {

constexpr size_t kMaxFdMaps = 8;
constexpr size_t kStackSize = 8 * kKiB;

struct CloneArgs {
  SpawnPlan plan;
  int error;
};

#if !defined(TE_HAS_RAW_CALL)
// On other machines a start that fails may change our errno.
inline long raw_call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0) {
  const long result = ::syscall(number, a, b, c, d, e);
  return result < 0 ? -errno : result;
}
#endif

uintptr_t number_of(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

// Runs in the caller's memory, maybe beside it, on a borrowed stack: system calls only, which touch nothing of ours,
// and no marks of a sanitizer on a stack that is not left by returning.
__attribute__((no_sanitize("address", "undefined"))) int exec_child(void* opaque) {
  auto* args = static_cast<CloneArgs*>(opaque);
  const SpawnPlan& plan = args->plan;
  const size_t count = plan.fds.size();
  const FdMap* const maps = plan.fds.data();
  int highest = 0;
  for (size_t i = 0; i < count; ++i) highest = maps[i].to > highest ? maps[i].to : highest;
  // A source that is another one's target goes out of the way first; as a rule they are all above. The last one is the
  // program.
  int sources[kMaxFdMaps + 1];
  long result = 0;
  for (size_t i = 0; i <= count && result >= 0; ++i) {
    result = i < count ? maps[i].from : plan.exe;
    if (result >= 0 && result <= highest) {
      result =
          raw_call(SYS_fcntl, static_cast<uintptr_t>(result), F_DUPFD_CLOEXEC, static_cast<uintptr_t>(highest) + 1);
    }
    sources[i] = static_cast<int>(result);
    if (result < 0 && result > -2) result = -EBADF;
  }
  for (size_t i = 0; i < count && result >= 0; ++i) {
    result = raw_call(SYS_dup3, static_cast<uintptr_t>(sources[i]), static_cast<uintptr_t>(maps[i].to));
  }
  if (result >= 0) {
    result = raw_call(SYS_execveat, static_cast<uintptr_t>(sources[count]), number_of(""), number_of(plan.argv),
                      number_of(plan.envp), AT_EMPTY_PATH);
  }
  args->error = static_cast<int>(-result);
  raw_call(SYS_exit_group, Spawner::kExecFailed);
  return 0;
}

/// A list of words, NULL-terminated, copied.
struct Words {
  std::string text;
  std::vector<const char*> list;

  void copy(const char* const* from) {
    text.clear();
    list.clear();
    for (const char* const* word = from; *word != nullptr; ++word) text.append(*word).push_back('\0');
    for (const char* at = text.data(); at < text.data() + text.size(); at += std::char_traits<char>::length(at) + 1) {
      list.push_back(at);
    }
    list.push_back(nullptr);
  }
};

}  // namespace

Result<Spawned> spawn(const SpawnPlan& plan) {
  CloneArgs args{plan, 0};
  int pidfd = -1;
  alignas(16) std::array<char, kStackSize> stack;
  const int pid =
      ::clone(exec_child, stack.data() + stack.size(), CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &args, &pidfd);
  if (pid < 0) return system_error("clone");
  Fd owned(pidfd);
  if (args.error != 0) {
    siginfo_t info{};
    ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd), &info, WEXITED);
    return system_error("exec", {}, args.error);
  }
  return Spawned{pid, std::move(owned)};
}

/// What a child needs until its exec. The kernel clears `busy` and wakes who waits when the child leaves our memory, by
/// exec or by its end (CLONE_CHILD_CLEARTID, clone(2)).
struct Spawner::Start {
  std::atomic<uint32_t> busy = 0;
  CloneArgs args{};
  Words argv;
  Words envp;
  std::array<FdMap, kMaxFdMaps> fds{};
  alignas(16) std::array<char, kStackSize> stack;  ///< no page of it is touched before it is needed

  void wait() {
    while (const uint32_t value = busy.load(std::memory_order_acquire)) {
      ::syscall(SYS_futex, &busy, FUTEX_WAIT, value, nullptr, nullptr, 0);
    }
  }
};

Spawner::Spawner() : starts_(std::make_unique_for_overwrite<std::array<Start, kStarts>>()) {}

Spawner::~Spawner() {
  for (Start& start : *starts_) start.wait();
}

bool Spawner::ready() const {
  return std::ranges::any_of(*starts_, [](const Start& one) { return one.busy.load(std::memory_order_acquire) == 0; });
}

Result<Spawned> Spawner::start(const SpawnPlan& plan) {
  size_t free = 0;
  while (free < kStarts && (*starts_)[free].busy.load(std::memory_order_acquire) != 0) ++free;
  Start& start = (*starts_)[free % kStarts];
  start.wait();
  start.argv.copy(plan.argv);
  start.envp.copy(plan.envp);
  std::copy(plan.fds.begin(), plan.fds.end(), start.fds.begin());
  start.args = {{plan.exe, start.argv.list.data(), start.envp.list.data(), {start.fds.data(), plan.fds.size()}}, 0};
  start.busy.store(1, std::memory_order_release);
  int pidfd = -1;
  const int pid =
      ::clone(exec_child, start.stack.data() + start.stack.size(),
              CLONE_VM | CLONE_PIDFD | CLONE_CHILD_CLEARTID | SIGCHLD, &start.args, &pidfd, nullptr, &start.busy);
  if (pid < 0) {
    start.busy.store(0, std::memory_order_release);
    return system_error("clone");
  }
  return Spawned{pid, Fd(pidfd)};
}

}  // namespace te::sys

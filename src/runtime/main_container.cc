#include "runtime/main_container.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "runtime/inner_reaper.h"
#include "runtime/supervisor.h"
#include "sys/fs.h"
#include "sys/process.h"
#include "sys/process_environment.h"

namespace te {

namespace {

Error gone() { return {ErrorKind::kSystem, ESRCH, "main container"}; }

bool started_before(const ProcessId& a, const ProcessId& b) {
  return a.start_ticks != b.start_ticks ? a.start_ticks < b.start_ticks : a.pid < b.pid;
}

bool is_the_one(std::string_view environment, std::string_view name) {
  const auto value = sys::value_in_environment(environment, kMainContainerMark);
  return value && *value == name && !sys::value_in_environment(environment, kRunMark);
}

/// Below a supervisor. It may have wiped the mark from its environment; its ancestors it can't.
bool is_in_a_task(int32_t pid) {
  constexpr int kMaxDepth = 256;
  for (int depth = 0; pid > 1 && depth < kMaxDepth; ++depth) {
    const std::optional<sys::ProcStat> stat = sys::read_stat(pid);
    if (!stat) return false;
    if (stat->name() == kSupervisorName || stat->name() == kInnerReaperName) return true;
    pid = stat->parent;
  }
  return false;
}

std::string_view proc_path(std::array<char, 32>& buffer, int32_t pid) {
  constexpr std::string_view kProc = "/proc/";
  kProc.copy(buffer.data(), kProc.size());
  char* end = std::to_chars(buffer.data() + kProc.size(), buffer.data() + buffer.size(), pid).ptr;
  return {buffer.data(), static_cast<size_t>(end - buffer.data())};
}

/// Held first and looked at afterwards, so that all that was seen is of the process that is held.
Result<MainContainer> hold(const ProcessId& id, std::string_view name, const sys::ProgramFile& own,
                           MonoNanos patience) {
  MainContainer out;
  out.id = id;
  out.pidfd = TRY(sys::open_process(id));
  if (!out.pidfd.valid()) return gone();
  std::array<char, 32> path;
  out.proc = TRY(sys::open_at(AT_FDCWD, proc_path(path, id.pid), O_RDONLY | O_DIRECTORY));
  const std::string_view environment = TRY(sys::await_environment(out.proc.get(), id.pid, patience, out.environment));
  out.environment.resize(environment.size());
  const Result<sys::ProgramFile> program = sys::program_of(out.proc.get());
  const bool ours = program.ok() && *program == own;
  if (!is_the_one(out.environment, name) || ours || is_in_a_task(id.pid) || !still_alive(out)) return gone();
  return out;
}

}  // namespace

Result<MainContainer> find_main_container(std::string_view name, const sys::ProgramFile& own, MonoNanos patience) {
  std::vector<ProcessId> candidates;
  TRY(sys::visit_environments(patience, [&](int32_t pid, std::string_view environment) {
    if (!is_the_one(environment, name)) return;
    if (const auto stat = sys::read_stat(pid)) candidates.push_back(stat->id);
  }));
  while (!candidates.empty()) {
    const auto oldest = std::min_element(candidates.begin(), candidates.end(), started_before);
    Result<MainContainer> held = hold(*oldest, name, own, patience);
    if (held || held.error().code != ESRCH) return held;
    candidates.erase(oldest);
  }
  return gone();
}

bool still_alive(const MainContainer& found) {
  const Result<Fd> again = sys::open_process(found.id);
  return again.ok() && again->valid();
}

}  // namespace te

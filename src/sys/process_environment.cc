#include "sys/process_environment.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/size.h"
#include "sys/clock.h"
#include "sys/fs.h"
#include "sys/process.h"

namespace te::sys {

namespace {

/// More than exec(2) takes (three quarters of 8 MiB for arguments and environment together).
constexpr size_t kEnvironmentLimit = 8 * kMiB;
std::optional<int32_t> pid_of(std::string_view name) {
  int32_t pid = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
  if (error != std::errc{} || end != name.data() + name.size()) return std::nullopt;
  return pid;
}

/// Ours or the machine's, and so it says nothing of the process.
bool is_shortage(const Error& error) { return error.code == ENOMEM || error.code == EMFILE || error.code == ENFILE; }

Result<std::string_view> read_environment(int proc, std::string& buffer) {
  const size_t size = TRY(read_file_at(proc, "environ", buffer, kEnvironmentLimit, 0)).size;
  return std::string_view(buffer.data(), size);
}

/// A leader that has ended shows nothing; its other threads still have the memory.
Result<std::string_view> read_environment_of_threads(int proc, std::string& buffer) {
  const Fd threads = TRY(open_at(proc, "task", O_RDONLY | O_DIRECTORY));
  for (const DirEntry& entry : TRY(list_dir(threads.get()))) {
    const Result<ReadSize> read = read_file_at(threads.get(), entry.name + "/environ", buffer, kEnvironmentLimit, 0);
    if (!read && is_shortage(read.error())) return read.error();
    if (read && read->size > 0) return std::string_view(buffer.data(), read->size);
  }
  return std::string_view();
}

enum class Look : uint8_t { kDone, kAgain };

/// Gone, or not ours to look at.
Result<Look> unseen(const Error& error) {
  if (is_shortage(error)) return error;
  return Look::kDone;
}

Result<Look> look_at(int proc_root, int32_t pid, std::string& buffer, FunctionRef<void(std::string_view)> see) {
  const Result<Fd> process = open_at(proc_root, std::to_string(pid), O_PATH | O_DIRECTORY);
  if (!process) return unseen(process.error());
  Result<std::string_view> environment = read_environment(process->get(), buffer);
  if (!environment && environment.error().code == ESRCH) environment = std::string_view();  // it has no memory now
  if (!environment) return unseen(environment.error());
  if (environment->empty()) {
    const std::optional<ProcStat> stat = read_stat(pid);
    if (!stat) return Look::kAgain;  // gone, most likely
    if (stat->kernel_thread || (stat->exiting && stat->threads <= 1)) return Look::kDone;
    if (stat->threads > 1) environment = read_environment_of_threads(process->get(), buffer);
    if (!environment) return unseen(environment.error());
    // One that is between two programs has no other threads any more.
    if (environment->empty()) return stat->threads > 1 || stat->has_empty_environment() ? Look::kDone : Look::kAgain;
  }
  see(*environment);
  return Look::kDone;
}

/// Each process there is, and for a while again those that are between two programs.
Result<void> look_at_all(MonoNanos patience, FunctionRef<Result<Look>(int proc_root, int32_t pid)> look) {
  const Fd proc = TRY(open_at(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY));
  std::vector<int32_t> unclear;
  for (const DirEntry& entry : TRY(list_dir(proc.get()))) {
    const std::optional<int32_t> pid = pid_of(entry.name);
    if (pid && TRY(look(proc.get(), *pid)) == Look::kAgain) unclear.push_back(*pid);
  }
  const MonoNanos until = mono_now() + patience;
  while (!unclear.empty() && mono_now() < until) {
    ::poll(nullptr, 0, 1);
    size_t left = 0;
    for (const int32_t pid : unclear) {
      if (TRY(look(proc.get(), pid)) == Look::kAgain) unclear[left++] = pid;
    }
    unclear.erase(unclear.begin() + static_cast<ptrdiff_t>(left), unclear.end());
  }
  return {};
}

}  // namespace

std::optional<std::string_view> value_in_environment(std::string_view environment, std::string_view name) {
  while (!environment.empty()) {
    const std::string_view item = environment.substr(0, environment.find('\0'));
    environment.remove_prefix(std::min(environment.size(), item.size() + 1));
    if (item.size() > name.size() && item.starts_with(name) && item[name.size()] == '=') {
      return item.substr(name.size() + 1);
    }
  }
  return std::nullopt;
}

Result<std::string_view> await_environment(int proc, int32_t pid, MonoNanos patience, std::string& buffer) {
  const MonoNanos until = mono_now() + patience;
  for (;;) {
    Result<std::string_view> environment = read_environment(proc, buffer);
    if (!environment || !environment->empty()) return environment;
    const std::optional<ProcStat> stat = read_stat(pid);
    if (!stat || stat->dead() || stat->has_empty_environment() || mono_now() >= until) return environment;
    ::poll(nullptr, 0, 1);
  }
}

Result<void> visit_environments(MonoNanos patience,
                                FunctionRef<void(int32_t pid, std::string_view environment)> visit) {
  std::string buffer;
  return look_at_all(patience, [&](int proc_root, int32_t pid) {
    return look_at(proc_root, pid, buffer, [&](std::string_view environment) { visit(pid, environment); });
  });
}

Result<void> visit_marked(std::string_view name, MarkVisitor& visitor) {
  const int32_t self = ::getpid();
  std::string buffer;
  return look_at_all(kExecPatience, [&](int proc_root, int32_t pid) -> Result<Look> {
    if (pid == self) return Look::kDone;
    // Held first and looked at afterwards, so that what was seen is of the process that is signalled.
    const Result<Fd> pidfd = open_pidfd(pid);
    if (!pidfd) return unseen(pidfd.error());
    return look_at(proc_root, pid, buffer, [&](std::string_view environment) {
      if (const auto value = value_in_environment(environment, name)) visitor.visit(pidfd->get(), *value);
    });
  });
}

}  // namespace te::sys

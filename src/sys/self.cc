#include "sys/self.h"

#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "base/text.h"
#include "sys/clock.h"
#include "sys/fs.h"
#include "sys/process.h"

namespace te::sys {

OpenFileLimits raise_open_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return {1024, 1024};
  const OpenFileLimits before{limit.rlim_cur, limit.rlim_max};
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return before;
}

size_t usable_processors() {
  cpu_set_t set;
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? static_cast<size_t>(CPU_COUNT(&set)) : 0;
}

Result<std::string> absolute_path(std::string_view path) {
  if (path.starts_with('/')) return std::string(path);
  char buffer[PATH_MAX];
  if (::getcwd(buffer, sizeof buffer) == nullptr) return system_error("getcwd");
  std::string absolute(buffer);
  absolute += '/';
  absolute += path;
  return absolute;
}

ProcessFigures process_figures() {
  ProcessFigures out;
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  out.cpu_us =
      (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1'000'000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
  std::string text;
  if (const Result<ReadSize> read = read_file_at(AT_FDCWD, "/proc/self/statm", text, 4096, 0)) {
    const std::string_view fields = std::string_view(text).substr(0, read->size);
    const size_t blank = std::min(fields.find(' '), fields.size());
    const std::string_view rest = fields.substr(std::min(blank + 1, fields.size()));
    const int64_t page = ::sysconf(_SC_PAGESIZE);
    out.virtual_bytes = parse_int(fields.substr(0, blank)).value_or(0) * page;
    out.resident_bytes = parse_int(rest.substr(0, rest.find(' '))).value_or(0) * page;
  }
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  out.max_fds = static_cast<int64_t>(limit.rlim_cur);
  if (const Result<Fd> dir = open_dir_at(AT_FDCWD, "/proc/self/fd")) {
    const Result<std::vector<DirEntry>> entries = list_dir(dir->get());
    if (entries) out.open_fds = static_cast<int64_t>(entries->size()) - 2;  // the two that listed them
  }
  if (const std::optional<ProcStat> stat = read_stat(::getpid())) {
    timespec boot{};
    ::clock_gettime(CLOCK_BOOTTIME, &boot);
    const int64_t up_us = static_cast<int64_t>(boot.tv_sec) * 1'000'000 + boot.tv_nsec / 1'000;
    const int64_t start_us = static_cast<int64_t>(stat->id.start_ticks) * 1'000'000 / ::sysconf(_SC_CLK_TCK);
    out.started_at_us = wall_now() - (up_us - start_us);
  }
  return out;
}

void take_standard_fds() {
  int fd = 0;
  do fd = ::open("/dev/null", O_RDONLY);  // NOLINT(android-cloexec-open): they go on like any others
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) ::close(fd);
}

bool stderr_is_journal() {
  const char* stream = environment_value("JOURNAL_STREAM");
  struct stat info {};
  if (stream == nullptr || ::fstat(STDERR_FILENO, &info) != 0) return false;
  return std::string(stream) == std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino);
}

void write_now(int fd, std::string_view bytes) {
  pollfd ready{fd, POLLOUT, 0};
  // A pipe that is ready takes PIPE_BUF bytes without blocking (pipe(7)); more of them are not written at once.
  while (!bytes.empty() && ::poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) != 0) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size() < PIPE_BUF ? bytes.size() : PIPE_BUF);
    if (n <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

bool is_terminal(int fd) { return ::isatty(fd) == 1; }

const char* const* environment() { return environ; }
// NOLINTBEGIN(concurrency-mt-unsafe): there is one thread
const char* environment_value(const char* name) { return ::getenv(name); }

void keep_heap_small() {
  constexpr int kThreshold = 64 * 1024;
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_MMAP_THRESHOLD, kThreshold);
  ::mallopt(M_TRIM_THRESHOLD, kThreshold);
}
// NOLINTEND(concurrency-mt-unsafe)

void trim_heap() { ::malloc_trim(0); }

}  // namespace te::sys

// What a program finds out about itself and the place where it was started.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace te::sys {

struct OpenFileLimits {
  uint64_t soft;
  uint64_t hard;
};
/// Raises the soft limit of open files to the hard one; answers what it was before (getrlimit(2)).
OpenFileLimits raise_open_file_limit();

/// Those that the caller may run on (sched_getaffinity(2)); 0: not to be found out.
size_t usable_processors();

/// `path` behind the working directory, unless it begins with '/'.
Result<std::string> absolute_path(std::string_view path);

/// What Prometheus' client libraries tell of a process.
struct ProcessFigures {
  int64_t cpu_us = 0;
  int64_t resident_bytes = 0;
  int64_t virtual_bytes = 0;
  int64_t open_fds = 0;
  int64_t max_fds = 0;
  int64_t started_at_us = 0;  ///< wall clock
};
/// Of the caller; what can't be found out is 0.
ProcessFigures process_figures();

/// Of 0, 1 and 2 those that the caller was started without are taken, so that no file or socket of its own gets these
/// numbers. Writing to them fails as before (EBADF).
void take_standard_fds();

/// Whether standard error is the journal's stream (JOURNAL_STREAM, systemd.exec(5)).
bool stderr_is_journal();

/// Writes if that can be done without waiting; bytes that a full pipe does not take are dropped.
void write_now(int fd, std::string_view bytes);

/// Whether a descriptor is a terminal's.
bool is_terminal(int fd);

/// The caller's environment, NULL-terminated.
const char* const* environment();
const char* environment_value(const char* name);

/// For a process that lives long and is small: free memory goes back to the kernel early.
void keep_heap_small();
/// Gives back what is free in the midst of the heap too. Takes milliseconds where that is much.
void trim_heap();

}  // namespace te::sys

// Bounding a task's log while it goes on being written (O_APPEND, by the task or by a container runtime): head and tail
// stay, the middle goes.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace te {

enum class LogKind : uint8_t {
  kText,     ///< what a process wrote
  kEntries,  ///< one entry a line, as container runtimes write them: a cut falls between two of them
};

/// Brings the disk space of `fd` (read and write, not O_APPEND) under `max_bytes` if it is over, but for two blocks, as
/// only whole ones can go. Where the file system can't punch holes, cut_log() does it, to the byte. `more` is set where
/// a part is left to the next call, lest the caller have to wait.
Result<void> bound_log(int fd, int64_t max_bytes, LogKind kind, bool& more);

/// For file systems without holes: the file is written anew as head, a line that says how much is missing, and tail,
/// all in its place. Offsets behind the head then mean other bytes than before. Where the task writes faster than this
/// copies, a second such line at the end stands for what has come since; what it writes in the very instant between the
/// last look at the size and the cut is lost.
Result<void> cut_log(int fd, int64_t max_bytes, LogKind kind);

}  // namespace te

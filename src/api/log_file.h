// Reading a task's stdout.log and stderr.log: where to begin, what to give next, and how a hole is told.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/size.h"

namespace te {

enum class LogStream : uint8_t { kStdout, kStderr, kBoth };

constexpr std::array<std::string_view, 2> kLogFiles = {"stdout.log", "stderr.log"};
/// A tail is searched for in the last so many bytes of each stream.
constexpr int64_t kTailSearch = 1 * kMiB;
/// What is read of a file at a time.
constexpr size_t kLogPiece = 64 * kKiB;

/// Where reading begins in a file of `size` bytes: behind `since`, and not before its last `tail` lines.
Result<int64_t> log_start(int fd, int64_t size, int64_t since, std::optional<int64_t> tail);

/// The line that stands for `bytes` that --task-log-max-bytes has taken away.
void append_elision(std::string& out, int64_t bytes);

/// Appends what comes at `position`, a piece of data or the line that stands for a hole, and moves `position` on;
/// never beyond `end`. kCorrupt: the file has become shorter. After an error nothing was appended.
Result<void> append_log_piece(std::string& out, int fd, int64_t& position, int64_t end);

}  // namespace te

// The log files that CRI runtimes write, one for each container: "RFC3339Nano stdout|stderr P|F text", where P is a
// part of a line that goes on in the next entry of its stream (kubelet, CRI logging format).
//
// Offsets count the file's bytes, and stand at the beginning of an entry. What --task-log-max-bytes has taken away, and
// the rest of the entry that was cut, becomes one line that tells of it; all else that is no entry is left out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "api/log_file.h"
#include "base/result.h"

namespace te {

struct CriLogEntry {
  bool is_stderr = false;
  bool partial = false;
  std::string_view text;
};

/// `line` without its newline; nothing when it is no entry.
std::optional<CriLogEntry> parse_cri_log(std::string_view line);

/// Bytes up to the end of the last entry that is whole.
Result<int64_t> cri_log_size(int fd);
/// Like log_start(), for lines of `stream`.
Result<int64_t> cri_log_start(int fd, int64_t size, int64_t since, std::optional<int64_t> tail, LogStream stream);
/// Like append_log_piece(): the text of the entries of `stream` in the next piece of the file, lines joined.
Result<void> append_cri_log_piece(std::string& out, int fd, int64_t& position, int64_t end, LogStream stream);

}  // namespace te

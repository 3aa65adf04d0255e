// What a task wrote, as the body of GET /tasks/{name}/logs.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "api/log_file.h"
#include "api/response.h"
#include "base/result.h"
#include "sys/fd.h"

namespace te {

struct LogQuery {
  LogStream stream = LogStream::kBoth;
  std::optional<int64_t> tail;            ///< that many lines from the end, of each stream
  std::array<int64_t, 2> since = {0, 0};  ///< bytes of stdout.log and stderr.log that are not wanted any more
  bool follow = false;
  std::string cri_file;  ///< of a container: this one, below the task's directory, stands for both (cri_log.h)

  bool wants(size_t index) const { return cri_file.empty() ? wants_stream(index) : index == 0; }
  bool wants_stream(size_t index) const { return stream != (index == 0 ? LogStream::kStderr : LogStream::kStdout); }
};

/// From here on the client goes on with since=: one number, or "STDOUT,STDERR" for both streams. A followed log has it
/// in its trailer section.
constexpr std::string_view kNextOffsetHeader = "Log-Next-Offset";

/// `text` of since=, for the stream that has been chosen already.
Result<void> parse_since(std::string_view text, LogQuery& query);

// The files that a request is about, whatever their format.
/// "TASK_DIR/stdout.log"
std::string log_path(const LogQuery& query, std::string_view task_dir, size_t index);
/// The file, or an invalid Fd when it is not there (yet).
Result<Fd> open_log(const LogQuery& query, int root, std::string_view task_dir, size_t index);
Result<int64_t> log_size(const LogQuery& query, int fd);
Result<int64_t> log_start(const LogQuery& query, int fd, int64_t size, size_t index);
Result<void> append_log_piece(const LogQuery& query, std::string& out, int fd, int64_t& position, int64_t end);

/// Fills the response: stdout, then stderr. A hole that --task-log-max-bytes has made becomes one line that says how
/// much is missing. `task_dir` is relative to `root`; files that are not there (yet) are empty.
Result<void> serve_logs(int root, std::string_view task_dir, const LogQuery& query, HttpResponse& response);

}  // namespace te

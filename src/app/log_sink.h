// Where log lines go: standard error, or a file that is put aside when it has grown.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/result.h"
#include "sys/fd.h"

namespace te {

/// With "<N>" before each line when standard error is the journal (sd-daemon(3)). Never waits for a reader.
class StderrSink final : public LogSink {
 public:
  StderrSink();
  void write(LogLevel level, std::string_view line) override;

 private:
  bool journal_;
};

struct LogFileOptions {
  std::string dir;
  int64_t max_size = 0;  ///< bytes
  int64_t max_backups = 0;
  int64_t max_age_days = 0;
};

/// DIR/task-executor.log; put aside as task-executor-TIME.log. What can't be written there goes to standard error.
class FileSink final : public LogSink {
 public:
  FileSink(LogFileOptions options, const Clock& clock);
  void write(LogLevel level, std::string_view line) override;
  void reopen() override { file_.reset(); }

 private:
  Result<void> open();
  Result<void> rotate();
  void remove_old(int dir);

  LogFileOptions options_;
  const Clock& clock_;
  StderrSink fallback_;
  Fd file_;
  int64_t size_ = 0;
  bool complained_ = false;
};

}  // namespace te

// A task's state files as they stand in a directory. ENOENT: there is none; kTooLarge, kCorrupt: it is none of ours.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "codec/state_file.h"

namespace te {

/// What reading needs, kept for the next file.
struct RecordReader {
  JsonParser parser;
  std::string buffer;
};

/// `path` is of a task.json or a deleted.json.
Result<TaskFile> read_task_file(RecordReader& reader, int dir, std::string_view path);
/// With the note beside it.
Result<RunRecord> read_run_file(RecordReader& reader, int dir, std::string_view path);
Result<ExitRecord> read_exit_file(RecordReader& reader, int dir, std::string_view path);

}  // namespace te

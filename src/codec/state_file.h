// The state files: task.json (or deleted.json), run.json and exit.json.
//
// Each is one JSON object in one line, so that a person can read it:
//
//     {"format":1,"kind":"exit", … ,"crc32c":"0a1b2c3d"}\n
//
// The last kTrailerSize bytes are the checksum's, over everything before them. A file that fails it is kCorrupt.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/size.h"
#include "codec/task_json.h"
#include "task/record.h"
#include "task/task.h"
#include "wire/json_reader.h"

namespace te {

constexpr int kStateFormat = 1;
constexpr size_t kTrailerSize = sizeof(",\"crc32c\":\"00000000\"}\n") - 1;
/// exit.json fits the space that is reserved for it when the task is created, whatever its error texts. The larger
/// space is for the end of a preStart hook's stderr, each byte of which may take six.
constexpr size_t kExitRecordMax = 4096;
constexpr size_t kExitRecordWithHookMax = 32768;
constexpr size_t kHookOutputMax = 4096;
/// Of a text of the container runtime in a record: its errors may be 20 kB long.
constexpr size_t kPodTextMax = 2048;
/// Of a task.json. What a body holds is longer in there where much of it has to be escaped.
constexpr size_t kTaskFileMax = 2 * kBodyMax;
/// Of a run.json or an exit.json, of a pod with hundreds of containers too.
constexpr size_t kRecordMax = kMiB;
/// Space for the run.json that says that postStop has begun, without which the hook must not run.
constexpr std::string_view kPostStopReserve = "run.reserve";

/// The note beside run.json (atomic_file.h) that says when its process was exec'd, if the record does not.
constexpr const char* kExecedNote = "user.task_executor.execed";

/// What task.json holds: identity and the spec as written.
struct TaskFile {
  std::string name;
  Uid uid;
  uint64_t sequence = 0;
  WallMicros accepted_at = 0;
  TaskSpec spec;
};

std::string encode_task_file(const Task& task);
std::string encode_run(const RunRecord& record);
/// At most kExitRecordMax bytes, or kExitRecordWithHookMax with cause kPreStart and for containers: texts are cut where
/// needed.
std::string encode_exit(const ExitRecord& record);
std::string encode_execed(const RunRecord& record);

Result<TaskFile> decode_task_file(JsonParser& parser, PaddedText text);
Result<RunRecord> decode_run(JsonParser& parser, PaddedText text);
/// What is no time counts as no note.
void decode_execed(std::string_view note, RunRecord& record);
Result<ExitRecord> decode_exit(JsonParser& parser, PaddedText text);

}  // namespace te

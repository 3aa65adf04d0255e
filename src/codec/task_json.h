// Tasks as JSON, in both wire forms (contract, section 1): requests in, answers out.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "task/status.h"
#include "task/task.h"
#include "wire/json_reader.h"
#include "wire/json_writer.h"

namespace te {

/// What the agent that reads a spec can do; a spec that asks for more is refused by name of the flag.
struct SpecOptions {
  bool sidecar_mode = false;
  bool container_mode = false;
  std::vector<std::string> volumes = {};  ///< names of --volume
  bool any_volume = false;                ///< a volume that nobody has named is not an error here
  bool registry_auth = false;             ///< imagePullSecrets have a stand-in
};

struct TaskRequest {
  std::string name;
  TaskSpec spec;
};

struct TaskRequests {
  std::vector<TaskRequest> tasks;
  /// Texts for `Warning: 299 - "…"` headers, unescaped: `unknown field "spec.proces"`. At most kMaxWarnings.
  std::vector<std::string> warnings;
};
constexpr size_t kMaxWarnings = 16;

/// The body of POST /tasks. Errors are kInvalid and name the byte offset (bad JSON) or the field's path.
Result<TaskRequests> read_task(JsonParser& parser, PaddedText body, const SpecOptions& options);
/// The body of POST /setTasks: an array of tasks, each name at most once. Paths begin with the index: "[1].spec".
Result<TaskRequests> read_task_list(JsonParser& parser, PaddedText body, const SpecOptions& options);

/// The fields of name and spec ("name":…,"spec":… or "name":…,"process":…), inside an object that the caller opened.
void write_spec(JsonWriter& json, std::string_view name, const TaskSpec& spec);
/// The whole task with its status, as every endpoint answers it.
void write_task(JsonWriter& json, const Task& task);

}  // namespace te

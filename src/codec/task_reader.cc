// Request bodies (task_json.h).
#include <unordered_set>

#include "codec/spec_reader.h"
#include "codec/task_json.h"

namespace te {

Result<TaskRequests> read_task(JsonParser& parser, PaddedText body, const SpecOptions& options) {
  TaskRequests out;
  TRY(parser.parse(body, [&](JsonValue& root) -> Result<void> {
    if (root.type() != JsonType::kObject) return root.error("the body must be a task, an object");
    out.tasks.push_back(TRY(read_task_value(root, options, out.warnings)));
    return {};
  }));
  return out;
}

Result<TaskRequests> read_task_list(JsonParser& parser, PaddedText body, const SpecOptions& options) {
  TaskRequests out;
  TRY(parser.parse(body, [&](JsonValue& root) -> Result<void> {
    if (root.type() != JsonType::kArray) return root.error("the body must be an array of tasks");
    return root.array([&](JsonValue& one) -> Result<void> {
      out.tasks.push_back(TRY(read_task_value(one, options, out.warnings)));
      return {};
    });
  }));
  std::unordered_set<std::string_view> names;
  for (size_t i = 0; i < out.tasks.size(); ++i) {
    const std::string& name = out.tasks[i].name;
    if (names.insert(name).second) continue;
    return invalid("[" + std::to_string(i) + "].name: \"" + name + "\" is there twice");
  }
  return out;
}

}  // namespace te

// Fuzzes the way of a request body to tasks and back: whatever comes is refused with a reason or accepted, and what is
// accepted is written as JSON that reads as the same task, unchanged by a second round.
//
// Input: the first byte's bits choose the body (bit 0: a list) and the agent's modes (bits 1 and 2), the rest is the
// body.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "codec/state_file.h"
#include "codec/task_json.h"

namespace {

using te::TaskRequest;

void must(bool condition) {
  if (!condition) std::abort();
}

/// Of just the size that is promised, so that a sanitizer sees one byte more.
std::vector<char> padded(std::string_view text) {
  std::vector<char> bytes(text.begin(), text.end());
  bytes.resize(text.size() + te::kJsonPadding, '}');
  return bytes;
}

std::string written(const TaskRequest& task) {
  std::string out;
  te::JsonWriter json(out);
  json.begin_object();
  te::write_spec(json, task.name, task.spec);
  json.end_object();
  return out;
}

/// Everything that a run is made of can be handed to exec: no NUL got into a string.
void check_spec(const te::TaskSpec& spec) {
  if (spec.pod != nullptr) {
    must(!spec.pod->pod.containers.empty() && spec.timeout_seconds() >= 0 && spec.grace_seconds() >= 0);
    for (const te::ContainerSpec& one : spec.pod->pod.containers) must(!one.name.empty() && !one.image.empty());
    return;
  }
  const te::ProcessSpec& process = spec.process;
  must(!process.command.empty() && !(*process.command.begin()).empty());
  must(spec.timeout_seconds() >= 0 && spec.grace_seconds() >= 0);
  must(process.working_dir.find('\0') == std::string::npos);
  for (const te::StringList* list : {&process.command, &process.args, &process.env}) {
    size_t count = 0;
    for (const std::string_view one : *list) {
      must(one.find('\0') == std::string_view::npos);
      ++count;
    }
    must(count == list->size());
  }
  for (const std::string_view entry : process.env) must(entry.find('=') != std::string_view::npos && entry[0] != '=');
}

void check_accepted(te::JsonParser& parser, TaskRequest& task, const te::SpecOptions& options) {
  must(te::valid_task_name(task.name));
  check_spec(task.spec);
  const std::string first = written(task);
  const std::vector<char> bytes = padded(first);
  const te::Result<te::TaskRequests> again = te::read_task(parser, {bytes.data(), first.size()}, options);
  must(again.ok() && again->tasks.size() == 1);
  must(again->warnings.empty() || task.spec.pod != nullptr);  // containers are echoed as they were written
  must(again->tasks[0].name == task.name);
  must(again->tasks[0].spec.form == task.spec.form);
  must(te::same_spec(again->tasks[0].spec, task.spec));
  must(written(again->tasks[0]) == first);

  te::Task stored;
  stored.name = task.name;
  stored.uid = te::Uid::from("0123456789abcdef0123456789abcdef");
  stored.sequence = 1;
  stored.spec = std::move(task.spec);
  const std::string file = te::encode_task_file(stored);
  const std::vector<char> on_disk = padded(file);
  const te::Result<te::TaskFile> back = te::decode_task_file(parser, {on_disk.data(), file.size()});
  must(back.ok() && back->name == stored.name && te::same_spec(back->spec, stored.spec));

  std::string answer;
  te::JsonWriter json(answer);
  te::write_task(json, stored);
  const std::vector<char> sent_back = padded(answer);
  const te::Result<te::TaskRequests> taken = te::read_task(parser, {sent_back.data(), answer.size()}, options);
  must(taken.ok() && te::same_spec(taken->tasks[0].spec, stored.spec));
  must(taken->warnings.empty() || stored.spec.pod != nullptr);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const bool list = (data[0] & 1U) != 0;
  const te::SpecOptions options{.sidecar_mode = (data[0] & 2U) != 0, .container_mode = (data[0] & 4U) != 0};
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::vector<char> bytes = padded(body);
  te::JsonParser parser;
  const te::PaddedText text{bytes.data(), body.size()};
  te::Result<te::TaskRequests> read =
      list ? te::read_task_list(parser, text, options) : te::read_task(parser, text, options);
  if (!read) {
    must(read.error().kind == te::ErrorKind::kInvalid && !read.error().text().empty());
    return 0;
  }
  must(list || read->tasks.size() == 1);
  must(read->warnings.size() <= te::kMaxWarnings);
  std::unordered_set<std::string_view> names;
  for (const TaskRequest& task : read->tasks) must(names.insert(task.name).second);
  for (TaskRequest& task : read->tasks) check_accepted(parser, task, options);
  return 0;
}

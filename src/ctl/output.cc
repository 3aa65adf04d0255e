#include "ctl/output.h"

#include <algorithm>
#include <utility>

#include "ctl/ctl.h"
#include "sys/fs.h"

namespace te::ctl {

namespace {

constexpr int kStdout = 1;
constexpr int kStderr = 2;

Result<void> read_field(std::string_view name, JsonValue& value, TaskRow& row) {
  if (name == "exitCode") {
    row.exit_code = TRY(value.integer());
    return {};
  }
  const std::pair<std::string_view, std::string*> texts[] = {{"reason", &row.reason},       {"message", &row.message},
                                                             {"startedAt", &row.started},   {"startTime", &row.started},
                                                             {"finishedAt", &row.finished}, {"phase", &row.state}};
  for (const auto& [field, text] : texts) {
    if (name == field) *text = TRY(value.string());
  }
  return {};
}

Result<void> read_state(JsonValue& state, TaskRow& row) {
  return state.object([&](std::string_view kind, JsonValue& fields) {
    row.state = kind;
    return fields.object([&](std::string_view name, JsonValue& value) { return read_field(name, value, row); });
  });
}

/// The status of a pod as a task's: its phase, and the code that tells how its containers did.
Result<void> read_pod(JsonValue& status, TaskRow& row) {
  TaskRow one;
  const auto read_container = [&](JsonValue& container) {
    return container.object([&](std::string_view name, JsonValue& value) -> Result<void> {
      if (name != "state") return {};
      TRY(read_state(value, one));
      if (one.exit_code && row.exit_code.value_or(0) == 0) row.exit_code = one.exit_code;
      if (row.finished < one.finished) row.finished = one.finished;
      return {};
    });
  };
  TRY(status.object([&](std::string_view name, JsonValue& value) {
    return name.ends_with("ontainerStatuses") ? value.array(read_container) : read_field(name, value, row);
  }));
  if (row.state == "Succeeded" || row.state == "Failed") {
    if (row.reason.empty()) row.reason = row.state;
    row.state = "terminated";
  } else {
    row.state = row.state == "Pending" ? "waiting" : "running";
    row.exit_code.reset();
    row.finished.clear();
  }
  return {};
}

}  // namespace

void complain(std::string_view text) {
  std::string line("taskctl: ");
  line.append(text).append("\n");
  (void)sys::write_all(kStderr, line).ok();
}

bool print(std::string_view text) {
  const Result<void> written = sys::write_all(kStdout, text);
  if (!written && written.error().code != EPIPE) complain("standard output: " + written.error().text());
  return written.ok();
}

std::string Table::text() const {
  std::vector<size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out.append(widths[i] - row[i].size() + 2, ' ');
    }
    while (out.ends_with(' ')) out.pop_back();
    out += '\n';
  }
  return out;
}

Result<TaskRow> read_row(JsonValue& task) {
  TaskRow row;
  TRY(task.object([&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name == "name") {
      row.name = TRY(value.string());
    } else if (name == "processStatus") {
      return read_state(value, row);
    } else if (name == "podStatus") {
      return read_pod(value, row);
    } else if (name == "deletionTimestamp") {
      row.deleting = true;
    } else if (name == "status") {
      return value.object([&](std::string_view field, JsonValue& inner) -> Result<void> {
        if (field == "state") return read_state(inner, row);
        if (field == "pid") row.pid = TRY(inner.integer());
        return {};
      });
    }
    return {};
  }));
  return row;
}

int exit_status(const TaskRow& row) {
  const auto code = static_cast<int>(row.exit_code.value_or(kOwnFailure));
  if ((code & 0xff) != 0 || row.reason == "Succeeded" || row.reason == "Completed") return code;
  return row.reason == "TaskTimeout" || row.reason == "DeadlineExceeded" ? kTerminatedByTimeout : kOwnFailure;
}

void tell_end(const TaskRow& row) {
  for (const std::string_view own : {"Succeeded", "Completed", "Failed"}) {
    if (row.reason == own) return;
  }
  complain(std::string(row.name).append(": ").append(row.reason).append(": ").append(row.message));
}

Result<std::vector<TaskRow>> read_rows(std::string json) {
  const size_t size = json.size();
  json.append(kJsonPadding, '\0');
  std::vector<TaskRow> rows;
  JsonParser parser;
  TRY(parser.parse({json.data(), size}, kJsonOwnDepth, [&](JsonValue& root) -> Result<void> {
    const auto one = [&](JsonValue& task) -> Result<void> {
      rows.push_back(TRY(read_row(task)));
      return {};
    };
    if (root.type() == JsonType::kArray) return root.array(one);
    return one(root);
  }));
  return rows;
}

std::string task_table(const std::vector<TaskRow>& rows) {
  Table table({"NAME", "STATE", "REASON", "EXIT", "STARTED", "FINISHED"});
  for (const TaskRow& row : rows) {
    table.add({row.name, row.deleting ? row.state + ",deleting" : row.state, row.reason,
               row.exit_code ? std::to_string(*row.exit_code) : "", row.started, row.finished});
  }
  return table.text();
}

std::string error_message(const std::string& json) {
  std::string padded = json;
  padded.append(kJsonPadding, '\0');
  std::string message;
  JsonParser parser;
  const Result<void> read = parser.parse({padded.data(), json.size()}, [&](JsonValue& root) {
    return root.object([&](std::string_view name, JsonValue& value) -> Result<void> {
      if (name == "message") message = TRY(value.string());
      return {};
    });
  });
  return read && !message.empty() ? message : json;
}

std::vector<std::string_view> array_elements(std::string_view array) {
  std::vector<std::string_view> out;
  int depth = 0;
  bool in_string = false;
  size_t begin = 0;
  for (size_t at = 0; at < array.size(); ++at) {
    const char c = array[at];
    if (in_string) {
      if (c == '\\') ++at;
      if (c == '"') in_string = false;
      continue;
    }
    const bool ends = (c == ']' && depth == 1) || (c == ',' && depth == 1);
    if (ends) {
      std::string_view element = array.substr(begin, at - begin);
      constexpr std::string_view kBlanks = " \t\r\n";
      const size_t first = element.find_first_not_of(kBlanks);
      if (first != std::string_view::npos) {
        out.push_back(element.substr(first, element.find_last_not_of(kBlanks) - first + 1));
      }
      begin = at + 1;
    }
    if (c == '"') in_string = true;
    if (c == '[' || c == '{') {
      if (depth++ == 0) begin = at + 1;
    }
    if (c == ']' || c == '}') --depth;
  }
  return out;
}

}  // namespace te::ctl

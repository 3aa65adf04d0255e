// What people see: lines, tables, complaints.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "wire/json_reader.h"

namespace te::ctl {

/// To standard output. False: nobody reads it any more, or it could not be written, which is complained of.
bool print(std::string_view text);
/// A line on standard error, "taskctl: " before it.
void complain(std::string_view text);

/// Columns as wide as their widest field, two blanks between them.
class Table {
 public:
  explicit Table(std::vector<std::string> titles) { rows_.push_back(std::move(titles)); }
  void add(std::vector<std::string> fields) { rows_.push_back(std::move(fields)); }
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// What a table shows of a task, of either wire form.
struct TaskRow {
  std::string name;
  std::string state;
  std::string reason;
  std::string message;
  std::optional<int64_t> exit_code;
  std::string started;
  std::string finished;
  int64_t pid = 0;
  bool deleting = false;

  bool ended() const { return state == "terminated"; }
};

/// What `run` and `wait` exit with for a task that has ended: its own code, which is never 0 when it did not succeed.
int exit_status(const TaskRow& row);
/// Complains of an end that was not the command's own.
void tell_end(const TaskRow& row);

Result<TaskRow> read_row(JsonValue& task);
/// A JSON text as the agent sends it: one task, or an array of them.
Result<std::vector<TaskRow>> read_rows(std::string json);
std::string task_table(const std::vector<TaskRow>& rows);

/// "message" of {"code":…,"message":…}; the text itself when it is something else.
std::string error_message(const std::string& json);

/// The elements of a valid JSON array, as they were written.
std::vector<std::string_view> array_elements(std::string_view array);

}  // namespace te::ctl

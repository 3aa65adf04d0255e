// What a runtime that supervises its runs itself needs of the disk: run.json and exit.json.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "task/record.h"
#include "task/task.h"

namespace te {

constexpr std::string_view kOwnerFile = ".owner";  ///< in the data directory, made by RunStore::owner()

class RunStore {
 public:
  virtual ~RunStore() = default;

  /// Identity of the data directory, which stays: made when it is first asked for. Into `out`, where that is empty.
  virtual Result<void> owner(std::string& out) = 0;
  /// `durable`: on disk when it returns, and a durable write of the turn's budget; else a hint that may get lost.
  virtual Result<void> write_run(const Task& task, const RunRecord& run, bool durable) = 0;
  /// The end, once and for all, into the space that was reserved for it.
  virtual Result<void> record_end(const Task& task, const ExitRecord& end) = 0;
  /// As if it had never been started.
  virtual Result<void> clear_run(const Task& task) = 0;
  virtual Result<std::optional<RunRecord>> read_run(const Task& task) = 0;
};

}  // namespace te

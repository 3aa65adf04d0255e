// A look at a data directory that changes nothing: what stands there, what is wrong with it, what recovery would do.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "task/manager.h"
#include "task/store.h"
#include "task/task.h"

namespace te {

struct Finding {
  std::string name;  ///< of the directory
  Place place = Place::kLive;
  std::unique_ptr<Task> task;         ///< none: it can't be read
  bool ran = false;                   ///< run.json or exit.json is there, readable or not
  bool supervised = false;            ///< a supervisor lives, or something may be in the container runtime
  std::string recovery;               ///< what the next agent would do, as a sentence
  std::vector<std::string> problems;  ///< each as a sentence
};

struct Inspection {
  bool agent_runs = false;  ///< what was found may have changed since; supervisors were not looked for
  std::vector<Finding> findings;
  std::vector<std::string> problems;  ///< of the directory as a whole
  size_t unfinished = 0;              ///< creations that were never answered
  size_t trash = 0;
  size_t quarantined = 0;
};

/// `on_lost` as the next agent would have it. An error: the directory can't be looked at.
Result<Inspection> inspect_store(std::string_view data_dir, OnLost on_lost);

}  // namespace te

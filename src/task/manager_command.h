// A client's wish on its way through the manager. Private to manager*.cc.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "task/manager.h"

namespace te {

/// A task that is durable and not yet visible.
struct Manager::Made {
  std::unique_ptr<Task> task;
  Place place;
  bool replaces;  ///< the successor that stood there before, and that can't be brought back
};

struct Manager::Command {
  enum class Kind : uint8_t { kCreate, kRemove, kSet };

  Kind kind = Kind::kCreate;
  uint64_t ticket = 0;
  std::string name;             ///< kRemove
  std::vector<NewTask> wishes;  ///< kCreate: one
  OnSpecChange on_change = OnSpecChange::kKeep;

  // kSet, step by step: first all creations, then all removals.
  bool planned = false;
  bool shown = false;  ///< all creations are done
  size_t next_creation = 0;
  size_t next_removal = 0;
  std::vector<size_t> creations;   ///< indices of wishes
  std::vector<uint64_t> removals;  ///< ids
  std::vector<Made> made;          ///< can be undone as long as nobody has seen them
  std::optional<Error> failure;    ///< of a creation: what was made is being undone
  std::optional<Error> refusal;    ///< of the first removal that failed; the others go on
  std::vector<uint64_t> created;   ///< ids, visible, to be started once the answer is queued
  std::vector<std::string> warnings;
};

}  // namespace te

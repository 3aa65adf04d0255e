// Store: what the manager needs of the disk. Implemented in store/ on files; in memory by the tests.
//
// Every call that changes something has made it durable when it returns without an error, and is the one "durable
// write" of its turn of the loop. Order and crash windows: protocol.md.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "task/record.h"
#include "task/task.h"

namespace te {

/// Where a new task stands: under its own name, or as the successor of the one that has the name and is being deleted.
enum class Place : uint8_t { kLive, kNext };

/// A new task on its way to the disk, and what became of that.
struct Creation {
  Task* task = nullptr;
  Place place = Place::kLive;
  Result<void> result;
};

class Store {
 public:
  virtual ~Store() = default;

  /// A new identity: uid, sequence, accepted_at (and nothing on disk yet).
  virtual Result<void> identify(Task& task) = 0;
  /// Those that are made at the same time share a part of their durable write. Each has a result of its own; one that
  /// failed has left nothing behind.
  virtual void create(std::span<Creation> creations) = 0;
  /// In one step `next` takes the successor's place from `old`, which goes to the trash.
  virtual Result<void> replace_next(Task& next, const Task& old) = 0;
  /// The mark of deletion; sets deleted_at. A directory that has been taken away by hand needs none, nor one without a
  /// task.json.
  virtual Result<void> mark_deleted(Task& task) = 0;
  /// Out of its place and into the trash: the name is free.
  virtual Result<void> discard(const Task& task, Place place) = 0;
  /// discard() of a new task that nobody has seen. Where that fails it stands in the way.
  virtual Result<void> take_back(const Task& task, Place place) = 0;
  /// What stands under a task's name, in its place or its successor's, and is none (an unreadable directory whose
  /// supervisor lives, a creation that could not be taken back) is taken out of the way; of any name where `name` is
  /// empty. An error as long as it stands there: no such task can be made, nor can it be said to be gone.
  virtual Result<void> clear_way(std::string_view name) = 0;
  /// The successor moves to the live place.
  virtual Result<void> promote(const Task& task) = 0;
  /// The end of a run whose supervisor died without a record; only when nothing holds the directory's lock.
  /// A directory that has been taken away by hand needs none.
  virtual Result<void> record_lost(const Task& task, const ExitRecord& end) = 0;
  /// Before a lost run is started once more. ENOENT: its directory has been taken away.
  virtual Result<void> clear_run(const Task& task) = 0;

  /// Nothing when there is no such record (yet). kSystem: it can't be told now whether there is one; any other error:
  /// there is one, and it is broken for good.
  virtual Result<std::optional<RunRecord>> read_run(const Task& task) = 0;
  /// Says too whether the end is known to be durable: a supervisor that is just writing it may not have got so far, and
  /// one that was killed never will.
  virtual Result<std::optional<ExitRecord>> read_exit(const Task& task) = 0;
  virtual Result<void> make_exit_durable(const Task& task) = 0;
  /// No supervisor holds the directory's lock. ENOENT: the directory has been taken away.
  virtual Result<bool> unlocked(const Task& task) = 0;
  /// Keep stdout.log and stderr.log under `max_bytes` each, head and tail. True: there is more to do.
  virtual bool bound_logs(const Task& task, int64_t max_bytes) = 0;
};

}  // namespace te

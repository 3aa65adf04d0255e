// The last changes of tasks as lines for watchers, numbered by revision.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "base/size.h"
#include "task/task.h"

namespace te {

enum class EventType : uint8_t { kAdded, kModified, kDeleted };

/// Bounded by bytes; the oldest lines go first, when all who watch have taken them. Each line is written once, however
/// many watch.
class EventLog {
 public:
  static constexpr size_t kCeiling = 8 * kMiB;  ///< whoever has not taken a line by then is too slow
  static constexpr size_t kMostBytes = 512 * kKiB;
  static constexpr size_t kUnwatchedBytes = 64 * kKiB;  ///< until somebody watches: enough to list and then begin

  /// Revisions begin behind `base`. With the time in microseconds as base, those of an earlier life of the agent are
  /// lower than all of this one.
  explicit EventLog(uint64_t base) : first_(base + 1) {}

  /// Somebody watches: from now on kMostBytes are kept.
  void widen() { most_bytes_ = kMostBytes; }

  void add(EventType type, const Task& task);
  /// All who watch have taken what is up to `revision`.
  void taken(uint64_t revision) { make_room(most_bytes_, revision); }

  /// The last change's; `base` when there was none yet.
  uint64_t revision() const { return first_ + lines_.size() - 1; }
  /// Whether everything behind `revision` is still there.
  bool reaches(uint64_t revision) const { return revision + 1 >= first_ && revision <= this->revision(); }
  /// The line of a revision that is there.
  std::string_view line(uint64_t revision) const { return lines_[static_cast<size_t>(revision - first_)]; }

 private:
  void make_room(size_t most_bytes, uint64_t last);

  std::deque<std::string> lines_;
  uint64_t first_;  ///< revision of the first line
  size_t bytes_ = 0;
  size_t most_bytes_ = kUnwatchedBytes;
};

/// One event as a line of JSON: {"type":…,"revision":…,"object":{the task}}.
void append_event(std::string& out, EventType type, uint64_t revision, const Task& task);
/// {"type":"BOOKMARK","revision":…,"object":{}}: nothing is missing up to here.
void append_bookmark(std::string& out, uint64_t revision);
/// {"type":"ERROR",…,"object":{"code":"Gone","message":…}}: the end of a watch.
void append_watch_error(std::string& out, uint64_t revision, std::string_view message);

}  // namespace te

// FileStore: tasks as directories, state as files that appear by rename (protocol.md has files, steps and windows).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/histogram.h"
#include "base/log.h"
#include "base/result.h"
#include "store/record_files.h"
#include "sys/fd.h"
#include "task/manager.h"
#include "task/run_store.h"
#include "task/store.h"

namespace te {

class FileStore final : public Store, public RunStore {
 public:
  /// Makes the directory and its folders where missing, and takes its lock for the life of the store.
  /// kConflict: another agent has it.
  static Result<std::unique_ptr<FileStore>> open(std::string_view data_dir, const Clock& clock, Log& log);

  /// All tasks on disk, and what it says of them is durable. Rubbish of unfinished creations goes to the trash, what
  /// can't be read to the quarantine.
  Result<std::vector<Recovered>> scan();

  Result<void> identify(Task& task) override;
  void create(std::span<Creation> creations) override;
  Result<void> replace_next(Task& next, const Task& old) override;
  Result<void> mark_deleted(Task& task) override;
  Result<void> discard(const Task& task, Place place) override;
  Result<void> take_back(const Task& task, Place place) override;
  Result<void> clear_way(std::string_view name) override;
  Result<void> promote(const Task& task) override;
  Result<void> record_lost(const Task& task, const ExitRecord& end) override;
  Result<void> clear_run(const Task& task) override;
  Result<void> owner(std::string& out) override;
  Result<void> write_run(const Task& task, const RunRecord& run, bool durable) override;
  Result<void> record_end(const Task& task, const ExitRecord& end) override;
  Result<std::optional<RunRecord>> read_run(const Task& task) override;
  Result<std::optional<ExitRecord>> read_exit(const Task& task) override;
  Result<void> make_exit_durable(const Task& task) override;
  Result<bool> unlocked(const Task& task) override;
  bool bound_logs(const Task& task, int64_t max_bytes) override;

  /// Whether a task could be created now, as far as space and rights go.
  Result<void> probe();

  int root() const { return root_.get(); }
  const Fd& trash() const { return trash_; }
  bool trash_is_empty() const;

  /// Time spent in durable writes, and their histogram.
  MonoNanos durable_time() const { return durable_.sum; }
  const Histogram& durable_writes() const { return durable_; }

 private:
  FileStore(const Clock& clock, Log& log) : clock_(clock), log_(log) {}
  Result<void> open_folders();
  Result<void> move(const Fd& from, std::string_view name, const Fd& to, std::string_view new_name);
  Result<void> make_room(Place place, const std::string& name);
  static Result<void> reserve_space(int dir, const Task& task);
  struct NewDir;
  Result<NewDir> write_new(const Task& task);
  static Result<void> sync_new(const NewDir& made);
  void remove_new(const Task& task);
  void sync_parent(Place place, std::span<Creation> creations);
  const Fd& parent_of(Place place) const { return place == Place::kLive ? root_ : next_; }
  Result<std::unique_ptr<Task>> read_task(int dir, std::string_view name);
  Result<std::unique_ptr<Task>> open_task(Place place, std::string_view name, Fd& dir);
  Result<void> scan_folder(Place place, std::vector<Recovered>& out);
  void reserve_again(int dir, const Task& task);
  Result<void> confirm(int dir, const Task& task, bool end_is_durable);
  Result<void> confirm_rest();
  bool is_removed(const Task& task);
  Result<bool> stands_live(const Task& task);
  struct Obstacle {
    Place place;
    std::string name;
    Uid uid;  ///< of a creation; none: what can't be read
  };
  void quarantine(Place place, const std::string& name, std::string_view why);
  Result<void> take_away(const Obstacle& obstacle);
  Result<void> stop_supervisor(int dir);

  const Clock& clock_;
  Log& log_;
  Fd root_;
  Fd new_;
  Fd next_;
  Fd trash_;
  Fd quarantine_;
  Fd lock_;
  std::vector<Obstacle> obstacles_;
  uint64_t next_sequence_ = 1;
  size_t confirmed_ = 0;  ///< directories synced by the scan
  Histogram durable_;
  RecordReader reader_;
};

}  // namespace te

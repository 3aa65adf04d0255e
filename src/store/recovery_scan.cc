// What stands on disk when an agent starts (FileStore::scan).
#include <signal.h>

#include <cerrno>
#include <set>

#include "base/text.h"
#include "store/file_store.h"
#include "sys/atomic_file.h"
#include "sys/fs.h"
#include "sys/process.h"

namespace te {

namespace {

/// From so many on, one sync of the whole file system costs less than one of each.
constexpr size_t kConfirmedOneByOne = 256;

/// Of this machine at this moment, and not of the file: whoever starts the agent tries again.
bool is_passing(const Error& error) {
  if (error.kind != ErrorKind::kSystem) return false;
  switch (error.code) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case EINVAL:
    case ENXIO:
    case EACCES:
    case EPERM:
    case EIO:
    case EUCLEAN:  // of a file system that has found itself broken
    case EBADMSG: return false;
    default: return true;
  }
}

std::string free_name(const std::string& name, const Fd& folder) {
  std::string target = name;
  for (int i = 1; sys::exists_at(folder.get(), target); ++i) {
    target = name;
    target += '.';
    append_int(target, i);
  }
  return target;
}

}  // namespace

// Identity and spec from task.json, or from deleted.json, whose inode tells the time of the mark.
Result<std::unique_ptr<Task>> FileStore::read_task(int dir, std::string_view name) {
  auto task = std::make_unique<Task>();
  std::string_view file = "deleted.json";
  Result<TaskFile> read = read_task_file(reader_, dir, file);
  if (!read && read.error().code == ENOENT) {
    file = "task.json";
    read = read_task_file(reader_, dir, file);
  } else if (read) {
    task->deleted_at = TRY(sys::change_time_at(dir, file));
  }
  TaskFile state = TRY(std::move(read));
  if (state.name != name) return Error{ErrorKind::kCorrupt, 0, std::string(file) + " is another task's"};
  task->name = std::move(state.name);
  task->uid = state.uid;
  task->sequence = state.sequence;
  task->accepted_at = state.accepted_at;
  task->spec = std::move(state.spec);
  return task;
}

Result<std::unique_ptr<Task>> FileStore::open_task(Place place, std::string_view name, Fd& dir) {
  dir = TRY(sys::open_dir_at(parent_of(place).get(), name));
  return read_task(dir.get(), name);
}

// Whoever wrote this may have been killed before it was durable (a mark, a rename of exit.json), and from now on it is
// told. An end that is marked was the last change. How old anything is can't be known: the wall clock may have been
// set.
Result<void> FileStore::confirm(int dir, const Task& task, bool end_is_durable) {
  if (!task.deleting() && end_is_durable) return {};
  if (++confirmed_ > kConfirmedOneByOne) return {};
  return sys::sync(dir);
}

Result<void> FileStore::confirm_rest() {
  if (confirmed_ > kConfirmedOneByOne) return sys::sync_file_system(root_.get());
  TRY(sys::sync(root_.get()));
  return sys::sync(next_.get());
}

void FileStore::quarantine(Place place, const std::string& name, std::string_view why) {
  Obstacle obstacle{place, name, {}};
  const Result<void> moved = take_away(obstacle);
  log_.error("put into quarantine",
             {{"name", name}, {"reason", why}, {"moved", moved ? "yes" : moved.error().text().c_str()}});
  if (!moved && moved.error().code == EWOULDBLOCK) obstacles_.push_back(std::move(obstacle));
}

// Of a task that can't be read and still runs. As deletion would have it, but for the sweep by a mark that isn't known.
Result<void> FileStore::stop_supervisor(int dir) {
  const RunRecord run = TRY(read_run_file(reader_, dir, "run.json"));
  const Fd supervisor = TRY(sys::open_process(run.supervisor));
  if (!supervisor.valid()) return system_error("open", "supervisor", ESRCH);
  TRY(sys::send_signal(supervisor.get(), SIGUSR1));
  return sys::send_signal(supervisor.get(), SIGCONT);
}

// What can't be read stays where it is while its supervisor lives, or its name could be taken while the old processes
// run.
Result<void> FileStore::take_away(const Obstacle& obstacle) {
  const Fd& folder = parent_of(obstacle.place);
  if (!obstacle.uid.empty()) {
    Result<void> moved = move(folder, obstacle.name, trash_, obstacle.uid.view());
    return moved || moved.error().code == ENOENT ? sys::sync(folder.get()) : moved;
  }
  const Result<Fd> dir = sys::open_dir_at(folder.get(), obstacle.name);
  if (!dir && is_passing(dir.error())) return dir.error();
  if (dir && !TRY(sys::try_flock(dir->get()))) {
    const Result<void> told = stop_supervisor(dir->get());
    const std::string how = told ? "is told to stop" : "can't be told to stop (" + told.error().text() + ")";
    return Error{ErrorKind::kSystem, EWOULDBLOCK,
                 "directory \"" + obstacle.name + "\" can't be read; its supervisor lives and " + how};
  }
  Result<void> moved = move(folder, obstacle.name, quarantine_, free_name(obstacle.name, quarantine_));
  return moved || moved.error().code == ENOENT ? Result<void>() : moved;
}

Result<void> FileStore::clear_way(std::string_view name) {
  Result<void> out;
  std::erase_if(obstacles_, [&](const Obstacle& one) {
    if (!name.empty() && one.name != name) return false;
    const Result<void> taken = take_away(one);
    if (!taken) out = taken;
    return taken.ok();
  });
  return out;
}

// For a task whose place no other one has. What stands there all the same has come while we ran; unless it is a task's
// it goes the way of what a scan finds.
Result<void> FileStore::make_room(Place place, const std::string& name) {
  TRY(clear_way(name));
  if (!sys::exists_at(parent_of(place).get(), name)) return {};
  Fd dir;
  const Result<std::unique_ptr<Task>> task = open_task(place, name, dir);
  if (!task && !is_passing(task.error())) quarantine(place, name, task.error().text());
  return {};
}

// A run in containers has the agent for a supervisor: something of it may be in the runtime until it says otherwise.
bool FileStore::is_removed(const Task& task) {
  const Result<std::optional<RunRecord>> run = read_run(task);
  return run.ok() && run->has_value() && (*run)->pod && (*run)->pod->step == PodStep::kRemoved;
}

// What a power loss or an earlier run may have taken. A living supervisor has its own, and may be writing to it.
void FileStore::reserve_again(int dir, const Task& task) {
  const Result<void> reserved = reserve_space(dir, task);
  if (!reserved)
    log_.warning("no space is reserved for a task's end", {{"task", task.name}, {"error", reserved.error().text()}});
}

Result<void> FileStore::scan_folder(Place place, std::vector<Recovered>& out) {
  for (const sys::DirEntry& entry : TRY(sys::list_dir(parent_of(place).get()))) {
    // Ours begin with a dot; lost+found belongs to the file system.
    if (entry.name.starts_with('.') || entry.name == "lost+found") continue;
    if (!entry.is_dir) {
      quarantine(place, entry.name, "not a directory");
      continue;
    }
    Fd dir;
    Result<std::unique_ptr<Task>> task = open_task(place, entry.name, dir);
    if (!task && task.error().kind == ErrorKind::kSystem && task.error().code == EIO) {  // it may have been but once
      task = open_task(place, entry.name, dir);
    }
    if (!task) {
      if (is_passing(task.error())) return std::move(task).error();
      quarantine(place, entry.name, task.error().text());
      continue;
    }
    Recovered found;
    found.place = place;
    found.task = std::move(task).value();
    bool end_is_durable = false;
    if (place == Place::kLive) {
      found.locked = !TRY(sys::try_flock(dir.get()));
      const Result<Fd> end = sys::open_regular_at(dir.get(), "exit.json", O_RDONLY);
      if (!end && is_passing(end.error())) return end.error();
      end_is_durable = end && sys::is_known_durable(end->get());
      found.ended = end || end.error().code != ENOENT;
      found.has_run = found.ended || sys::exists_at(dir.get(), "run.json");
    }
    TRY(confirm(dir.get(), *found.task, end_is_durable));
    if (!found.locked && !found.ended) reserve_again(dir.get(), *found.task);
    if (place == Place::kLive && found.task->spec.pod != nullptr) {
      found.locked = found.has_run && !is_removed(*found.task);
    }
    out.push_back(std::move(found));
  }
  return {};
}

Result<std::vector<Recovered>> FileStore::scan() {
  obstacles_.clear();
  for (const sys::DirEntry& entry : TRY(sys::list_dir(new_.get()))) {
    // The one that an exchange (replace_next) left here may have the name of one in the trash.
    (void)move(new_, entry.name, trash_, free_name(entry.name, trash_)).ok();
  }
  std::vector<Recovered> found;
  TRY(scan_folder(Place::kLive, found));
  TRY(scan_folder(Place::kNext, found));
  if (!found.empty()) TRY(confirm_rest());
  // A copied directory would be a second task with the same identity: only the first one counts.
  std::set<std::string_view> uids;
  std::vector<Recovered> unique;
  unique.reserve(found.size());
  for (Recovered& one : found) {
    const Task& task = *one.task;
    if (!uids.insert(task.uid.view()).second) {
      quarantine(one.place, task.name, "a copy of another task");
      continue;
    }
    next_sequence_ = std::max(next_sequence_, task.sequence + 1);
    unique.push_back(std::move(one));
  }
  // The number may be another data directory's: until the next agent this one has a new one.
  std::set<uint64_t> numbers;
  for (const Recovered& one : unique) {
    Task& task = *one.task;
    if (!numbers.insert(task.sequence).second) task.sequence = next_sequence_++;
  }
  reader_.buffer = {};
  return unique;
}

}  // namespace te

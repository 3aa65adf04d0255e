// What stands on disk when an agent starts (FileStore::scan).
#include <signal.h>

#include <cerrno>

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

Result<void> move_to_free_name(int folder, const std::string& name, int to) {
  std::string target = name;
  for (int i = 1; sys::exists_at(to, target); ++i) target = name + "." + std::to_string(i);
  return sys::rename_at(folder, name, to, target);
}

}  // namespace

// Identity and spec from task.json, or from deleted.json, whose inode tells the time of the mark.
Result<std::unique_ptr<Task>> FileStore::read_task(int dir, std::string_view name) {
  auto task = std::make_unique<Task>();
  std::string_view file = "deleted.json";
  Result<sys::ReadSize> read = sys::read_file_at(dir, file, buffer_, kTaskFileMax, kJsonPadding);
  if (!read && read.error().code == ENOENT) {
    file = "task.json";
    read = sys::read_file_at(dir, file, buffer_, kTaskFileMax, kJsonPadding);
  } else if (read) {
    task->deleted_at = TRY(sys::change_time_at(dir, file));
  }
  if (!read) return std::move(read).error();
  TaskFile state = TRY(decode_task_file(parser_, PaddedText{buffer_.data(), read->size}));
  if (state.name != name) return Error{ErrorKind::kCorrupt, 0, std::string(file) + " is another task's"};
  task->name = std::move(state.name);
  task->uid = state.uid;
  task->sequence = state.sequence;
  task->accepted_at = state.accepted_at;
  task->spec = std::move(state.spec);
  return task;
}

// Whoever wrote this may have been killed before it was durable (a mark, a rename of exit.json), and from now on it is
// told. An end that is marked was the last change. How old anything is can't be known: the wall clock may have been
// set.
Result<void> FileStore::confirm(int dir, const Task& task) {
  if (!task.deleting() && sys::is_known_durable(dir, "exit.json")) return {};
  if (++confirmed_ > kConfirmedOneByOne) return {};
  return sys::sync(dir);
}

Result<void> FileStore::confirm_rest() {
  if (confirmed_ > kConfirmedOneByOne) return sys::sync_file_system(root_.get());
  TRY(sys::sync(root_.get()));
  return sys::sync(next_.get());
}

void FileStore::quarantine(int folder, const std::string& name, std::string_view why) {
  Obstacle obstacle{folder, name, {}};
  const Result<void> moved = take_away(obstacle);
  log_.error("put into quarantine",
             {{"name", name}, {"reason", why}, {"moved", moved ? "yes" : moved.error().text().c_str()}});
  if (!moved && moved.error().code == EWOULDBLOCK) obstacles_.push_back(std::move(obstacle));
}

// Of a task that can't be read and still runs. As deletion would have it, but for the sweep by a mark that isn't known.
Result<void> FileStore::stop_supervisor(int dir) {
  const sys::ReadSize read = TRY(sys::read_file_at(dir, "run.json", buffer_, kRecordMax, kJsonPadding));
  const RunRecord run = TRY(decode_run(parser_, PaddedText{buffer_.data(), read.size}));
  const Fd supervisor = TRY(sys::open_process(run.supervisor));
  if (!supervisor.valid()) return system_error("open", "supervisor", ESRCH);
  TRY(sys::send_signal(supervisor.get(), SIGUSR1));
  return sys::send_signal(supervisor.get(), SIGCONT);
}

// What can't be read stays where it is while its supervisor lives, or its name could be taken while the old processes
// run.
Result<void> FileStore::take_away(const Obstacle& obstacle) {
  if (!obstacle.uid.empty()) {
    Result<void> moved = sys::rename_at(obstacle.folder, obstacle.name, trash_.get(), obstacle.uid.view());
    return moved || moved.error().code == ENOENT ? sys::sync(obstacle.folder) : moved;
  }
  const Result<Fd> dir = sys::open_dir_at(obstacle.folder, obstacle.name);
  if (!dir && is_passing(dir.error())) return dir.error();
  if (dir && !TRY(sys::try_flock(dir->get()))) {
    const Result<void> told = stop_supervisor(dir->get());
    const std::string how = told ? "is told to stop" : "can't be told to stop (" + told.error().text() + ")";
    return Error{ErrorKind::kSystem, EWOULDBLOCK,
                 "directory \"" + obstacle.name + "\" can't be read; its supervisor lives and " + how};
  }
  Result<void> moved = move_to_free_name(obstacle.folder, obstacle.name, quarantine_.get());
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

// A run in containers has the agent for a supervisor: something of it may be in the runtime until it says otherwise.
bool FileStore::is_removed(const Task& task) {
  const Result<std::optional<RunRecord>> run = read_run(task);
  return run.ok() && run->has_value() && (*run)->pod && (*run)->pod->step == PodStep::kRemoved;
}

// What a power loss may have taken. A living supervisor has its own, and may be writing to it.
void FileStore::reserve_again(int dir, const Task& task) {
  const Result<void> reserved = reserve_space(dir, task);
  if (!reserved)
    log_.warning("no space is reserved for a task's end", {{"task", task.name}, {"error", reserved.error().text()}});
}

Result<void> FileStore::scan_folder(int folder, Place place, std::vector<Recovered>& out) {
  for (const sys::DirEntry& entry : TRY(sys::list_dir(folder))) {
    // Ours begin with a dot; lost+found belongs to the file system.
    if (entry.name.starts_with('.') || entry.name == "lost+found") continue;
    if (!entry.is_dir) {
      quarantine(folder, entry.name, "not a directory");
      continue;
    }
    Result<Fd> dir = sys::open_dir_at(folder, entry.name);
    Result<std::unique_ptr<Task>> task = dir ? read_task(dir->get(), entry.name) : dir.error();
    if (!task && task.error().kind == ErrorKind::kSystem && task.error().code == EIO) {  // it may have been but once
      dir = sys::open_dir_at(folder, entry.name);
      task = dir ? read_task(dir->get(), entry.name) : dir.error();
    }
    if (!task) {
      if (is_passing(task.error())) return std::move(task).error();
      quarantine(folder, entry.name, task.error().text());
      continue;
    }
    Recovered found;
    found.place = place;
    found.task = std::move(task).value();
    if (place == Place::kLive) {
      found.locked = !TRY(sys::try_flock(dir->get()));
      found.ended = sys::exists_at(dir->get(), "exit.json");
      found.has_run = found.ended || sys::exists_at(dir->get(), "run.json");
    }
    TRY(confirm(dir->get(), *found.task));
    if (!found.locked && !found.ended) reserve_again(dir->get(), *found.task);
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
    (void)move_to_free_name(new_.get(), entry.name, trash_.get()).ok();
  }
  std::vector<Recovered> found;
  TRY(scan_folder(root_.get(), Place::kLive, found));
  TRY(scan_folder(next_.get(), Place::kNext, found));
  if (!found.empty()) TRY(confirm_rest());
  // A copied directory would be a second task with the same identity: only the first one counts.
  std::map<uint64_t, const Task*> by_sequence;
  std::map<std::string_view, const Task*> by_uid;
  std::vector<Recovered> unique;
  unique.reserve(found.size());
  for (Recovered& one : found) {
    const Task& task = *one.task;
    if (!by_sequence.emplace(task.sequence, &task).second || !by_uid.emplace(task.uid.view(), &task).second) {
      quarantine(parent_of(one.place), task.name, "a copy of another task");
      continue;
    }
    next_sequence_ = std::max(next_sequence_, task.sequence + 1);
    unique.push_back(std::move(one));
  }
  buffer_ = {};
  return unique;
}

}  // namespace te

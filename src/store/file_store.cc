#include "store/file_store.h"

#include <algorithm>
#include <cerrno>

#include "base/size.h"
#include "store/log_bound.h"
#include "sys/atomic_file.h"
#include "sys/clock.h"
#include "sys/fs.h"

namespace te {

namespace {

/// Times a durable write, whichever way its function returns.
class DurableWrite {
 public:
  explicit DurableWrite(Histogram& histogram) : histogram_(histogram), begin_(sys::mono_now()) {}
  DurableWrite(const DurableWrite&) = delete;
  DurableWrite& operator=(const DurableWrite&) = delete;
  ~DurableWrite() { histogram_.add(sys::mono_now() - begin_); }

 private:
  Histogram& histogram_;
  MonoNanos begin_;
};

bool missing(const Error& error) { return error.kind == ErrorKind::kSystem && error.code == ENOENT; }

/// A task's directory has been removed by hand.
bool taken_away(const Error& error) { return missing(error) || error.code == ENOTDIR; }

/// Something that is no file of ours stands there, and will tomorrow.
bool is_odd(const Error& error) {
  switch (error.code) {
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case EINVAL:  // a FIFO or a device
    case ENXIO:   // a socket
    case EACCES:
    case EPERM: return true;
    default: return false;
  }
}

template <class T>
Result<std::optional<T>> record_or_none(Result<T> read) {
  if (read) return std::optional<T>(std::move(read).value());
  if (missing(read.error())) return std::optional<T>();
  if (is_odd(read.error())) return Error{ErrorKind::kCorrupt, 0, read.error().text()};
  return std::move(read).error();
}

Result<Fd> folder(int root, std::string_view name) {
  const Result<void> made = sys::make_dir_at(root, name, 0700);
  if (!made && made.error().code != EEXIST) return made.error();
  return sys::open_dir_at(root, name);
}

std::string in(std::string_view name, std::string_view file) {
  std::string path(name);
  path += '/';
  path += file;
  return path;
}

/// What was moved out of `folder` stands there again where that can't be made durable, for whoever is told so.
Result<void> sync_or_put_back(int folder, std::string_view name, int now_in, std::string_view now) {
  Result<void> synced = sys::sync(folder);
  if (!synced) (void)sys::rename_at(now_in, now, folder, name).ok();
  return synced;
}

}  // namespace

Result<std::unique_ptr<FileStore>> FileStore::open(std::string_view data_dir, const Clock& clock, Log& log) {
  TRY(sys::make_dirs(data_dir));
  std::unique_ptr<FileStore> store(new FileStore(clock, log));
  store->root_ = TRY(sys::open_at(AT_FDCWD, data_dir, O_RDONLY | O_DIRECTORY));
  const int root = store->root_.get();
  store->lock_ = TRY(sys::open_at(root, ".lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  if (!TRY(sys::try_record_lock(store->lock_.get()))) {
    return Error{ErrorKind::kConflict, 0, "another task-executor uses the data directory " + std::string(data_dir)};
  }
  // Whoever has made it may not have come to its sync, in which case he has not come here either.
  if (!sys::exists_at(root, ".quarantine")) TRY(sys::sync_above(data_dir));
  TRY(store->open_folders());
  return store;
}

Result<void> FileStore::open_folders() {
  const int root = root_.get();
  new_ = TRY(folder(root, ".new"));
  next_ = TRY(folder(root, ".next"));
  trash_ = TRY(folder(root, ".trash"));
  quarantine_ = TRY(folder(root, ".quarantine"));
  return sys::sync(root);
}

// Where somebody has removed a folder of ours, what is put there says ENOENT as if it were missing itself.
Result<void> FileStore::move(const Fd& from, std::string_view name, const Fd& to, std::string_view new_name) {
  for (bool again = false;; again = true) {
    Result<void> moved = sys::rename_at(from.get(), name, to.get(), new_name);
    if (moved || again || !missing(moved.error())) return moved;
    TRY(open_folders());
  }
}

Result<void> FileStore::identify(Task& task) {
  TRY(sys::random_hex(task.uid.digits.data(), task.uid.digits.size()));
  task.sequence = next_sequence_++;
  if (task.accepted_at == 0) task.accepted_at = clock_.wall();
  return {};
}

// The space in which the end will be recorded, and that postStop has begun. Not synced: as long as the machine is up it
// is there, and after a power loss recovery takes it again.
Result<void> FileStore::reserve_space(int dir, const Task& task) {
  const auto take = [dir](std::string_view name, size_t size) -> Result<void> {
    const Fd file = TRY(sys::open_reserved(dir, name));
    return sys::reserve(file.get(), size);
  };
  const bool big = task.spec.process.pre_start != nullptr || task.spec.pod != nullptr;
  TRY(take("exit.tmp", big ? kExitRecordWithHookMax : kExitRecordMax));
  return task.spec.process.post_stop != nullptr ? take(kPostStopReserve, kExitRecordMax) : Result<void>();
}

struct FileStore::NewDir {
  Fd dir;
  Fd task_file;
};

// .new/<uid>/ complete, and not yet durable.
Result<FileStore::NewDir> FileStore::write_new(const Task& task) {
  const std::string_view uid = task.uid.view();
  const Result<void> begun = sys::make_dir_at(new_.get(), uid, 0700);
  if (!begun) {
    if (!missing(begun.error())) return begun.error();
    TRY(open_folders());
    TRY(sys::make_dir_at(new_.get(), uid, 0700));
  }
  NewDir made;
  made.dir = TRY(sys::open_dir_at(new_.get(), uid));
  TRY(reserve_space(made.dir.get(), task));
  made.task_file = TRY(sys::open_at(made.dir.get(), "task.json", O_WRONLY | O_CREAT | O_EXCL, 0600));
  const std::string text = encode_task_file(task);
  if (text.size() > kTaskFileMax) return Error{ErrorKind::kTooLarge, 0, "task.json of \"" + task.name + "\""};
  TRY(sys::write_all(made.task_file.get(), text));
  return made;
}

Result<void> FileStore::sync_new(const NewDir& made) {
  TRY(sys::sync(made.task_file.get()));
  return sys::sync(made.dir.get());
}

// A failed creation leaves nothing behind, not even its space.
void FileStore::remove_new(const Task& task) {
  const std::string uid(task.uid.view());
  for (const std::string_view file : {std::string_view("exit.tmp"), kPostStopReserve, std::string_view("task.json")})
    (void)sys::unlink_at(new_.get(), in(uid, file)).ok();
  (void)sys::remove_dir_at(new_.get(), uid).ok();
}

// All is written before the first sync: a journalling file system commits the whole with that one, and the others find
// little to do. The parents are synced once.
void FileStore::create(std::span<Creation> creations) {
  const DurableWrite timed(durable_);
  std::vector<Result<NewDir>> made;
  made.reserve(creations.size());
  for (const Creation& creation : creations) {
    made.push_back(write_new(*creation.task));
    if (creations.size() > 1 && made.back()) sys::start_writing(made.back()->task_file.get());
  }
  for (size_t i = 0; i < creations.size(); ++i) {
    creations[i].result = made[i] ? sync_new(*made[i]) : Result<void>(std::move(made[i]).error());
  }
  for (Creation& creation : creations) {
    const Task& task = *creation.task;
    Result<void>& result = creation.result;
    if (result) result = make_room(creation.place, task.name);
    if (result) result = move(new_, task.uid.view(), parent_of(creation.place), task.name);
    if (!result) remove_new(task);
  }
  sync_parent(Place::kLive, creations);
  sync_parent(Place::kNext, creations);
}

void FileStore::sync_parent(Place place, std::span<Creation> creations) {
  const auto stands_there = [place](const Creation& creation) { return creation.place == place && creation.result; };
  if (std::ranges::none_of(creations, stands_there)) return;
  const Result<void> synced = sys::sync(parent_of(place).get());
  if (synced) return;
  for (Creation& creation : creations) {
    if (!stands_there(creation)) continue;
    creation.result = synced;
    obstacles_.push_back({place, creation.task->name, creation.task->uid});
    (void)clear_way(creation.task->name).ok();
  }
}

Result<void> FileStore::replace_next(Task& next, const Task& old) {
  const DurableWrite timed(durable_);
  const Result<NewDir> made = write_new(next);
  Result<void> written = made ? sync_new(*made) : Result<void>(made.error());
  if (written) written = sys::exchange_at(new_.get(), next.uid.view(), next_.get(), next.name);
  if (!written) {
    remove_new(next);
    return written;
  }
  written = sys::sync(next_.get());
  if (!written && sys::exchange_at(new_.get(), next.uid.view(), next_.get(), next.name)) {
    remove_new(next);
    return written;
  }
  // Where there is no way back what stands there is what is told. The old one stands in .new now; should it stay there,
  // the next agent finds it as rubbish.
  (void)sys::rename_at(new_.get(), next.uid.view(), trash_.get(), old.uid.view()).ok();
  return {};
}

Result<void> FileStore::mark_deleted(Task& task) {
  const DurableWrite timed(durable_);
  const Result<Fd> dir = sys::open_dir_at(root_.get(), task.name);
  if (!dir && taken_away(dir.error())) {
    task.deleted_at = clock_.wall();
    return {};
  }
  if (!dir) return dir.error();
  Result<void> renamed = sys::rename_at(dir->get(), "task.json", dir->get(), "deleted.json");
  // Missing: an earlier try got as far as the rename. Or somebody has removed it; then the next agent finds no task.
  if (!renamed && !missing(renamed.error())) return renamed;
  TRY(sync_or_put_back(dir->get(), "task.json", dir->get(), "deleted.json"));
  task.deleted_at = clock_.wall();
  return {};
}

Result<void> FileStore::discard(const Task& task, Place place) {
  const DurableWrite timed(durable_);
  Result<void> moved = move(parent_of(place), task.name, trash_, task.uid.view());
  if (!moved && missing(moved.error()) && place == Place::kNext && TRY(stands_live(task))) {
    return discard(task, Place::kLive);  // promote() has come to its rename, and no further
  }
  // Missing: moved before and not synced, or taken away by somebody. Either way the name is free.
  if (!moved && !missing(moved.error())) return moved;
  return sync_or_put_back(parent_of(place).get(), task.name, trash_.get(), task.uid.view());
}

Result<void> FileStore::take_back(const Task& task, Place place) {
  const DurableWrite timed(durable_);
  obstacles_.push_back({place, task.name, task.uid});
  return clear_way(task.name);
}

Result<bool> FileStore::stands_live(const Task& task) {
  Fd dir;
  const Result<std::unique_ptr<Task>> found = open_task(Place::kLive, task.name, dir);
  if (!found && found.error().kind == ErrorKind::kSystem && !missing(found.error())) return found.error();
  return found.ok() && (*found)->uid == task.uid;
}

Result<void> FileStore::promote(const Task& task) {
  const DurableWrite timed(durable_);
  TRY(make_room(Place::kLive, task.name));
  Result<void> moved = move(next_, task.name, root_, task.name);
  if (!moved && !(missing(moved.error()) && TRY(stands_live(task)))) return moved;
  TRY(sys::sync(root_.get()));
  return sys::sync(next_.get());
}

Result<void> FileStore::record_lost(const Task& task, const ExitRecord& end) {
  const DurableWrite timed(durable_);
  Result<Fd> opened = sys::open_dir_at(root_.get(), task.name);
  if (!opened && taken_away(opened.error())) return {};
  const Fd dir = TRY(std::move(opened));
  // The lock is the right to write: with it in hand no supervisor can be about to record another end.
  if (!TRY(sys::try_flock(dir.get())))
    return Error{ErrorKind::kSystem, EWOULDBLOCK, "lock of the lost task " + task.name};
  return sys::fill_reserved(dir.get(), "exit.tmp", "exit.json", encode_exit(end));
}

Result<void> FileStore::record_end(const Task& task, const ExitRecord& end) { return record_lost(task, end); }

Result<void> FileStore::write_run(const Task& task, const RunRecord& run, bool durable) {
  const std::string text = encode_run(run);
  const Fd dir = TRY(sys::open_dir_at(root_.get(), task.name));
  if (!durable) return sys::write_atomic(dir.get(), "run.tmp", "run.json", text, false);
  const DurableWrite timed(durable_);
  return sys::write_atomic(dir.get(), "run.tmp", "run.json", text, true);
}

Result<void> FileStore::owner(std::string& out) {
  if (!out.empty()) return {};
  std::string digits(Uid().digits.size(), '0');
  if (Result<sys::ReadSize> read = sys::read_file_at(root_.get(), kOwnerFile, reader_.buffer, kKiB, 0); read) {
    digits = reader_.buffer.substr(0, read->size);
    if (Uid::from(digits).empty()) return Error{ErrorKind::kCorrupt, 0, "the data directory's .owner"};
    // Whoever made it may not have come to its last sync; with another one, what bears this one would be nobody's.
    TRY(sys::sync(root_.get()));
  } else {
    if (!missing(read.error())) return std::move(read).error();
    TRY(sys::random_hex(digits.data(), digits.size()));
    TRY(sys::write_atomic(root_.get(), ".owner.tmp", kOwnerFile, digits, true));
  }
  out = std::move(digits);
  return {};
}

Result<void> FileStore::clear_run(const Task& task) {
  const DurableWrite timed(durable_);
  const Fd dir = TRY(sys::open_dir_at(root_.get(), task.name));
  // An exit.json can be there that nobody can read. Its supervisor has used up the space for another one.
  constexpr std::pair<const char*, const char*> kOld[] = {{"run.json", "run.old"}, {"exit.json", "exit.old"}};
  for (const auto& [record, old] : kOld) {
    Result<void> moved = sys::rename_at(dir.get(), record, dir.get(), old);
    if (!moved && !missing(moved.error())) return moved;
  }
  reserve_again(dir.get(), task);
  return sys::sync(dir.get());
}

Result<std::optional<RunRecord>> FileStore::read_run(const Task& task) {
  return record_or_none(read_run_file(reader_, root_.get(), in(task.name, "run.json")));
}

Result<std::optional<ExitRecord>> FileStore::read_exit(const Task& task) {
  return record_or_none(read_exit_file(reader_, root_.get(), in(task.name, "exit.json")));
}

Result<void> FileStore::make_exit_durable(const Task& task) {
  const DurableWrite timed(durable_);
  const Fd dir = TRY(sys::open_dir_at(root_.get(), task.name));
  return sys::sync(dir.get());
}

Result<bool> FileStore::unlocked(const Task& task) {
  const Fd dir = TRY(sys::open_dir_at(root_.get(), task.name));
  return sys::try_flock(dir.get());
}

bool FileStore::bound_logs(const Task& task, int64_t max_bytes) {
  bool more = false;
  const auto bound = [&](std::string_view file, LogKind kind) {
    if (more) return;  // a part of the one before is all that a turn may take
    const Result<Fd> log = sys::open_regular_at(root_.get(), in(task.name, file), O_RDWR);
    if (!log) return;
    const Result<void> bounded = bound_log(log->get(), max_bytes, kind, more);
    if (!bounded) log_.warning("log can't be bounded", {{"task", task.name}, {"error", bounded.error().text()}});
  };
  if (task.spec.pod != nullptr) {
    const PodSpec& pod = task.spec.pod->pod;
    for (size_t i = 0; i < pod.size(); ++i) bound(pod_log_file(pod.container(i).name), LogKind::kEntries);
    return more;
  }
  for (const std::string_view file : {"stdout.log", "stderr.log", "prestart.log", "poststop.log"}) {
    bound(file, LogKind::kText);
  }
  return more;
}

Result<void> FileStore::probe() {
  const Fd file = TRY(sys::open_reserved(root_.get(), ".probe"));
  const DurableWrite timed(durable_);
  Result<void> written = sys::write_all(file.get(), std::string(kExitRecordMax, '\0'));
  if (written) written = sys::sync(file.get());
  (void)sys::unlink_at(root_.get(), ".probe").ok();
  return written;
}

bool FileStore::trash_is_empty() const {
  const Result<std::vector<sys::DirEntry>> entries = sys::list_dir(trash_.get());
  return entries.ok() && entries->empty();
}

}  // namespace te

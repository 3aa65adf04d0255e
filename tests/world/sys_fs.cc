// sys/fd.h, sys/fs.h and sys/remove_tree.h on the simulated kernel. What nobody asks for in the world aborts.
#include "sys/fs.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "kernel.h"
#include "sys/fd.h"
#include "sys/remove_tree.h"

namespace te::sys {

namespace {

using world::Description;
using world::DiskOp;
using world::Ino;
using world::Kernel;
using world::kNoIno;
using world::ProcessKind;

Kernel& kernel() { return Kernel::get(); }

/// What calls of a ghost answer: the agent's fail, so that it gives up, a program's do well, so that it comes to its
/// end. Nothing: no ghost calls.
std::optional<Result<void>> ghost() {
  if (!kernel().ghost()) return std::nullopt;
  if (kernel().current().kind == ProcessKind::kAgent) return Result<void>(system_error("ghost", {}, EIO));
  return Result<void>();
}

struct Place {
  Ino dir = kNoIno;
  std::string_view name;  ///< "." is the directory itself
  Ino ino = kNoIno;       ///< what stands there
};

Result<Place> resolve(int dir, std::string_view path) {
  Place at;
  if (path.starts_with('/')) {
    at.dir = world::kRootIno;
  } else {
    const Description* open = kernel().at(dir);
    if (open == nullptr || open->kind != Description::Kind::kFile) return system_error("open", path, EBADF);
    at.dir = open->ino;
  }
  at.ino = at.dir;
  at.name = ".";
  bool first = true;
  while (!path.empty()) {
    const std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), part.size() + 1));
    if (part.empty() || part == ".") continue;
    if (!first) {
      if (at.ino == kNoIno) return system_error("open", part, ENOENT);
      at.dir = at.ino;
    }
    first = false;
    if (!kernel().disk.at(at.dir).is_dir) return system_error("open", part, ENOTDIR);
    at.name = part;
    at.ino = kernel().disk.find(at.dir, part);
  }
  return at;
}

/// One change of the disk, unless it is to fail.
template <class Do>
Result<void> change(DiskOp op, std::string_view object, Do what) {
  if (const auto answer = ghost()) return *answer;
  int error = kernel().change(op);
  if (const auto answer = ghost()) return *answer;
  if (error == 0) error = what(kernel().disk);
  if (error != 0) return system_error("change", object, error);
  return {};
}

Result<Ino> file_of(int fd) {
  const Description* open = kernel().at(fd);
  if (open == nullptr || open->ino == kNoIno) return system_error("file", {}, EBADF);
  return open->ino;
}

[[noreturn]] void not_simulated(const char* what) {
  std::fprintf(stderr, "the simulated world has no %s\n", what);
  std::abort();
}

}  // namespace

void close_fd(int fd) {
  if (!kernel().ghost()) kernel().close(fd);
}

Result<Fd> open_at(int dir, std::string_view path, int flags, mode_t) {
  if (const auto answer = ghost()) return *answer ? Result<Fd>(Fd()) : Result<Fd>(answer->error());
  Description made;
  if (path == "/dev/null") {
    made.kind = Description::Kind::kDevice;
    return Fd(kernel().open(std::move(made)));
  }
  Place at = TRY(resolve(dir, path));
  if (at.ino != kNoIno && (flags & O_CREAT) != 0 && (flags & O_EXCL) != 0) return system_error("open", path, EEXIST);
  if (kernel().events().chance("emfile")) return system_error("open", path, EMFILE);
  if (at.ino == kNoIno) {
    if ((flags & O_CREAT) == 0) return system_error("open", path, ENOENT);
    TRY(change(DiskOp::kCreate, path, [&](world::Disk& disk) { return disk.create(at.dir, at.name, false, at.ino); }));
    if (const auto answer = ghost()) return *answer ? Result<Fd>(Fd()) : Result<Fd>(answer->error());
  } else if ((flags & O_TRUNC) != 0) {
    TRY(change(DiskOp::kResize, path, [&](world::Disk& disk) { return disk.resize(at.ino, 0); }));
    if (const auto answer = ghost()) return *answer ? Result<Fd>(Fd()) : Result<Fd>(answer->error());
  }
  const bool is_dir = kernel().disk.at(at.ino).is_dir;
  if ((flags & O_DIRECTORY) != 0 && !is_dir) return system_error("open", path, ENOTDIR);
  made.kind = Description::Kind::kFile;
  made.ino = at.ino;
  made.append = (flags & O_APPEND) != 0;
  return Fd(kernel().open(std::move(made)));
}

Result<Fd> open_regular_at(int dir, std::string_view path, int flags) {
  Fd fd = TRY(open_at(dir, path, flags));
  if (!kernel().ghost() && kernel().disk.at(TRY(file_of(fd.get()))).is_dir) return system_error("open", path, EISDIR);
  return fd;
}

Result<Fd> open_dir_at(int dir, std::string_view path) { return open_at(dir, path, O_RDONLY | O_DIRECTORY); }

Result<void> make_dir_at(int dir, std::string_view path, mode_t) {
  if (const auto answer = ghost()) return *answer;
  const Place at = TRY(resolve(dir, path));
  if (at.ino != kNoIno) return system_error("mkdir", path, EEXIST);
  Ino made = kNoIno;
  return change(DiskOp::kCreate, path, [&](world::Disk& disk) { return disk.create(at.dir, at.name, true, made); });
}

Result<void> rename_at(int old_dir, std::string_view old_path, int new_dir, std::string_view new_path) {
  if (const auto answer = ghost()) return *answer;
  const Place from = TRY(resolve(old_dir, old_path));
  const Place to = TRY(resolve(new_dir, new_path));
  TRY(change(DiskOp::kRename, old_path,
             [&](world::Disk& disk) { return disk.rename(from.dir, from.name, to.dir, to.name); }));
  return {};
}

Result<void> exchange_at(int old_dir, std::string_view old_path, int new_dir, std::string_view new_path) {
  if (const auto answer = ghost()) return *answer;
  const Place from = TRY(resolve(old_dir, old_path));
  const Place to = TRY(resolve(new_dir, new_path));
  return change(DiskOp::kRename, old_path,
                [&](world::Disk& disk) { return disk.exchange(from.dir, from.name, to.dir, to.name); });
}

Result<void> unlink_at(int dir, std::string_view path) {
  if (const auto answer = ghost()) return *answer;
  const Place at = TRY(resolve(dir, path));
  return change(DiskOp::kUnlink, path, [&](world::Disk& disk) { return disk.unlink(at.dir, at.name, false); });
}

Result<void> remove_dir_at(int dir, std::string_view path) {
  if (const auto answer = ghost()) return *answer;
  const Place at = TRY(resolve(dir, path));
  return change(DiskOp::kUnlink, path, [&](world::Disk& disk) { return disk.unlink(at.dir, at.name, true); });
}

Result<void> write_all(int fd, std::string_view bytes) {
  if (const auto answer = ghost()) return *answer;
  Description* open = kernel().at(fd);
  if (open->kind == Description::Kind::kMemory) {
    open->bytes += bytes;
    return {};
  }
  return change(DiskOp::kWrite, {}, [&](world::Disk& disk) {
    open = kernel().at(fd);  // others may have opened something meanwhile
    const int64_t at = open->append ? static_cast<int64_t>(disk.at(open->ino).data.size()) : open->offset;
    const int error = disk.write(open->ino, at, bytes);
    if (error == 0) open->offset = at + static_cast<int64_t>(bytes.size());
    return error;
  });
}

Result<void> write_all_at(int fd, std::string_view bytes, int64_t offset) {
  if (const auto answer = ghost()) return *answer;
  const Ino ino = TRY(file_of(fd));
  return change(DiskOp::kWrite, {}, [&](world::Disk& disk) { return disk.write(ino, offset, bytes); });
}

Result<void> sync(int fd) {
  if (const auto answer = ghost()) return *answer;
  const Ino ino = TRY(file_of(fd));
  Result<void> synced = change(DiskOp::kSync, {}, [&](world::Disk& disk) {
    disk.sync(ino);
    return 0;
  });
  if (!synced && !kernel().disk.at(ino).is_dir) kernel().disk.lose_changes(ino);
  return synced;
}

void start_writing(int) {}

Result<void> sync_file_system(int) {
  if (const auto answer = ghost()) return *answer;
  return change(DiskOp::kSync, {}, [&](world::Disk& disk) {
    disk.sync_all();
    return 0;
  });
}

Result<void> truncate(int fd, int64_t size) {
  if (const auto answer = ghost()) return *answer;
  const Ino ino = TRY(file_of(fd));
  return change(DiskOp::kResize, {}, [&](world::Disk& disk) { return disk.resize(ino, size); });
}

Result<void> reserve(int fd, size_t size) {
  if (const auto answer = ghost()) return *answer;
  const Ino ino = TRY(file_of(fd));
  return change(DiskOp::kAllocate, {},
                [&](world::Disk& disk) { return disk.allocate(ino, static_cast<int64_t>(size)); });
}

Result<void> punch_hole(int fd, int64_t from, int64_t to) {
  if (const auto answer = ghost()) return *answer;
  const Ino ino = TRY(file_of(fd));
  return change(DiskOp::kWrite, {}, [&](world::Disk& disk) { return disk.punch(ino, from, to); });
}

Result<int64_t> file_size(int fd) {
  const Ino ino = TRY(file_of(fd));
  return static_cast<int64_t>(kernel().disk.at(ino).data.size());
}

Result<DataRange> next_data(int, int64_t offset, int64_t size) { return DataRange{offset, size}; }

Result<int64_t> allocated_size(int fd) {
  const Ino ino = TRY(file_of(fd));
  return kernel().disk.at(ino).allocated;
}

Result<WallMicros> change_time_at(int dir, std::string_view path) {
  if (kernel().ghost()) return system_error("stat", path, EIO);
  const Place at = TRY(resolve(dir, path));
  if (at.ino == kNoIno) return system_error("stat", path, ENOENT);
  return kernel().disk.at(at.ino).changed_at;
}

Result<void> set_attribute(int fd, const char* name, std::string_view value) {
  if (const auto answer = ghost()) return *answer;
  const Ino ino = TRY(file_of(fd));
  if (kernel().events().chance("noattributes")) return system_error("fsetxattr", {}, EOPNOTSUPP);
  TRY(change(DiskOp::kAttribute, {}, [&](world::Disk& disk) {
    disk.at(ino).attributes.insert_or_assign(name, std::string(value));
    return 0;
  }));
  if (!ghost()) kernel().notify_attributes(ino);
  return {};
}

std::optional<std::string> attribute(int fd, const char* name) {
  const Result<Ino> ino = file_of(fd);
  if (kernel().ghost() || !ino) return std::nullopt;
  const auto& all = kernel().disk.at(*ino).attributes;
  const auto found = all.find(name);
  return found == all.end() ? std::nullopt : std::optional(found->second);
}

Result<void> set_times_now(int fd) {
  if (const auto answer = ghost()) return *answer;
  kernel().notify_attributes(TRY(file_of(fd)));
  return {};
}

Result<FileVersion> file_version(int fd) {
  if (kernel().ghost()) return system_error("fstat", {}, EIO);
  const Ino ino = TRY(file_of(fd));
  return FileVersion{ino, kernel().disk.at(ino).changed_at, kernel().disk.at(ino).links == 0};
}

bool exists_at(int dir, std::string_view path) {
  if (kernel().ghost()) return kernel().current().kind != ProcessKind::kAgent;
  const Result<Place> at = resolve(dir, path);
  return at.ok() && at->ino != kNoIno;
}

Result<ReadSize> read_file_at(int dir, std::string_view path, std::string& out, size_t limit, size_t padding) {
  const Fd fd = TRY(open_regular_at(dir, path, O_RDONLY));
  return read_file(fd.get(), path, out, limit, padding);
}

Result<ReadSize> read_file(int fd, std::string_view path, std::string& out, size_t limit, size_t padding) {
  if (kernel().ghost()) return system_error("read", path, EIO);
  if (kernel().events().chance("unreadable")) return system_error("read", path, ENOMEM);
  const std::string& data = kernel().disk.at(TRY(file_of(fd))).data;
  if (data.size() > limit) return Error{ErrorKind::kTooLarge, 0, std::string(path)};
  out.assign(data);
  out.resize(data.size() + padding);
  return ReadSize{data.size()};
}

Result<size_t> read_at(int fd, char* to, size_t size, int64_t offset) {
  if (kernel().ghost()) return size_t{0};
  const Description* open = kernel().at(fd);
  const bool memory = open != nullptr && open->kind == Description::Kind::kMemory;
  const std::string& data = memory ? open->bytes : kernel().disk.at(TRY(file_of(fd))).data;
  if (offset >= static_cast<int64_t>(data.size())) return size_t{0};
  return data.copy(to, size, static_cast<size_t>(offset));
}

Result<std::vector<DirEntry>> list_dir(int dir) {
  if (kernel().ghost()) return system_error("readdir", {}, EIO);
  std::vector<DirEntry> entries;
  for (const auto& [name, ino] : kernel().disk.at(TRY(file_of(dir))).entries) {
    entries.push_back({name, kernel().disk.at(ino).is_dir});
  }
  return entries;
}

Result<bool> try_flock(int fd) {
  if (kernel().ghost()) return true;
  TRY(file_of(fd));
  return kernel().lock(fd);
}

Result<bool> try_record_lock(int fd) {
  if (kernel().ghost()) return true;
  int32_t& holder = kernel().record_locks[TRY(file_of(fd))];
  if (holder == 0) holder = kernel().current().pid;
  return holder == kernel().current().pid;
}

Result<Fd> make_memfd(const char*, std::string_view bytes) {
  if (const auto answer = ghost()) return *answer ? Result<Fd>(Fd()) : Result<Fd>(answer->error());
  Description made;
  made.kind = Description::Kind::kMemory;
  made.bytes = bytes;
  return Fd(kernel().open(std::move(made)));
}

// As unguessable as it has to be here: never the same twice, and the same again when the world is.
Result<void> random_hex(char* out, size_t digits) {
  if (kernel().ghost()) return system_error("getrandom", {}, EIO);
  uint64_t number = kernel().next_random();
  for (size_t i = 0; i < digits; ++i) {
    out[i] = "0123456789abcdef"[number & 15U];
    number >>= 4U;
    if (i % 16 == 15) number = kernel().next_random();
  }
  return {};
}

Result<void> remove_contents(int dir) { return remove_entries(dir, TRY(list_dir(dir))); }

Result<void> remove_entries(int dir, const std::vector<DirEntry>& entries) {
  std::optional<Error> first_error;
  for (const DirEntry& entry : entries) {
    Result<void> removed;
    if (entry.is_dir) {
      const Result<Fd> inner = open_dir_at(dir, entry.name);
      removed = inner ? remove_contents(inner->get()) : Result<void>(inner.error());
      if (removed) removed = remove_dir_at(dir, entry.name);
    } else {
      removed = unlink_at(dir, entry.name);
    }
    if (!removed && !first_error) first_error = removed.error();
  }
  if (first_error) return *first_error;
  return {};
}

void lower_priority() {}

// Asked for by parts that are linked and not used here.
Result<FileKind> kind_of(int, std::string_view) { not_simulated("kind_of"); }
Result<void> set_owner_group_at(int, std::string_view, const std::optional<uint32_t>&, mode_t) {
  not_simulated("set_owner_group_at");
}
Result<void> make_dirs_below(std::string_view, std::string_view) { not_simulated("make_dirs_below"); }
Result<std::string> read_stream(int, size_t) { not_simulated("read_stream"); }
Result<bool> record_locked(int) { not_simulated("record_locked"); }
CPath::CPath(std::string_view) { not_simulated("CPath"); }

}  // namespace te::sys

#include "sys/fs.h"

#include <dirent.h>
#include <linux/falloc.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>

namespace te::sys {

CPath::CPath(std::string_view path) {
  if (path.size() < sizeof inline_) {
    std::memcpy(inline_, path.data(), path.size());
    inline_[path.size()] = '\0';
    data_ = inline_;
  } else {
    heap_ = path;
    data_ = heap_.c_str();
  }
}

Result<Fd> open_at(int dir, std::string_view path, int flags, mode_t mode) {
  const CPath c(path);
  int fd;
  do {
    fd = ::openat(dir, c.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return system_error("open", path);
  return Fd(fd);
}

Result<Fd> open_regular_at(int dir, std::string_view path, int flags) {
  flags |= O_NOFOLLOW | O_NONBLOCK;
  // A new time of access would be a change, for which the file system's journal may make a reader wait.
  Result<Fd> opened = open_at(dir, path, flags | O_NOATIME);
  if (!opened && opened.error().code == EPERM) opened = open_at(dir, path, flags);  // somebody else's file
  Fd fd = TRY(std::move(opened));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return system_error("fstat", path);
  if (!S_ISREG(info.st_mode)) return system_error("open", path, S_ISDIR(info.st_mode) ? EISDIR : EINVAL);
  return fd;
}

Result<Fd> open_dir_at(int dir, std::string_view path) {
  return open_at(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

Result<void> make_dir_at(int dir, std::string_view path, mode_t mode) {
  if (::mkdirat(dir, CPath(path).c_str(), mode) != 0) return system_error("mkdir", path);
  return {};
}

Result<void> rename_at(int old_dir, std::string_view old_path, int new_dir, std::string_view new_path) {
  if (::renameat(old_dir, CPath(old_path).c_str(), new_dir, CPath(new_path).c_str()) != 0) {
    return system_error("rename", old_path);
  }
  return {};
}

Result<void> exchange_at(int old_dir, std::string_view old_path, int new_dir, std::string_view new_path) {
  if (::renameat2(old_dir, CPath(old_path).c_str(), new_dir, CPath(new_path).c_str(), RENAME_EXCHANGE) != 0) {
    return system_error("exchange", old_path);
  }
  return {};
}

Result<void> unlink_at(int dir, std::string_view path) {
  if (::unlinkat(dir, CPath(path).c_str(), 0) != 0) return system_error("unlink", path);
  return {};
}

Result<void> remove_dir_at(int dir, std::string_view path) {
  if (::unlinkat(dir, CPath(path).c_str(), AT_REMOVEDIR) != 0) return system_error("rmdir", path);
  return {};
}

Result<void> write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return system_error("write");
    }
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Result<void> sync(int fd) {
  if (::fsync(fd) != 0) return system_error("fsync");
  return {};
}

void start_writing(int fd) { (void)::sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE); }

Result<void> sync_file_system(int fd) {
  if (::syncfs(fd) != 0) return system_error("syncfs");
  return {};
}

Result<void> truncate(int fd, int64_t size) {
  if (::ftruncate(fd, size) != 0) return system_error("ftruncate");
  return {};
}

Result<void> reserve(int fd, size_t size) {
  if (::fallocate(fd, 0, 0, static_cast<off_t>(size)) == 0) return {};
  if (errno != EOPNOTSUPP && errno != ENOSYS) return system_error("fallocate");
  return write_all(fd, std::string(size, '\0'));
}

Result<int64_t> file_size(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return system_error("fstat");
  return static_cast<int64_t>(info.st_size);
}

Result<int64_t> allocated_size(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return system_error("fstat");
  return static_cast<int64_t>(info.st_blocks) * 512;
}

Result<void> set_attribute(int fd, const char* name, std::string_view value) {
  if (::fsetxattr(fd, name, value.data(), value.size(), 0) != 0) return system_error("fsetxattr");
  return {};
}

std::optional<std::string> attribute(int fd, const char* name) {
  std::array<char, kAttributeMax> value;
  const ssize_t size = ::fgetxattr(fd, name, value.data(), value.size());
  if (size < 0) return std::nullopt;
  return std::string(value.data(), static_cast<size_t>(size));
}

Result<void> set_times_now(int fd) {
  if (::futimens(fd, nullptr) != 0) return system_error("futimens");
  return {};
}

Result<WallMicros> change_time_at(int dir, std::string_view path) {
  struct stat info {};
  if (::fstatat(dir, CPath(path).c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return system_error("stat", path);
  return static_cast<WallMicros>(info.st_ctim.tv_sec) * 1'000'000 + info.st_ctim.tv_nsec / 1'000;
}

Result<FileVersion> file_version(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return system_error("fstat");
  const WallMicros changed_at = static_cast<WallMicros>(info.st_ctim.tv_sec) * 1'000'000 + info.st_ctim.tv_nsec / 1'000;
  return FileVersion{info.st_ino, changed_at, info.st_nlink == 0};
}

bool exists_at(int dir, std::string_view path) {
  return ::faccessat(dir, CPath(path).c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

Result<ReadSize> read_file_at(int dir, std::string_view path, std::string& out, size_t limit, size_t padding) {
  const Fd fd = TRY(open_regular_at(dir, path, O_RDONLY));
  return read_file(fd.get(), path, out, limit, padding);
}

Result<ReadSize> read_file(int fd, std::string_view path, std::string& out, size_t limit, size_t padding) {
  size_t size = 0;
  out.resize(std::max<size_t>(out.size(), 4096 + padding));
  for (;;) {
    const size_t room = out.size() - padding - size;
    const size_t n = TRY(read_at(fd, out.data() + size, room, static_cast<int64_t>(size)));
    size += n;
    if (size > limit) return Error{ErrorKind::kTooLarge, 0, std::string(path) + ": larger than a file of its kind"};
    if (n < room) return ReadSize{size};  // a regular file gives all it has
    out.resize(out.size() * 2);
  }
}

Result<size_t> read_at(int fd, char* to, size_t size, int64_t offset) {
  for (;;) {
    const ssize_t n = ::pread(fd, to, size, offset);
    if (n >= 0) return static_cast<size_t>(n);
    if (errno != EINTR) return system_error("read");
  }
}

Result<void> write_all_at(int fd, std::string_view bytes, int64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), offset);
    if (n < 0) {
      if (errno == EINTR) continue;
      return system_error("write");
    }
    bytes.remove_prefix(static_cast<size_t>(n));
    offset += n;
  }
  return {};
}

Result<DataRange> next_data(int fd, int64_t offset, int64_t size) {
  for (off_t from = offset;;) {
    const off_t start = ::lseek(fd, from, SEEK_DATA);
    if (start < 0) {
      if (errno == ENXIO) return DataRange{size, size};
      if (errno == EINVAL) return DataRange{offset, size};  // the file system knows no holes
      return system_error("lseek");
    }
    if (start >= size) return DataRange{size, size};  // a file that grows, and is cut, while it is looked at
    const off_t end = ::lseek(fd, start, SEEK_HOLE);
    if (end < 0) return system_error("lseek");
    if (end > start) return DataRange{start, std::min<int64_t>(end, size)};
    from = start;  // the hole has grown in between
  }
}

Result<std::string> read_stream(int fd, size_t limit) {
  std::string text;
  char piece[16 * 1024];
  for (;;) {
    const ssize_t n = ::read(fd, piece, sizeof piece);
    if (n == 0) return text;
    if (n < 0 && errno != EINTR) return system_error("read");
    if (n > 0) text.append(piece, static_cast<size_t>(n));
    if (text.size() > limit) return Error{ErrorKind::kTooLarge, 0, "more than is taken"};
  }
}

Result<void> punch_hole(int fd, int64_t from, int64_t to) {
  if (::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, to - from) != 0) {
    return system_error("fallocate");
  }
  return {};
}

Result<std::vector<DirEntry>> list_dir(int dir) {
  // A descriptor of its own: readdir moves the offset, which copies of a descriptor share.
  Fd fd = TRY(open_at(dir, ".", O_RDONLY | O_DIRECTORY));
  DIR* stream = ::fdopendir(fd.get());
  if (stream == nullptr) return system_error("fdopendir");
  fd.release();
  std::vector<DirEntry> entries;
  errno = 0;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody else has this stream
  while (const dirent* entry = ::readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    bool is_dir = entry->d_type == DT_DIR;
    if (entry->d_type == DT_UNKNOWN) {
      struct stat info {};
      is_dir = ::fstatat(dir, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
    }
    entries.push_back({std::string(name), is_dir});
    errno = 0;
  }
  const int error = errno;
  ::closedir(stream);
  if (error != 0) return system_error("readdir", {}, error);
  return entries;
}

Result<bool> try_flock(int fd) {
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return true;
  if (errno == EWOULDBLOCK) return false;
  return system_error("flock");
}

Result<bool> try_record_lock(int fd) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(fd, F_SETLK, &lock) == 0) return true;
  if (errno == EACCES || errno == EAGAIN) return false;
  return system_error("fcntl");
}

Result<bool> record_locked(int fd) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(fd, F_GETLK, &lock) != 0) return system_error("fcntl");
  return lock.l_type != F_UNLCK;
}

Result<Fd> make_memfd(const char* name, std::string_view bytes) {
  constexpr unsigned kNoExecSeal = 8;  // MFD_NOEXEC_SEAL, Linux 6.3
  int raw = ::memfd_create(name, MFD_CLOEXEC | kNoExecSeal);
  if (raw < 0 && errno == EINVAL) raw = ::memfd_create(name, MFD_CLOEXEC);
  if (raw < 0) return system_error("memfd_create");
  Fd fd(raw);
  TRY(write_all(fd.get(), bytes));
  return fd;
}

Result<void> random_hex(char* out, size_t digits) {
  uint8_t bytes[64];
  const size_t need = (digits + 1) / 2;
  if (need > sizeof bytes || ::getrandom(bytes, need, 0) != static_cast<ssize_t>(need))
    return system_error("getrandom");
  for (size_t i = 0; i < digits; ++i) {
    out[i] = "0123456789abcdef"[(i % 2 == 0 ? bytes[i / 2] >> 4 : bytes[i / 2]) & 15U];
  }
  return {};
}

Result<FileKind> kind_of(int dir, std::string_view path) {
  struct stat info {};
  if (fstatat(dir, CPath(path).c_str(), &info, 0) != 0) return system_error("stat", path);
  if (S_ISREG(info.st_mode)) return FileKind::kFile;
  if (S_ISDIR(info.st_mode)) return FileKind::kDirectory;
  return S_ISSOCK(info.st_mode) ? FileKind::kSocket : FileKind::kOther;
}

Result<void> set_owner_group_at(int dir, std::string_view path, const std::optional<uint32_t>& group, mode_t mode) {
  const Fd opened = TRY(open_dir_at(dir, path));
  if (group && fchown(opened.get(), static_cast<uid_t>(-1), *group) != 0) return system_error("chown", path);
  if (fchmod(opened.get(), mode) != 0) return system_error("chmod", path);
  return {};
}

Result<void> make_dirs_below(std::string_view base, std::string_view path) {
  Fd at = TRY(open_at(AT_FDCWD, base, O_PATH | O_DIRECTORY));
  struct stat info {};
  if (fstat(at.get(), &info) != 0) return system_error("stat", base);
  const mode_t mode = info.st_mode & (S_ISGID | 0777U);
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (name.empty() || name == ".") continue;
    Result<void> made = make_dir_at(at.get(), name, mode);
    if (!made && made.error().code != EEXIST) return made;
    if (made) TRY(set_owner_group_at(at.get(), name, {}, mode));  // whatever the umask
    Fd next = TRY(open_at(at.get(), name, O_PATH | O_NOFOLLOW));
    if (fstat(next.get(), &info) != 0) return system_error("stat", name);
    if (S_ISLNK(info.st_mode)) return system_error("look below", name, ELOOP);
    if (!S_ISDIR(info.st_mode) && !path.empty()) return system_error("look below", name, ENOTDIR);
    at = std::move(next);
  }
  return {};
}

}  // namespace te::sys

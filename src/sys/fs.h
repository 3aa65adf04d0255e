// Files and directories, relative to directory descriptors; every descriptor made here is CLOEXEC.
#pragma once

#include <fcntl.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "sys/fd.h"

namespace te::sys {

/// A path as the kernel wants it: NUL-terminated, on the stack when it is short.
class CPath {
 public:
  explicit CPath(std::string_view path);
  const char* c_str() const { return data_; }
  CPath(const CPath&) = delete;
  CPath& operator=(const CPath&) = delete;
  ~CPath() = default;

 private:
  char inline_[512];
  std::string heap_;
  const char* data_;
};

Result<Fd> open_at(int dir, std::string_view path, int flags, mode_t mode = 0);
/// A regular file and nothing else (EINVAL): a FIFO that somebody has put in its place must not make us wait.
Result<Fd> open_regular_at(int dir, std::string_view path, int flags);
Result<Fd> open_dir_at(int dir, std::string_view path);
Result<void> make_dir_at(int dir, std::string_view path, mode_t mode);
/// `path` and all that is missing above it. Durable, or else what is put in there would not be.
Result<void> make_dirs(std::string_view path, mode_t mode = 0700, bool durable = true);
/// The names that lead to it are durable, whoever has made them; but those in directories that we may not read.
Result<void> sync_above(std::string_view path);
Result<void> rename_at(int old_dir, std::string_view old_path, int new_dir, std::string_view new_path);
/// Both names change places in one step (RENAME_EXCHANGE, rename(2)).
Result<void> exchange_at(int old_dir, std::string_view old_path, int new_dir, std::string_view new_path);
Result<void> unlink_at(int dir, std::string_view path);
Result<void> remove_dir_at(int dir, std::string_view path);
Result<void> write_all(int fd, std::string_view bytes);
Result<void> sync(int fd);
/// Only begins it, so that several files are written at the same time; sync() waits for each, and tells what failed
/// (sync_file_range(2)).
void start_writing(int fd);
/// All of the file system that `fd` is on (syncfs(2)).
Result<void> sync_file_system(int fd);
Result<void> truncate(int fd, int64_t size);
/// Blocks for the first `size` bytes of a new file: what is written there later asks for no space (fallocate(2); zeros
/// are written where the file system can't do that).
Result<void> reserve(int fd, size_t size);
Result<int64_t> file_size(int fd);
/// Bytes of disk that the file takes (holes take none).
Result<int64_t> allocated_size(int fd);
constexpr size_t kAttributeMax = 64;
/// An extended attribute (xattr(7)); its name begins with "user.".
Result<void> set_attribute(int fd, const char* name, std::string_view value);
/// Nothing where the file has none of that name, or one of more than kAttributeMax bytes.
std::optional<std::string> attribute(int fd, const char* name);
/// Both of the file's times are now.
Result<void> set_times_now(int fd);
/// Time of the last change of the inode, a rename among them.
Result<WallMicros> change_time_at(int dir, std::string_view path);
/// Tells one content of a path from the next: another file has another inode, the same file another time of change.
struct FileVersion {
  uint64_t inode = 0;
  WallMicros changed_at = 0;
  bool removed = false;  ///< no name leads to it any more

  bool operator==(const FileVersion&) const = default;
};
Result<FileVersion> file_version(int fd);
bool exists_at(int dir, std::string_view path);
enum class FileKind : uint8_t { kFile, kDirectory, kSocket, kOther };
/// What stands there, links followed.
Result<FileKind> kind_of(int dir, std::string_view path);
/// Mode and group (absent: as it is) of a directory that nobody else can replace meanwhile.
Result<void> set_owner_group_at(int dir, std::string_view path, const std::optional<uint32_t>& group, mode_t mode);
/// Every directory of `path` below `base` that is missing, with the mode of `base` and, where that has the setgid bit,
/// its group. No part of it may be a symbolic link (ELOOP); the last one may be a file that is there.
Result<void> make_dirs_below(std::string_view base, std::string_view path);
/// The whole file, into `out` (cleared first) with `padding` readable bytes behind `size`. Missing: ENOENT.
/// More than `limit` bytes: kTooLarge.
struct ReadSize {
  size_t size;
};
Result<ReadSize> read_file_at(int dir, std::string_view path, std::string& out, size_t limit, size_t padding);
/// The same of one that is open; `path` is for errors.
Result<ReadSize> read_file(int fd, std::string_view path, std::string& out, size_t limit, size_t padding);
/// Like pread(2), again after EINTR; 0 at the end of the file.
Result<size_t> read_at(int fd, char* to, size_t size, int64_t offset);
/// Like pwrite(2), all of it; `fd` must not be O_APPEND.
Result<void> write_all_at(int fd, std::string_view bytes, int64_t offset);
/// First data at or behind `offset`, and the hole behind it (lseek(2), SEEK_DATA), neither beyond `size`; `size` twice:
/// nothing but a hole.
struct DataRange {
  int64_t start;
  int64_t end;
};
Result<DataRange> next_data(int fd, int64_t offset, int64_t size);
/// Give the blocks of [from, to) back and keep the size (fallocate(2), PUNCH_HOLE).
Result<void> punch_hole(int fd, int64_t from, int64_t to);

/// All that a stream (standard input, say) gives until its end. More than `limit` bytes: kTooLarge.
Result<std::string> read_stream(int fd, size_t limit);

struct DirEntry {
  std::string name;
  bool is_dir;
};
/// All but "." and "..".
Result<std::vector<DirEntry>> list_dir(int dir);

/// Exclusive flock(2) without waiting: true when taken. It lives as long as any copy of this open descriptor.
Result<bool> try_flock(int fd);
/// Write lock of fcntl(2) on the whole file, without waiting: true when taken. Not inherited by children.
Result<bool> try_record_lock(int fd);

/// Whether some other process holds such a lock.
Result<bool> record_locked(int fd);

/// Anonymous file, sealed against nothing, for handing bytes to a child (memfd_create(2)).
Result<Fd> make_memfd(const char* name, std::string_view bytes);

/// 32 hexadecimal digits from getrandom(2).
Result<void> random_hex(char* out, size_t digits);

}  // namespace te::sys

#include "sys/remove_tree.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <string>

#include "base/size.h"
#include "sys/fs.h"

namespace te::sys {

namespace {

constexpr int64_t kCutStep = 32 * kMiB;

void cut_down(int dir, const std::string& name) {
  struct stat info {};
  if (::fstatat(dir, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return;
  // Another name of the same file must not lose its content.
  if (!S_ISREG(info.st_mode) || info.st_nlink != 1 || info.st_blocks * 512 <= kCutStep) return;
  const Result<Fd> file = open_at(dir, name, O_WRONLY | O_NOFOLLOW);
  if (!file) return;
  for (int64_t size = info.st_size; size > 0;) {
    size = size > kCutStep ? size - kCutStep : 0;
    if (!truncate(file->get(), size)) return;
  }
}

}  // namespace

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
      cut_down(dir, entry.name);
      removed = unlink_at(dir, entry.name);
    }
    if (!removed && !first_error) first_error = removed.error();
  }
  if (first_error) return *first_error;
  return {};
}

void lower_priority() { ::setpriority(PRIO_PROCESS, 0, 10); }

}  // namespace te::sys

#include "sys/atomic_file.h"

#include <cerrno>

#include "sys/fs.h"

namespace te::sys {

namespace {

constexpr const char* kDurable = "user.task_executor.durable";

// Never a file that an earlier writer has left: should its new content not reach the disk before the new name does, the
// old one would stand there, whole and with a good checksum.
Result<Fd> make_file(int dir, std::string_view name) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  Result<Fd> made = open_at(dir, name, kFlags, 0600);
  if (made || made.error().code != EEXIST) return made;
  TRY(unlink_at(dir, name));
  return open_at(dir, name, kFlags, 0600);
}

}  // namespace

Result<void> write_atomic(int dir, std::string_view temporary, std::string_view name, std::string_view text,
                          bool durable) {
  {
    const Fd file = TRY(make_file(dir, temporary));
    TRY(write_all(file.get(), text));
    if (durable) TRY(sync(file.get()));
  }
  TRY(rename_at(dir, temporary, dir, name));
  if (durable) TRY(sync(dir));
  return {};
}

Result<Fd> open_reserved(int dir, std::string_view name) {
  Result<Fd> file = open_regular_at(dir, name, O_WRONLY);
  if (file) return file;
  switch (file.error().code) {
    case EISDIR: TRY(rename_at(dir, name, dir, "in_the_way")); [[fallthrough]];
    case ENOENT:
    case EINVAL:  // a FIFO that somebody reads, or a device
    case ENXIO:   // a FIFO or a socket
    case ELOOP: return make_file(dir, name);
    default: return file;
  }
}

Result<void> fill_reserved(int dir, std::string_view reserved, std::string_view name, std::string_view text) {
  TRY(exists_at(dir, name) ? sync(dir) : fill_reserved_over(dir, reserved, name, text));
  // What can't be marked is durable all the same; whoever reads it will sync it once more.
  const Result<Fd> file = open_regular_at(dir, name, O_WRONLY);
  if (file && !set_attribute(file->get(), kDurable, {})) (void)set_times_now(file->get()).ok();
  return {};
}

bool is_known_durable(int fd) { return attribute(fd, kDurable).has_value(); }

Result<void> add_note(int dir, std::string_view name, const char* attribute, std::string_view text) {
  const Fd file = TRY(open_regular_at(dir, name, O_WRONLY));
  return set_attribute(file.get(), attribute, text);
}

Result<void> announce(int dir, std::string_view name) {
  const Fd file = TRY(open_regular_at(dir, name, O_WRONLY));
  return set_times_now(file.get());
}

Result<void> fill_reserved_over(int dir, std::string_view reserved, std::string_view name, std::string_view text) {
  {
    const Fd file = TRY(open_reserved(dir, reserved));
    TRY(write_all(file.get(), text));
    TRY(truncate(file.get(), static_cast<int64_t>(text.size())));
    TRY(sync(file.get()));
  }
  TRY(rename_at(dir, reserved, dir, name));
  return sync(dir);
}

}  // namespace te::sys

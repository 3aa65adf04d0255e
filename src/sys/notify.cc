#include "sys/notify.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cstring>

namespace te::sys {

Result<void> Notifier::open() {
  fd_ = Fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!fd_.valid()) return system_error("inotify_init1");
  return {};
}

Result<int> Notifier::add(const char* directory) {
  const int number = ::inotify_add_watch(fd_.get(), directory, IN_ATTRIB | IN_ONLYDIR | IN_DONT_FOLLOW);
  if (number < 0) return system_error("inotify_add_watch", directory);
  return number;
}

Result<int> Notifier::add_written(const char* file) {
  const int number = ::inotify_add_watch(fd_.get(), file, IN_MODIFY | IN_DONT_FOLLOW);
  if (number < 0) return system_error("inotify_add_watch", file);
  return number;
}

void Notifier::remove(int number) { ::inotify_rm_watch(fd_.get(), number); }

bool Notifier::read(Visitor& visitor) {
  alignas(inotify_event) std::array<char, 4096> buffer;  // some 128 events: a turn's worth
  const ssize_t size = ::read(fd_.get(), buffer.data(), buffer.size());
  for (ssize_t at = 0; at < size;) {
    inotify_event event{};
    std::memcpy(&event, buffer.data() + at, sizeof event);
    // Padded with NULs, and absent where it is the watched thing itself.
    const std::string_view name(event.len > 0 ? buffer.data() + at + sizeof event : "");
    at += static_cast<ssize_t>(sizeof event + event.len);
    if ((event.mask & IN_Q_OVERFLOW) != 0) {
      visitor.visit(-1, Change::kLost, {});
    } else if ((event.mask & IN_ATTRIB) != 0 && event.len > 0) {
      visitor.visit(event.wd, Change::kAttributes, name);
    } else if ((event.mask & IN_MODIFY) != 0) {
      visitor.visit(event.wd, Change::kWritten, name);
    }
  }
  return size > 0;
}

}  // namespace te::sys

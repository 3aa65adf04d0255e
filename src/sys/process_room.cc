#include "sys/process_room.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/text.h"
#include "sys/fs.h"

namespace te::sys {

namespace {

std::optional<std::string> text_of(const std::string& path) {
  constexpr size_t kMost = 4096;
  std::string text;
  const Result<ReadSize> read = read_file_at(AT_FDCWD, path, text, kMost, 0);
  if (!read) return std::nullopt;
  text.resize(read->size);
  return text;
}

/// "max" and what is not there is no number.
std::optional<int64_t> number_in(const std::string& path) {
  const std::optional<std::string> text = text_of(path);
  return text ? parse_int(std::string_view(*text).substr(0, text->find('\n'))) : std::nullopt;
}

size_t left_of(int64_t limit, int64_t used) { return limit > used ? static_cast<size_t>(limit - used) : 0; }

/// Of that cgroup and all above it, up to where the hierarchy is mounted; in a container that is its own one as a rule.
size_t cgroup_room(std::string_view mounted_at, std::string_view cgroup) {
  size_t room = SIZE_MAX;
  for (;;) {
    const std::string folder = std::string(mounted_at) + std::string(cgroup);
    const std::optional<int64_t> limit = number_in(folder + "/pids.max");
    const std::optional<int64_t> used = limit ? number_in(folder + "/pids.current") : std::nullopt;
    if (used) room = std::min(room, left_of(*limit, *used));
    if (cgroup.empty()) return room;
    cgroup = cgroup.substr(0, cgroup.rfind('/'));
  }
}

}  // namespace

size_t process_room() {
  size_t room = SIZE_MAX;
  rlimit limit{};
  struct sysinfo machine {};
  if (::getrlimit(RLIMIT_NPROC, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && ::sysinfo(&machine) == 0) {
    room = left_of(static_cast<int64_t>(std::min<rlim_t>(limit.rlim_cur, INT32_MAX)), machine.procs);
  }
  const std::optional<std::string> cgroups = text_of("/proc/self/cgroup");
  if (!cgroups) return room;
  // "4:pids:/a/b", and for v2 "0::/a/b" (cgroups(7)).
  for (std::string_view rest = *cgroups; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    std::string_view cgroup = line.substr(second + 1);
    if (cgroup == "/") cgroup = {};
    if (controllers.empty()) {
      room = std::min(room, cgroup_room("/sys/fs/cgroup", cgroup));
    } else if (controllers == "pids") {
      room = std::min(room, cgroup_room("/sys/fs/cgroup/pids", cgroup));
    }
  }
  return room;
}

}  // namespace te::sys

// How many processes more there may be, before somebody meets a limit.
#pragma once

#include <cstddef>

namespace te::sys {

/// The least that is left below pids.max of the caller's cgroup and those above it (cgroup v1 and v2), and, for an
/// ordinary user, RLIMIT_NPROC, for which all processes on this machine count as his. SIZE_MAX: no limit is known.
size_t process_room();

}  // namespace te::sys

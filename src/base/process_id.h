// What tells one process from all others of the same boot.
#pragma once

#include <cstdint>

namespace te {

/// A pid together with its start time (proc(5), stat field 22, clock ticks): a later process with the same pid differs.
struct ProcessId {
  int32_t pid = 0;
  uint64_t start_ticks = 0;

  bool operator==(const ProcessId&) const = default;
};

}  // namespace te

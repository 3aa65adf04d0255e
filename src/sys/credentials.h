// Who a process is and what it may do: user, groups, capabilities, no_new_privs (capabilities(7), prctl(2)).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"

namespace te::sys {

/// Bit n is capability n.
struct CapabilitySets {
  uint64_t effective = 0;
  uint64_t permitted = 0;
  uint64_t inheritable = 0;
  uint64_t bounding = 0;
  uint64_t ambient = 0;
};

/// What another process is allowed, as the caller's user namespace sees it (/proc/PID/status, proc(5)).
struct ProcessCredentials {
  uint32_t user = 0;   ///< effective
  uint32_t group = 0;  ///< effective
  std::vector<uint32_t> groups;
  CapabilitySets capabilities;
  bool no_new_privileges = false;
};
/// `proc` is the process's directory in /proc.
Result<ProcessCredentials> read_credentials(int proc);

struct Credentials {
  std::optional<uint32_t> user;
  std::optional<uint32_t> group;
  std::optional<std::span<const uint32_t>> groups;  ///< absent: unchanged
  bool no_new_privileges = false;
  uint64_t drop = 0;  ///< taken out of every set, the bounding set too
  /// No set of ours is more than that: what a process in another container may not, this one may not.
  const CapabilitySets* limit = nullptr;
  uint64_t add = 0;  ///< kept over the change of user and made ambient; only what the caller has
};

/// Takes the credentials on for good, in the order in which each step still has the right to be taken: groups, bounding
/// set, gid and uid (capabilities kept), capability sets, ambient set, no_new_privs. Clears PDEATHSIG as a side effect.
Result<void> take_on(const Credentials& wanted);
/// Effective, permitted, inheritable and ambient ones; what is done already is not undone by it.
Result<void> drop_all_capabilities();

/// The caller's effective capabilities.
Result<uint64_t> effective_capabilities();

/// getpid() == 1, or the parent is outside this PID namespace: the process is the container's init.
bool is_container_init();

}  // namespace te::sys

// The zygote: a small process of our own program that forks children for its parent, as the parent's own (CLONE_PARENT,
// clone(2)), before they are needed. What they save is an exec, and with it a program's start: libc alone asks for
// fifty CPUIDs there, each of which traps in a virtual machine.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "sys/fd.h"
#include "sys/spawn.h"

namespace te::sys {

/// A process and our end of the socket between it and us; it ends when that is closed.
struct Attached {
  Spawned process{};
  Fd channel;
};

/// `exe`, called `name`, whose main calls serve_as_zygote(); `null` is /dev/null. Errors: socketpair's and clone's; an
/// exec that fails is its end (spawn.h).
Result<Attached> spawn_zygote(Spawner& spawner, int exe, int null, const char* name);

/// Asks for one more child. False: it can't be told.
bool ask_zygote(int channel);

/// The answer to one ask_zygote(): a child that waits, or nothing (pid 0) where none could be made.
/// No value: none yet. EPIPE: the zygote has gone.
Result<std::optional<Attached>> next_child(int channel);

/// The child goes its way, with these descriptors as its 3 and 4 and `name` in its command line. False: it has gone.
/// Before, it dies with its parent, and so does the zygote.
constexpr size_t kGivenToChild = 2;
bool give_to_child(int channel, const std::array<int, kGivenToChild>& fds, std::string_view name);

/// The zygote's own life: main's arguments, and descriptor 3.
enum class ZygoteEnd : uint8_t {
  kOver,     ///< it is not needed, or as a child it is not
  kGiven,    ///< the caller is a child that has its descriptors; its command line is `called` and its name
  kNotWhole  ///< it was given something that it can't take
};
ZygoteEnd serve_as_zygote(int argc, char** argv, std::string_view called);

}  // namespace te::sys

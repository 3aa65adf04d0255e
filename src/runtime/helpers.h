// Helper processes: work on behalf of the agent that would keep its loop too long. The same binary under other names.
#pragma once

#include <span>
#include <string_view>

namespace te {

/// KILLs, by pidfd, every process that carries one of the uids in argv[1…] as its mark, until none does or a second is
/// over. Exit 0 then; the uids of those that would not die are on descriptor kSweeperLeftFd, one behind the other.
constexpr const char* kSweeperName = "task-sweeper";
constexpr int kSweeperLeftFd = 3;
int run_sweeper(int argc, char** argv);
struct Swept {
  std::string_view uid;
  bool seen = false;  ///< by the last look at all processes
  bool seen_before = false;
  bool left() const { return seen || seen_before; }
};
/// The same by whoever calls. False: /proc can't be read.
bool sweep_marked(std::span<Swept> uids);

/// Removes all that is in the directory on descriptor kUnlinkerDirFd, big files bit by bit. Exit 0 when it is empty.
constexpr const char* kUnlinkerName = "task-unlinker";
constexpr int kUnlinkerDirFd = kSweeperLeftFd;
int run_unlinker();

}  // namespace te

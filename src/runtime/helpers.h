// Helper processes: work on behalf of the agent that would keep its loop too long. The same binary under other names.
#pragma once

#include <string_view>
#include <unordered_set>

namespace te {

/// KILLs, by pidfd, every process that carries one of the uids in argv[1…] as its mark, until none does. Exit 0 then.
constexpr const char* kSweeperName = "task-sweeper";
int run_sweeper(int argc, char** argv);
/// The same for one task, by whoever calls. False: /proc can't be read.
bool sweep_marked(const std::unordered_set<std::string_view>& uids);

/// Removes all that is in the directory on descriptor kUnlinkerDirFd, big files bit by bit. Exit 0 when it is empty.
constexpr const char* kUnlinkerName = "task-unlinker";
constexpr int kUnlinkerDirFd = 3;
int run_unlinker();

}  // namespace te

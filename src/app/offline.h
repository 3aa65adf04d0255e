// What the program does without being an agent: fsck and dump look at a data directory, install copies the program.
#pragma once

#include <string_view>

#include "app/config.h"

namespace te {

/// "fsck" or "dump", before the flags of the command line.
bool is_offline_command(std::string_view word);

/// Exit status: 0, or 1 when something is wrong with the directory.
int run_offline(std::string_view command, const Config& config);

/// `task-executor install FILE`: the program itself as FILE, in one step, for images without a shell or cp(1).
/// Exit status: 0, 1 for an error, 2 for a wrong command line.
constexpr std::string_view kInstallCommand = "install";
int run_install(int argc, const char* const* argv);

}  // namespace te

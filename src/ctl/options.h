// The command line of taskctl: one table of commands and flags, from which the parser, the help and the completion of
// the shell are made.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace te::ctl {

enum class Output : uint8_t { kTable, kJson, kName };

struct Options {
  std::string server = "http://127.0.0.1:5758";
  std::string token_file;
  Output output = Output::kTable;
  std::string name;
  std::vector<std::string> env;
  std::string workdir;
  std::optional<MonoNanos> timeout;
  std::optional<int64_t> grace;
  bool detach = false;
  bool remove = false;
  bool follow = false;
  std::string stream;
  std::string tail;
  std::string since;
  std::string file;
  bool prune = false;
  bool all = false;
  std::string revision;
  int64_t count = 0;  ///< of times; 0: for ever
  MonoNanos interval = 2 * kSecond;

  std::vector<std::string> words;    ///< names of tasks, or what else the command takes
  std::vector<std::string> command;  ///< behind "--"
};

struct Command {
  std::string_view name;
  std::string_view arguments;  ///< as the help shows them
  std::string_view help;
  uint32_t flags;    ///< bits of the flags that it takes (options.cc)
  uint32_t least;    ///< words that it needs
  uint32_t most;     ///< words that it takes
  bool takes_names;  ///< the words are names of tasks
  int (*run)(const Options& options);
};

/// commands.cc has them.
std::span<const Command> commands();
const Command* find_command(std::string_view name);

/// The words behind the command's name. kInvalid says what is wrong.
Result<Options> read_options(const Command& command, std::span<const char* const> words);

std::string help_text();
std::string help_text(const Command& command);
std::string bash_completion();

// Bits of Command::flags.
enum FlagBit : uint32_t {
  kOutputFlag = 1U << 0U,
  kRunFlags = 1U << 1U,
  kTimeoutFlag = 1U << 2U,
  kLogFlags = 1U << 3U,
  kApplyFlags = 1U << 4U,
  kAllFlag = 1U << 5U,
  kWatchFlags = 1U << 6U,
  kTopFlags = 1U << 7U,
  kServerFlags = 1U << 8U,
};

}  // namespace te::ctl

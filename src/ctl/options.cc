#include "ctl/options.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "sys/self.h"

namespace te::ctl {

namespace {

constexpr int64_t kMost = INT64_C(1) << 40;

struct Flag {
  std::string_view name;
  char letter;                ///< '\0': none
  std::string_view argument;  ///< empty: a switch
  uint32_t bit;
  std::string_view help;
  Result<void> (*set)(Options& options, std::string_view value);
  std::string_view choices = {};  ///< the values that there are, for the shell
};

Result<void> set_text(std::string& out, std::string_view value) {
  out = value;
  return {};
}

Result<void> set_number(std::string& out, std::string_view value) {
  const std::optional<int64_t> number = parse_int(value);
  if (!number || *number < 0) return invalid("must be a number");
  out = value;
  return {};
}

Result<int64_t> number_from(std::string_view value, int64_t lowest) {
  const std::optional<int64_t> number = parse_int(value);
  if (!number || *number < lowest || *number > kMost) {
    return invalid("must be a number from " + std::to_string(lowest));
  }
  return *number;
}

Result<MonoNanos> duration_from(std::string_view value) {
  const std::optional<int64_t> duration = parse_duration_ns(value);
  if (!duration) return invalid("must be a duration, as 500ms or 1h30m");
  return std::min(*duration, kNever / 2);  // sums with a point in time have room
}

Result<void> set_true(bool& out) {
  out = true;
  return {};
}

constexpr std::array kFlags = {
    Flag{"server", 's', "ADDRESS", kServerFlags,
         "the agent: http://HOST:PORT or unix:/PATH (default http://127.0.0.1:5758) [TASKCTL_SERVER]",
         [](Options& o, std::string_view v) { return set_text(o.server, v); }},
    Flag{"token-file", '\0', "FILE", kServerFlags, "the bearer token to show [TASKCTL_TOKEN_FILE]",
         [](Options& o, std::string_view v) { return set_text(o.token_file, v); }},
    Flag{"output", 'o', "FORMAT", kOutputFlag, "table, json or name",
         [](Options& o, std::string_view v) -> Result<void> {
           if (v == "table") {
             o.output = Output::kTable;
           } else if (v == "json") {
             o.output = Output::kJson;
           } else if (v == "name") {
             o.output = Output::kName;
           } else {
             return invalid("must be table, json or name");
           }
           return {};
         },
         "table json name"},
    Flag{"name", '\0', "NAME", kRunFlags, "name of the task; without it one is made up",
         [](Options& o, std::string_view v) { return set_text(o.name, v); }},
    Flag{"env", 'e', "NAME=VALUE", kRunFlags, "a variable of its environment; may be given more than once",
         [](Options& o, std::string_view v) -> Result<void> {
           if (v.find('=') == std::string_view::npos || v.starts_with('=')) return invalid("must be NAME=VALUE");
           o.env.emplace_back(v);
           return {};
         }},
    Flag{"workdir", 'w', "DIR", kRunFlags, "its working directory",
         [](Options& o, std::string_view v) { return set_text(o.workdir, v); }},
    Flag{"grace", '\0', "SECONDS", kRunFlags, "between TERM and KILL when it is stopped (default 10)",
         [](Options& o, std::string_view v) -> Result<void> {
           o.grace = TRY(number_from(v, 0));
           return {};
         }},
    Flag{"detach", 'd', "", kRunFlags, "print the name and do not wait",
         [](Options& o, std::string_view) { return set_true(o.detach); }},
    Flag{"rm", '\0', "", kRunFlags, "delete the task when it has ended",
         [](Options& o, std::string_view) { return set_true(o.remove); }},
    Flag{"timeout", 't', "DURATION", kTimeoutFlag, "run: stop the task after it; wait: give up after it",
         [](Options& o, std::string_view v) -> Result<void> {
           o.timeout = TRY(duration_from(v));
           return {};
         }},
    Flag{"follow", 'f', "", kLogFlags, "go on until the task has ended",
         [](Options& o, std::string_view) { return set_true(o.follow); }},
    Flag{"stream", '\0', "STREAM", kLogFlags, "stdout, stderr or both (default)",
         [](Options& o, std::string_view v) { return set_text(o.stream, v); }, "stdout stderr both"},
    Flag{"tail", 'n', "LINES", kLogFlags, "the last lines of each stream",
         [](Options& o, std::string_view v) { return set_number(o.tail, v); }},
    Flag{"since", '\0', "OFFSET", kLogFlags, "what comes behind this byte, or behind STDOUT,STDERR",
         [](Options& o, std::string_view v) { return set_text(o.since, v); }},
    Flag{"file", 'f', "FILE", kApplyFlags, "a task, or an array of them, as JSON; - is standard input",
         [](Options& o, std::string_view v) { return set_text(o.file, v); }},
    Flag{"prune", '\0', "", kApplyFlags, "and delete all other tasks",
         [](Options& o, std::string_view) { return set_true(o.prune); }},
    Flag{"all", 'a', "", kAllFlag, "all tasks", [](Options& o, std::string_view) { return set_true(o.all); }},
    Flag{"revision", '\0', "N", kWatchFlags, "what comes behind this revision, without the list",
         [](Options& o, std::string_view v) { return set_number(o.revision, v); }},
    Flag{"count", 'n', "N", kTopFlags, "that many times (default: for ever)",
         [](Options& o, std::string_view v) -> Result<void> {
           o.count = TRY(number_from(v, 1));
           return {};
         }},
    Flag{"interval", 'i', "DURATION", kTopFlags, "time between two looks (default 2s)",
         [](Options& o, std::string_view v) -> Result<void> {
           o.interval = TRY(duration_from(v));
           if (o.interval < 10 * kMillisecond) return invalid("is too short");
           return {};
         }},
};

const Flag* find_flag(const Command& command, std::string_view name, char letter) {
  for (const Flag& flag : kFlags) {
    if ((flag.bit & command.flags) == 0) continue;
    if (name.empty() ? flag.letter == letter : flag.name == name) return &flag;
  }
  return nullptr;
}

/// Walks over the words of a command line.
class Reader {
 public:
  Reader(const Command& command, std::span<const char* const> words) : command_(command), words_(words) {}

  Result<Options> read() {
    if (const char* server = sys::environment_value("TASKCTL_SERVER"); server != nullptr && *server != '\0') {
      options_.server = server;
    }
    if (const char* file = sys::environment_value("TASKCTL_TOKEN_FILE"); file != nullptr) options_.token_file = file;
    for (; at_ < words_.size(); ++at_) {
      const std::string_view word = words_[at_];
      if (word == "--") {
        for (++at_; at_ < words_.size(); ++at_) options_.command.emplace_back(words_[at_]);
        break;
      }
      if (word.starts_with("--")) {
        TRY(read_long(word.substr(2)));
      } else if (word.size() > 1 && word.starts_with('-')) {
        TRY(read_letters(word.substr(1)));
      } else {
        options_.words.emplace_back(word);
      }
    }
    if (options_.words.size() < command_.least || options_.words.size() > command_.most) {
      return invalid("wrong number of arguments: taskctl " + std::string(command_.name) + " " +
                     std::string(command_.arguments));
    }
    if (!options_.command.empty() && (command_.flags & kRunFlags) == 0) {
      return invalid("\"--\" is for run only");
    }
    return std::move(options_);
  }

 private:
  Result<void> set(const Flag& flag, std::string_view value) {
    Result<void> done = flag.set(options_, value);
    if (done) return done;
    return invalid("--" + std::string(flag.name) + ": \"" + std::string(value) + "\" " + done.error().context);
  }

  Result<std::string_view> next_word(const Flag& flag) {
    if (at_ + 1 == words_.size()) return invalid("--" + std::string(flag.name) + ": needs a value");
    return std::string_view(words_[++at_]);
  }

  Result<void> read_long(std::string_view word) {
    const size_t equals = word.find('=');
    const std::string_view name = word.substr(0, equals);
    const Flag* flag = name.empty() ? nullptr : find_flag(command_, name, '\0');
    if (flag == nullptr) return unknown("--" + std::string(name));
    if (flag->argument.empty()) {
      if (equals != std::string_view::npos) return invalid("--" + std::string(name) + ": takes no value");
      return set(*flag, "");
    }
    return set(*flag, equals != std::string_view::npos ? word.substr(equals + 1) : TRY(next_word(*flag)));
  }

  // "-ojson", "-o json", "-fd".
  Result<void> read_letters(std::string_view letters) {
    while (!letters.empty()) {
      const Flag* flag = find_flag(command_, "", letters.front());
      if (flag == nullptr) return unknown("-" + std::string(letters.substr(0, 1)));
      letters.remove_prefix(1);
      if (flag->argument.empty()) {
        TRY(set(*flag, ""));
        continue;
      }
      return set(*flag, letters.empty() ? TRY(next_word(*flag)) : letters);
    }
    return {};
  }

  Error unknown(const std::string& flag) const {
    return invalid(flag + ": " + std::string(command_.name) + " knows no such flag (see taskctl help " +
                   std::string(command_.name) + ")");
  }

  const Command& command_;
  std::span<const char* const> words_;
  size_t at_ = 0;
  Options options_;
};

void add_line(std::string& out, std::string left, std::string_view right) {
  constexpr size_t kColumn = 26;
  out += "  ";
  left.resize(std::max(kColumn, left.size() + 1), ' ');
  out.append(left).append(right).append("\n");
}

}  // namespace

const Command* find_command(std::string_view name) {
  for (const Command& command : commands()) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

Result<Options> read_options(const Command& command, std::span<const char* const> words) {
  return Reader(command, words).read();
}

std::string help_text() {
  std::string out("Usage: taskctl COMMAND [FLAG]... [ARGUMENT]...\n\nAsks a task-executor.\n\n");
  for (const Command& command : commands()) {
    add_line(out, std::string(command.name) + " " + std::string(command.arguments), command.help);
  }
  out += "\ntaskctl help COMMAND tells its flags; taskctl(1) has the whole story.\n";
  return out;
}

std::string help_text(const Command& command) {
  std::string out("Usage: taskctl ");
  out.append(command.name).append(" [FLAG]... ").append(command.arguments).append("\n\n");
  out.append(command.help).append("\n\n");
  for (const Flag& flag : kFlags) {
    if ((flag.bit & command.flags) == 0) continue;
    std::string left = flag.letter == '\0' ? "    --" : std::string("-") + flag.letter + ", --";
    left += flag.name;
    if (!flag.argument.empty()) left.append(" ").append(flag.argument);
    add_line(out, std::move(left), flag.help);
  }
  return out;
}

namespace {

/// "--output|-o" as a pattern of the shell's case.
std::string pattern_of(const Flag& flag) {
  std::string out("--");
  out += flag.name;
  if (flag.letter != '\0') out.append("|-").append(1, flag.letter);
  return out;
}

// What the words of one command are completed to.
void complete_command(std::string& out, const Command& command) {
  out.append("    ").append(command.name).append(")\n      words='");
  for (const Flag& flag : kFlags) {
    if ((flag.bit & command.flags) != 0) out.append("--").append(flag.name).append(" ");
  }
  out += "'\n";
  if (command.takes_names)
    out += "      case $cur in -*) ;; *) words=\"$(taskctl list -o name 2>/dev/null)\" ;; esac\n";
  out += "      case $prev in\n";
  for (const Flag& flag : kFlags) {
    if ((flag.bit & command.flags) == 0 || flag.argument.empty()) continue;
    out.append("        ").append(pattern_of(flag)).append(") ");
    if (flag.argument == "FILE" || flag.argument == "DIR") {
      out += "mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;;\n";
    } else {
      out.append("words='").append(flag.choices).append("' ;;\n");
    }
  }
  out += "        --) return ;;\n      esac ;;\n";
}

}  // namespace

std::string bash_completion() {
  std::string out(
      "# Completion of taskctl for bash: source <(taskctl completion bash)\n"
      "_taskctl() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} words=\n"
      "  COMPREPLY=()\n"
      "  if [ \"$COMP_CWORD\" = 1 ]; then command=; fi\n"
      "  case $command in\n"
      "    '') words='");
  for (const Command& command : commands()) out.append(command.name).append(" ");
  out += "' ;;\n";
  for (const Command& command : commands()) complete_command(out, command);
  out +=
      "  esac\n"
      "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
      "}\n"
      "complete -F _taskctl taskctl\n";
  return out;
}

}  // namespace te::ctl

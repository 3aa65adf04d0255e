#include "app/config.h"

#include <array>
#include <span>

#include "base/size.h"
#include "base/text.h"
#include "sys/net.h"
#include "sys/self.h"
#include "task/pod_spec.h"

namespace te {

namespace {

/// Everything that is known of a flag; help, environment and parser all read this table.
struct Flag {
  std::string_view name;
  const char* variable;       ///< of the environment; null: none
  std::string_view argument;  ///< empty: a switch, whose argument may be left out
  std::string_view fallback;
  std::string_view help;
  Result<void> (*set)(Config& config, std::string_view value);
};

Result<void> set_bool(bool& out, std::string_view value) {
  const std::optional<bool> parsed = parse_bool(value);
  if (!parsed) return invalid("must be true or false");
  out = *parsed;
  return {};
}

Result<void> set_text(std::string& out, std::string_view value) {
  if (value.empty()) return invalid("must not be empty");
  out = value;
  return {};
}

template <class T>
Result<void> set_number(T& out, std::string_view value, int64_t lowest, int64_t highest) {
  const std::optional<int64_t> parsed = parse_int(value);
  if (!parsed || *parsed < lowest || *parsed > highest) {
    return invalid("must be a number from " + std::to_string(lowest) + " to " + std::to_string(highest));
  }
  out = static_cast<T>(*parsed);
  return {};
}

Result<void> set_duration(MonoNanos& out, std::string_view value, MonoNanos lowest) {
  constexpr MonoNanos kLongest = MonoNanos{100} * 365 * 24 * 3'600 * kSecond;  // added to any clock it is no overflow
  const std::optional<int64_t> parsed = parse_duration_ns(value);
  if (!parsed) return invalid("must be a duration, as 500ms or 1h30m");
  if (*parsed < lowest) return invalid("is too short");
  if (*parsed > kLongest) return invalid("is longer than 100 years");
  out = *parsed;
  return {};
}

template <class Enum>
struct Word {
  std::string_view text;
  Enum value;
};

template <class Enum>
Result<void> set_word(Enum& out, std::string_view value, std::initializer_list<Word<Enum>> words) {
  std::string known;
  for (const Word<Enum>& word : words) {
    if (word.text == value) {
      out = word.value;
      return {};
    }
    known += known.empty() ? "" : ", ";
    known += word.text;
  }
  return invalid("must be one of " + known);
}

Result<void> add_volume(std::vector<NamedVolume>& out, std::string_view value) {
  const size_t equals = value.find('=');
  if (equals == std::string_view::npos) return invalid("must be NAME=PATH");
  const std::string_view name = value.substr(0, equals);
  const std::string_view path = value.substr(equals + 1);
  if (!valid_label_name(name)) return invalid("must begin with a name of a-z, 0-9 and '-'");
  if (!path.starts_with('/')) return invalid("must have an absolute path");
  for (const NamedVolume& other : out) {
    if (other.name == name) return invalid("has a name that is there twice");
  }
  out.push_back({std::string(name), std::string(path)});
  return {};
}

constexpr int64_t kMost = INT64_C(1) << 50;

constexpr std::array
    kFlags =
        {
            Flag{"data-dir", "DATA_DIR", "DIR", "/var/lib/sandbox/tasks",
                 "where tasks, their state and their logs are kept",
                 [](Config& c, std::string_view v) { return set_text(c.data_dir, v); }},
            Flag{"listen-addr", "LISTEN_ADDR", "ADDRESS", "0.0.0.0:5758",
                 "ADDRESS:PORT (numeric, empty or localhost) or unix:/PATH; may be given more than once",
                 [](Config& c, std::string_view v) -> Result<void> {
                   TRY(sys::check_listen_address(v));
                   c.listen_addresses.emplace_back(v);
                   return {};
                 }},
            Flag{"enable-sidecar-mode", "ENABLE_SIDECAR_MODE", "", "false",
                 "run tasks inside the main container of the Pod",
                 [](Config& c, std::string_view v) { return set_bool(c.sidecar_mode, v); }},
            Flag{"main-container-name", "MAIN_CONTAINER_NAME", "NAME", "main", "the main container, in sidecar mode",
                 [](Config& c, std::string_view v) { return set_text(c.main_container_name, v); }},
            Flag{"sidecar-user", nullptr, "WHOSE", "target",
                 "target or agent: whose user and groups a task in the main container has",
                 [](Config& c, std::string_view v) {
                   return set_word(c.sidecar_agent_user, v, {{"target", false}, {"agent", true}});
                 }},
            Flag{"enable-container-mode", "ENABLE_CONTAINER_MODE", "", "false", "run containers through the CRI socket",
                 [](Config& c, std::string_view v) { return set_bool(c.container_mode, v); }},
            Flag{"cri-socket", "CRI_SOCKET", "PATH", "/var/run/containerd/containerd.sock",
                 "the CRI socket, in container mode",
                 [](Config& c, std::string_view v) {
                   constexpr std::string_view kScheme = "unix://";
                   return set_text(c.cri_socket, v.starts_with(kScheme) ? v.substr(kScheme.size()) : v);
                 }},
            Flag{"cri-timeout", nullptr, "DURATION", "2m",
                 "how long the container runtime may take for a call: for a sandbox twice, to look something up a quarter",
                 [](Config& c, std::string_view v) -> Result<void> {
                   constexpr MonoNanos kLongest = MonoNanos{24} * 3'600 * kSecond;
                   TRY(set_duration(c.cri_timeout, v, kMillisecond));
                   return c.cri_timeout <= kLongest ? Result<void>() : invalid("is longer than a day");
                 }},
            Flag{"container-network", nullptr, "WHICH", "pod",
                 "pod or host: the network of containers, in container mode",
                 [](Config& c, std::string_view v) {
                   return set_word(c.container_host_network, v, {{"pod", false}, {"host", true}});
                 }},
            Flag{"volume", nullptr, "NAME=PATH", "",
                 "a directory of the host that containers may mount by its name; may be given more than once",
                 [](Config& c, std::string_view v) { return add_volume(c.volumes, v); }},
            Flag{"registry-auth-file", nullptr, "FILE", "",
                 "credentials for pulling images, as Docker's config.json has them; read anew for each pull",
                 [](Config& c, std::string_view v) { return set_text(c.registry_auth_file, v); }},
            Flag{"reconcile-interval", nullptr, "DURATION", "500ms",
                 "how often what an event could have missed is looked for",
                 [](Config& c, std::string_view v) { return set_duration(c.manager.tick_interval, v, kMillisecond); }},
            Flag{"max-concurrent-tasks", nullptr, "N", "0", "tasks that run at once, the rest waits; 0: no limit",
                 [](Config& c, std::string_view v) { return set_number(c.manager.max_concurrent, v, 0, 1'000'000); }},
            Flag{"task-log-max-bytes", nullptr, "BYTES", "0",
                 "bound of each log on disk, head and tail are kept; 0: no limit",
                 [](Config& c, std::string_view v) { return set_number(c.manager.log_max_bytes, v, 0, kMost); }},
            Flag{"ttl-after-finished", nullptr, "DURATION", "0", "delete a task so long after its end; 0: keep it",
                 [](Config& c, std::string_view v) { return set_duration(c.manager.ttl_after_finished, v, 0); }},
            Flag{"on-lost", nullptr, "WHAT", "auto",
                 "auto, fail, forget or restart a task whose supervisor died without a record",
                 [](Config& c, std::string_view v) {
                   return set_word(c.manager.on_lost, v,
                                   {{"auto", OnLost::kAuto},
                                    {"fail", OnLost::kFail},
                                    {"forget", OnLost::kForget},
                                    {"restart", OnLost::kRestart}});
                 }},
            Flag{"on-shutdown",
                 nullptr, "WHAT", "auto", "auto, keep or stop tasks when the agent stops; auto: stop as init",
                 [](Config& c, std::string_view v) {
                   return set_word(
                       c.on_shutdown, v,
                       {{"auto", OnShutdown::kAuto}, {"keep", OnShutdown::kKeep}, {"stop", OnShutdown::kStop}});
                 }},
            Flag{"auth-token-file",
                 nullptr, "FILE", "", "bearer token that clients must show; read again when it changes",
                 [](Config& c, std::string_view v) { return set_text(c.auth_token_file, v); }},
            Flag{"allow-uid", nullptr, "UID",
                 "", "a user who may use unix sockets, beside root and the agent's own; may be given more than once",
                 [](Config& c, std::string_view v) -> Result<void> {
                   uint32_t uid = 0;
                   TRY(set_number(uid, v, 0, UINT32_MAX - 1));
                   c.allowed_uids.push_back(uid);
                   return {};
                 }},
            Flag{"max-body-bytes", nullptr, "BYTES", "4194304", "longest body of a request",
                 [](Config& c, std::string_view v) { return set_number(c.max_body_bytes, v, 1, kBodyMax); }},
            Flag{
                "log-format", nullptr, "FORMAT", "text", "text or json",
                [](Config& c,
                   std::string_view
                       v) { return set_word(c.log_format, v, {{"text", LogFormat::kText}, {"json", LogFormat::kJson}}); }},
            Flag{"log-level", nullptr, "LEVEL", "info", "debug, info, warning or error",
                 [](Config& c, std::string_view v) {
                   return set_word(c.log_level, v,
                                   {{"debug", LogLevel::kDebug},
                                    {"info", LogLevel::kInfo},
                                    {"warning", LogLevel::kWarning},
                                    {"error", LogLevel::kError}});
                 }},
            Flag{"log-dir", nullptr, "DIR", "", "write the log to DIR/task-executor.log and not to standard error",
                 [](Config& c, std::string_view v) { return set_text(c.log_dir, v); }},
            Flag{"log-max-size", nullptr, "MIB", "100", "size at which a log file is put aside",
                 [](Config& c, std::string_view v) { return set_number(c.log_max_size_mib, v, 1, 1 << 20); }},
            Flag{"log-max-backups", nullptr, "N", "5", "log files put aside that are kept; 0: all",
                 [](Config& c, std::string_view v) { return set_number(c.log_max_backups, v, 0, 1 << 20); }},
            Flag{"log-max-age", nullptr, "DAYS", "30", "age at which a log file put aside is removed; 0: never",
                 [](Config& c, std::string_view v) { return set_number(c.log_max_age_days, v, 0, 36'500); }},
};

const Flag* find_flag(std::string_view name) {
  for (const Flag& flag : kFlags) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

Result<void> apply(const Flag& flag, std::string_view called, Config& config, std::string_view value) {
  Result<void> set = flag.set(config, value);
  if (set) return set;
  return invalid(std::string(called) + ": \"" + std::string(value) + "\" " + set.error().context);
}

/// The first of a flag that may be given more than once replaces what stood there before.
class ListenAddresses {
 public:
  void begin(const Flag& flag, Config& config) {
    if (flag.name != "listen-addr" || replaced_) return;
    replaced_ = true;
    config.listen_addresses.clear();
  }

 private:
  bool replaced_ = false;
};

Result<void> read_environment(Config& config) {
  ListenAddresses addresses;
  for (const Flag& flag : kFlags) {
    const char* value = flag.variable != nullptr ? sys::environment_value(flag.variable) : nullptr;
    if (value == nullptr || *value == '\0') continue;
    addresses.begin(flag, config);
    TRY(apply(flag, flag.variable, config, value));
  }
  return {};
}

}  // namespace

Result<CommandLine> read_command_line(int argc, const char* const* argv) {
  CommandLine out;
  TRY(read_environment(out.config));
  ListenAddresses addresses;
  const std::span arguments(argv, static_cast<size_t>(argc));
  for (size_t i = 1; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    const size_t dashes = argument.starts_with("--") ? 2 : 1;
    if (!argument.starts_with('-') || argument.size() == dashes) {
      return invalid("\"" + std::string(argument) + "\": arguments without a flag are not taken (see --help)");
    }
    const size_t equals = argument.find('=');
    const std::string_view name = argument.substr(dashes, equals == std::string_view::npos ? equals : equals - dashes);
    const std::string called = "--" + std::string(name);
    if (name == "help" || name == "h") {
      out.action = CommandLine::Action::kHelp;
      return out;
    }
    if (name == "version") {
      out.action = CommandLine::Action::kVersion;
      return out;
    }
    const Flag* flag = find_flag(name);
    if (flag == nullptr) return invalid(called + ": unknown flag (see --help)");
    std::string_view value = "true";
    if (equals != std::string_view::npos) {
      value = argument.substr(equals + 1);
    } else if (!flag->argument.empty()) {
      if (i + 1 == arguments.size()) return invalid(called + ": needs a value");
      value = arguments[++i];
    }
    addresses.begin(*flag, out.config);
    TRY(apply(*flag, called, out.config, value));
  }
  return out;
}

std::string help_text() {
  std::string text =
      "Usage: task-executor [FLAG]...\n"
      "       task-executor fsck|dump [FLAG]...   look at a data directory and change nothing\n"
      "       task-executor install FILE          copy the program\n"
      "       task-executor taskctl ...           the client\n"
      "\n"
      "Runs short-lived tasks that it is given as JSON over HTTP, and tells the truth about them.\n"
      "Flags may be written -flag=VALUE, --flag=VALUE or --flag VALUE; they count more than the environment.\n"
      "\n";
  for (const Flag& flag : kFlags) {
    text += "  --";
    text += flag.name;
    if (!flag.argument.empty()) {
      text += ' ';
      text += flag.argument;
    }
    text += "\n        ";
    text += flag.help;
    if (!flag.fallback.empty()) {
      text += " (default ";
      text += flag.fallback;
      text += ')';
    }
    if (flag.variable != nullptr) {
      text += " [";
      text += flag.variable;
      text += ']';
    }
    text += '\n';
  }
  text +=
      "  --help\n        this text\n"
      "  --version\n        version and revision\n"
      "\n"
      "task-executor(8) has the whole story.\n";
  return text;
}

}  // namespace te

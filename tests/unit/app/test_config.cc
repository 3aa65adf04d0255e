#include "app/config.h"

#include "../support.h"

using namespace te;
using test::in_child;
using test::Tidy;

using Strings = std::vector<std::string>;

namespace {

const char* const kVariables[] = {"DATA_DIR",   "LISTEN_ADDR",          "ENABLE_SIDECAR_MODE", "MAIN_CONTAINER_NAME",
                                  "CRI_SOCKET", "ENABLE_CONTAINER_MODE"};

Result<CommandLine> read(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "task-executor");
  return read_command_line(static_cast<int>(arguments.size()), arguments.data());
}

std::string refusal(std::vector<const char*> arguments) {
  const Result<CommandLine> line = read(std::move(arguments));
  if (line) return "(accepted)";
  CHECK(line.error().kind == ErrorKind::kInvalid);
  return line.error().text();
}

/// The environment of the test program must not speak for the flags.
struct Clean {
  Clean() {
    for (const char* name : kVariables) ::unsetenv(name);
  }
};

}  // namespace

TEST_CASE_FIXTURE(Clean, "command line: nothing given, everything has its default") {
  const Result<CommandLine> line = read({});
  REQUIRE(line);
  CHECK(line->action == CommandLine::Action::kRun);
  const Config& config = line->config;
  CHECK(config.data_dir == "/var/lib/sandbox/tasks");
  CHECK(config.listen_addresses == Strings{"0.0.0.0:5758"});
  CHECK(!config.sidecar_mode);
  CHECK(config.main_container_name == "main");
  CHECK(!config.container_mode);
  CHECK(config.cri_socket == "/var/run/containerd/containerd.sock");
  CHECK(config.manager.tick_interval == 500 * kMillisecond);
  CHECK(config.manager.max_concurrent == 0);
  CHECK(config.manager.ttl_after_finished == 0);
  CHECK(config.manager.on_lost == OnLost::kAuto);
  CHECK(config.manager.log_max_bytes == 0);
  CHECK(config.on_shutdown == OnShutdown::kAuto);
  CHECK(config.auth_token_file.empty());
  CHECK(config.max_body_bytes == 4 * static_cast<int64_t>(kMiB));
  CHECK(config.log_format == LogFormat::kText);
  CHECK(config.log_level == LogLevel::kInfo);
  CHECK(config.log_dir.empty());
}

TEST_CASE_FIXTURE(Clean, "command line: each of Go's spellings") {
  for (const std::vector<const char*>& spelling :
       {std::vector<const char*>{"-data-dir=/x"}, {"--data-dir=/x"}, {"-data-dir", "/x"}, {"--data-dir", "/x"}}) {
    const Result<CommandLine> line = read(spelling);
    REQUIRE(line);
    CHECK(line->config.data_dir == "/x");
  }
  for (const char* on : {"-enable-sidecar-mode", "--enable-sidecar-mode", "--enable-sidecar-mode=true",
                         "-enable-sidecar-mode=T", "--enable-sidecar-mode=1"}) {
    const Result<CommandLine> line = read({on});
    REQUIRE(line);
    CHECK(line->config.sidecar_mode);
  }
  for (const char* off : {"--enable-sidecar-mode=false", "-enable-sidecar-mode=0", "--enable-sidecar-mode=F"}) {
    const Result<CommandLine> line = read({"--enable-sidecar-mode", off});
    REQUIRE(line);
    CHECK(!line->config.sidecar_mode);
  }
  CHECK(refusal({"--enable-sidecar-mode", "false"}) != "(accepted)");  // a switch takes no word behind it
  CHECK(read({"--data-dir=/a=b"})->config.data_dir == "/a=b");
  CHECK(read({"--data-dir", "--odd"})->config.data_dir == "--odd");
}

TEST_CASE_FIXTURE(Clean, "command line: every flag is taken") {
  const Result<CommandLine> line = read(
      {"--data-dir=/d", "--main-container-name=c", "--enable-container-mode", "--cri-socket=/s",
       "--reconcile-interval=2s", "--max-concurrent-tasks=5", "--task-log-max-bytes=1000", "--ttl-after-finished=1h30m",
       "--on-lost=restart", "--on-shutdown=stop", "--auth-token-file=/t", "--max-body-bytes=99", "--log-format=json",
       "--log-level=debug", "--log-dir=/l", "--log-max-size=1", "--log-max-backups=2", "--log-max-age=3"});
  REQUIRE(line);
  const Config& config = line->config;
  CHECK(config.data_dir == "/d");
  CHECK(config.main_container_name == "c");
  CHECK(config.container_mode);
  CHECK(config.cri_socket == "/s");
  CHECK(config.manager.tick_interval == 2 * kSecond);
  CHECK(config.manager.max_concurrent == 5);
  CHECK(config.manager.log_max_bytes == 1000);
  CHECK(config.manager.ttl_after_finished == 5400 * kSecond);
  CHECK(config.manager.on_lost == OnLost::kRestart);
  CHECK(config.on_shutdown == OnShutdown::kStop);
  CHECK(config.auth_token_file == "/t");
  CHECK(config.max_body_bytes == 99);
  CHECK(config.log_format == LogFormat::kJson);
  CHECK(config.log_level == LogLevel::kDebug);
  CHECK(config.log_dir == "/l");
  CHECK(config.log_max_size_mib == 1);
  CHECK(config.log_max_backups == 2);
  CHECK(config.log_max_age_days == 3);
}

TEST_CASE_FIXTURE(Clean, "command line: words of the enumerations") {
  const std::pair<const char*, OnLost> lost[] = {{"--on-lost=auto", OnLost::kAuto},
                                                 {"--on-lost=fail", OnLost::kFail},
                                                 {"--on-lost=forget", OnLost::kForget},
                                                 {"--on-lost=restart", OnLost::kRestart}};
  for (const auto& [flag, value] : lost) CHECK(read({flag})->config.manager.on_lost == value);
  const std::pair<const char*, OnShutdown> shutdown[] = {{"--on-shutdown=auto", OnShutdown::kAuto},
                                                         {"--on-shutdown=keep", OnShutdown::kKeep},
                                                         {"--on-shutdown=stop", OnShutdown::kStop}};
  for (const auto& [flag, value] : shutdown) CHECK(read({flag})->config.on_shutdown == value);
  const std::pair<const char*, LogLevel> levels[] = {{"--log-level=debug", LogLevel::kDebug},
                                                     {"--log-level=info", LogLevel::kInfo},
                                                     {"--log-level=warning", LogLevel::kWarning},
                                                     {"--log-level=error", LogLevel::kError}};
  for (const auto& [flag, value] : levels) CHECK(read({flag})->config.log_level == value);
}

TEST_CASE_FIXTURE(Clean, "command line: no duration is so long that a clock could not hold its end") {
  for (const std::string flag : {"--ttl-after-finished", "--reconcile-interval"}) {
    CHECK(read({(flag + "=876000h").c_str()})->config.manager.tick_interval > 0);
    CHECK(refusal({(flag + "=2562047h47m16s").c_str()}) == flag + ": \"2562047h47m16s\" is longer than 100 years");
  }
}

TEST_CASE_FIXTURE(Clean, "command line: of one flag given twice the last counts, addresses add up") {
  CHECK(read({"--data-dir=/a", "--data-dir=/b"})->config.data_dir == "/b");
  CHECK(read({"--listen-addr=127.0.0.1:1"})->config.listen_addresses == Strings{"127.0.0.1:1"});
  CHECK(read({"--listen-addr=127.0.0.1:1", "-listen-addr", "unix:/x"})->config.listen_addresses ==
        Strings{"127.0.0.1:1", "unix:/x"});
}

TEST_CASE_FIXTURE(Clean, "command line: help and version") {
  for (const char* flag : {"--help", "-help", "-h", "--h"}) {
    CHECK(read({flag})->action == CommandLine::Action::kHelp);
  }
  CHECK(read({"--version"})->action == CommandLine::Action::kVersion);
  CHECK(read({"-version"})->action == CommandLine::Action::kVersion);
  CHECK(read({"--data-dir=/x", "--help", "--no-such-flag"})->action == CommandLine::Action::kHelp);
}

TEST_CASE_FIXTURE(Clean, "command line: what is no flag is refused by its name") {
  CHECK(refusal({"--no-such-flag"}) == "--no-such-flag: unknown flag (see --help)");
  CHECK(refusal({"-no-such-flag=1"}) == "--no-such-flag: unknown flag (see --help)");
  CHECK(refusal({"--Data-dir=/x"}).find("unknown flag") != std::string::npos);
  for (const char* stray : {"x", "", "-", "--"}) {
    CAPTURE(std::string(stray));
    CHECK(refusal({stray}).find("arguments without a flag") != std::string::npos);
  }
  CHECK(refusal({"--=x"}) != "(accepted)");
  CHECK(refusal({"--data-dir"}) == "--data-dir: needs a value");
  CHECK(refusal({"--listen-addr"}) == "--listen-addr: needs a value");
}

TEST_CASE_FIXTURE(Clean, "command line: every bad value is refused, with the flag and the value") {
  const struct {
    const char* flag;
    Strings values;
  } bad[] = {{"data-dir", {""}},
             {"listen-addr", {"", "5758", "example.com:80", ":65536", "unix:"}},
             {"enable-sidecar-mode", {"", "yes", "2", "TrUe"}},
             {"main-container-name", {""}},
             {"enable-container-mode", {"on"}},
             {"cri-socket", {""}},
             {"cri-timeout", {"", "0", "2", "-1s", "25h"}},
             {"reconcile-interval", {"", "0", "500", "1", "-1s", "1x", "999us", "ms"}},
             {"max-concurrent-tasks", {"", "-1", "1.5", "x", "1000001", "99999999999999999999"}},
             {"task-log-max-bytes", {"", "-1", "1k", "9223372036854775808"}},
             {"ttl-after-finished", {"", "-1s", "5", "1d"}},
             {"on-lost", {"", "Fail", "never"}},
             {"on-shutdown", {"", "STOP"}},
             {"auth-token-file", {""}},
             {"max-body-bytes", {"", "0", "-5", "1073741825"}},
             {"log-format", {"", "xml"}},
             {"log-level", {"", "INFO", "trace"}},
             {"log-dir", {""}},
             {"log-max-size", {"", "0", "1048577"}},
             {"log-max-backups", {"", "-1"}},
             {"log-max-age", {"", "-1", "36501"}}};
  for (const auto& [flag, values] : bad) {
    for (const std::string& value : values) {
      const std::string argument = "--" + std::string(flag) + "=" + value;
      CAPTURE(argument);
      CHECK(refusal({argument.c_str()}).starts_with("--" + std::string(flag) + ": \"" + value + "\" "));
    }
  }
  CHECK(refusal({"--on-lost=x"}) == "--on-lost: \"x\" must be one of auto, fail, forget, restart");
}

TEST_CASE_FIXTURE(Tidy, "environment: over the default, under the flags") {
  CHECK(in_child([]() -> std::string {
          const Clean clean;
          ::setenv("DATA_DIR", "/env", 1);
          ::setenv("LISTEN_ADDR", "127.0.0.1:9", 1);
          ::setenv("ENABLE_SIDECAR_MODE", "true", 1);
          ::setenv("MAIN_CONTAINER_NAME", "app", 1);
          ::setenv("ENABLE_CONTAINER_MODE", "1", 1);
          ::setenv("CRI_SOCKET", "/cri", 1);
          const Result<CommandLine> line = read({});
          MUST(line);
          MUST(line->config.data_dir == "/env");
          MUST(line->config.listen_addresses == Strings{"127.0.0.1:9"});
          MUST(line->config.sidecar_mode);
          MUST(line->config.main_container_name == "app");
          MUST(line->config.container_mode);
          MUST(line->config.cri_socket == "/cri");
          const Result<CommandLine> over =
              read({"--data-dir=/flag", "--enable-sidecar-mode=false", "--listen-addr=:1", "--listen-addr=:2"});
          MUST(over);
          MUST(over->config.data_dir == "/flag");
          MUST(!over->config.sidecar_mode);
          MUST((over->config.listen_addresses == Strings{":1", ":2"}));
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "environment: empty is as if it were not there, bad is named") {
  CHECK(in_child([]() -> std::string {
          const Clean clean;
          for (const char* name : kVariables) ::setenv(name, "", 1);
          MUST(read({}));
          MUST(read({})->config.data_dir == "/var/lib/sandbox/tasks");
          ::setenv("ENABLE_SIDECAR_MODE", "perhaps", 1);
          const Result<CommandLine> line = read({});
          MUST(!line);
          MUST(line.error().text().starts_with("ENABLE_SIDECAR_MODE: \"perhaps\" "));
          return {};
        }) == "");
}

TEST_CASE("help: names every flag and every variable") {
  const std::string help = help_text();
  for (const char* flag : {"data-dir",
                           "listen-addr",
                           "enable-sidecar-mode",
                           "main-container-name",
                           "enable-container-mode",
                           "cri-socket",
                           "cri-timeout",
                           "reconcile-interval",
                           "max-concurrent-tasks",
                           "task-log-max-bytes",
                           "ttl-after-finished",
                           "on-lost",
                           "on-shutdown",
                           "auth-token-file",
                           "max-body-bytes",
                           "log-format",
                           "log-level",
                           "log-dir",
                           "log-max-size",
                           "log-max-backups",
                           "log-max-age",
                           "help",
                           "version"}) {
    CAPTURE(std::string(flag));
    CHECK(help.find("\n  --" + std::string(flag)) != std::string::npos);
  }
  for (const char* name : kVariables) CHECK(help.find("[" + std::string(name) + "]") != std::string::npos);
}

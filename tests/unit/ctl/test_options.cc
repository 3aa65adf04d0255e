#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "ctl/options.h"

using namespace te;
using namespace te::ctl;

namespace {

Result<Options> read(std::string_view command, const std::vector<const char*>& words) {
  const Command* found = find_command(command);
  REQUIRE(found != nullptr);
  return read_options(*found, words);
}

std::string complaint(std::string_view command, const std::vector<const char*>& words) {
  const Result<Options> options = read(command, words);
  REQUIRE_FALSE(options);
  return options.error().context;
}

}  // namespace

TEST_CASE("flags of run, in all spellings") {
  const Result<Options> options =
      read("run", {"--name=a", "--env", "A=1", "-eB=2=3", "-w", "/tmp", "-dt", "1m30s", "--grace", "0", "--rm", "-s",
                   "unix:/x", "--", "sh", "-c", "exit 3", "--"});
  REQUIRE(options);
  CHECK(options->name == "a");
  CHECK(options->env == std::vector<std::string>{"A=1", "B=2=3"});
  CHECK(options->workdir == "/tmp");
  CHECK(options->timeout == 90 * kSecond);
  CHECK(options->grace == 0);
  CHECK(options->detach);
  CHECK(options->remove);
  CHECK(options->server == "unix:/x");
  CHECK(options->command == std::vector<std::string>{"sh", "-c", "exit 3", "--"});
}

TEST_CASE("a letter means what its command says") {
  const Result<Options> logs = read("logs", {"-fn", "5", "name"});
  REQUIRE(logs);
  CHECK(logs->follow);
  CHECK(logs->tail == "5");
  CHECK(logs->words == std::vector<std::string>{"name"});
  const Result<Options> apply = read("apply", {"-f", "-", "-ojson"});
  REQUIRE(apply);
  CHECK(apply->file == "-");
  CHECK(apply->output == Output::kJson);
  CHECK(read("top", {"-n1", "-i", "500ms"})->interval == 500 * kMillisecond);
}

TEST_CASE("a time without end leaves room to reckon with") {
  CHECK(read("top", {"-i", "2562047h"})->interval == kNever / 2);
  CHECK(read("wait", {"-t", "2562047h47m16s", "--all"})->timeout == kNever / 2);
}

TEST_CASE("what is wrong is said") {
  CHECK(complaint("list", {"--nothing"}) == "--nothing: list knows no such flag (see taskctl help list)");
  CHECK(complaint("list", {"-x"}) == "-x: list knows no such flag (see taskctl help list)");
  CHECK(complaint("list", {"--"
                           "=3"}) == "--: list knows no such flag (see taskctl help list)");
  CHECK(complaint("list", {"--name", "a"}) == "--name: list knows no such flag (see taskctl help list)");
  CHECK(complaint("list", {"-o"}) == "--output: needs a value");
  CHECK(complaint("list", {"-o", "yaml"}) == "--output: \"yaml\" must be table, json or name");
  CHECK(complaint("run", {"--rm=yes"}) == "--rm: takes no value");
  CHECK(complaint("run", {"-e", "=3"}) == "--env: \"=3\" must be NAME=VALUE");
  CHECK(complaint("run", {"sh", "-c", "true"}) == "-c: run knows no such flag (see taskctl help run)");
  CHECK(complaint("wait", {"-t", "soon"}) == "--timeout: \"soon\" must be a duration, as 500ms or 1h30m");
  CHECK(complaint("logs", {}) == "wrong number of arguments: taskctl logs NAME");
  CHECK(complaint("logs", {"a", "b"}) == "wrong number of arguments: taskctl logs NAME");
  CHECK(complaint("list", {"--", "a"}) == "\"--\" is for run only");
  CHECK(complaint("top", {"-n", "0"}) == "--count: \"0\" must be a number from 1");
  CHECK(complaint("run", {"--grace=x"}) == "--grace: \"x\" must be a number from 0");
}

TEST_CASE("help and completion tell every command and flag") {
  const std::string help = help_text();
  const std::string completion = bash_completion();
  for (const Command& command : commands()) {
    CHECK(help.find("  " + std::string(command.name) + " ") != std::string::npos);
    CHECK(completion.find("\n    " + std::string(command.name) + ")\n") != std::string::npos);
  }
  CHECK(help_text(*find_command("logs")).find("-f, --follow") != std::string::npos);
  CHECK(help_text(*find_command("logs")).find("--prune") == std::string::npos);
  CHECK(completion.find("--output|-o) words='table json name' ;;") != std::string::npos);
}

// One binary, several programs: the agent, its supervisors and its helpers, told apart by argv[0].
#include <unistd.h>

#include <exception>
#include <memory>
#include <string>
#include <string_view>

#include "app/agent.h"
#include "app/config.h"
#include "app/log_sink.h"
#include "app/offline.h"
#include "base/size.h"
#include "ctl/ctl.h"
#include "runtime/connection_keeper.h"
#include "runtime/helpers.h"
#include "runtime/supervisor.h"
#include "sys/clock.h"
#include "sys/fs.h"
#include "sys/self.h"
#include "sys/signals.h"
#include "version.h"

namespace te {

namespace {

constexpr int kUsage = 2;  ///< exit status for a wrong command line

void print(int fd, std::string_view text) { (void)sys::write_all(fd, text).ok(); }

int complain(const Error& error, int status) {
  print(STDERR_FILENO, "task-executor: " + error.text() + "\n");
  return status;
}

int run_agent(int argc, char** argv) {
  sys::take_standard_fds();
  sys::keep_heap_small();
  const std::string_view command = argc > 1 && is_offline_command(argv[1]) ? argv[1] : "";
  const int skipped = command.empty() ? 0 : 1;
  Result<CommandLine> line = read_command_line(argc - skipped, argv + skipped);
  if (!line) return complain(line.error(), kUsage);
  switch (line->action) {
    case CommandLine::Action::kHelp: print(STDOUT_FILENO, help_text()); return 0;
    case CommandLine::Action::kVersion:
      print(STDOUT_FILENO, "task-executor " + std::string(kVersion) + " (" + std::string(kRevision) + ")\n");
      return 0;
    case CommandLine::Action::kRun: break;
  }
  Config& config = line->config;
  if (!command.empty()) return run_offline(command, config);

  sys::block_all_signals();
  const sys::SystemClock clock;
  std::unique_ptr<LogSink> sink;
  if (config.log_dir.empty()) {
    sink = std::make_unique<StderrSink>();
  } else {
    const LogFileOptions options{config.log_dir, config.log_max_size_mib * static_cast<int64_t>(kMiB),
                                 config.log_max_backups, config.log_max_age_days};
    sink = std::make_unique<FileSink>(options, clock);
  }
  Log log(*sink, clock);
  log.configure(config.log_format, config.log_level);
  Agent agent(std::move(config), clock, log);
  const Result<void> ran = agent.run();
  if (ran) return 0;
  if (ran.error().kind == ErrorKind::kInvalid) return complain(ran.error(), kUsage);  // an address, the token file
  log.error("the agent can't go on", {{"error", ran.error().text()}});
  return 1;
}

}  // namespace

}  // namespace te

// The library's own prints the exception's name, for which it brings 47 KiB of demangler. There are no exceptions here.
void __gnu_cxx::__verbose_terminate_handler() { __builtin_trap(); }

int main(int argc, char** argv) {
  const std::string_view called = argc > 0 ? argv[0] : "";
  // Without a look for leaks at its end, which a SIGCONT of the agent's would make hang.
  if (called == te::kZygoteName) {
    ::_exit(te::run_zygote(argc, argv));
  }
  if (called == te::kSupervisorName) ::_exit(te::run_supervisor());
  if (called == te::kSweeperName) return te::run_sweeper(argc, argv);
  if (called == te::kUnlinkerName) return te::run_unlinker();
  if (called == te::kKeeperName) return te::run_keeper();
  if (called.substr(called.rfind('/') + 1) == te::ctl::kProgramName) return te::ctl::run_taskctl(argc, argv);
  // Where there is no room for a second name (an image of one file), its own name does: task-executor taskctl list.
  if (argc > 1 && std::string_view(argv[1]) == te::ctl::kProgramName) return te::ctl::run_taskctl(argc - 1, argv + 1);
  if (argc > 1 && argv[1] == te::kInstallCommand) return te::run_install(argc, argv);
  return te::run_agent(argc, argv);
}

// What the program is told on its command line and in its environment (contract, section 5).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "base/size.h"
#include "runtime/pod_volumes.h"
#include "task/manager.h"

namespace te {

enum class OnShutdown : uint8_t { kAuto, kKeep, kStop };

struct Config {
  std::string data_dir = "/var/lib/sandbox/tasks";
  std::vector<std::string> listen_addresses = {"0.0.0.0:5758"};
  bool sidecar_mode = false;
  std::string main_container_name = "main";
  bool sidecar_agent_user = false;  ///< tasks in the main container keep the agent's user and groups
  bool container_mode = false;
  std::string cri_socket = "/var/run/containerd/containerd.sock";
  MonoNanos cri_timeout = 120 * kSecond;
  bool container_host_network = false;
  std::vector<NamedVolume> volumes;
  std::string registry_auth_file;
  ManagerOptions manager;
  OnShutdown on_shutdown = OnShutdown::kAuto;
  std::string auth_token_file;
  std::vector<uint32_t> allowed_uids;  ///< of unix sockets
  int64_t max_body_bytes = 4 * kMiB;
  LogFormat log_format = LogFormat::kText;
  LogLevel log_level = LogLevel::kInfo;
  std::string log_dir;
  int64_t log_max_size_mib = 100;
  int64_t log_max_backups = 5;
  int64_t log_max_age_days = 30;
};

struct CommandLine {
  enum class Action : uint8_t { kRun, kHelp, kVersion };
  Action action = Action::kRun;
  Config config;
};

/// Flags over environment over default. kInvalid names the flag or the variable.
Result<CommandLine> read_command_line(int argc, const char* const* argv);

/// The text of --help.
std::string help_text();

}  // namespace te

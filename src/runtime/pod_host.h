// What the parts of a container run share: settings of the agent, and the world around one run.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "cri/client.h"
#include "runtime/pod_volumes.h"

namespace te {

class PodRun;

/// The same for all runs.
struct PodSettings {
  std::string owner;     ///< identity of the data directory, filled in with the first run
  std::string data_dir;  ///< absolute, and the same path for the runtime
  int root = -1;         ///< the same, open; borrowed
  std::vector<NamedVolume> volumes;
  bool host_network = false;
  std::string registry_auth_file;  ///< empty: none
  MonoNanos tick = 500 * kMillisecond;
};

class PodHost {
 public:
  /// Connected when first asked for. Valid as long as there is a run.
  virtual cri::Client& client() = 0;
  /// take_step() is to be called when a durable write may be made.
  virtual void on_run_step_due(PodRun& run) = 0;
  virtual void on_run_changed(PodRun& run) = 0;
  /// exit.json is there.
  virtual void on_run_recorded(PodRun& run) = 0;
  /// Nothing of it is left in the runtime. It lives on until the end of the turn.
  virtual void on_run_gone(PodRun& run) = 0;
  /// The runtime may still make what it was asked for, even when the run is gone.
  virtual void expect_late_ones() = 0;
  /// Its tick() is to be called then, at the latest; its next_poll() may have come nearer.
  virtual void wake_at(const PodRun& run, MonoNanos when) = 0;

 protected:
  ~PodHost() = default;
};

constexpr size_t kRuntimeTextMax = 2048;  ///< of an error text that is kept and shown; runtimes send 20 kB

inline std::string cut_text(std::string_view text) { return std::string(text.substr(0, kRuntimeTextMax)); }

}  // namespace te

// The program's figures in the text format of Prometheus.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/http_server.h"
#include "base/histogram.h"
#include "task/manager.h"

namespace te {

/// Of the container runtime, as the agent's client of it counts them.
struct RuntimeFigures {
  struct Calls {
    std::string_view method;  ///< "RunPodSandbox"
    std::string_view code;    ///< "NOT_FOUND"
    uint64_t count;
  };
  std::vector<Calls> ended;
  uint64_t connects = 0;
  uint64_t disconnects = 0;
  size_t in_flight = 0;
  bool connected = false;
};

struct MetricsView {
  const Manager& manager;
  const HttpServer& server;
  const Histogram& turns;  ///< of the loop, less the time in durable writes
  const Histogram& durable_writes;
  size_t supervisors;
  bool records_watched;
  size_t watchers;
  size_t followers;
  std::string_view build_labels;
  std::optional<RuntimeFigures> runtime;  ///< absent: no container mode
};

void write_metrics(std::string& out, const MetricsView& view);

}  // namespace te

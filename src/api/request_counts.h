// How many requests of each kind were answered with which status.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace te {

/// What a request was for; kNone: it was refused before that was known.
enum class Route : uint8_t {
  kNone,
  kHealth,
  kReady,
  kVersion,
  kMetrics,
  kOpenApi,
  kTasks,
  kTask,
  kLogs,
  kSetTasks,
  kGetTasks,
  kUnknown,
};
constexpr std::array<std::string_view, 12> kRouteNames = {"",          "/health",       "/readyz",
                                                          "/version",  "/metrics",      "/openapi.json",
                                                          "/tasks",    "/tasks/{name}", "/tasks/{name}/logs",
                                                          "/setTasks", "/getTasks",     "other"};

class RequestCounts {
 public:
  /// The most frequent first; the last one stands for all others.
  static constexpr std::array<uint16_t, 19> kStatuses = {200, 201, 204, 400, 401, 403, 404, 405, 408, 409,
                                                         410, 413, 417, 431, 501, 503, 505, 507, 500};

  void add(Route route, int status) {
    size_t at = 0;
    while (at + 1 < kStatuses.size() && kStatuses[at] != status) ++at;
    ++counts_[static_cast<size_t>(route)][at];
  }
  uint64_t count(size_t route, size_t status) const { return counts_[route][status]; }

 private:
  std::array<std::array<uint64_t, kStatuses.size()>, kRouteNames.size()> counts_{};
};

}  // namespace te

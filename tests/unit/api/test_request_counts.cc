#include <doctest/doctest.h>

#include "api/request_counts.h"

using namespace te;

TEST_CASE("requests are counted by route and status, strange statuses under the last one") {
  RequestCounts counts;
  counts.add(Route::kHealth, 200);
  counts.add(Route::kHealth, 200);
  counts.add(Route::kNone, 400);
  counts.add(Route::kUnknown, 299);
  counts.add(Route::kNone, 505);
  const auto at = [](int status) {
    size_t i = 0;
    while (RequestCounts::kStatuses[i] != status) ++i;
    return i;
  };
  CHECK(counts.count(static_cast<size_t>(Route::kHealth), at(200)) == 2);
  CHECK(counts.count(static_cast<size_t>(Route::kHealth), at(400)) == 0);
  CHECK(counts.count(static_cast<size_t>(Route::kNone), at(400)) == 1);
  CHECK(counts.count(static_cast<size_t>(Route::kUnknown), at(500)) == 1);
  CHECK(counts.count(static_cast<size_t>(Route::kNone), at(505)) == 1);
}

TEST_CASE("every route has a name") {
  CHECK(kRouteNames.size() == static_cast<size_t>(Route::kUnknown) + 1);
  CHECK(kRouteNames[static_cast<size_t>(Route::kHealth)] == "/health");
  CHECK(kRouteNames[static_cast<size_t>(Route::kLogs)] == "/tasks/{name}/logs");
  CHECK(kRouteNames[static_cast<size_t>(Route::kGetTasks)] == "/getTasks");
}

// GetContainerEvents: a stream of hints that something happened. The poll is the truth, so only the hint is read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace te::cri {

struct GetContainerEventsRequest {};

struct ContainerEvent {
  enum class Type : uint8_t { kCreated = 0, kStarted = 1, kStopped = 2, kDeleted = 3, kOther };
  std::string container_id;
  Type type = Type::kCreated;
  int64_t created_at_ns = 0;
};

void encode(const GetContainerEventsRequest& request, std::string& out);
Result<void> decode(std::string_view bytes, ContainerEvent& out);

}  // namespace te::cri

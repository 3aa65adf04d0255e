// What is known of a container task's run: kept in run.json and exit.json by the agent, shown in the status.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"

namespace te {

/// How far a run has got. What comes next is written before it is done, so that it is never done twice.
enum class PodStep : uint8_t {
  kPrepare,  ///< images and sandbox; no container may have been started
  kRun,      ///< containers one by one, see ContainerRecord::begun
  kStop,     ///< because of the timeout: what runs is being stopped
  kRemoved,  ///< nothing of it is left in the runtime (a hint, not synced)
};

enum class ContainerStage : uint8_t { kWaiting, kRunning, kTerminated };

struct ContainerRecord {
  std::string id;      ///< the runtime's; empty: not made yet
  bool begun = false;  ///< it may have been started: never make another one
  ContainerStage stage = ContainerStage::kWaiting;
  std::string reason;  ///< waiting: ours; terminated: the runtime's word
  std::string message;
  std::string image_id;
  int32_t exit_code = 0;
  WallMicros started_at = 0;
  WallMicros finished_at = 0;

  bool ended() const { return stage == ContainerStage::kTerminated; }
  bool operator==(const ContainerRecord&) const = default;
};

/// Why a pod failed that has no container to tell it.
struct PodRecord {
  PodStep step = PodStep::kPrepare;
  uint32_t attempt = 0;    ///< of the sandbox, counted by the runtime's names
  std::string sandbox_id;  ///< empty: none yet
  std::string runtime;     ///< "containerd"
  std::string failure;     ///< it could not be started, and why; empty: it could
  WallMicros begun_at = 0;
  std::vector<ContainerRecord> containers;  ///< as PodSpec::container() counts them
  int64_t cpu_us = 0;                       ///< as last measured
  int64_t memory_kib = 0;                   ///< the most that was measured

  bool operator==(const PodRecord&) const = default;
};

}  // namespace te

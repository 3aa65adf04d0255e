// From the model of a pod to what the CRI is asked for. No I/O, so that every default can be looked at in a test.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cri/container_config.h"
#include "cri/sandbox.h"
#include "task/task.h"

namespace te {

/// Labels on all that is made in the runtime; by them it is found again.
constexpr std::string_view kOwnerLabel = "task-executor.owner";  ///< of the data directory
constexpr std::string_view kUidLabel = "task-executor.uid";      ///< of the task
constexpr std::string_view kTaskLabel = "task-executor.task";    ///< its name
constexpr std::string_view kRunLabel = "task-executor.run";      ///< RunRecord::attempt, which `restart` counts up
constexpr std::string_view kContainerLabel = "task-executor.container";

struct PodIdentity {
  std::string_view owner;
  std::string_view name;  ///< of the task
  Uid uid;
  int32_t run = 1;
  uint32_t attempt = 0;
  std::string log_directory;
  bool host_network = false;  ///< where the spec does not say
};

cri::SandboxConfig sandbox_config(const PodSpec& pod, const PodIdentity& identity);
/// Command, arguments and environment are expanded; mounts are left to the caller, who looks at the paths. `image` is
/// the id that the runtime gave it. kInvalid: expands to too much (expand_container()).
Result<void> container_config(const PodSpec& pod, size_t index, const PodIdentity& identity, std::string_view image,
                              cri::ContainerConfig& out);

/// Empty, or why runAsNonRoot forbids the container; of the image: its user as ImageStatus told it.
std::string refuse_root(const PodSpec& pod, const ContainerSpec& container, std::optional<int64_t> image_uid,
                        std::string_view image_user);

/// File of a container's output, below the log directory.
std::string log_file_name(const ContainerSpec& container);

}  // namespace te

// The host's side of a container's mounts: which path stands for a volume, and that it is there.
//
// Everything is looked at in the file system of the agent, which must see the same paths as the runtime. Made just
// before the container is, as runtimes create missing paths (and so hide a mistake) and follow any link.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cri/container_config.h"
#include "task/pod_spec.h"

namespace te {

/// One --volume NAME=PATH.
struct NamedVolume {
  std::string name;
  std::string path;  ///< absolute
};

struct VolumePlace {
  int root = -1;                                    ///< the data directory, open; borrowed
  std::string_view data_dir;                        ///< its path, absolute
  std::string_view task;                            ///< the task's name
  const std::vector<NamedVolume>* named = nullptr;  ///< borrowed
};

/// Folder of a task's emptyDirs, below its directory.
constexpr std::string_view kVolumesFolder = "volumes";

/// Makes the folders of the task: logs, and one for each emptyDir. May be repeated.
Result<void> make_pod_folders(const PodSpec& pod, const VolumePlace& place);
/// The mounts of one container; makes what is to be made. An error names the volume and says what is wrong.
Result<std::vector<cri::Mount>> resolve_mounts(const PodSpec& pod, const ContainerSpec& container,
                                               const VolumePlace& place);

}  // namespace te

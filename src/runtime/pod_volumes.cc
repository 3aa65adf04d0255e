#include "runtime/pod_volumes.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "sys/fs.h"

namespace te {

namespace {

constexpr unsigned kVolumeMode = 0777;  ///< as the kubelet makes an emptyDir
constexpr unsigned kGroupVolumeMode = 02777;
constexpr unsigned kHostPathMode = 0755;  ///< its DirectoryOrCreate

Result<void> make_folder(int root, const std::string& path) {
  Result<void> made = sys::make_dir_at(root, path, 0700);
  if (!made && made.error().code == EEXIST) return {};
  return made;
}

std::string empty_dir(const VolumePlace& place, std::string_view volume) {
  return std::string(place.task) + "/" + std::string(kVolumesFolder) + "/" + std::string(volume);
}

Error about(const VolumeMount& mount, Error error, std::string_view part = {}) {
  error.context = "volume \"" + mount.volume + "\": " + std::string(part) + error.context;
  return error;
}

Result<void> must_be(bool right, const VolumeSpec& volume, const VolumeMount& mount, const char* kind) {
  return right ? Result<void>() : about(mount, invalid(volume.host_path + " is not a " + kind));
}

Result<void> check_host_path(const VolumeSpec& volume, const VolumeMount& mount) {
  if (volume.path_type == VolumeSpec::PathType::kDirectoryOrCreate) {
    const Result<void> made = sys::make_dirs(volume.host_path, kHostPathMode, false);
    if (!made) return about(mount, made.error());
  }
  const Result<sys::FileKind> kind = sys::kind_of(AT_FDCWD, volume.host_path);
  if (!kind) return about(mount, kind.error());
  switch (volume.path_type) {
    case VolumeSpec::PathType::kAny: return {};
    case VolumeSpec::PathType::kDirectory:
    case VolumeSpec::PathType::kDirectoryOrCreate:
      return must_be(*kind == sys::FileKind::kDirectory, volume, mount, "directory");
    case VolumeSpec::PathType::kFile: return must_be(*kind == sys::FileKind::kFile, volume, mount, "file");
    case VolumeSpec::PathType::kSocket: return must_be(*kind == sys::FileKind::kSocket, volume, mount, "socket");
  }
  return {};
}

Result<std::string> host_path_of(const PodSpec& pod, const VolumeMount& mount, const VolumePlace& place) {
  const auto named = [&](const auto& volume) { return volume.name == mount.volume; };
  if (const auto own = std::ranges::find_if(pod.volumes, named); own != pod.volumes.end()) {
    switch (own->kind) {
      case VolumeSpec::Kind::kEmptyDir: return std::string(place.data_dir) + "/" + empty_dir(place, own->name);
      case VolumeSpec::Kind::kHostPath: TRY(check_host_path(*own, mount)); return own->host_path;
    }
  }
  const auto flag = std::ranges::find_if(*place.named, named);
  if (flag == place.named->end()) return about(mount, invalid("unknown: --volume does not have it any more"));
  const Result<sys::FileKind> kind = sys::kind_of(AT_FDCWD, flag->path);
  if (!kind) return about(mount, kind.error());
  return flag->path;
}

}  // namespace

Result<void> make_pod_folders(const PodSpec& pod, const VolumePlace& place) {
  const std::string task(place.task);
  TRY(make_folder(place.root, task + "/" + std::string(kPodLogsFolder)));
  if (pod.volumes.empty()) return {};
  TRY(make_folder(place.root, task + "/" + std::string(kVolumesFolder)));
  for (const VolumeSpec& volume : pod.volumes) {
    if (volume.kind != VolumeSpec::Kind::kEmptyDir) continue;
    const std::string path = empty_dir(place, volume.name);
    TRY(make_folder(place.root, path));
    const std::optional<uint32_t>& group = pod.security.fs_group;
    TRY(sys::set_owner_group_at(place.root, path, group, group ? kGroupVolumeMode : kVolumeMode));
  }
  return {};
}

Result<std::vector<cri::Mount>> resolve_mounts(const PodSpec& pod, const ContainerSpec& container,
                                               const VolumePlace& place) {
  std::vector<cri::Mount> out;
  for (const VolumeMount& mount : container.mounts) {
    cri::Mount added;
    added.container_path = mount.mount_path;
    added.host_path = TRY(host_path_of(pod, mount, place));
    added.readonly = mount.read_only;
    if (!mount.sub_path.empty()) {
      Result<void> made = sys::make_dirs_below(added.host_path, mount.sub_path);
      if (!made) return about(mount, std::move(made).error(), "subPath ");
      added.host_path += "/" + mount.sub_path;
    }
    out.push_back(std::move(added));
  }
  return out;
}

}  // namespace te

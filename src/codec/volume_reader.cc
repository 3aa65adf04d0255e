#include "codec/volume_reader.h"

#include "codec/field_readers.h"

namespace te {

namespace {

Result<void> read_host_path(JsonValue& value, VolumeSpec& out, FieldWarnings& warnings) {
  out.kind = VolumeSpec::Kind::kHostPath;
  const std::string path = value.path();
  TRY(value.object([&](std::string_view field, JsonValue& inner) -> Result<void> {
    if (field == "path") {
      TRY(read_text(inner, out.host_path));
      if (!out.host_path.starts_with('/') || has_dots(out.host_path))
        return inner.error("must be absolute, without \"..\"");
      return {};
    }
    if (field != "type") return warnings.unknown(inner);
    const std::string_view type = TRY(inner.string());
    if (type.empty()) return {};
    if (type == "Directory") {
      out.path_type = VolumeSpec::PathType::kDirectory;
    } else if (type == "DirectoryOrCreate") {
      out.path_type = VolumeSpec::PathType::kDirectoryOrCreate;
    } else if (type == "File") {
      out.path_type = VolumeSpec::PathType::kFile;
    } else if (type == "Socket") {
      out.path_type = VolumeSpec::PathType::kSocket;
    } else {
      return inner.error("must be Directory, DirectoryOrCreate, File or Socket");
    }
    return {};
  }));
  if (out.host_path.empty()) return invalid(path + ".path: required, and not empty");
  return {};
}

Result<void> read_volume(JsonValue& value, VolumeSpec& out, FieldWarnings& warnings) {
  const std::string path = value.path();
  int kinds = 0;
  TRY(value.object([&](std::string_view field, JsonValue& inner) -> Result<void> {
    if (field == "name") return read_text(inner, out.name);
    ++kinds;
    if (field == "emptyDir") {
      out.kind = VolumeSpec::Kind::kEmptyDir;
      return inner.object([&](std::string_view which, JsonValue& detail) -> Result<void> {
        if (!one_of(which, {"medium", "sizeLimit"})) return warnings.unknown(detail);
        if (detail.type() == JsonType::kString && TRY(detail.string()).empty()) return {};
        return warnings.ignored(detail);
      });
    }
    if (field == "hostPath") return read_host_path(inner, out, warnings);
    return inner.error("only emptyDir and hostPath are supported, and volumes of the agent's --volume");
  }));
  if (kinds != 1) return invalid(path + ": must have emptyDir or hostPath");
  return {};
}

}  // namespace

Result<void> read_volumes(JsonValue& value, std::vector<VolumeSpec>& out, FieldWarnings& warnings) {
  return value.array([&](JsonValue& one) -> Result<void> {
    const std::string path = one.path();
    TRY(read_volume(one, out.emplace_back(), warnings));
    return valid_label_name(out.back().name) ? Result<void>() : invalid(path + ".name: must be a DNS label");
  });
}

}  // namespace te

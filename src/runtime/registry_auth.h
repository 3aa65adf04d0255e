// Credentials for pulling: Docker's config.json, read again for each pull so that a new one counts at once.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cri/image.h"
#include "wire/json_reader.h"

namespace te {

/// "registry.example:5000" of "registry.example:5000/a/b:tag"; "docker.io" where none is named
/// (distribution/reference).
std::string_view registry_of(std::string_view image);

/// The entry of "auths" that fits the image best: its registry, or the longest "registry/path" before its name. A
/// scheme in front and "/v1/" behind are left out of account, as Docker does. Nothing: there is none.
Result<std::optional<cri::ImageAuth>> find_registry_auth(JsonParser& parser, PaddedText config, std::string_view image);
/// The same, of a file.
Result<std::optional<cri::ImageAuth>> read_registry_auth(const std::string& path, std::string_view image);

}  // namespace te

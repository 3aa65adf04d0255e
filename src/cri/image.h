// ImageService: ImageStatus and PullImage (runtime.v1 of the CRI).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cri/sandbox.h"

namespace te::cri {

struct ImageStatusRequest {
  std::string image;  ///< a reference or an id
};
struct Image {
  std::string id;
  std::vector<std::string> repo_tags;
  std::optional<int64_t> uid;  ///< of the image's user, when it is a number
  std::string username;
};
struct ImageStatusResponse {
  std::optional<Image> image;  ///< absent: it is not there
};

/// Secrets: never to be logged.
struct ImageAuth {
  std::string username;
  std::string password;
  std::string auth;
  std::string server_address;
  std::string identity_token;
  std::string registry_token;
};
struct PullImageRequest {
  std::string image;
  std::optional<ImageAuth> auth;
  std::optional<SandboxConfig> sandbox_config;
};
struct PullImageResponse {
  std::string image_ref;
};

void encode(const ImageStatusRequest& request, std::string& out);
void encode(const PullImageRequest& request, std::string& out);
Result<void> decode(std::string_view bytes, ImageStatusResponse& out);
Result<void> decode(std::string_view bytes, PullImageResponse& out);

}  // namespace te::cri

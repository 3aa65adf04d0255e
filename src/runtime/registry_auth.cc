#include "runtime/registry_auth.h"

#include <fcntl.h>

#include "base/size.h"
#include "sys/fs.h"

namespace te {

namespace {

constexpr std::string_view kDefaultRegistry = "docker.io";

/// "index.docker.io/v1/" and "https://docker.io" are the same.
std::string_view plain_key(std::string_view key) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (key.starts_with(scheme)) key.remove_prefix(scheme.size());
  }
  for (const std::string_view tail : {"/", "/v1", "/v2"}) {
    if (key.ends_with(tail)) key.remove_suffix(tail.size());
  }
  return key == "index.docker.io" || key == "registry-1.docker.io" ? kDefaultRegistry : key;
}

/// The image's name with its registry, without tag and digest.
std::string full_name(std::string_view image) {
  const std::string_view registry = registry_of(image);
  if (image.starts_with(registry) && image.substr(registry.size(), 1) == "/") image.remove_prefix(registry.size() + 1);
  std::string out(plain_key(registry));
  out += '/';
  out += image.substr(0, image.find('@'));
  const size_t colon = out.rfind(':');
  if (colon != std::string::npos && out.find('/', colon) == std::string::npos) out.resize(colon);
  return out;
}

}  // namespace

std::string_view registry_of(std::string_view image) {
  const size_t slash = image.find('/');
  if (slash == std::string_view::npos) return kDefaultRegistry;
  const std::string_view first = image.substr(0, slash);
  const bool is_host = first.find_first_of(".:") != std::string_view::npos || first == "localhost";
  return is_host ? first : kDefaultRegistry;
}

Result<std::optional<cri::ImageAuth>> find_registry_auth(JsonParser& parser, PaddedText config,
                                                         std::string_view image) {
  const std::string name = full_name(image);
  std::optional<cri::ImageAuth> best;
  size_t best_length = 0;
  const auto read_entry = [](JsonValue& value, cri::ImageAuth& out) {
    return value.object([&](std::string_view field, JsonValue& inner) -> Result<void> {
      std::string* to = nullptr;
      if (field == "auth") to = &out.auth;
      if (field == "username") to = &out.username;
      if (field == "password") to = &out.password;
      if (field == "identitytoken") to = &out.identity_token;
      if (field == "registrytoken") to = &out.registry_token;
      if (to != nullptr) *to = TRY(inner.string());
      return {};
    });
  };
  TRY(parser.parse(config, [&](JsonValue& root) {
    return root.object([&](std::string_view field, JsonValue& value) -> Result<void> {
      if (field != "auths") return {};
      return value.object([&](std::string_view key, JsonValue& entry) -> Result<void> {
        const std::string_view plain = plain_key(key);
        const bool fits = name.starts_with(plain) && (name.size() == plain.size() || name[plain.size()] == '/');
        if (!fits || plain.size() < best_length) return {};
        cri::ImageAuth found;
        TRY(read_entry(entry, found));
        best = std::move(found);
        best_length = plain.size();
        return {};
      });
    });
  }));
  return best;
}

Result<std::optional<cri::ImageAuth>> read_registry_auth(const std::string& path, std::string_view image) {
  constexpr size_t kLimit = kMiB;
  // Links are followed: a mounted secret is one.
  const Fd file = TRY(sys::open_at(AT_FDCWD, path, O_RDONLY));
  const auto size = static_cast<size_t>(TRY(sys::file_size(file.get())));
  if (size > kLimit) return invalid("the registry auth file is too big");
  std::string text(size + kJsonPadding, '\0');
  const size_t read = TRY(sys::read_at(file.get(), text.data(), size, 0));
  JsonParser parser;
  Result<std::optional<cri::ImageAuth>> found = find_registry_auth(parser, {text.data(), read}, image);
  // What is wrong in it is told without a byte of it.
  if (!found) return invalid("the registry auth file is not as Docker writes its config.json");
  return found;
}

}  // namespace te

#include "codec/security_reader.h"

#include <optional>
#include <string>

#include "codec/field_readers.h"

namespace te {

namespace {

Result<void> read_seccomp(JsonValue& value, std::optional<Seccomp>& out) {
  Seccomp profile;
  const std::string path = value.path();
  std::string type;
  TRY(value.object([&](std::string_view field, JsonValue& inner) -> Result<void> {
    if (field == "type") return read_text(inner, type);
    if (field == "localhostProfile") {
      TRY(read_text(inner, profile.localhost_profile));
      return has_dots(profile.localhost_profile) ? inner.error("must be relative, without \"..\"") : Result<void>();
    }
    return inner.error("not supported");
  }));
  if (type == "RuntimeDefault") {
    profile.type = Seccomp::Type::kRuntimeDefault;
  } else if (type == "Unconfined") {
    profile.type = Seccomp::Type::kUnconfined;
  } else if (type == "Localhost") {
    profile.type = Seccomp::Type::kLocalhost;
  } else {
    return invalid(path + ".type: must be RuntimeDefault, Unconfined or Localhost");
  }
  if ((profile.type == Seccomp::Type::kLocalhost) == profile.localhost_profile.empty())
    return invalid(path + ".localhostProfile: goes with the type Localhost, and only with it");
  out = std::move(profile);
  return {};
}

Result<void> common_security(std::string_view name, JsonValue& value, PodSecurity& out) {
  if (name == "runAsUser") return read_id(value, out.run_as_user);
  if (name == "runAsGroup") return read_id(value, out.run_as_group);
  if (name == "runAsNonRoot") return read_flag(value, out.run_as_non_root);
  if (name == "seccompProfile") return read_seccomp(value, out.seccomp);
  if (name == "appArmorProfile") {
    return value.object([&](std::string_view field, JsonValue& inner) -> Result<void> {
      if (field == "type" && TRY(inner.string()) == "RuntimeDefault") return {};
      return inner.error("only RuntimeDefault is supported");
    });
  }
  return value.error("not supported in a securityContext");
}

}  // namespace

Result<void> read_pod_security(JsonValue& value, PodSecurity& out, FieldWarnings& warnings) {
  return value.object([&](std::string_view name, JsonValue& inner) -> Result<void> {
    if (name == "supplementalGroups") {
      return inner.array([&](JsonValue& one) -> Result<void> {
        std::optional<uint32_t> id;
        TRY(read_id(one, id));
        out.supplemental_groups.push_back(*id);
        return {};
      });
    }
    if (name == "fsGroup") return read_id(inner, out.fs_group);
    if (name == "fsGroupChangePolicy") return warnings.ignored(inner);
    if (name == "sysctls") {
      return inner.array([&](JsonValue& one) -> Result<void> {
        auto& sysctl = out.sysctls.emplace_back();
        return one.object([&](std::string_view field, JsonValue& detail) -> Result<void> {
          if (field == "name") return read_text(detail, sysctl.first);
          return field == "value" ? read_text(detail, sysctl.second) : warnings.unknown(detail);
        });
      });
    }
    return common_security(name, inner, out);
  });
}

Result<void> read_container_security(JsonValue& value, PodSecurity& out) {
  return value.object([&](std::string_view name, JsonValue& inner) -> Result<void> {
    if (name == "privileged") return read_flag(inner, out.privileged);
    if (name == "allowPrivilegeEscalation") return read_flag(inner, out.allow_escalation);
    if (name == "readOnlyRootFilesystem") return read_flag(inner, out.read_only_root);
    if (name == "capabilities") {
      return inner.object([&](std::string_view which, JsonValue& list) -> Result<void> {
        if (which == "drop") return read_capabilities(list, out.drop_capabilities);
        if (which == "add") return read_capabilities(list, out.add_capabilities);
        return list.error("not supported in capabilities");
      });
    }
    if (name == "procMount") {
      return TRY(inner.string()) == "Default" ? Result<void>() : inner.error("only Default is supported");
    }
    return common_security(name, inner, out);
  });
}

}  // namespace te

#include "codec/container_reader.h"

#include "codec/field_readers.h"
#include "codec/security_reader.h"
#include "task/quantity.h"

namespace te {

namespace {

/// No tag means "latest" too; a digest is never newer.
bool is_latest(std::string_view image) {
  if (image.find('@') != std::string_view::npos) return false;
  const size_t slash = image.rfind('/');
  const std::string_view last = slash == std::string_view::npos ? image : image.substr(slash + 1);
  const size_t colon = last.rfind(':');
  return colon == std::string_view::npos || last.substr(colon + 1) == "latest";
}

/// Where none is written it goes by the tag, as the API server has it.
void settle_pull_policy(ContainerSpec& container) {
  if (container.pull_policy == PullPolicy::kPreferNewest && !is_latest(container.image)) {
    container.pull_policy = PullPolicy::kIfNotPresent;
  }
}

/// A quantity may be a string or a bare number.
Result<void> read_quantity(JsonValue& value, int scale, int64_t& out) {
  const std::string_view text = value.type() == JsonType::kNumber ? TRY(value.number()) : TRY(value.string());
  const std::optional<int64_t> parsed = parse_quantity(text, scale);
  if (!parsed) return value.error("must be a quantity, as 500m or 128Mi");
  out = *parsed;
  return {};
}

}  // namespace

Result<void> ContainerReader::read_only_one(JsonValue& value, PodSpec& pod) {
  ContainerSpec only;
  only.name = kOnlyContainerName;
  only.pull_policy = PullPolicy::kPreferNewest;
  TRY(value.object([&](std::string_view name, JsonValue& inner) -> Result<void> {
    if (name == "timeoutSeconds") return read_seconds(inner, pod.timeout_seconds);
    if (name == "terminationGracePeriodSeconds") return read_seconds(inner, pod.grace_seconds);
    return field(name, inner, only);
  }));
  settle_pull_policy(only);
  pod.containers.push_back(std::move(only));
  return {};
}

Result<void> ContainerReader::read_list(JsonValue& value, std::vector<ContainerSpec>& out) {
  return value.array([&](JsonValue& one) -> Result<void> {
    ContainerSpec& added = out.emplace_back();
    added.pull_policy = PullPolicy::kPreferNewest;
    TRY(one.object([&](std::string_view name, JsonValue& inner) -> Result<void> {
      if (name == "name") return read_text(inner, added.name);
      if (name == "restartPolicy") return inner.error("not supported: a container is run once");
      return field(name, inner, added);
    }));
    settle_pull_policy(added);
    return {};
  });
}

Result<void> ContainerReader::field(std::string_view name, JsonValue& value, ContainerSpec& out) {
  if (name == "image") return read_text(value, out.image);
  if (name == "command") return read_texts(value, out.command);
  if (name == "args") return read_texts(value, out.args);
  if (name == "env") return env(value, out.env);
  if (name == "envFrom") {
    return value.array([](JsonValue& one) { return one.error("not supported: there is no API server to ask"); });
  }
  if (name == "workingDir") return read_text(value, out.working_dir);
  if (name == "volumeMounts") return mounts(value, out.mounts);
  if (name == "volumeDevices") return value.error("not supported");
  if (name == "resources") return resources(value, out.resources);
  if (name == "securityContext") return read_container_security(value, out.security);
  if (name == "tty") return read_flag(value, out.tty);
  if (name == "imagePullPolicy") {
    const std::string_view policy = TRY(value.string());
    if (policy.empty()) return {};
    if (policy == "Always") {
      out.pull_policy = PullPolicy::kAlways;
    } else if (policy == "IfNotPresent") {
      out.pull_policy = PullPolicy::kIfNotPresent;
    } else if (policy == "Never") {
      out.pull_policy = PullPolicy::kNeverPull;
    } else {
      return value.error("must be Always, IfNotPresent or Never");
    }
    return {};
  }
  if (name == "imagePullSecrets" && options_.registry_auth) return {};
  if (name == "ports") {
    return value.array([&](JsonValue& port) {
      return port.object([&](std::string_view field, JsonValue& inner) -> Result<void> {
        return field == "hostPort" && TRY(inner.integer()) != 0 ? warnings_.ignored(inner) : Result<void>();
      });
    });
  }
  if (one_of(name, {"terminationMessagePath", "terminationMessagePolicy"})) return {};
  if (one_of(name, {"imagePullSecrets", "stdin", "stdinOnce", "lifecycle", "livenessProbe", "readinessProbe",
                    "startupProbe", "resizePolicy"})) {
    return warnings_.ignored(value);
  }
  return warnings_.unknown(value);
}

Result<void> ContainerReader::env(JsonValue& value, std::vector<EnvEntry>& out) {
  return value.array([&](JsonValue& entry) -> Result<void> {
    EnvEntry& added = out.emplace_back();
    const std::string path = entry.path();
    TRY(entry.object([&](std::string_view field, JsonValue& inner) -> Result<void> {
      if (field == "name") {
        TRY(read_text(inner, added.name));
        return added.name.find('=') == std::string::npos ? Result<void>() : inner.error("must not contain '='");
      }
      if (field == "value") return read_text(inner, added.value);
      if (field == "valueFrom") return inner.error("valueFrom is not supported: there is no API server to ask");
      return warnings_.unknown(inner);
    }));
    if (added.name.empty()) return invalid(path + ".name: required, and not empty");
    return {};
  });
}

Result<void> ContainerReader::mounts(JsonValue& value, std::vector<VolumeMount>& out) {
  return value.array([&](JsonValue& entry) -> Result<void> {
    VolumeMount& added = out.emplace_back();
    const std::string path = entry.path();
    TRY(entry.object([&](std::string_view field, JsonValue& inner) -> Result<void> {
      if (field == "name") return read_text(inner, added.volume);
      if (field == "mountPath") {
        TRY(read_text(inner, added.mount_path));
        if (!added.mount_path.starts_with('/') || has_dots(added.mount_path))
          return inner.error("must be absolute, without \"..\"");
        return {};
      }
      if (field == "subPath") {
        TRY(read_text(inner, added.sub_path));
        if (added.sub_path.starts_with('/') || has_dots(added.sub_path))
          return inner.error("must be relative, without \"..\"");
        return {};
      }
      if (field == "readOnly") return read_flag(inner, added.read_only);
      if (field == "mountPropagation") {
        return TRY(inner.string()) == "None" ? Result<void>() : inner.error("only None is supported");
      }
      if (one_of(field, {"subPathExpr", "recursiveReadOnly"})) return inner.error("not supported");
      return warnings_.unknown(inner);
    }));
    if (added.volume.empty()) return invalid(path + ".name: required, and not empty");
    if (added.mount_path.empty()) return invalid(path + ".mountPath: required, and not empty");
    return {};
  });
}

Result<void> ContainerReader::resources(JsonValue& value, PodResources& out) {
  bool has_cpu_request = false;
  TRY(value.object([&](std::string_view which, JsonValue& list) -> Result<void> {
    if (which != "limits" && which != "requests") {
      return which == "claims" ? list.error("not supported") : warnings_.unknown(list);
    }
    return list.object([&](std::string_view name, JsonValue& amount) -> Result<void> {
      const bool limit = which == "limits";
      int64_t request = 0;  // of memory: says nothing to a runtime
      if (name == "cpu") {
        has_cpu_request = has_cpu_request || !limit;
        return read_quantity(amount, 3, limit ? out.cpu_limit_millis : out.cpu_request_millis);
      }
      if (name == "memory") return read_quantity(amount, 0, limit ? out.memory_limit_bytes : request);
      return warnings_.ignored(amount);
    });
  }));
  if (!has_cpu_request) out.cpu_request_millis = out.cpu_limit_millis;  // as the API server does it
  return {};
}

}  // namespace te

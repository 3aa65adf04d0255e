#include "codec/pod_reader.h"

#include "codec/field_readers.h"
#include "codec/security_reader.h"
#include "codec/volume_reader.h"

namespace te {

namespace {

Result<void> read_pairs(JsonValue& value, std::vector<std::pair<std::string, std::string>>& out) {
  constexpr size_t kMostPairs = 10'000;   // all of them stand in each answer of the runtime
  constexpr size_t kLongestLabel = 4096;  // of containerd, key and value together
  return value.object([&](std::string_view name, JsonValue& one) -> Result<void> {
    const std::string_view text = TRY(plain_string(one));
    if (name.size() + text.size() > kLongestLabel) return one.error("must have no more than 4096 bytes with its key");
    if (out.size() == kMostPairs) return one.error("too many");
    out.emplace_back(std::string(name), std::string(text));
    return {};
  });
}

}  // namespace

Result<void> PodReader::pod_template(JsonValue& value, PodSpec& pod) {
  pod.is_template = true;
  const std::string path = value.path();
  bool has_spec = false;
  TRY(value.object([&](std::string_view name, JsonValue& inner) -> Result<void> {
    if (name == "metadata") {
      return inner.object([&](std::string_view field, JsonValue& one) -> Result<void> {
        if (field == "labels") return read_pairs(one, pod.labels);
        if (field == "annotations") return read_pairs(one, pod.annotations);
        return one_of(field, {"name", "namespace", "generateName", "uid"}) ? Result<void>() : warnings_.unknown(one);
      });
    }
    if (name != "spec") return warnings_.unknown(inner);
    has_spec = true;
    return inner.object([&](std::string_view field, JsonValue& one) { return pod_field(field, one, pod); });
  }));
  if (!has_spec) return invalid(path + ".spec: required");
  return {};
}

Result<void> PodReader::pod_field(std::string_view name, JsonValue& value, PodSpec& pod) {
  if (name == "containers") return containers_.read_list(value, pod.containers);
  if (name == "initContainers") return containers_.read_list(value, pod.init_containers);
  if (name == "volumes") return read_volumes(value, pod.volumes, warnings_);
  if (name == "restartPolicy") {
    const std::string_view policy = TRY(value.string());
    return policy.empty() || policy == "Never" ? Result<void>() : value.error("only Never is supported yet");
  }
  if (name == "terminationGracePeriodSeconds") return read_seconds(value, pod.grace_seconds);
  if (name == "activeDeadlineSeconds") {
    TRY(read_seconds(value, pod.timeout_seconds));
    return *pod.timeout_seconds > 0 ? Result<void>() : value.error("must be at least 1");
  }
  if (name == "hostNetwork") return read_flag(value, pod.host_network);
  if (name == "hostPID") return read_flag(value, pod.host_pid);
  if (name == "hostIPC") return read_flag(value, pod.host_ipc);
  if (name == "shareProcessNamespace") return read_flag(value, pod.share_pid);
  if (name == "hostUsers") {
    return TRY(value.boolean()) ? Result<void>() : value.error("user namespaces are not supported");
  }
  if (name == "hostname") {
    TRY(read_text(value, pod.hostname));
    if (!pod.hostname.empty() && !valid_label_name(pod.hostname)) return value.error("must be a DNS label");
    return {};
  }
  if (name == "runtimeClassName") return read_text(value, pod.runtime_handler);
  if (name == "securityContext") return read_pod_security(value, pod.security, warnings_);
  if (name == "dnsConfig") return dns(value, pod);
  if (name == "imagePullSecrets" && options_.registry_auth) return {};
  // Of no meaning where one agent runs what it is given.
  if (one_of(name, {"nodeName", "schedulerName", "serviceAccountName", "serviceAccount", "enableServiceLinks",
                    "automountServiceAccountToken", "dnsPolicy", "priority", "preemptionPolicy", "tolerations",
                    "nodeSelector", "affinity", "topologySpreadConstraints"})) {
    return {};
  }
  if (one_of(name, {"imagePullSecrets", "ephemeralContainers", "hostAliases", "priorityClassName", "readinessGates",
                    "overhead", "setHostnameAsFQDN", "subdomain", "schedulingGates", "os"})) {
    return warnings_.ignored(value);
  }
  if (one_of(name, {"resourceClaims", "resources"})) return value.error("not supported");
  return warnings_.unknown(value);
}

Result<void> PodReader::dns(JsonValue& value, PodSpec& pod) {
  return value.object([&](std::string_view name, JsonValue& inner) -> Result<void> {
    if (name == "nameservers") return read_texts(inner, pod.dns_servers);
    if (name == "searches") return read_texts(inner, pod.dns_searches);
    if (name != "options") return warnings_.unknown(inner);
    return inner.array([&](JsonValue& one) -> Result<void> {
      std::string key;
      std::string text;
      TRY(one.object([&](std::string_view field, JsonValue& detail) -> Result<void> {
        if (field == "name") return read_text(detail, key);
        return field == "value" ? read_text(detail, text) : warnings_.unknown(detail);
      }));
      pod.dns_options.push_back(text.empty() ? key : key + ":" + text);
      return {};
    });
  });
}

}  // namespace te

#include "codec/spec_reader.h"

#include <limits>
#include <optional>
#include <string>

#include "codec/field_readers.h"
#include "codec/field_warnings.h"
#include "codec/minified_json.h"
#include "codec/pod_check.h"
#include "codec/pod_reader.h"
#include "codec/volume_reader.h"

namespace te {

namespace {

/// Parses one task. Fields come in any order, so what depends on two of them is looked at when all are there.
class SpecReader {
 public:
  SpecReader(const SpecOptions& options, std::vector<std::string>& warnings)
      : options_(options), warnings_(warnings), pod_reader_(options, warnings_) {}

  Result<TaskRequest> read(JsonValue& root) {
    const std::string base = root.path();
    TRY(root.object([&](std::string_view name, JsonValue& value) { return top_field(name, value); }));
    const std::string prefix = base.empty() ? "" : base + ".";
    if (!has_name_) return invalid(prefix + "name: required");
    const bool top_level = has_top_process_ || has_template_;
    if (has_spec_ && top_level) {
      const std::string other = has_top_process_ ? "process" : "podTemplateSpec";
      return invalid(prefix + other + ": a task is written with \"spec\" or with \"" + other + "\", not with both");
    }
    if (!has_spec_ && !top_level) return invalid(prefix + "spec: required");
    if (pod_ != nullptr) return read_pod_task(prefix);
    const std::string path = prefix + (has_spec_ ? "spec.process" : "process");
    if (!has_process_) return invalid(path + ": required");
    if (has_volumes_) return invalid(prefix + "spec.volumes: a process has no volumes");
    request_.spec.form = has_spec_ ? WireForm::kGuide : WireForm::kController;
    ProcessSpec& process = request_.spec.process;
    TRY(merge(prefix, "process", "timeoutSeconds", spec_timeout_, process.timeout_seconds, process.timeout_at_spec));
    TRY(merge(prefix, "process", "terminationGracePeriodSeconds", spec_grace_, process.grace_seconds,
              process.grace_at_spec));
    TRY(validate(request_.spec, path));
    process.command.shrink();
    process.args.shrink();
    process.env.shrink();
    return std::move(request_);
  }

 private:
  Result<void> top_field(std::string_view name, JsonValue& value) {
    if (name == "name") {
      has_name_ = true;
      const std::string_view text = TRY(value.string());
      if (!valid_task_name(text)) return value.error(kTaskNameRule);
      request_.name = text;
      return {};
    }
    if (name == "spec") {
      has_spec_ = true;
      return value.object([&](std::string_view field, JsonValue& inner) { return spec_field(field, inner); });
    }
    if (name == "process") {
      has_top_process_ = true;
      return read_process(value);
    }
    if (name == "podTemplateSpec") {
      if (!options_.container_mode) return needs_container_mode(value);
      has_template_ = true;
      const size_t begin = value.offset();
      TRY(pod_reader_.pod_template(value, the_pod().pod));
      the_pod().json = minified_json(value.text_from(begin));
      return {};
    }
    // What an answer of ours carries beside the spec: a client may send back what it was given.
    for (const std::string_view known :
         {"status", "processStatus", "podStatus", "creationTimestamp", "deletionTimestamp"}) {
      if (name == known) return {};
    }
    return warnings_.unknown(value);
  }

  Result<void> spec_field(std::string_view name, JsonValue& value) {
    if (name == "process") return read_process(value);
    if (name == "container" || name == "volumes") {
      if (!options_.container_mode) return needs_container_mode(value);
      const size_t begin = value.offset();
      if (name == "container") {
        TRY(pod_reader_.container(value, the_pod().pod));
        the_pod().json = minified_json(value.text_from(begin));
      } else {
        has_volumes_ = true;
        TRY(read_volumes(value, volumes_, warnings_));
        volumes_json_ = minified_json(value.text_from(begin));
      }
      return {};
    }
    if (name == "timeoutSeconds") return read_seconds(value, spec_timeout_);
    if (name == "terminationGracePeriodSeconds") return read_seconds(value, spec_grace_);
    return warnings_.unknown(value);
  }

  PodTask& the_pod() {
    if (pod_ == nullptr) pod_ = std::make_unique<PodTask>();
    return *pod_;
  }

  Result<TaskRequest> read_pod_task(const std::string& prefix) {
    if (has_process_) {
      return invalid(prefix + (has_spec_ ? "spec.container" : "podTemplateSpec") +
                     ": a task is a process or runs in containers, not both");
    }
    PodTask& task = *pod_;
    request_.spec.form = has_spec_ ? WireForm::kGuide : WireForm::kController;
    if (has_volumes_) task.pod.volumes = std::move(volumes_);
    task.volumes = std::move(volumes_json_);
    TRY(merge(prefix, "container", "timeoutSeconds", spec_timeout_, task.pod.timeout_seconds, task.timeout_at_spec));
    TRY(merge(prefix, "container", "terminationGracePeriodSeconds", spec_grace_, task.pod.grace_seconds,
              task.grace_at_spec));
    TRY(check_pod(task.pod, options_, prefix));
    request_.spec.pod = std::move(pod_);
    return std::move(request_);
  }

  Result<void> read_process(JsonValue& value) {
    has_process_ = true;
    return value.object([&](std::string_view name, JsonValue& inner) { return process_field(name, inner); });
  }

  Result<void> process_field(std::string_view name, JsonValue& value) {
    ProcessSpec& process = request_.spec.process;
    if (name == "command") return read_strings(value, process.command);
    if (name == "args") return read_strings(value, process.args);
    if (name == "env") {
      return value.array([&](JsonValue& entry) { return read_env(entry); });
    }
    if (name == "workingDir") {
      process.working_dir = TRY(plain_string(value));
      return {};
    }
    if (name == "timeoutSeconds") return read_seconds(value, process.timeout_seconds);
    if (name == "terminationGracePeriodSeconds") return read_seconds(value, process.grace_seconds);
    if (name == "execMode") return read_exec_mode(value, process.exec_mode);
    if (name == "lifecycle") {
      return value.object([&](std::string_view which, JsonValue& inner) -> Result<void> {
        if (which == "preStart") return read_hook(inner, process.pre_start);
        if (which == "postStop") return read_hook(inner, process.post_stop);
        return warnings_.unknown(inner);
      });
    }
    if (name == "securityContext") return read_security(value);
    if (name == "restartPolicy") {
      const std::string_view policy = TRY(value.string());
      if (policy.empty() || policy == "Never") return {};
      return value.error("only Never is supported for a process");
    }
    if (name == "resources") return value.error("resources are not supported for a process yet");
    return warnings_.unknown(value);
  }

  Result<void> read_env(JsonValue& entry) {
    std::string name;
    std::string text;
    TRY(entry.object([&](std::string_view field, JsonValue& value) -> Result<void> {
      if (field == "name") {
        name = TRY(plain_string(value));
        if (name.find('=') != std::string::npos) return value.error("must not contain '='");
        return {};
      }
      if (field == "value") {
        text = TRY(plain_string(value));
        return {};
      }
      if (field == "valueFrom") return value.error("valueFrom is not supported: there is no API server to ask");
      return warnings_.unknown(value);
    }));
    request_.spec.process.env.add(name + "=" + text);  // an empty name is refused by validate()
    return {};
  }

  Result<void> read_exec_mode(JsonValue& value, ExecMode& out) {
    const std::string_view mode = TRY(value.string());
    if (mode.empty()) return {};
    if (mode == "Local") {
      out = ExecMode::kLocal;
      return {};
    }
    if (mode != "Remote") return value.error("must be Local or Remote");
    if (!options_.sidecar_mode) return value.error("Remote needs an agent with --enable-sidecar-mode");
    out = ExecMode::kRemote;
    return {};
  }

  Result<void> read_hook(JsonValue& value, std::unique_ptr<Hook>& out) {
    out = std::make_unique<Hook>();
    Hook& hook = *out;
    TRY(value.object([&](std::string_view name, JsonValue& inner) -> Result<void> {
      if (name == "exec") {
        return inner.object([&](std::string_view field, JsonValue& list) -> Result<void> {
          return field == "command" ? read_strings(list, hook.command) : warnings_.unknown(list);
        });
      }
      if (name == "execMode") return read_exec_mode(inner, hook.exec_mode);
      if (name == "timeoutSeconds") return read_seconds(inner, hook.timeout_seconds);
      // Handlers that Kubernetes knows and that would do something: never left out in silence.
      for (const std::string_view other : {"httpGet", "tcpSocket", "sleep"}) {
        if (name == other) return inner.error("only exec is supported for a hook");
      }
      return warnings_.unknown(inner);
    }));
    hook.command.shrink();
    return {};
  }

  // A field that is about isolation is never ignored, so an unknown one is an error here.
  Result<void> read_security(JsonValue& value) {
    auto security = std::make_unique<SecurityContext>();
    TRY(value.object([&](std::string_view name, JsonValue& inner) -> Result<void> {
      if (name == "runAsUser") return read_id(inner, security->run_as_user);
      if (name == "runAsGroup") return read_id(inner, security->run_as_group);
      if (name == "noNewPrivileges") {
        security->no_new_privileges = TRY(inner.boolean());
        return {};
      }
      if (name == "supplementalGroups") {
        return inner.array([&](JsonValue& one) -> Result<void> {
          std::optional<uint32_t> id;
          TRY(read_id(one, id));
          security->supplemental_groups.push_back(*id);
          return {};
        });
      }
      if (name == "capabilities") {
        return inner.object([&](std::string_view which, JsonValue& list) -> Result<void> {
          if (which == "drop") return read_capabilities(list, security->drop_capabilities);
          if (which == "add") return read_capabilities(list, security->add_capabilities);
          return list.error("not supported in capabilities");
        });
      }
      return inner.error("not supported in the securityContext of a process");
    }));
    request_.spec.process.security = std::move(security);
    return {};
  }

  static Result<void> read_strings(JsonValue& value, StringList& out) {
    return value.array([&](JsonValue& one) -> Result<void> {
      out.add(TRY(plain_string(one)));
      return {};
    });
  }

  static Result<void> needs_container_mode(JsonValue& value) {
    return value.error("needs an agent with --enable-container-mode");
  }

  // Both places are allowed in the guide form, as long as they say the same.
  static Result<void> merge(const std::string& prefix, std::string_view kind, std::string_view field,
                            const std::optional<int64_t>& at_spec, std::optional<int64_t>& at_process,
                            bool& is_at_spec) {
    if (!at_spec) return {};
    if (at_process && *at_process != *at_spec) {
      const std::string name(field);
      return invalid(prefix + "spec." + name + ": differs from " + prefix + "spec." + std::string(kind) + "." + name);
    }
    is_at_spec = true;
    at_process = at_spec;
    return {};
  }

  const SpecOptions& options_;
  FieldWarnings warnings_;
  TaskRequest request_;
  bool has_name_ = false;
  bool has_spec_ = false;
  bool has_process_ = false;
  bool has_top_process_ = false;
  bool has_template_ = false;
  bool has_volumes_ = false;
  PodReader pod_reader_;
  std::unique_ptr<PodTask> pod_;
  std::vector<VolumeSpec> volumes_;
  std::string volumes_json_;
  std::optional<int64_t> spec_timeout_;
  std::optional<int64_t> spec_grace_;
};

}  // namespace

Result<TaskRequest> read_task_value(JsonValue& value, const SpecOptions& options, std::vector<std::string>& warnings) {
  return SpecReader(options, warnings).read(value);
}

}  // namespace te

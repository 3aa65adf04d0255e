#include "task/spec.h"

#include <algorithm>

namespace te {

namespace {

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool same_security(const SecurityContext* a, const SecurityContext* b) {
  const SecurityContext none;
  return (a != nullptr ? *a : none) == (b != nullptr ? *b : none);
}

// Timeouts are compared by those who know their defaults.
bool same_hook(const Hook* a, const Hook* b) {
  if (a == nullptr || b == nullptr) return a == b;
  return a->command == b->command && a->remote() == b->remote();
}

Error at(std::string_view path, std::string_view field, std::string_view message) {
  std::string text(path);
  text += field;
  text += ": ";
  text += message;
  return invalid(std::move(text));
}

}  // namespace

bool same_spec(const TaskSpec& a, const TaskSpec& b) {
  if (a.pod || b.pod) return a.pod && b.pod && a.grace_seconds() == b.grace_seconds() && a.pod->pod == b.pod->pod;
  return a.process.command == b.process.command && a.process.args == b.process.args && a.process.env == b.process.env &&
         a.process.working_dir == b.process.working_dir && a.timeout_seconds() == b.timeout_seconds() &&
         a.grace_seconds() == b.grace_seconds() && a.process.exec_mode == b.process.exec_mode &&
         same_security(a.process.security.get(), b.process.security.get()) &&
         same_hook(a.process.pre_start.get(), b.process.pre_start.get()) &&
         same_hook(a.process.post_stop.get(), b.process.post_stop.get()) &&
         a.pre_start_seconds() == b.pre_start_seconds() && a.post_stop_seconds() == b.post_stop_seconds();
}

bool valid_task_name(std::string_view name) {
  constexpr size_t kLongest = 253;
  if (name.empty() || name.size() > kLongest) return false;
  if (!is_alphanumeric(name.front()) || !is_alphanumeric(name.back())) return false;
  return std::ranges::all_of(name, [](char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '-'; });
}

namespace {

Result<void> validate_hook(const Hook* hook, std::string_view path, std::string_view name) {
  if (hook == nullptr) return {};
  const std::string where = std::string(path) + ".lifecycle." + std::string(name);
  if (hook->command.empty()) return at(where, ".exec.command", "required, and not empty");
  if ((*hook->command.begin()).empty()) return at(where, ".exec.command[0]", "must not be empty");
  if (hook->timeout_seconds.value_or(0) < 0) return at(where, ".timeoutSeconds", "must not be negative");
  return {};
}

}  // namespace

Result<void> validate(const TaskSpec& spec, std::string_view path) {
  const ProcessSpec& process = spec.process;
  if (process.command.empty()) return at(path, ".command", "required, and not empty");
  if ((*process.command.begin()).empty()) return at(path, ".command[0]", "must not be empty");
  if (process.timeout_seconds.value_or(0) < 0) return at(path, ".timeoutSeconds", "must not be negative");
  if (process.grace_seconds.value_or(0) < 0) return at(path, ".terminationGracePeriodSeconds", "must not be negative");
  size_t index = 0;
  for (const std::string_view entry : process.env) {
    if (entry.starts_with('=')) return at(path, ".env[" + std::to_string(index) + "].name", "required, and not empty");
    ++index;
  }
  TRY(validate_hook(process.pre_start.get(), path, "preStart"));
  return validate_hook(process.post_stop.get(), path, "postStop");
}

}  // namespace te

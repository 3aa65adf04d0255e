#include "runtime/plan.h"

#include <string_view>
#include <unordered_set>

namespace te {

namespace {

bool kept_from_agent(std::string_view entry) {
  const std::string_view name = env_name(entry);
  for (const std::string_view prefix : {"LISTEN_", "WATCHDOG_", "AUTH_TOKEN"}) {
    if (name.starts_with(prefix)) return false;
  }
  return name != "NOTIFY_SOCKET" && name != kRunMark && !name.empty();
}

/// The strings behind the header, as they come.
class Strings {
 public:
  explicit Strings(size_t begin) : begin_(begin) {}

  StringRun run() const { return {static_cast<uint32_t>(begin_ + bytes_.size()), 0}; }
  void add(StringRun& run, std::string_view text) {
    bytes_ += text;
    bytes_ += '\0';
    ++run.count;
  }
  StringRun one(std::string_view text) {
    StringRun only = run();
    add(only, text);
    return only;
  }
  StringRun list(const StringList& strings, const StringList* more = nullptr) {
    StringRun all = run();
    bytes_ += strings.bytes();
    if (more != nullptr) bytes_ += more->bytes();
    all.count = strings.size() + (more != nullptr ? more->size() : 0);
    return all;
  }
  /// The mark, and then `entries`, of each name the last one.
  StringRun environment(std::vector<std::string_view>& entries, const Uid& uid) {
    // From the end, the first of a name is kept; what is dropped becomes empty.
    std::unordered_set<std::string_view> names = {kRunMark};  // nobody gives a task another one's mark
    for (size_t i = entries.size(); i-- > 0;) {
      if (!names.insert(env_name(entries[i])).second) entries[i] = {};
    }
    StringRun all = one(std::string(kRunMark) + "=" + std::string(uid.view()));
    for (const std::string_view entry : entries) {
      if (!entry.empty()) add(all, entry);
    }
    return all;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  size_t begin_;
  std::string bytes_;
};

}  // namespace

BaseEnvironment::BaseEnvironment(const char* const* environment) {
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    if (kept_from_agent(*environment)) entries_.emplace_back(*environment);
  }
}

std::string encode_plan(const Task& task, int32_t attempt, const BaseEnvironment& base, const PlanLimits& limits,
                        const SidecarOptions& sidecar) {
  const ProcessSpec& process = task.spec.process;
  PlanHeader header;
  header.attempt = attempt;
  header.grace_seconds = task.spec.grace_seconds();
  header.nofile_soft = limits.nofile_soft;
  header.nofile_hard = limits.nofile_hard;
  header.program = sidecar.program;
  header.agent_user = sidecar.agent_user;
  const std::vector<uint32_t> no_groups;
  const std::vector<uint32_t>* groups = &no_groups;
  if (process.security != nullptr) {
    const SecurityContext& security = *process.security;
    header.has_security = true;
    header.has_user = security.run_as_user.has_value();
    header.user = security.run_as_user.value_or(0);
    header.has_group = security.run_as_group.has_value();
    header.group = security.run_as_group.value_or(0);
    header.no_new_privileges = security.no_new_privileges.value_or(false);
    header.drop_capabilities = security.drop_capabilities;
    header.add_capabilities = security.add_capabilities;
    groups = &security.supplemental_groups;
    header.group_count = static_cast<uint32_t>(groups->size());
  }

  Strings strings(sizeof header + groups->size() * sizeof(uint32_t));
  const bool main_remote =
      process.exec_mode == ExecMode::kRemote || (process.exec_mode == ExecMode::kDefault && sidecar.enabled);
  bool any_local = false;
  bool any_remote = false;
  const auto plan_process = [&](RunPhase phase, StringRun argv, bool remote, int64_t timeout_seconds) {
    header.processes[static_cast<size_t>(phase)] = {argv, timeout_seconds, remote, remote == main_remote};
    (remote ? any_remote : any_local) = true;
  };
  const bool over = task.end != nullptr || task.lost;
  header.first = over ? RunPhase::kPostStop : RunPhase::kMain;
  if (!over) {
    if (const Hook* hook = process.pre_start.get()) {
      header.first = RunPhase::kPreStart;
      plan_process(RunPhase::kPreStart, strings.list(hook->command), hook->remote(), task.spec.pre_start_seconds());
    }
    plan_process(RunPhase::kMain, strings.list(process.command, &process.args), main_remote,
                 task.spec.timeout_seconds());
  }
  if (const Hook* hook = process.post_stop.get()) {
    plan_process(RunPhase::kPostStop, strings.list(hook->command), hook->remote(), task.spec.post_stop_seconds());
  }

  std::vector<std::string_view> entries;
  if (any_local) {
    for (const std::string& entry : base.entries()) entries.emplace_back(entry);
    for (const std::string_view entry : process.env) entries.push_back(entry);
    header.local_env = strings.environment(entries, task.uid);
  }
  if (any_remote) {
    entries.clear();
    for (const std::string_view entry : process.env) entries.push_back(entry);
    header.own_env = strings.environment(entries, task.uid);
  }
  header.working_dir = strings.one(process.working_dir);
  header.container = strings.one(sidecar.container);

  std::string plan;
  header.size = static_cast<uint32_t>(sizeof header + groups->size() * sizeof(uint32_t) + strings.bytes().size());
  plan.reserve(header.size);
  plan.append(reinterpret_cast<const char*>(&header), sizeof header);
  plan.append(reinterpret_cast<const char*>(groups->data()), groups->size() * sizeof(uint32_t));
  plan += strings.bytes();
  return plan;
}

bool PlanView::decode(std::string_view bytes) {
  if (bytes.size() < sizeof(PlanHeader) || bytes.back() != '\0') return false;
  bytes_ = bytes;
  if (header().magic != PlanHeader::kMagic || header().size != bytes.size()) return false;
  return has(header().first);
}

void PlanView::collect(StringRun run, std::vector<const char*>& out) const {
  const char* at = text(run);
  for (uint32_t i = 0; i < run.count; ++i, at += std::string_view(at).size() + 1) out.push_back(at);
}

}  // namespace te

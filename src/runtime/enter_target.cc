#include "runtime/enter_target.h"

#include <fcntl.h>

#include <algorithm>
#include <string_view>

#include "sys/fs.h"
#include "sys/namespaces.h"
#include "sys/process_environment.h"
#include "sys/supervise.h"

namespace te {

namespace {

StartFailure failed(StartStage stage, const Error& error) { return {stage, error.code}; }

}  // namespace

StartFailure TargetEntry::find() {
  const PlanHeader& header = plan_.header();
  Result<MainContainer> found = find_main_container(plan_.text(header.container), header.program, sys::kExecPatience);
  if (!found) return failed(StartStage::kTarget, found.error());
  found_ = std::move(found).value();
  const int proc = found_.proc.get();
  Result<unsigned> kinds = sys::differing_namespaces(proc);
  if (!kinds) return failed(StartStage::kTarget, kinds.error());
  kinds_ = *kinds;
  Result<sys::ProcessCredentials> outer = sys::read_credentials(proc);
  if (!outer) return failed(StartStage::kTarget, outer.error());
  outer_ = std::move(outer).value();
  Result<Fd> root = sys::open_at(proc, "root", O_PATH | O_DIRECTORY);
  if (!root) return failed(StartStage::kTarget, root.error());
  root_ = std::move(root).value();
  // A working directory that has been removed is none.
  Result<Fd> cwd = sys::open_at(proc, "cwd", O_PATH | O_DIRECTORY);
  if (cwd) cwd_ = std::move(cwd).value();
  return {};
}

StartFailure TargetEntry::enter() {
  const Result<void> entered = sys::enter_namespaces(found_.pidfd.get(), found_.proc.get(), kinds_);
  // ESRCH: it has gone since it was found.
  if (!entered) {
    return failed(entered.error().code == ESRCH ? StartStage::kTarget : StartStage::kNamespaces, entered.error());
  }
  const Result<void> rooted = sys::change_root(root_.get());
  if (!rooted) return failed(StartStage::kNamespaces, rooted.error());
  // Read in its user namespace, the ids are what they are in there. The descriptor is of our own /proc.
  Result<sys::ProcessCredentials> inner = sys::read_credentials(found_.proc.get());
  if (!inner) return failed(StartStage::kTarget, inner.error());
  inner_ = std::move(inner).value();
  in_cwd_ = cwd_.valid() && sys::change_dir_to(cwd_.get()).ok();
  found_.proc.reset();
  found_.pidfd.reset();
  root_.reset();
  return {};
}

std::optional<uint32_t> TargetEntry::outer_user() const {
  const PlanHeader& header = plan_.header();
  if (header.has_user) return header.user;
  return header.agent_user ? std::nullopt : std::optional(outer_.user);
}

std::optional<uint32_t> TargetEntry::outer_group() const {
  const PlanHeader& header = plan_.header();
  if (header.has_group) return header.group;
  return header.agent_user ? std::nullopt : std::optional(outer_.group);
}

void TargetEntry::add_to(sys::Credentials& credentials) const {
  if (!plan_.header().agent_user) {
    if (!credentials.user) credentials.user = inner_.user;
    if (!credentials.group) credentials.group = inner_.group;
    if (!credentials.groups) credentials.groups = inner_.groups;
  }
  credentials.no_new_privileges = credentials.no_new_privileges || inner_.no_new_privileges;
  credentials.limit = &inner_.capabilities;
}

void TargetEntry::collect_environment(std::vector<const char*>& out) const {
  std::vector<const char*> own;
  plan_.collect(plan_.header().own_env, own);
  const auto replaced = [&](std::string_view name) {
    return std::ranges::any_of(own, [&](const char* entry) { return env_name(entry) == name; });
  };
  std::string_view rest = found_.environment;
  while (!rest.empty()) {
    const char* entry = rest.data();  // NUL-terminated: the last one by the string itself
    const std::string_view text = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(rest.size(), text.size() + 1));
    // What has no '=' is none of a shell's variables, and was set by a program that renames itself.
    if (text.find('=') != std::string_view::npos && !replaced(env_name(text))) out.push_back(entry);
  }
  out.insert(out.end(), own.begin(), own.end());
}

StartFailure TargetEntry::go_to_working_dir() {
  // Its own user may be allowed what we are not.
  if (!in_cwd_ && cwd_.valid()) in_cwd_ = sys::change_dir_to(cwd_.get()).ok();
  cwd_.reset();
  if (in_cwd_ && sys::working_dir_is_inside()) return {};
  const Result<void> top = sys::change_dir("/");
  return top ? StartFailure{} : failed(StartStage::kWorkingDir, top.error());
}

}  // namespace te

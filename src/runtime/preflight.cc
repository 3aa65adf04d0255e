#include "runtime/preflight.h"

#include <array>
#include <string_view>
#include <utility>

#include "sys/clock.h"
#include "sys/credentials.h"
#include "task/capability.h"

namespace te {

namespace {

// setns; chroot; processes of other users in /proc; the bounding set; signals to, user and groups of, and the logs of
// tasks that are another user. logs.
constexpr std::array<std::string_view, 9> kNeeded = {"SYS_ADMIN", "SYS_CHROOT", "SYS_PTRACE", "SETPCAP",     "KILL",
                                                     "SETUID",    "SETGID",     "CHOWN",      "DAC_OVERRIDE"};

}  // namespace

std::string missing_capabilities(uint64_t effective) {
  std::string missing;
  for (const std::string_view name : kNeeded) {
    if ((effective & capability_bits(name).value_or(0)) != 0) continue;
    if (!missing.empty()) missing += ", ";
    missing += name;
  }
  return missing;
}

Result<void> Preflight::look_for_container() {
  if (found_.pid != 0) {
    const Result<Fd> held = sys::open_process(found_);
    if (held && held->valid()) return {};
    found_ = {};
  }
  const MonoNanos now = sys::mono_now();
  if (now >= look_again_at_) {  // it is a look at all processes, and anybody may ask
    if (const Result<MainContainer> found = find_main_container(container_, program_, 0)) {
      found_ = found->id;
      return {};
    }
    look_again_at_ = now + kSecond;
  }
  Error error{ErrorKind::kUnsupported, 0, "main container is not found: no process has "};
  error.context += kMainContainerMark;
  error.context += '=';
  error.context += container_;
  error.context += " in its environment (is shareProcessNamespace set?)";
  return error;
}

Result<void> Preflight::ready() {
  const std::string missing = missing_capabilities(TRY(sys::effective_capabilities()));
  if (!missing.empty())
    return Error{ErrorKind::kUnsupported, 0, "sidecar mode needs capabilities that are missing: " + missing};
  return look_for_container();
}

void Preflight::report(Log& log) {
  const Result<void> good = ready();
  if (!good) log.error("tasks can't be run in the main container now", {{"error", good.error().text()}});
  log.warning("tasks in the main container do not get its seccomp filter and its LSM label: these can't be taken over",
              {{"container", container_}});
}

}  // namespace te

#include "sys/credentials.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string>

#include "base/size.h"
#include "sys/fs.h"

namespace te::sys {

namespace {

Result<CapabilitySets> get_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return system_error("capget");
  const auto join = [](uint32_t low, uint32_t high) { return uint64_t{low} | uint64_t{high} << 32U; };
  CapabilitySets sets;
  sets.effective = join(data[0].effective, data[1].effective);
  sets.permitted = join(data[0].permitted, data[1].permitted);
  sets.inheritable = join(data[0].inheritable, data[1].inheritable);
  return sets;
}

Result<void> set_capabilities(const CapabilitySets& sets) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  for (unsigned half = 0; half < 2; ++half) {
    const auto part = [half](uint64_t set) { return static_cast<uint32_t>(set >> (32U * half)); };
    data[half] = {part(sets.effective), part(sets.permitted), part(sets.inheritable)};
  }
  if (::syscall(SYS_capset, &header, data.data()) != 0) return system_error("capset");
  return {};
}

Result<void> control(const char* what, int option, unsigned long value, unsigned long extra = 0) {
  if (::prctl(option, value, extra, 0UL, 0UL) != 0) return system_error(what);
  return {};
}

constexpr unsigned kLastCapability = 63;
constexpr uint64_t kAllAdded = ~uint64_t{0};  ///< "ALL": as many as there are

/// False: we have no right to (SETPCAP).
Result<bool> drop_from_bounding_set(uint64_t capabilities) {
  for (unsigned cap = 0; cap <= kLastCapability; ++cap) {
    if ((capabilities >> cap & 1U) == 0) continue;
    if (::prctl(PR_CAPBSET_READ, cap, 0UL, 0UL, 0UL) != 1) continue;  // unknown to this kernel, or gone already
    if (::prctl(PR_CAPBSET_DROP, cap, 0UL, 0UL, 0UL) == 0) continue;
    if (errno == EPERM) return false;
    return system_error("drop from the bounding set");
  }
  return true;
}

/// Groups are given by the privileged only; who asks to stay what it is needs none.
Result<void> take_groups(const Credentials& wanted) {
  if (::setgroups(wanted.groups->size(), wanted.groups->data()) == 0) return {};
  const int error = errno;
  const bool stays = wanted.groups->empty() && wanted.user.value_or(::geteuid()) == ::geteuid() &&
                     wanted.group.value_or(::getegid()) == ::getegid();
  return error == EPERM && stays ? Result<void>() : system_error("setgroups", {}, error);
}

/// The sets before exec. What root has after it comes from the bounding and the inheritable set, what another user has
/// from the ambient one (capabilities(7), "Transformation of capabilities during execve()").
Result<void> set_capability_sets(const Credentials& wanted) {
  const CapabilitySets all{~uint64_t{0}, ~uint64_t{0}, ~uint64_t{0}, ~uint64_t{0}, 0};
  const CapabilitySets& limit = wanted.limit != nullptr ? *wanted.limit : all;
  CapabilitySets sets = TRY(get_capabilities());
  const uint64_t allowed = sets.permitted & limit.permitted;
  const uint64_t dropped = wanted.drop & ~wanted.add;
  const bool stays_root = ::geteuid() == 0;
  // Ambient ones must be inheritable, and these are bounded.
  const uint64_t kept =
      stays_root ? allowed & ~dropped : allowed & limit.bounding & (wanted.add | (limit.ambient & ~dropped));
  if (wanted.add != kAllAdded && (wanted.add & ~kept) != 0) {
    return Error{ErrorKind::kSystem, EPERM, "add capabilities that are not there"};
  }
  sets.permitted = sets.effective = kept;
  sets.inheritable = stays_root ? sets.inheritable & limit.inheritable & limit.permitted & ~dropped : kept;
  TRY(set_capabilities(sets));
  if (wanted.limit != nullptr) TRY(control("clear the ambient set", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL));
  if (stays_root) return {};
  for (unsigned cap = 0; cap <= kLastCapability; ++cap) {
    if ((kept >> cap & 1U) == 0) continue;
    TRY(control("raise an ambient capability", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap));
  }
  return {};
}

/// "Uid:\t1000\t1000\t1000\t1000" and the like: the numbers behind the name, or nothing.
std::string_view field(std::string_view status, std::string_view name) {
  for (size_t at = 0; at < status.size();) {
    const size_t end = std::min(status.find('\n', at), status.size());
    const std::string_view line = status.substr(at, end - at);
    if (line.starts_with(name)) return line.substr(name.size());
    at = end + 1;
  }
  return {};
}

template <class T>
bool next_number(std::string_view& text, T& out, int base) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

}  // namespace

Result<ProcessCredentials> read_credentials(int proc) {
  constexpr size_t kStatusLimit = 4 * kMiB;  // 65,536 groups make it long
  std::string text;
  const size_t size = TRY(read_file_at(proc, "status", text, kStatusLimit, 0)).size;
  const std::string_view status(text.data(), size);
  ProcessCredentials out;
  const auto effective_id = [&](std::string_view name, uint32_t& id) {
    std::string_view numbers = field(status, name);
    uint32_t real_id = 0;
    return next_number(numbers, real_id, 10) && next_number(numbers, id, 10);
  };
  const auto bits = [&](std::string_view name, uint64_t& set) {
    std::string_view number = field(status, name);
    return next_number(number, set, 16);
  };
  CapabilitySets& sets = out.capabilities;
  const bool whole = effective_id("Uid:", out.user) && effective_id("Gid:", out.group) &&
                     bits("CapInh:", sets.inheritable) && bits("CapPrm:", sets.permitted) &&
                     bits("CapEff:", sets.effective) && bits("CapBnd:", sets.bounding) && bits("CapAmb:", sets.ambient);
  if (!whole) return Error{ErrorKind::kSystem, EPROTO, "status of a process"};
  std::string_view groups = field(status, "Groups:");
  for (uint32_t group = 0; next_number(groups, group, 10);) out.groups.push_back(group);
  uint32_t flag = 0;
  std::string_view no_new_privileges = field(status, "NoNewPrivs:");
  out.no_new_privileges = next_number(no_new_privileges, flag, 10) && flag != 0;
  return out;
}

Result<void> take_on(const Credentials& wanted) {
  if (wanted.groups) TRY(take_groups(wanted));
  uint64_t unbound = wanted.drop & ~wanted.add;
  if (wanted.limit != nullptr) {
    unbound |= ~wanted.limit->bounding;
    // Root gets its bounding set back with every exec.
    if (wanted.user.value_or(::geteuid()) == 0) unbound |= ~wanted.limit->permitted;
  }
  // Without the right to bound, what is dropped could come back with a program that gives rights: then none may.
  const bool bounded = TRY(drop_from_bounding_set(unbound));
  const bool changes_sets = wanted.drop != 0 || wanted.add != 0 || wanted.limit != nullptr;
  if (wanted.user && (wanted.add != 0 || wanted.limit != nullptr)) TRY(control("PR_SET_KEEPCAPS", PR_SET_KEEPCAPS, 1));
  if (wanted.group && ::setresgid(*wanted.group, *wanted.group, *wanted.group) != 0) return system_error("setgid");
  if (wanted.user && ::setresuid(*wanted.user, *wanted.user, *wanted.user) != 0) return system_error("setuid");
  if (changes_sets) TRY(set_capability_sets(wanted));
  if (wanted.no_new_privileges || !bounded) TRY(control("PR_SET_NO_NEW_PRIVS", PR_SET_NO_NEW_PRIVS, 1));
  return {};
}

Result<void> drop_all_capabilities() { return set_capabilities({}); }

Result<uint64_t> effective_capabilities() { return TRY(get_capabilities()).effective; }

bool is_container_init() { return ::getpid() == 1 || ::getppid() == 0; }

}  // namespace te::sys

// What ptrace(2) has no portable call for: which system call a stopped process is about to make, and what it returned.
#pragma once

#include <elf.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/user.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace te::crashpoints {

// Both want a tracee in a system call stop and are false, with errno, where ptrace refuses.
#if defined(__x86_64__)

/// At the entry: the call is not carried out.
inline bool skip_call(pid_t pid) { return ::ptrace(PTRACE_POKEUSER, pid, offsetof(user, regs.orig_rax), -1L) == 0; }
/// At the exit.
inline bool set_result(pid_t pid, int64_t value) {
  return ::ptrace(PTRACE_POKEUSER, pid, offsetof(user, regs.rax), value) == 0;
}

#elif defined(__aarch64__)

inline bool skip_call(pid_t pid) {
  int number = -1;
  iovec part = {&number, sizeof number};
  return ::ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &part) == 0;
}
inline bool set_result(pid_t pid, int64_t value) {
  user_regs_struct registers{};
  iovec whole = {&registers, sizeof registers};
  if (::ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &whole) != 0) return false;
  registers.regs[0] = static_cast<uint64_t>(value);
  return ::ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &whole) == 0;
}

#else
#error "crashpoints knows the registers of x86_64 and aarch64 only"
#endif

}  // namespace te::crashpoints

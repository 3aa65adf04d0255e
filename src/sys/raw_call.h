// System calls without the C library, whose wrappers have a page of code elsewhere and write to errno: for code that
// must touch nothing else, because its pages have just been dropped, or because it shares its memory with another
// process.
#pragma once

#if defined(__x86_64__) || defined(__aarch64__)

#include <cstdint>

namespace te::sys {

#define TE_HAS_RAW_CALL 1

/// The kernel's own answer: a value, or an errno negated. Always inlined, because a call would go elsewhere.
[[gnu::always_inline]] inline long raw_call(long number, uintptr_t a = 0, uintptr_t b = 0, uintptr_t c = 0,
                                            uintptr_t d = 0, uintptr_t e = 0) {
#if defined(__x86_64__)
  long result = number;
  register uintptr_t r10 asm("r10") = d;
  register uintptr_t r8 asm("r8") = e;
  asm volatile("syscall" : "+a"(result) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
  return result;
#else
  register long x8 asm("x8") = number;
  register uintptr_t x0 asm("x0") = a;
  register uintptr_t x1 asm("x1") = b;
  register uintptr_t x2 asm("x2") = c;
  register uintptr_t x3 asm("x3") = d;
  register uintptr_t x4 asm("x4") = e;
  asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return static_cast<long>(x0);
#endif
}

/// Where the stack ends now, with what a leaf function may use below it.
[[gnu::always_inline]] inline uintptr_t stack_pointer() {
  constexpr uintptr_t kRedZone = 128;  // System V ABI, x86-64
  uintptr_t now = 0;
#if defined(__x86_64__)
  asm volatile("mov %%rsp, %0" : "=r"(now));
#else
  asm volatile("mov %0, sp" : "=r"(now));
#endif
  return now - kRedZone;
}

}  // namespace te::sys

#endif

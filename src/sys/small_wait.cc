#include "sys/small_wait.h"

#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>

#include "sys/clock.h"
#include "sys/raw_call.h"
#include "sys/signals.h"

/// Of the linker: the program's own first bytes.
// NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)
extern "C" const ElfW(Ehdr) __ehdr_start [[gnu::visibility("hidden")]];

namespace te::sys {

namespace {

struct Range {
  uintptr_t start;
  size_t size;
};
struct Ranges {
  std::array<Range, 8> items;
  size_t count = 0;
  uintptr_t page = 0;
};

/// What the program never writes to.
Ranges program_pages() {
  Ranges out{};
  const auto page = static_cast<uintptr_t>(::getauxval(AT_PAGESZ));
  out.page = page;
  const auto start_of_file = reinterpret_cast<uintptr_t>(&__ehdr_start);
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  const auto* headers = reinterpret_cast<const ElfW(Phdr)*>(start_of_file + __ehdr_start.e_phoff);
  uintptr_t base = start_of_file;  // where a position-independent program was put
  for (size_t i = 0; i < __ehdr_start.e_phnum; ++i) {
    if (headers[i].p_type == PT_LOAD && headers[i].p_offset == 0) base = start_of_file - headers[i].p_vaddr;
  }
  for (size_t i = 0; i < __ehdr_start.e_phnum && out.count < out.items.size(); ++i) {
    if (headers[i].p_type != PT_LOAD || (headers[i].p_flags & PF_W) != 0) continue;
    const uintptr_t start = (base + headers[i].p_vaddr) / page * page;
    out.items[out.count++] = {start, base + headers[i].p_vaddr + headers[i].p_memsz - start};
  }
  return out;
}

#if defined(TE_HAS_RAW_CALL)
constexpr uintptr_t kStackDropped = uintptr_t{64} * 1024;

// No call to a function elsewhere: it would bring the pages around that one back, 64 KiB at a time.
[[gnu::noinline]] long drop_and_wait(const Ranges& ranges, const sigset_t& set, const timespec* timeout) {
  constexpr size_t kKernelSetSize = 8;
  for (size_t i = 0; i < ranges.count; ++i) {
    raw_call(SYS_madvise, ranges.items[i].start, ranges.items[i].size, MADV_DONTNEED);
  }
  // And the stack that deeper calls have used: this one makes no more of them, so below its page nothing is alive.
  const uintptr_t below = stack_pointer() / ranges.page * ranges.page;
  raw_call(SYS_madvise, below - kStackDropped, kStackDropped, MADV_DONTNEED);
  return raw_call(SYS_rt_sigtimedwait, reinterpret_cast<uintptr_t>(&set), 0, reinterpret_cast<uintptr_t>(timeout),
                  kKernelSetSize);
}

/// An area of its own for that function's one or two pages: a fault maps pages around it, but never beyond the area.
void part_from_the_rest(uintptr_t page) {
  constexpr uintptr_t kMostCode = 512;
  static bool parted = false;
  if (parted) return;
  parted = true;
  const auto code = reinterpret_cast<uintptr_t>(&drop_and_wait);
  const uintptr_t start = code / page * page;
  const uintptr_t end = (code + kMostCode + page - 1) / page * page;
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  ::madvise(reinterpret_cast<void*>(start), end - start, MADV_RANDOM);
}
#else
void part_from_the_rest(uintptr_t) {}
long drop_and_wait(const Ranges&, const sigset_t& set, const timespec* timeout) {
  drop_program_pages();
  const int signal = ::sigtimedwait(&set, nullptr, timeout);
  return signal > 0 ? signal : -errno;
}
#endif

}  // namespace

void drop_program_pages() {
  const Ranges ranges = program_pages();
  for (size_t i = 0; i < ranges.count; ++i) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    ::madvise(reinterpret_cast<void*>(ranges.items[i].start), ranges.items[i].size, MADV_DONTNEED);
  }
}

int wait_signal_small(const sigset_t& set, MonoNanos deadline) {
  timespec timeout{};
  if (deadline != kNever) {
    const MonoNanos left = deadline - mono_now();
    if (left <= 0) return wait_signal(set, deadline);
    timeout.tv_sec = left / kSecond;
    timeout.tv_nsec = left % kSecond;
  }
  const Ranges ranges = program_pages();
  part_from_the_rest(ranges.page);
  const long signal = drop_and_wait(ranges, set, deadline == kNever ? nullptr : &timeout);
  if (signal > 0) return static_cast<int>(signal);
  return signal == -EINTR ? wait_signal(set, deadline) : 0;
}

}  // namespace te::sys

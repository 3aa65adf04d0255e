#include "sys/signals.h"

#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "sys/clock.h"

namespace te::sys {

Result<Fd> catch_signals(std::initializer_list<int> signals) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : signals) ::sigaddset(&set, signal);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  Fd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return system_error("signalfd");
  return fd;
}

int next_signal(int fd) {
  signalfd_siginfo info{};
  return ::read(fd, &info, sizeof info) == static_cast<ssize_t>(sizeof info) ? static_cast<int>(info.ssi_signo) : 0;
}

void ignore_broken_pipes() {
  struct sigaction action {};
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
}

int wait_signal(const sigset_t& set, MonoNanos deadline) {
  for (;;) {
    timespec timeout{};
    if (deadline != kNever) {
      const MonoNanos left = deadline - mono_now();
      if (left > 0) {
        timeout.tv_sec = left / kSecond;
        timeout.tv_nsec = left % kSecond;
      }
    }
    const int signal = ::sigtimedwait(&set, nullptr, deadline == kNever ? nullptr : &timeout);
    if (signal > 0) return signal;
    if (errno == EAGAIN) return 0;
  }
}

// By the bare system call, because the library keeps signals 32 and 33 for itself, and a parent may have ignored these
// too. The kernel's struct (handler, flags, restorer where there is one, mask) is all zero for SIG_DFL.
void reset_dispositions() {
  constexpr size_t kKernelSetSize = 8;
  constexpr unsigned long kDefault[4] = {};
  for (int signal = 1; signal < NSIG; ++signal) {
    ::syscall(SYS_rt_sigaction, signal, kDefault, nullptr, kKernelSetSize);  // KILL and STOP refuse: fine
  }
}

void block_all_signals() {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
  reset_dispositions();
}

}  // namespace te::sys

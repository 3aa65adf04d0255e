#include "sys/signals.h"

#include "../support.h"
#include "sys/small_wait.h"

using namespace te;
using test::in_child;
using test::Tidy;

namespace {

sigset_t set_of(std::initializer_list<int> numbers) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : numbers) ::sigaddset(&set, number);
  return set;
}

using Wait = int (*)(const sigset_t&, MonoNanos);

std::string try_wait(Wait wait) {
  const sigset_t set = set_of({SIGUSR1, SIGUSR2});
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  MUST(wait(set, 0) == 0);  // a deadline of the past looks and does not wait
  MUST(wait(set, sys::mono_now() - kSecond) == 0);
  const MonoNanos deadline = sys::mono_now() + 20 * kMillisecond;
  MUST(wait(set, deadline) == 0);
  MUST(sys::mono_now() >= deadline);
  ::raise(SIGUSR1);
  ::raise(SIGUSR2);
  MUST(wait(set, kNever) == SIGUSR1);
  MUST(wait(set_of({SIGUSR1}), 0) == 0);  // the other one is not asked for
  MUST(wait(set, sys::mono_now() + kSecond) == SIGUSR2);
  // One that comes from elsewhere while it waits.
  const pid_t waiter = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::kill(waiter, SIGUSR2);
    ::_exit(0);
  }
  MUST(wait(set, kNever) == SIGUSR2);
  ::waitpid(pid, nullptr, 0);
  return {};
}

}  // namespace

TEST_CASE_FIXTURE(Tidy, "wait for a signal: one of the set, until the deadline") {
  CHECK(in_child([] { return try_wait(sys::wait_signal); }) == "");
}

TEST_CASE_FIXTURE(Tidy, "wait small for a signal: the same, and the program goes on afterwards") {
  CHECK(in_child([] { return try_wait(sys::wait_signal_small); }) == "");
}

TEST_CASE_FIXTURE(Tidy, "every disposition becomes the default, ignored ones too") {
  CHECK(in_child([]() -> std::string {
          ::signal(SIGPIPE, SIG_IGN);
          ::signal(SIGUSR1, [](int) {});
          ::signal(SIGRTMAX, SIG_IGN);
          sys::reset_dispositions();
          for (const int number : {SIGPIPE, SIGUSR1, SIGTERM, SIGINT, SIGRTMAX, SIGCHLD}) {
            struct sigaction action {};
            MUST(::sigaction(number, nullptr, &action) == 0);
            MUST(action.sa_handler == SIG_DFL);
          }
          return {};
        }) == "");
}

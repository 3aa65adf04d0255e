#include "reactor/signals.h"

#include "../support.h"
#include "sys/signals.h"

using namespace te;
using test::in_child;
using test::Tidy;

namespace {

struct OnSignal final : SignalHandler {
  void on_signal(int signal) override { seen.insert(signal); }
  std::multiset<int> seen;
};

}  // namespace

TEST_CASE_FIXTURE(Tidy, "signal watch: the given signals as events, all that wait at once") {
  CHECK(in_child([]() -> std::string {
          sys::block_all_signals();
          Reactor reactor = std::move(Reactor::create()).value();
          OnSignal handler;
          SignalWatch watch(handler);
          MUST(watch.start(reactor, {SIGTERM, SIGINT}));
          MUST(reactor.turn(false));
          MUST(handler.seen.empty());
          ::raise(SIGTERM);
          ::raise(SIGINT);
          ::raise(SIGTERM);  // one that waits already (signal(7))
          ::raise(SIGHUP);   // not ours
          MUST(reactor.turn(true));
          MUST((handler.seen == std::multiset<int>{SIGINT, SIGTERM}));
          MUST(reactor.turn(false));
          MUST(handler.seen.size() == 2);
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "signal watch: destroyed, it takes no signal any more") {
  CHECK(in_child([]() -> std::string {
          sys::block_all_signals();
          Reactor reactor = std::move(Reactor::create()).value();
          OnSignal handler;
          {
            SignalWatch watch(handler);
            MUST(watch.start(reactor, {SIGTERM}));
          }
          ::raise(SIGTERM);
          MUST(reactor.turn(false));
          MUST(handler.seen.empty());
          sigset_t pending;
          MUST(::sigpending(&pending) == 0);
          MUST(::sigismember(&pending, SIGTERM) == 1);
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "all signals blocked: for us, while inherited dispositions are given up") {
  CHECK(in_child([]() -> std::string {
          ::signal(SIGPIPE, SIG_IGN);
          ::signal(SIGHUP, SIG_IGN);
          sys::block_all_signals();
          sigset_t mask;
          MUST(::sigprocmask(SIG_SETMASK, nullptr, &mask) == 0);
          for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGCHLD, SIGUSR1, SIGRTMAX}) {
            MUST(::sigismember(&mask, number) == 1);
          }
          struct sigaction action {};
          MUST(::sigaction(SIGPIPE, nullptr, &action) == 0 && action.sa_handler == SIG_DFL);
          MUST(::sigaction(SIGHUP, nullptr, &action) == 0 && action.sa_handler == SIG_DFL);
          return {};
        }) == "");
}

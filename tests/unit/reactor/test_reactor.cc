#include "reactor/reactor.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <functional>
#include <memory>

#include "../support.h"

using namespace te;
using test::Pipe;
using test::Tidy;

namespace {

Reactor make_reactor() { return std::move(Reactor::create()).value(); }

/// Calls what it is told to, and counts.
struct OnIo final : IoHandler {
  void on_io(uint32_t events) override {
    ++calls;
    last_events = events;
    if (then) then();
  }
  std::function<void()> then;
  int calls = 0;
  uint32_t last_events = 0;
};

struct OnTimer final : TimerHandler {
  void on_timer() override {
    ++calls;
    if (then) then();
  }
  std::function<void()> then;
  int calls = 0;
};

struct OnSleep final : BeforeSleep {
  bool before_sleep() override {
    ++calls;
    return then ? then() : false;
  }
  std::function<bool()> then;
  int calls = 0;
};

Fd ready_event() { return Fd(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)); }
Fd quiet_event() { return Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

/// What the kernel says of the timerfds of this process: the times that are left until they go off, "0" for disarmed.
std::vector<std::string> armed_timers() {
  std::vector<std::string> out;
  for (const std::string& descriptor : test::open_descriptors()) {
    if (descriptor.find("timerfd") == std::string::npos) continue;
    std::string text;
    const std::string path = "/proc/self/fdinfo/" + descriptor.substr(0, descriptor.find(':'));
    const Result<sys::ReadSize> read = sys::read_file_at(AT_FDCWD, path, text, 4096, 1);
    if (!read) continue;
    text.resize(read->size);
    const size_t at = text.find("it_value: (");
    if (at != std::string::npos && text.compare(at, 16, "it_value: (0, 0)") != 0) out.push_back(text.substr(at));
  }
  return out;
}

}  // namespace

TEST_CASE_FIXTURE(Tidy, "reactor: a watch tells of readiness, until it is destroyed") {
  Reactor reactor = make_reactor();
  const Fd fd = ready_event();
  OnIo handler;
  {
    const Result<Watch> watch = reactor.watch(fd.get(), EPOLLIN, handler);
    REQUIRE(watch);
    CHECK(watch->active());
    CHECK(reactor.turn(false));
    CHECK(handler.calls == 1);
    CHECK(handler.last_events == EPOLLIN);
    CHECK(reactor.turn(false));
    CHECK(handler.calls == 2);  // level-triggered
  }
  CHECK(reactor.turn(false));
  CHECK(handler.calls == 2);
}

TEST_CASE_FIXTURE(Tidy, "reactor: what can't be watched is an error, and takes no slot") {
  Reactor reactor = make_reactor();
  OnIo handler;
  CHECK(reactor.watch(-1, EPOLLIN, handler).error().code == EBADF);
  const test::TempDir dir;
  CHECK(reactor.watch(dir.fd(), EPOLLIN, handler).error().code == EPERM);
  const Fd fd = ready_event();
  const Result<Watch> watch = reactor.watch(fd.get(), EPOLLIN, handler);
  CHECK(reactor.watch(fd.get(), EPOLLIN, handler).error().code == EEXIST);
  CHECK(reactor.turn(false));
  CHECK(handler.calls == 1);
}

TEST_CASE_FIXTURE(Tidy, "reactor: what is waited for can change") {
  Reactor reactor = make_reactor();
  const Fd fd = ready_event();
  OnIo handler;
  Result<Watch> watch = reactor.watch(fd.get(), EPOLLIN, handler);
  REQUIRE(watch);
  CHECK(watch->set_events(0));
  CHECK(reactor.turn(false));
  CHECK(handler.calls == 0);
  CHECK(watch->set_events(EPOLLOUT));
  CHECK(reactor.turn(false));
  CHECK(handler.last_events == EPOLLOUT);
  CHECK(watch->set_events(EPOLLIN | EPOLLOUT));
  CHECK(reactor.turn(false));
  CHECK(handler.last_events == (EPOLLIN | EPOLLOUT));
}

TEST_CASE_FIXTURE(Tidy, "reactor: a watch may be moved, reset twice, and assigned over") {
  Reactor reactor = make_reactor();
  const Fd a = ready_event();
  const Fd b = ready_event();
  OnIo on_a;
  OnIo on_b;
  Watch first = std::move(reactor.watch(a.get(), EPOLLIN, on_a)).value();
  Watch moved = std::move(first);
  CHECK(!first.active());  // NOLINT(bugprone-use-after-move)
  CHECK(moved.active());
  CHECK(reactor.turn(false));
  CHECK(on_a.calls == 1);
  moved = std::move(reactor.watch(b.get(), EPOLLIN, on_b)).value();  // the one for a is gone
  CHECK(reactor.turn(false));
  CHECK(on_a.calls == 1);
  CHECK(on_b.calls == 1);
  moved.reset();
  moved.reset();
  CHECK(!moved.active());
  CHECK(reactor.turn(false));
  CHECK(on_b.calls == 1);
}

TEST_CASE_FIXTURE(Tidy, "reactor: a handler may destroy its own watch, and close its descriptor") {
  Reactor reactor = make_reactor();
  Fd fd = ready_event();
  OnIo handler;
  Watch watch = std::move(reactor.watch(fd.get(), EPOLLIN, handler)).value();
  handler.then = [&] {
    watch.reset();
    fd.reset();
  };
  CHECK(reactor.turn(false));
  CHECK(reactor.turn(false));
  CHECK(handler.calls == 1);
}

TEST_CASE_FIXTURE(Tidy, "reactor: an event for a watch that a handler has destroyed reaches nobody") {
  Reactor reactor = make_reactor();
  const Fd a = ready_event();
  const Fd b = ready_event();
  OnIo on_a;
  OnIo on_b;
  Watch watch_a = std::move(reactor.watch(a.get(), EPOLLIN, on_a)).value();
  Watch watch_b = std::move(reactor.watch(b.get(), EPOLLIN, on_b)).value();
  // Whoever comes first takes the other one's watch away.
  on_a.then = [&] { watch_b.reset(); };
  on_b.then = [&] { watch_a.reset(); };
  CHECK(reactor.turn(false));
  CHECK(on_a.calls + on_b.calls == 1);
}

TEST_CASE_FIXTURE(Tidy, "reactor: a stale event is not delivered to the next user of slot and descriptor number") {
  Reactor reactor = make_reactor();
  struct Side {
    Fd fd;
    OnIo handler;
    Watch watch;
  };
  Side a;
  Side b;
  OnIo newcomer;
  Fd reused;
  Watch new_watch;
  int expected_number = -1;
  const auto replace = [&](Side& other) {
    // Same slot, same descriptor number, and not ready: only the generation tells the old event from a new one.
    expected_number = other.fd.get();
    other.watch.reset();
    other.fd.reset();
    reused = quiet_event();
    new_watch = std::move(reactor.watch(reused.get(), EPOLLIN, newcomer)).value();
  };
  for (Side* side : {&a, &b}) {
    side->fd = ready_event();
    side->watch = std::move(reactor.watch(side->fd.get(), EPOLLIN, side->handler)).value();
  }
  a.handler.then = [&] { replace(b); };
  b.handler.then = [&] { replace(a); };
  CHECK(reactor.turn(false));
  CHECK(a.handler.calls + b.handler.calls == 1);
  CHECK(reused.get() == expected_number);
  CHECK(newcomer.calls == 0);
  const uint64_t one = 1;
  REQUIRE(::write(reused.get(), &one, sizeof one) == sizeof one);
  a.handler.then = b.handler.then = nullptr;
  CHECK(reactor.turn(false));
  CHECK(newcomer.calls == 1);
}

TEST_CASE_FIXTURE(Tidy, "reactor: handlers may watch more while they are called") {
  Reactor reactor = make_reactor();
  const Fd first = ready_event();
  std::vector<Fd> more;
  OnIo on_more;
  std::vector<Watch> watches;
  OnIo handler;
  handler.then = [&] {
    if (!more.empty()) return;
    for (int i = 0; i < 200; ++i) {  // the slots grow under the turn's feet
      more.push_back(ready_event());
      watches.push_back(std::move(reactor.watch(more.back().get(), EPOLLIN, on_more)).value());
    }
  };
  const Result<Watch> watch = reactor.watch(first.get(), EPOLLIN, handler);
  CHECK(reactor.turn(false));
  CHECK(handler.calls == 1);
  for (int i = 0; i < 4; ++i) CHECK(reactor.turn(false));
  CHECK(on_more.calls >= 200);  // more than one turn takes at once: nobody is forgotten
  watches.clear();
}

TEST_CASE_FIXTURE(Tidy, "timer: goes off once, in the order of the deadlines") {
  Reactor reactor = make_reactor();
  std::string order;
  OnTimer handlers[5];
  std::vector<std::unique_ptr<Timer>> timers;
  const int places[5] = {3, 1, 4, 0, 2};
  const MonoNanos past = sys::mono_now() - kSecond;
  for (int i = 0; i < 5; ++i) {
    handlers[i].then = [&order, i, &places] { order += static_cast<char>('0' + places[i]); };
    timers.push_back(std::make_unique<Timer>(reactor, handlers[i]));
    timers.back()->set(past + places[i]);
    CHECK(timers.back()->armed());
    CHECK(timers.back()->deadline() == past + places[i]);
  }
  CHECK(reactor.turn(false));
  CHECK(order == "01234");
  for (const auto& timer : timers) CHECK(!timer->armed());
  CHECK(reactor.turn(false));
  CHECK(order.size() == 5);
}

TEST_CASE_FIXTURE(Tidy, "timer: any order of setting, moving and cancelling leaves the right ones in the right order") {
  Reactor reactor = make_reactor();
  constexpr size_t kCount = 64;
  std::vector<MonoNanos> fired;
  OnTimer handlers[kCount];
  std::vector<std::unique_ptr<Timer>> timers;
  std::vector<MonoNanos> expected(kCount, kNever);
  uint32_t random = 1;
  const auto next = [&] { return random = random * 1'664'525U + 1'013'904'223U; };
  for (size_t i = 0; i < kCount; ++i) {
    handlers[i].then = [&, i] { fired.push_back(expected[i]); };
    timers.push_back(std::make_unique<Timer>(reactor, handlers[i]));
  }
  for (int round = 0; round < 2000; ++round) {
    const size_t i = (next() >> 8U) % kCount;
    if ((next() >> 8U) % 3 == 0) {
      timers[i]->cancel();
      expected[i] = kNever;
    } else {
      expected[i] = 1 + static_cast<MonoNanos>((next() >> 8U) % 1000);
      timers[i]->set(expected[i]);
    }
  }
  std::vector<MonoNanos> all;
  for (const MonoNanos one : expected) {
    if (one != kNever) all.push_back(one);
  }
  std::sort(all.begin(), all.end());
  CHECK(reactor.turn(false));
  CHECK(fired == all);
}

TEST_CASE_FIXTURE(Tidy, "timer: not before its time, and the loop sleeps until then") {
  Reactor reactor = make_reactor();
  OnTimer handler;
  Timer timer(reactor, handler);
  const MonoNanos deadline = sys::mono_now() + 15 * kMillisecond;
  timer.set(deadline);
  CHECK(reactor.turn(false));
  if (sys::mono_now() < deadline) CHECK(handler.calls == 0);
  while (handler.calls == 0) REQUIRE(reactor.turn(true));
  CHECK(reactor.now() >= deadline);
  CHECK(handler.calls == 1);
}

TEST_CASE_FIXTURE(Tidy, "timer: moved away or nearer before it goes off") {
  Reactor reactor = make_reactor();
  OnTimer handler;
  Timer timer(reactor, handler);
  timer.set(sys::mono_now() - 1);
  timer.set(sys::mono_now() + 1000 * kSecond);
  CHECK(reactor.turn(false));
  CHECK(handler.calls == 0);
  timer.set(sys::mono_now() + 5 * kMillisecond);  // earlier than what the kernel is set for
  while (handler.calls == 0) REQUIRE(reactor.turn(true));
  CHECK(handler.calls == 1);
}

TEST_CASE_FIXTURE(Tidy, "timer: a handler may cancel others that are due, set itself anew, and destroy itself") {
  Reactor reactor = make_reactor();
  const MonoNanos past = sys::mono_now() - kSecond;
  OnTimer first;
  OnTimer second;
  OnTimer third;
  Timer a(reactor, first);
  Timer b(reactor, second);
  auto c = std::make_unique<Timer>(reactor, third);
  first.then = [&] { b.cancel(); };
  third.then = [&] { c.reset(); };
  a.set(past);
  b.set(past + 1);
  c->set(past + 2);
  CHECK(reactor.turn(false));
  CHECK(first.calls == 1);
  CHECK(second.calls == 0);
  CHECK(third.calls == 1);
  b.cancel();  // once more does no harm
  first.then = [&] {
    if (first.calls < 5) a.set(past);  // due at once: again in this very turn
  };
  a.set(past);
  CHECK(reactor.turn(false));
  CHECK(first.calls == 5);
}

TEST_CASE_FIXTURE(Tidy, "timer: none is armed in the kernel when no deadline is set") {
  Reactor reactor = make_reactor();
  OnTimer handler;
  CHECK(reactor.turn(false));
  CHECK(armed_timers().empty());
  {
    Timer timer(reactor, handler);
    timer.set(sys::mono_now() + 1000 * kSecond);
    CHECK(reactor.turn(false));
    CHECK(armed_timers().size() == 1);
    timer.cancel();
    CHECK(reactor.turn(false));
    CHECK(armed_timers().empty());
    timer.set(sys::mono_now() + 1000 * kSecond);
    CHECK(reactor.turn(false));
    CHECK(armed_timers().size() == 1);
  }
  CHECK(reactor.turn(false));
  CHECK(armed_timers().empty());
  Timer soon(reactor, handler);
  soon.set(sys::mono_now() + kMillisecond);
  while (handler.calls == 0) REQUIRE(reactor.turn(true));
  CHECK(reactor.turn(false));
  CHECK(armed_timers().empty());
}

TEST_CASE_FIXTURE(Tidy, "timer: one that never comes arms nothing") {
  Reactor reactor = make_reactor();
  OnTimer handler;
  Timer timer(reactor, handler);
  timer.set(kNever);
  CHECK(reactor.turn(false));
  CHECK(handler.calls == 0);
  CHECK(armed_timers().empty());
}

TEST_CASE_FIXTURE(Tidy, "before sleep: once a turn, after handlers and timers; more to do means no sleep") {
  Reactor reactor = make_reactor();
  std::string order;
  const Fd fd = ready_event();
  OnIo io;
  io.then = [&] { order += 'i'; };
  OnTimer due;
  due.then = [&] { order += 't'; };
  OnSleep step;
  step.then = [&] {
    order += 's';
    return step.calls < 3;
  };
  reactor.set_before_sleep(step);
  Watch watch = std::move(reactor.watch(fd.get(), EPOLLIN, io)).value();
  Timer timer(reactor, due);
  timer.set(sys::mono_now() - 1);
  CHECK(reactor.turn(true));
  CHECK(order == "its");
  watch.reset();
  // Nothing is ready and no timer set: these come back only because there is more to do.
  CHECK(reactor.turn(true));
  CHECK(reactor.turn(true));
  CHECK(order == "itsss");
}

TEST_CASE_FIXTURE(Tidy, "run: until it is stopped, from whichever handler") {
  Reactor reactor = make_reactor();
  const Fd fd = ready_event();
  OnIo io;
  Result<Watch> watch = reactor.watch(fd.get(), EPOLLIN, io);
  io.then = [&] { watch->reset(); };
  OnSleep step;
  step.then = [&] {
    if (step.calls == 4) reactor.stop();
    return true;
  };
  reactor.set_before_sleep(step);
  CHECK(reactor.running());
  CHECK(reactor.run());
  CHECK(step.calls == 4);
  CHECK(!reactor.running());
}

TEST_CASE_FIXTURE(Tidy, "reactor: now is when this turn's events were taken") {
  Reactor reactor = make_reactor();
  const MonoNanos before = sys::mono_now();
  CHECK(reactor.turn(false));
  CHECK(reactor.now() >= before);
  CHECK(reactor.now() <= sys::mono_now());
  const MonoNanos first = reactor.now();
  CHECK(reactor.turn(false));
  CHECK(reactor.now() >= first);
}

TEST_CASE_FIXTURE(Tidy, "reactor: the peer's end is told with the event") {
  Reactor reactor = make_reactor();
  Pipe pipe;
  OnIo handler;
  const Result<Watch> watch = reactor.watch(pipe.out.get(), EPOLLIN, handler);
  pipe.in.reset();
  CHECK(reactor.turn(true));
  CHECK((handler.last_events & EPOLLHUP) != 0);
}

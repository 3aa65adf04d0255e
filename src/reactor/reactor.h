// The event loop: one thread, epoll, readiness in, handler calls out.
//
// One turn: wait, call the handlers of what is ready, call those whose deadline has passed, then the before-sleep step,
// in which all that the handlers changed is persisted, answered and sent. The loop sleeps only when that step says that
// nothing is left to do. No timer is armed when no deadline is set: an idle loop is never woken.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "sys/poller.h"

namespace te {

class Reactor;

/// Called with the EPOLL* bits (epoll_ctl(2)) that are ready.
class IoHandler {
 public:
  virtual void on_io(uint32_t events) = 0;

 protected:
  ~IoHandler() = default;
};

class TimerHandler {
 public:
  virtual void on_timer() = 0;

 protected:
  ~TimerHandler() = default;
};

/// A registration of a descriptor. Destroying it unregisters, safely from any handler, the descriptor's own too; a
/// descriptor must outlive its watch. Events are keyed by slot and generation: one for a destroyed watch reaches
/// nobody, even when the descriptor's number or the slot is in use again.
class Watch {
 public:
  Watch() = default;
  Watch(Watch&& other) noexcept;
  Watch& operator=(Watch&& other) noexcept;
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch() { reset(); }

  void reset();
  bool active() const { return reactor_ != nullptr; }
  /// Change what is waited for.
  Result<void> set_events(uint32_t events);

 private:
  friend class Reactor;
  Watch(Reactor& reactor, uint32_t slot) : reactor_(&reactor), slot_(slot) {}

  Reactor* reactor_ = nullptr;
  uint32_t slot_ = 0;
};

/// A one-shot deadline of the monotonic clock. Unregisters itself when destroyed.
class Timer {
 public:
  Timer(Reactor& reactor, TimerHandler& handler) : reactor_(reactor), handler_(handler) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { cancel(); }

  void set(MonoNanos deadline);  ///< again: moves it
  void cancel();
  bool armed() const { return index_ != kNone; }
  MonoNanos deadline() const { return deadline_; }

 private:
  friend class Reactor;
  static constexpr size_t kNone = SIZE_MAX;

  Reactor& reactor_;
  TimerHandler& handler_;
  MonoNanos deadline_ = kNever;
  size_t index_ = kNone;  ///< place in the reactor's heap
};

/// Called once a turn, after all handlers. Returns true when there is more to do at once: the loop will not sleep.
class BeforeSleep {
 public:
  virtual bool before_sleep() = 0;

 protected:
  ~BeforeSleep() = default;
};

class Reactor {
 public:
  static Result<Reactor> create();
  Reactor(Reactor&&) noexcept = default;
  Reactor& operator=(Reactor&&) = delete;
  Reactor(const Reactor&) = delete;
  ~Reactor();

  /// `fd` and `handler` must outlive the watch.
  Result<Watch> watch(int fd, uint32_t events, IoHandler& handler);
  void set_before_sleep(BeforeSleep& step) { before_sleep_ = &step; }

  /// Until stop(). An error is one of epoll itself.
  Result<void> run();
  void stop() { running_ = false; }
  bool running() const { return running_; }
  /// One turn; waits only if `may_sleep`.
  Result<void> turn(bool may_sleep);

  /// The time at which this turn's events were taken; cheap.
  MonoNanos now() const { return now_; }
  /// When the last turn ended its wait, and when it was done; for the histogram of turns.
  MonoNanos turn_ended() const { return turn_ended_; }

 private:
  friend class Watch;
  friend class Timer;

  struct Slot {
    IoHandler* handler = nullptr;
    int fd = -1;
    uint32_t generation = 0;
    uint32_t next_free = 0;
  };

  Reactor() = default;
  void unwatch(uint32_t index);
  void place(size_t index, Timer* timer);
  void sift(size_t index);
  Result<void> arm();
  void run_timers();

  static constexpr uint32_t kNoSlot = UINT32_MAX;

  sys::Poller poller_;
  std::vector<Slot> slots_;
  uint32_t first_free_ = kNoSlot;
  std::vector<Timer*> heap_;  ///< binary heap by deadline
  MonoNanos armed_for_ = kNever;
  BeforeSleep* before_sleep_ = nullptr;
  bool running_ = true;
  bool more_to_do_ = false;
  MonoNanos now_ = 0;
  MonoNanos turn_ended_ = 0;
};

}  // namespace te

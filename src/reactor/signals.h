// Signals as events (signalfd(2)).
#pragma once

#include <initializer_list>

#include "base/result.h"
#include "reactor/reactor.h"
#include "sys/fd.h"

namespace te {

class SignalHandler {
 public:
  virtual void on_signal(int signal) = 0;

 protected:
  ~SignalHandler() = default;
};

/// Blocks the given signals and delivers them to the handler. Must not move once it is watching.
class SignalWatch final : private IoHandler {
 public:
  explicit SignalWatch(SignalHandler& handler) : handler_(handler) {}
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;
  ~SignalWatch() = default;
  Result<void> start(Reactor& reactor, std::initializer_list<int> signals);

 private:
  void on_io(uint32_t events) override;

  SignalHandler& handler_;
  Fd fd_;
  Watch watch_;
};

}  // namespace te

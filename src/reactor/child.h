// Child: a process held by its pidfd, whose end is an event.
#pragma once

#include <optional>

#include "base/result.h"
#include "reactor/reactor.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace te {

class Child;

class ChildHandler {
 public:
  /// The process has ended, and has been reaped if it was our child. `end` is empty for a process that is somebody
  /// else's child: that it ended is all that can be known. The Child may be destroyed in the call.
  virtual void on_child_end(Child& child, const std::optional<sys::ChildEnd>& end) = 0;

 protected:
  ~ChildHandler() = default;
};

/// Owns the pidfd; the only way by which the process is signalled. Must not move once it is watching.
class Child final : private IoHandler {
 public:
  Child(Fd pidfd, int32_t pid, ChildHandler& handler) : handler_(handler), pidfd_(std::move(pidfd)), pid_(pid) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() = default;

  Result<void> start(Reactor& reactor);
  /// start() has done well: the end will be told.
  bool watched() const { return watch_.active(); }
  /// KILL and reap, for one that can't be watched: a child of ours that does not mind.
  void abandon();
  Result<void> signal(int number) { return sys::send_signal(pidfd_.get(), number); }
  int32_t pid() const { return pid_; }

 private:
  void on_io(uint32_t events) override;

  ChildHandler& handler_;
  Fd pidfd_;
  int32_t pid_;
  Watch watch_;
};

}  // namespace te

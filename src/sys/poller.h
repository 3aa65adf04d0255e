// Readiness of many descriptors, and one deadline, waited for together (epoll(7), timerfd_create(2)).
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <span>

#include "base/result.h"
#include "base/time.h"
#include "sys/fd.h"

namespace te::sys {

class Poller {
 public:
  /// `data.u64` of the event that says that the deadline has come; no descriptor may have it.
  static constexpr uint64_t kDeadlineKey = UINT64_MAX;

  Result<void> open();
  /// From now on wait() tells of `fd` with `key`; level-triggered unless `events` says otherwise.
  Result<void> add(int fd, uint32_t events, uint64_t key);
  Result<void> modify(int fd, uint32_t events, uint64_t key);
  void remove(int fd);
  /// Wakes wait() once at that time of the monotonic clock; kNever: not any more.
  Result<void> set_deadline(MonoNanos deadline);
  /// How many of `events` have been filled. `may_sleep`: waits until there is one; 0 then means that a signal came.
  Result<size_t> wait(std::span<epoll_event> events, bool may_sleep);

 private:
  Fd epoll_;
  Fd timer_;
};

}  // namespace te::sys

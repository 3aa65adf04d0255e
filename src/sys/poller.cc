#include "sys/poller.h"

#include <sys/timerfd.h>

#include <algorithm>

namespace te::sys {

namespace {

Result<void> control(int epoll, int what, int fd, uint32_t events, uint64_t key) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = key;
  if (::epoll_ctl(epoll, what, fd, &event) != 0) return system_error("epoll_ctl");
  return {};
}

}  // namespace

Result<void> Poller::open() {
  epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return system_error("epoll_create1");
  timer_ = Fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer_.valid()) return system_error("timerfd_create");
  return add(timer_.get(), EPOLLIN | EPOLLET, kDeadlineKey);  // an edge for each expiry: it need not be read
}

Result<void> Poller::add(int fd, uint32_t events, uint64_t key) {
  return control(epoll_.get(), EPOLL_CTL_ADD, fd, events, key);
}

Result<void> Poller::modify(int fd, uint32_t events, uint64_t key) {
  return control(epoll_.get(), EPOLL_CTL_MOD, fd, events, key);
}

void Poller::remove(int fd) { ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

Result<void> Poller::set_deadline(MonoNanos deadline) {
  itimerspec spec{};
  if (deadline != kNever) {
    spec.it_value.tv_sec = deadline / kSecond;
    spec.it_value.tv_nsec = std::max<MonoNanos>(deadline % kSecond, 1);
  }
  if (::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr) != 0) return system_error("timerfd_settime");
  return {};
}

Result<size_t> Poller::wait(std::span<epoll_event> events, bool may_sleep) {
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), may_sleep ? -1 : 0);
  if (count < 0 && errno != EINTR) return system_error("epoll_wait");
  return static_cast<size_t>(std::max(count, 0));
}

}  // namespace te::sys

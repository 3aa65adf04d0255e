#include "reactor/reactor.h"

#include <algorithm>
#include <array>

#include "sys/clock.h"

namespace te {

namespace {

uint64_t key_of(uint32_t slot, uint32_t generation) { return uint64_t{generation} << 32U | slot; }

}  // namespace

Watch::Watch(Watch&& other) noexcept : reactor_(std::exchange(other.reactor_, nullptr)), slot_(other.slot_) {}

Watch& Watch::operator=(Watch&& other) noexcept {
  if (this != &other) {
    reset();
    reactor_ = std::exchange(other.reactor_, nullptr);
    slot_ = other.slot_;
  }
  return *this;
}

void Watch::reset() {
  if (reactor_ != nullptr) reactor_->unwatch(slot_);
  reactor_ = nullptr;
}

Result<void> Watch::set_events(uint32_t events) {
  const Reactor::Slot& slot = reactor_->slots_[slot_];
  return reactor_->poller_.modify(slot.fd, events, key_of(slot_, slot.generation));
}

void Timer::set(MonoNanos deadline) {
  deadline_ = deadline;
  if (index_ == kNone) {
    reactor_.heap_.push_back(this);
    index_ = reactor_.heap_.size() - 1;
  }
  reactor_.sift(index_);
}

void Timer::cancel() {
  if (index_ == kNone) return;
  const size_t hole = std::exchange(index_, kNone);
  Timer* last = reactor_.heap_.back();
  reactor_.heap_.pop_back();
  if (last == this) return;
  reactor_.place(hole, last);
  reactor_.sift(hole);
}

Result<Reactor> Reactor::create() {
  Reactor reactor;
  TRY(reactor.poller_.open());
  return reactor;
}

Reactor::~Reactor() = default;

Result<Watch> Reactor::watch(int fd, uint32_t events, IoHandler& handler) {
  if (first_free_ == kNoSlot) {
    slots_.push_back({});
    slots_.back().next_free = kNoSlot;
    first_free_ = static_cast<uint32_t>(slots_.size() - 1);
  }
  const uint32_t index = first_free_;
  Slot& slot = slots_[index];
  TRY(poller_.add(fd, events, key_of(index, slot.generation)));
  first_free_ = slot.next_free;
  slot.handler = &handler;
  slot.fd = fd;
  return Watch(*this, index);
}

void Reactor::unwatch(uint32_t index) {
  Slot& slot = slots_[index];
  poller_.remove(slot.fd);
  slot.handler = nullptr;
  slot.fd = -1;
  ++slot.generation;
  slot.next_free = std::exchange(first_free_, index);
}

void Reactor::place(size_t index, Timer* timer) {
  heap_[index] = timer;
  timer->index_ = index;
}

void Reactor::sift(size_t index) {
  Timer* timer = heap_[index];
  while (index > 0) {
    const size_t parent = (index - 1) / 2;
    if (heap_[parent]->deadline_ <= timer->deadline_) break;
    place(index, heap_[parent]);
    index = parent;
  }
  for (;;) {
    size_t child = 2 * index + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1]->deadline_ < heap_[child]->deadline_) ++child;
    if (timer->deadline_ <= heap_[child]->deadline_) break;
    place(index, heap_[child]);
    index = child;
  }
  place(index, timer);
}

// The deadline is set earlier at once, but never later: deadlines that only move away (a connection's, with each
// request) cost no system call; the early wake-up sets it anew.
Result<void> Reactor::arm() {
  const MonoNanos first = heap_.empty() ? kNever : heap_.front()->deadline_;
  const bool disarm = heap_.empty() && armed_for_ != kNever;
  if (!disarm && first >= armed_for_) return {};
  TRY(poller_.set_deadline(first));
  armed_for_ = first;
  return {};
}

void Reactor::run_timers() {
  while (!heap_.empty() && heap_.front()->deadline_ <= now_) {
    Timer* timer = heap_.front();
    timer->cancel();
    timer->handler_.on_timer();
  }
}

Result<void> Reactor::turn(bool may_sleep) {
  TRY(arm());
  std::array<epoll_event, 128> events;
  const size_t count = TRY(poller_.wait(events, may_sleep && !more_to_do_));
  now_ = sys::mono_now();
  if (now_ >= armed_for_) armed_for_ = kNever;  // it has gone off
  for (size_t i = 0; i < count; ++i) {
    const epoll_event& event = events[i];
    if (event.data.u64 == sys::Poller::kDeadlineKey) continue;
    const auto index = static_cast<uint32_t>(event.data.u64);
    const auto generation = static_cast<uint32_t>(event.data.u64 >> 32U);
    if (index >= slots_.size() || slots_[index].generation != generation) continue;
    if (slots_[index].handler != nullptr) slots_[index].handler->on_io(event.events);
  }
  run_timers();
  more_to_do_ = before_sleep_ != nullptr && before_sleep_->before_sleep();
  return {};
}

Result<void> Reactor::run() {
  while (running_) TRY(turn(true));
  return {};
}

}  // namespace te

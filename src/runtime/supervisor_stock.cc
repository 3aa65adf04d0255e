#include "runtime/supervisor_stock.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include <algorithm>
#include <utility>

#include "runtime/supervisor.h"
#include "sys/process_room.h"

namespace te {

namespace {

constexpr size_t kMost = 8;                          ///< in stock and on their way
constexpr size_t kRoom = 64;                         ///< processes more that there must be room for
constexpr MonoNanos kIdle = kSecond;                 ///< without a start
constexpr MonoNanos kPatience = 100 * kMillisecond;  ///< with the zygote; a spawn takes 1 ms
constexpr MonoNanos kPatienceToGo = 3 * kSecond;     ///< with one that keeps us from going
constexpr MonoNanos kClosed = 2 * kSecond;           ///< when something was short; it doubles
constexpr MonoNanos kClosedMax = 64 * kSecond;

}  // namespace

SupervisorStock::~SupervisorStock() { end(); }

void SupervisorStock::open(int exe, int null) {
  exe_ = exe;
  null_ = null;
}

void SupervisorStock::expect(size_t coming) {
  if (!drain()) return make_room();
  while (stock_.size() + asked_ < std::min(coming, kMost) && ask()) {
  }
}

bool SupervisorStock::begin() {
  if (!spawner_.ready()) return false;
  if (sys::process_room() >= kRoom) {
    Result<sys::Attached> made = sys::spawn_zygote(spawner_, exe_, null_, kZygoteName);
    zygote_ = made ? hold(std::move(made->process)) : nullptr;
    if (zygote_) {
      channel_ = std::move(made->channel);
      return true;
    }
  }
  make_room();
  return false;
}

bool SupervisorStock::ask() {
  if (exe_ < 0 || closed()) return false;
  if (!channel_.valid() && (zygote_ || !begin())) return false;  // it has gone, which is about to be told
  idle_timer_.set(reactor_.now() + kIdle);
  if (!sys::ask_zygote(channel_.get())) return false;
  if (asked_++ == 0) asked_at_ = reactor_.now();
  return true;
}

// The answers that there are. False: one said that something is short.
bool SupervisorStock::drain() {
  bool good = true;
  while (asked_ > 0 && channel_.valid()) {
    Result<std::optional<sys::Attached>> answer = sys::next_child(channel_.get());
    if (answer && !*answer) break;
    channel_watch_.reset();
    if (!answer) {
      channel_.reset();
      break;
    }
    --asked_;
    asked_at_ = reactor_.now();
    sys::Attached& child = **answer;
    // Without its descriptors, for which there was no room, it ends by itself.
    const bool whole = child.process.pidfd.valid();
    strays_possible_ = strays_possible_ || (!whole && child.process.pid != 0);
    Waiting waiting{whole ? hold(std::move(child.process)) : nullptr, std::move(child.channel)};
    good = good && waiting.child;
    if (waiting.child) stock_.push_back(std::move(waiting));
  }
  return good;
}

void SupervisorStock::on_io(uint32_t) {
  channel_watch_.reset();  // whoever still waits looks again
  if (!drain()) return make_room();
  if (closed()) go();
}

MonoNanos SupervisorStock::ready_at() {
  if (stock_.empty()) expect(1);
  if (!stock_.empty() || asked_ == 0 || closed()) return 0;
  const MonoNanos late = asked_at_ + kPatience;
  if (reactor_.now() >= late || !zygote_) {
    if (zygote_) (void)zygote_->signal(SIGCONT).ok();  // somebody has stopped it
    return 0;
  }
  watch_channel();
  return late;
}

void SupervisorStock::watch_channel() {
  if (!channel_.valid() || channel_watch_.active()) return;
  Result<Watch> watch = reactor_.watch(channel_.get(), EPOLLIN, *this);
  if (watch) channel_watch_ = std::move(watch).value();
}

std::unique_ptr<Child> SupervisorStock::start(const std::array<int, sys::kGivenToChild>& fds, std::string_view name) {
  while (!stock_.empty()) {
    Waiting first = std::move(stock_.front());
    stock_.erase(stock_.begin());
    if (sys::give_to_child(first.channel.get(), fds, name)) return std::move(first.child);
    leave(std::move(first.child));
  }
  return nullptr;
}

void SupervisorStock::make_room() {
  const MonoNanos now = reactor_.now();
  if (!closed()) pause_ = now > closed_until_ + 4 * pause_ ? kClosed : std::min(2 * pause_, kClosedMax);
  closed_until_ = now + pause_;
  go();
}

// The zygote must not end between a child and its answer.
void SupervisorStock::go() {
  (void)drain();
  if (asked_ == 0 || !zygote_ || reactor_.now() >= asked_at_ + kPatienceToGo) return end();
  leave_stock();
  (void)zygote_->signal(SIGCONT).ok();
  watch_channel();
  idle_timer_.set(reactor_.now() + kIdle);
}

// A child that the zygote may have made and could not tell of any more ends by itself.
void SupervisorStock::end() {
  idle_timer_.cancel();
  leave_stock();
  channel_watch_.reset();
  channel_.reset();
  strays_possible_ = strays_possible_ || asked_ > 0;
  asked_ = 0;
  leave(std::move(zygote_));
}

void SupervisorStock::leave_stock() {
  for (Waiting& waiting : stock_) leave(std::move(waiting.child));
  stock_.clear();
}

std::unique_ptr<Child> SupervisorStock::hold(sys::Spawned process) {
  auto child = std::make_unique<Child>(std::move(process.pidfd), process.pid, owner_);
  if (child->start(reactor_)) return child;
  child->abandon();
  return nullptr;
}

void SupervisorStock::leave(std::unique_ptr<Child> child) {
  if (!child) return;
  (void)child->signal(SIGKILL).ok();  // whoever has stopped it
  leaving_.push_back(std::move(child));
}

bool SupervisorStock::ended(const Child& child, const std::optional<sys::ChildEnd>& end) {
  if (&child == zygote_.get()) {
    const std::unique_ptr<Child> dead = std::move(zygote_);
    const bool never_was = end && WIFEXITED(end->status) && WEXITSTATUS(end->status) == sys::Spawner::kExecFailed;
    if (never_was) asked_ = 0;
    make_room();
    return true;
  }
  for (auto at = leaving_.begin(); at != leaving_.end(); ++at) {
    if (at->get() != &child) continue;
    leaving_.erase(at);
    return true;
  }
  for (auto at = stock_.begin(); at != stock_.end(); ++at) {
    if (at->child.get() != &child) continue;
    stock_.erase(at);
    return true;
  }
  return false;
}

void SupervisorStock::on_timer() { go(); }

bool SupervisorStock::awaits(int32_t pid) const {
  for (const Waiting& one : stock_) {
    if (one.child->pid() == pid) return true;
  }
  for (const std::unique_ptr<Child>& one : leaving_) {
    if (one->pid() == pid) return true;
  }
  return zygote_ && zygote_->pid() == pid;
}

}  // namespace te

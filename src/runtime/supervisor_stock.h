// SupervisorStock: supervisors that the zygote (sys/zygote.h) has forked before their tasks are durable, so that these
// do not wait for them. Only a shorter way: where it has none to give, the caller spawns one. Zygote and stock come
// with the first start that is expected, and go when none was for a while, or something is short on this machine.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "reactor/child.h"
#include "reactor/reactor.h"
#include "sys/zygote.h"

namespace te {

class SupervisorStock final : private IoHandler, private TimerHandler {
 public:
  /// `owner` is the handler of all its processes, also of those that start() has given away, and asks ended() first.
  SupervisorStock(Reactor& reactor, sys::Spawner& spawner, ChildHandler& owner)
      : reactor_(reactor), spawner_(spawner), owner_(owner), idle_timer_(reactor, *this) {}
  ~SupervisorStock();

  /// The program and /dev/null, borrowed. Before, there is nothing to give.
  void open(int exe, int null);
  /// So many starts are about to come.
  void expect(size_t coming);
  /// When start() is worth a try: 0, there is one, or none will be soon; else one is on its way, and this is the
  /// latest.
  MonoNanos ready_at();
  bool has_one() const { return !stock_.empty(); }
  /// A watched process. Nothing: there is none.
  std::unique_ptr<Child> start(const std::array<int, sys::kGivenToChild>& fds, std::string_view name);
  /// Something was short: the zygote and the stock go, and do not come again for a while.
  void make_room();

  /// The process that has ended was one of these here.
  bool ended(const Child& child, const std::optional<sys::ChildEnd>& end);
  /// Whether the end of that process is waited for.
  bool awaits(int32_t pid) const;
  /// There may be a child of ours that nobody knows: the zygote was killed before it could tell of it.
  bool strays_possible() const { return strays_possible_; }

 private:
  struct Waiting {
    std::unique_ptr<Child> child;
    Fd channel;
  };

  void on_io(uint32_t events) override;
  void on_timer() override;
  bool begin();
  bool ask();
  bool drain();
  void watch_channel();
  bool closed() const { return reactor_.now() < closed_until_; }
  void go();
  void end();
  void leave_stock();
  void leave(std::unique_ptr<Child> child);
  std::unique_ptr<Child> hold(sys::Spawned process);

  Reactor& reactor_;
  sys::Spawner& spawner_;
  ChildHandler& owner_;
  Timer idle_timer_;
  int exe_ = -1;
  int null_ = -1;
  std::unique_ptr<Child> zygote_;
  Fd channel_;              ///< to it; valid: it can be asked
  Watch channel_watch_;     ///< while a start waits, or we want to go
  size_t asked_ = 0;        ///< not answered yet
  MonoNanos asked_at_ = 0;  ///< the oldest of them, or the last answer
  MonoNanos closed_until_ = 0;
  MonoNanos pause_ = 0;
  std::vector<Waiting> stock_;                   ///< the oldest first
  std::vector<std::unique_ptr<Child>> leaving_;  ///< killed, not reaped
  bool strays_possible_ = false;
};

}  // namespace te

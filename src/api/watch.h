// Watches: GET /tasks?watch=true, every change of a task as a line of JSON.
//
// A watch without a revision begins with all tasks as ADDED and a BOOKMARK; one with a revision goes on behind it. A
// watcher that is so slow that its next line has left the event log gets an ERROR line and the end. A reader costs its
// connection and one cursor; the lines are everybody's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "api/event_log.h"
#include "api/http_server.h"
#include "reactor/reactor.h"
#include "task/manager.h"

namespace te {

constexpr MonoNanos kBookmarkInterval = 30 * kSecond;

class WatchHub final : private TimerHandler {
 public:
  WatchHub(Reactor& reactor, HttpServer& server, const Manager& manager, const Clock& clock);
  ~WatchHub();
  WatchHub(const WatchHub&) = delete;
  WatchHub& operator=(const WatchHub&) = delete;

  void add(EventType type, const Task& task);

  /// Fills the response with a live stream of what comes behind `revision`, or with 410.
  void watch(uint64_t ticket, std::optional<uint64_t> revision, HttpResponse& response);
  uint64_t revision() const { return log_.revision(); }

  /// Once a turn: tells some of those who have something to hear. True: there are more of them.
  bool end_turn();

  size_t size() const { return bodies_.size(); }

 private:
  class Body;

  void on_timer() override;
  void begin_round();

  Reactor& reactor_;
  HttpServer& server_;
  const Manager& manager_;
  EventLog log_;
  Timer bookmark_timer_;    ///< armed while somebody watches
  uint64_t bookmarks_ = 0;  ///< that are due to everybody
  uint64_t next_serial_ = 1;
  std::map<uint64_t, Body*> bodies_;  ///< by serial
  // All are told of news in rounds, some in each turn.
  bool news_ = false;   ///< a round is due or under way
  bool again_ = false;  ///< there were more since it began
  uint64_t told_ = 0;   ///< the serial up to which this round has come; 0: it has not begun
};

}  // namespace te

// The HTTP server: listening sockets and their connections. It knows nothing of tasks.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/response.h"
#include "base/log.h"
#include "base/result.h"
#include "base/size.h"
#include "reactor/reactor.h"
#include "sys/net.h"
#include "wire/http1.h"

namespace te {

class Connection;

class HttpHandler {
 public:
  /// Fills the response, or says that it comes later; then `ticket` names the request. The request is valid during the
  /// call only.
  virtual void handle(uint64_t ticket, const HttpRequest& request, HttpResponse& response) = 0;
  /// Asked before the body of a request is waited for. False: the response says why it is not taken.
  virtual bool admit(const HttpRequest& head, HttpResponse& response) {
    (void)head;
    (void)response;
    return true;
  }
  /// A long poll was woken. False: it goes on; else the response is filled.
  virtual bool on_poll_woken(uint64_t ticket, HttpResponse& response) {
    (void)ticket;
    (void)response;
    return false;
  }
  /// The deadline of a long poll has passed: fill the response.
  virtual void on_poll_deadline(uint64_t ticket, HttpResponse& response) = 0;
  /// The client of a long poll has gone.
  virtual void on_poll_abandoned(uint64_t ticket) = 0;

 protected:
  ~HttpHandler() = default;
};

struct HttpServerOptions {
  size_t max_body_bytes = 4 * kMiB;
  size_t max_connections = 1'024;
  std::vector<uint32_t> allowed_uids = {};  ///< of unix sockets, beside root and our own
};

class HttpServer final : private TimerHandler {
 public:
  HttpServer(Reactor& reactor, HttpHandler& handler, const Clock& clock, Log& log, const HttpServerOptions& options);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  Result<void> add_listener(sys::Listener listener);

  /// A cleared response to fill for answer(); one at a time.
  HttpResponse& scratch();
  /// The answer to a request that was to come later. Nothing happens when its client has gone.
  void answer(uint64_t ticket, HttpResponse& response);
  /// The live stream that answers this request has something to give. Nothing happens when its client has gone.
  void wake(uint64_t ticket);
  /// The same, and for long polls, when its turn comes: however many wait for the same thing, no turn of the loop is
  /// long.
  void wake_soon(uint64_t ticket);
  /// Wakes those, as long as this turn has time for it.
  void wake_some();
  /// Once a turn. True: there are more of them.
  bool end_waking();

  /// Frees the connections that ended in this turn; to be called once a turn, from no handler of a connection.
  void end_turn();

  /// No new connections; idle ones are closed, long polls get their answer, and the others are closed with theirs.
  void begin_shutdown();
  bool all_closed() const { return open_ == 0; }
  /// Closes what is left, answered or not.
  void abandon_all();

  size_t connections() const { return open_; }

  const RequestCounts& counts() const { return counts_; }
  uint64_t requests_served() const { return requests_; }

 private:
  friend class Connection;
  struct Listening;
  struct Slot {
    std::unique_ptr<Connection> connection;
    uint32_t generation = 0;
  };

  void on_timer() override;
  void accept_some(Listening& listening);
  void add_connection(Fd fd, bool local);
  void turn_away(int fd, int status, std::string_view message);
  bool close_idle_one();
  Connection* find(uint64_t ticket);
  uint64_t ticket_of(uint32_t slot) const { return uint64_t{slots_[slot].generation} << 32U | slot; }
  void ended(uint32_t slot);  ///< by the connection, once
  std::string_view date();

  Reactor& reactor_;
  HttpHandler& handler_;
  const Clock& clock_;
  Log& log_;
  HttpServerOptions options_;
  std::vector<std::unique_ptr<Listening>> listening_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  std::vector<uint32_t> ended_;
  std::deque<uint64_t> to_wake_;
  uint32_t woken_ = 0;  ///< of those, in this turn
  Timer retry_;         ///< accepting goes on after the process ran out of descriptors
  size_t open_ = 0;
  RequestCounts counts_;   ///< of answers
  uint64_t requests_ = 0;  ///< that were read
  bool shutting_down_ = false;
  HttpResponse response_;
  std::string date_;
  WallMicros date_second_ = -1;
};

}  // namespace te

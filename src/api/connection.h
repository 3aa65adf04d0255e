// One client's connection: requests in, answers out, in their order, one at a time.
//
// Back-pressure: while an answer waits to be read, or a request waits for its answer, nothing more is read; so a client
// costs at most one request, one answer or piece of an answer, and what the kernel holds.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "api/http_server.h"
#include "reactor/reactor.h"
#include "sys/fd.h"
#include "wire/http1.h"

namespace te {

class Connection final : private IoHandler, private TimerHandler {
 public:
  /// `local`: it came over a loopback address.
  Connection(HttpServer& server, uint32_t slot, Fd fd, bool local);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Result<void> start();
  /// The answer that was to come later.
  void answer(HttpResponse& response);
  /// The stream that is the answer may be ready, or the long poll.
  void wake();
  /// That wake() is to come. False: it was to come already.
  bool note_wake() { return !std::exchange(wake_noted_, true); }
  /// Between requests, with nothing to send.
  bool idle() const;
  MonoNanos idle_since() const { return idle_since_; }
  void close();
  /// Ends as soon as what it is doing is done.
  void begin_shutdown();

 private:
  enum class Waiting : uint8_t { kNothing, kAnswer, kLongPoll };

  void on_io(uint32_t events) override;
  void on_timer() override;
  void receive();
  void drain();
  void work();
  bool process(int& requests);
  bool held_up() const;
  bool may_send_body();
  void refuse(HttpResponse& response);
  bool has_good_host(const HttpRequest& request, HttpResponse& response) const;
  bool admit(const HttpRequest& head, HttpResponse& response) const;
  void handle(const HttpRequest& request, HttpResponse& response);
  void respond(HttpResponse& response);
  bool take_piece();
  void flush();
  void settle();
  void set_events(uint32_t events);
  MonoNanos deadline() const;
  size_t unsent() const { return out_.size() - sent_; }
  bool sending() const { return unsent() > 0 || (stream_ && stream_->ready()); }
  /// There is something to do as soon as the socket takes bytes.
  bool busy() const { return sending() || (rest_ && !closing_); }
  /// Nothing can be done until somebody else has something to say.
  bool suspended() const { return waiting_ == Waiting::kLongPoll || (stream_ && !sending()); }

  HttpServer& server_;
  uint32_t slot_;
  bool local_;
  Fd fd_;
  Watch watch_;
  Timer timer_;
  HttpParser parser_;
  std::string out_;
  size_t sent_ = 0;
  std::unique_ptr<BodySource> stream_;
  uint32_t events_ = 0;
  bool may_read_ = true;
  bool wake_noted_ = false;
  bool rest_ = false;  ///< of what has come in there may be more to answer, in the next turn
  Waiting waiting_ = Waiting::kNothing;
  Route route_ = Route::kNone;  ///< of the request that is being answered
  bool head_only_ = false;
  bool http_1_0_ = false;
  bool chunked_ = false;  ///< the stream
  bool keep_alive_ = true;
  bool tell_keep_alive_ = false;
  bool read_closed_ = false;  ///< the client sends nothing more
  bool closing_ = false;      ///< after what is unsent
  bool refused_ = false;      ///< there may be unread input, that must not turn our answer into a reset
  bool draining_ = false;     ///< all is sent; what still comes is thrown away
  bool body_seen_ = false;
  MonoNanos idle_since_ = 0;
  MonoNanos request_began_ = 0;
  MonoNanos progress_at_ = 0;  ///< when the last of an answer was taken
  MonoNanos poll_deadline_ = kNever;
};

}  // namespace te

// gRPC over one connection to a unix socket: many calls at once, deadlines, reconnects.
//
// The channel connects by itself, again and again with a back-off, and asks its owner to try each new connection before
// calls go out on it. Calls wait their turn while there is none; an attempt that fails fails them all, so that a call
// never waits for longer than the back-off. A connection that the server takes out of use (GOAWAY) lives on beside its
// successor until its calls are answered.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/size.h"
#include "cri/link.h"
#include "reactor/reactor.h"
#include "wire/grpc_response.h"
#include "wire/grpc_status.h"

namespace te::cri {

/// Told of each socket that has just been connected; it is borrowed during the call.
class SocketObserver {
 public:
  virtual void on_socket(int fd) = 0;

 protected:
  ~SocketObserver() = default;
};

struct GrpcChannelOptions {
  std::string socket_path;
  std::string user_agent = "task-executor";
  size_t max_message = 16 * kMiB;  ///< of an answer
  MonoNanos first_back_off = 100 * kMillisecond;
  MonoNanos last_back_off = 3 * kSecond;
  Http2Options http2;
  SocketObserver* sockets = nullptr;  ///< null: nobody
};

/// Who waits for one call. May make and cancel calls, in both functions.
class GrpcReceiver {
 public:
  virtual void on_message(std::string_view message) = 0;
  /// The last one; the channel has forgotten the receiver, which may be destroyed.
  virtual void on_end(GrpcStatus& status) = 0;

 protected:
  ~GrpcReceiver() = default;
};

class GrpcChannelOwner {
 public:
  /// Connected. Only calls with `first` go out until the owner says accept() or refuse().
  virtual void on_connected() = 0;
  /// There is no connection, or it is no longer used. Told for each attempt that failed, too.
  virtual void on_disconnected(std::string_view why) = 0;

 protected:
  ~GrpcChannelOwner() = default;
};

class GrpcChannel final : private LinkOwner, private TimerHandler {
 public:
  GrpcChannel(Reactor& reactor, GrpcChannelOptions options, GrpcChannelOwner& owner);
  GrpcChannel(const GrpcChannel&) = delete;
  GrpcChannel& operator=(const GrpcChannel&) = delete;
  /// Nobody is called any more. Not from within a receiver.
  ~GrpcChannel();

  /// Connects, in the next turn of the loop.
  void start();
  /// The new connection is good.
  void accept();
  /// It is not: close it, and try again after the back-off.
  void refuse(std::string_view why);

  struct Request {
    std::string_view path;  ///< of a literal: kept as it is
    std::string message;    ///< without its prefix
    MonoNanos deadline = kNever;
    bool first = false;  ///< goes out before accept()
    /// The server is not told of the deadline, and the stream stays open beyond it: the work is done to its end.
    bool never_cancelled = false;
  };
  /// `receiver` must live until its on_end(), or cancel().
  uint64_t call(Request request, GrpcReceiver& receiver);
  /// The receiver hears nothing more, and the server is told. A call that has ended is left alone.
  void cancel(uint64_t id);

  size_t calls() const { return calls_.size(); }
  /// Connections, those included that are only to be drained.
  size_t links() const { return (current_ ? 1 : 0) + draining_.size(); }

 private:
  enum class State : uint8_t { kIdle, kWaiting, kTrying, kReady };

  /// One call, waiting or on a stream. Its timer is its deadline.
  struct Call final : TimerHandler {
    Call(GrpcChannel& owning_channel, uint64_t call_id, Request call_request, GrpcReceiver& call_receiver)
        : channel(owning_channel),
          id(call_id),
          request(std::move(call_request)),
          receiver(&call_receiver),
          response(owning_channel.options_.max_message),
          timer(owning_channel.reactor_, *this) {}
    void on_timer() override { channel.on_deadline(*this); }

    GrpcChannel& channel;
    uint64_t id;
    Request request;
    GrpcReceiver* receiver;
    GrpcResponse response;
    Timer timer;
    Link* link = nullptr;  ///< null: it waits
    uint32_t stream = 0;
  };

  /// Has a handler to itself, as the channel's own timer is the one for connecting.
  struct Burial final : TimerHandler {
    explicit Burial(GrpcChannel& owning_channel) : channel(owning_channel) {}
    void on_timer() override { channel.dead_.clear(); }
    GrpcChannel& channel;
  };

  void on_timer() override;
  void on_link_event(Link& link, const Http2Event& event) override;
  void on_link_closed(Link& link, std::string_view why) override;
  void on_deadline(Call& call);

  void connect();
  void wait_and_retry(std::string_view why);
  void pump();
  void send(Call& call);
  std::unique_ptr<Call> take(std::map<uint64_t, std::unique_ptr<Call>>::iterator at);
  void finish(uint64_t id, GrpcStatus status);
  void fail_waiting(std::string_view why);
  void fail_link(Link& link, std::string_view why);
  void retire_current(std::string_view why);
  void close_if_drained(Link& link);
  void bury(std::unique_ptr<Link> link);

  Reactor& reactor_;
  GrpcChannelOptions options_;
  GrpcChannelOwner& owner_;
  State state_ = State::kIdle;
  Timer timer_;
  MonoNanos back_off_;
  MonoNanos ready_since_ = 0;
  std::map<uint64_t, std::unique_ptr<Call>> calls_;
  std::map<std::pair<const Link*, uint32_t>, Call*> by_stream_;  ///< those that were sent
  std::deque<uint64_t> waiting_;
  std::unique_ptr<Link> current_;
  std::vector<std::unique_ptr<Link>> draining_;
  std::vector<std::unique_ptr<Link>> dead_;  ///< freed at the end of the turn: they may be on the stack
  Burial burial_;
  Timer burial_timer_;
  uint64_t next_id_ = 1;
};

}  // namespace te::cri

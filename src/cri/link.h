// One HTTP/2 connection on a socket in the reactor: bytes between the kernel and the codec, events to the owner.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "reactor/reactor.h"
#include "sys/fd.h"
#include "wire/http2_connection.h"

namespace te::cri {

class Link;

class LinkOwner {
 public:
  /// `event` is valid during the call. Streams may be opened and reset in it; the link must not be destroyed.
  virtual void on_link_event(Link& link, const Http2Event& event) = 0;
  /// The connection is over, with all its streams. Told once; the link must not be destroyed in it.
  virtual void on_link_closed(Link& link, std::string_view why) = 0;

 protected:
  ~LinkOwner() = default;
};

class Link final : private IoHandler, private TimerHandler {
 public:
  Link(Fd fd, LinkOwner& owner, const Http2Options& options) : owner_(owner), fd_(std::move(fd)), http_(options) {}
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() = default;

  Result<void> start(Reactor& reactor);

  bool can_open() const { return !closed_ && http_.can_open(); }
  bool over() const { return closed_ || http_.over(); }
  size_t open_streams() const { return http_.open_streams(); }
  uint32_t open(std::span<const HeaderView> headers, std::string body) { return http_.open(headers, std::move(body)); }
  void reset(uint32_t stream) { http_.reset(stream, Http2Code::kCancel); }
  /// Sends what can be sent now. Never closes: what is wrong shows when the socket is read.
  void flush();
  /// Without a word to the owner.
  void close();

 private:
  void on_io(uint32_t events) override;
  void on_timer() override { flush(); }
  bool read_some();
  void fail(std::string_view why);

  LinkOwner& owner_;
  Fd fd_;
  Watch watch_;
  std::optional<Timer> again_;  ///< to send what could not be sent
  Http2Connection http_;
  bool in_handler_ = false;  ///< flush() waits until all events are told
  bool wants_out_ = false;
  bool closed_ = false;
};

}  // namespace te::cri

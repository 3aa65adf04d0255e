#include "cri/link.h"

#include <sys/epoll.h>

#include <array>

#include "base/size.h"
#include "sys/clock.h"
#include "sys/net.h"

namespace te::cri {
namespace {

constexpr size_t kPiece = 64 * kKiB;
constexpr MonoNanos kSendRetry = 20 * kMillisecond;
constexpr int kPiecesPerTurn = 2;  // what is left makes the next turn: one peer never holds the loop

}  // namespace

Result<void> Link::start(Reactor& reactor) {
  watch_ = TRY(reactor.watch(fd_.get(), EPOLLIN, *this));
  again_.emplace(reactor, static_cast<TimerHandler&>(*this));
  flush();
  return {};
}

void Link::close() {
  closed_ = true;
  again_.reset();
  watch_.reset();
  fd_.reset();
}

void Link::fail(std::string_view why) {
  if (closed_) return;
  close();
  owner_.on_link_closed(*this, why);
}

void Link::on_io(uint32_t events) {
  in_handler_ = true;
  if ((events & ~static_cast<uint32_t>(EPOLLOUT)) != 0) {
    for (int i = 0; i < kPiecesPerTurn && !closed_; ++i) {
      if (!read_some()) break;
    }
  }
  in_handler_ = false;
  if (!closed_) flush();
}

/// False: there is no more to be read now.
bool Link::read_some() {
  std::array<char, kPiece> piece;
  const Result<int64_t> count = sys::receive(fd_.get(), piece.data(), piece.size());
  if (!count) {
    fail(count.error().text());
    return false;
  }
  if (*count == sys::kWouldBlock) return false;
  if (*count == 0) {
    fail("the runtime closed the connection");
    return false;
  }
  http_.receive({piece.data(), static_cast<size_t>(*count)});
  Http2Event event;
  while (!closed_ && http_.next(event)) {
    if (event.kind == Http2Event::Kind::kFailed) {
      in_handler_ = false;
      flush();  // our GOAWAY
      std::string why = "the runtime broke the protocol: ";
      fail(why.append(event.why));
      return false;
    }
    owner_.on_link_event(*this, event);
  }
  return static_cast<size_t>(*count) == piece.size();
}

void Link::flush() {
  if (in_handler_ || closed_) return;
  bool blocked = false;
  for (std::string_view out = http_.output(); !out.empty() && !blocked; out = http_.output()) {
    const Result<int64_t> count = sys::send(fd_.get(), out);
    // A peer that has gone: what it said before is still to be read, and then its end. Else it may pass (ENOBUFS).
    if (!count) {
      if (again_) again_->set(sys::mono_now() + kSendRetry);
      break;
    }
    blocked = *count == sys::kWouldBlock;
    if (!blocked) http_.sent(static_cast<size_t>(*count));
  }
  if (blocked == wants_out_ || !watch_.active()) return;
  const uint32_t wanted = blocked ? EPOLLIN | EPOLLOUT : EPOLLIN;
  if (watch_.set_events(wanted)) wants_out_ = blocked;
}

}  // namespace te::cri

#include "api/http_server.h"

#include <sys/epoll.h>

#include "api/connection.h"
#include "sys/clock.h"

namespace te {

namespace {

constexpr int kAcceptBatch = 64;
constexpr MonoNanos kAcceptPause = 100 * kMillisecond;
// From an age on a turn wakes no more; but for some, so that nobody waits for ever behind turns that are always long.
constexpr MonoNanos kLongTurn = 2 * kMillisecond;
constexpr uint32_t kLeastWoken = 4;

}  // namespace

struct HttpServer::Listening final : private IoHandler {
  Listening(HttpServer& owner, sys::Listener taken) : server(owner), listener(std::move(taken)) {}
  void on_io(uint32_t) override { server.accept_some(*this); }
  Result<void> start() {
    watch = TRY(server.reactor_.watch(listener.fd.get(), EPOLLIN, *this));
    return {};
  }

  HttpServer& server;
  sys::Listener listener;
  Watch watch;
};

HttpServer::HttpServer(Reactor& reactor, HttpHandler& handler, const Clock& clock, Log& log,
                       const HttpServerOptions& options)
    : reactor_(reactor), handler_(handler), clock_(clock), log_(log), options_(options), retry_(reactor, *this) {}

HttpServer::~HttpServer() = default;

Result<void> HttpServer::add_listener(sys::Listener listener) {
  auto listening = std::make_unique<Listening>(*this, std::move(listener));
  TRY(listening->start());
  listening_.push_back(std::move(listening));
  return {};
}

void HttpServer::accept_some(Listening& listening) {
  for (int i = 0; i < kAcceptBatch; ++i) {
    Result<sys::Accepted> accepted = sys::accept_from(listening.listener, options_.allowed_uids);
    if (!accepted) {
      // Out of descriptors or memory. The connection stays in the kernel's queue; asking again at once would spin.
      log_.error("connections can't be accepted now", {{"error", accepted.error().text()}});
      (void)close_idle_one();
      for (const auto& one : listening_) (void)one->watch.set_events(0).ok();
      retry_.set(reactor_.now() + kAcceptPause);
      return;
    }
    if (!accepted->fd.valid()) return;
    if (accepted->trusted) {
      add_connection(std::move(accepted->fd), accepted->local);
    } else {
      turn_away(accepted->fd.get(), 403, "this socket is not for your user (--allow-uid)");
    }
  }
}

// The socket is new, so that its buffer takes the answer; should it not, then the close says it too.
void HttpServer::turn_away(int fd, int status, std::string_view message) {
  HttpResponse& response = scratch();
  response.set_error(status, message);
  counts_.add(Route::kNone, status);
  std::string bytes;
  append_head(bytes, response, date(), {.keep_alive = false});
  bytes += response.body;
  (void)sys::send(fd, bytes).ok();
}

void HttpServer::on_timer() {
  for (const auto& one : listening_) (void)one->watch.set_events(EPOLLIN).ok();
}

void HttpServer::add_connection(Fd fd, bool local) {
  if (open_ >= options_.max_connections && !close_idle_one()) {
    turn_away(fd.get(), 503, "too many connections, and none of them idle");
    return;
  }
  if (free_.empty()) {
    free_.push_back(static_cast<uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const uint32_t slot = free_.back();
  auto connection = std::make_unique<Connection>(*this, slot, std::move(fd), local);
  if (!connection->start()) return;
  free_.pop_back();
  slots_[slot].connection = std::move(connection);
  ++open_;
}

// Looked for only at the limit, so a walk over all is cheaper than keeping them in order.
bool HttpServer::close_idle_one() {
  Connection* oldest = nullptr;
  for (const Slot& slot : slots_) {
    Connection* one = slot.connection.get();
    if (one == nullptr || !one->idle()) continue;
    if (oldest == nullptr || one->idle_since() < oldest->idle_since()) oldest = one;
  }
  if (oldest == nullptr) return false;
  oldest->close();
  end_turn();
  return true;
}

void HttpServer::ended(uint32_t slot) {
  ++slots_[slot].generation;  // no answer finds it any more
  ended_.push_back(slot);
  --open_;
}

void HttpServer::end_turn() {
  for (const uint32_t slot : ended_) {
    slots_[slot].connection.reset();
    free_.push_back(slot);
  }
  ended_.clear();
}

Connection* HttpServer::find(uint64_t ticket) {
  const auto slot = static_cast<uint32_t>(ticket);
  if (slot >= slots_.size() || slots_[slot].generation != ticket >> 32U) return nullptr;
  return slots_[slot].connection.get();
}

HttpResponse& HttpServer::scratch() {
  response_.clear();
  return response_;
}

void HttpServer::answer(uint64_t ticket, HttpResponse& response) {
  if (Connection* connection = find(ticket)) connection->answer(response);
}

void HttpServer::wake(uint64_t ticket) {
  if (Connection* connection = find(ticket)) connection->wake();
}

void HttpServer::wake_soon(uint64_t ticket) {
  Connection* connection = find(ticket);
  if (connection != nullptr && connection->note_wake()) to_wake_.push_back(ticket);
}

void HttpServer::wake_some() {
  while (!to_wake_.empty() && (woken_ < kLeastWoken || sys::mono_now() - reactor_.now() < kLongTurn)) {
    ++woken_;
    const uint64_t ticket = to_wake_.front();
    to_wake_.pop_front();
    wake(ticket);
  }
}

bool HttpServer::end_waking() {
  wake_some();
  woken_ = 0;
  return !to_wake_.empty();
}

void HttpServer::begin_shutdown() {
  shutting_down_ = true;
  retry_.cancel();
  listening_.clear();
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (Connection* one = slots_[i].connection.get()) one->begin_shutdown();
  }
  end_turn();
}

void HttpServer::abandon_all() {
  for (const Slot& slot : slots_) {
    if (slot.connection) slot.connection->close();
  }
}

std::string_view HttpServer::date() {
  const WallMicros second = clock_.wall() / 1'000'000;
  if (second != date_second_) {
    date_second_ = second;
    date_.clear();
    append_http_date(date_, second * 1'000'000);
  }
  return date_;
}

}  // namespace te

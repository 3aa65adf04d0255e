#include "api/connection.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>

#include "base/size.h"
#include "base/text.h"
#include "sys/clock.h"

namespace te {

namespace {

constexpr MonoNanos kHeadTime = 10 * kSecond;   ///< from a request's first byte to the end of its headers
constexpr MonoNanos kBodyTime = 60 * kSecond;   ///< from there to the end of its body
constexpr MonoNanos kWriteTime = 30 * kSecond;  ///< without a byte of the answer being taken
constexpr MonoNanos kDrainTime = 5 * kSecond;   ///< for the rest of a refused request, which is thrown away
constexpr size_t kHighWater = 64 * kKiB;        ///< of unsent bytes: no further request is looked at
constexpr int kMostEmpty = 8;                   ///< pieces in which nothing was, looked at in one turn
constexpr int kMostRequests = 16;               ///< of one client, looked at in one turn
constexpr size_t kKeptCapacity = 16 * kKiB;
// Of the loop: from then on each client has one request of its answered, the rest in the next turn.
constexpr MonoNanos kLongTurn = 2 * kMillisecond;

/// A big answer, given out in pieces so that it is never held twice.
class HeldBody final : public BodySource {
 public:
  explicit HeldBody(std::string body) : body_(std::move(body)) {}
  bool next(std::string& out) override {
    constexpr size_t kPiece = 256 * kKiB;
    const size_t size = std::min(kPiece, body_.size() - at_);
    out.append(body_, at_, size);
    at_ += size;
    return true;
  }
  bool done() const override { return at_ == body_.size(); }

 private:
  std::string body_;
  size_t at_ = 0;
};

/// An IP address, or a name that no public DNS has: localhost, or any other without a dot. With a port or without.
bool names_this_machine(std::string_view host) {
  if (host.starts_with('[')) return true;
  host = host.substr(0, host.find(':'));
  const auto is_numeric = [](char c) { return (c >= '0' && c <= '9') || c == '.'; };
  return host.find('.') == std::string_view::npos || std::ranges::all_of(host, is_numeric);
}

}  // namespace

Connection::Connection(HttpServer& server, uint32_t slot, Fd fd, bool local)
    : server_(server),
      slot_(slot),
      local_(local),
      fd_(std::move(fd)),
      timer_(server.reactor_, *this),
      parser_(server.options_.max_body_bytes),
      idle_since_(server.reactor_.now()) {}

Connection::~Connection() = default;

Result<void> Connection::start() {
  events_ = EPOLLIN;
  watch_ = TRY(server_.reactor_.watch(fd_.get(), events_, *this));
  return {};
}

bool Connection::idle() const {
  return waiting_ == Waiting::kNothing && unsent() == 0 && !stream_ && !parser_.in_request();
}

void Connection::close() {
  if (!fd_.valid()) return;
  timer_.cancel();
  watch_.reset();
  fd_.reset();
  if (waiting_ == Waiting::kLongPoll) server_.handler_.on_poll_abandoned(server_.ticket_of(slot_));
  waiting_ = Waiting::kNothing;
  server_.ended(slot_);
}

void Connection::begin_shutdown() {
  if (idle()) return close();
  closing_ = true;
  if (waiting_ == Waiting::kLongPoll) return on_timer();
  if (stream_) stream_->stop();
  settle();
}

void Connection::on_io(uint32_t events) {
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) return close();
  if ((events & EPOLLRDHUP) != 0 && suspended()) {
    read_closed_ = true;
    // It may only have nothing more to say: what it waits for is told as it is. If it has gone, the answer finds out.
    if (waiting_ != Waiting::kLongPoll) return close();
    closing_ = true;
    return on_timer();
  }
  if ((events & EPOLLIN) != 0) {
    if (!may_read_) {
      set_events(events_ & ~static_cast<uint32_t>(EPOLLIN));
    } else if (draining_) {
      drain();
    } else {
      receive();
    }
  }
  if (!fd_.valid()) return;
  work();
  settle();
}

void Connection::receive() {
  const std::span<char> room = parser_.room();
  const Result<int64_t> size = sys::receive(fd_.get(), room.data(), room.size());
  if (!size) return close();
  if (*size == sys::kWouldBlock) return;
  if (*size == 0) {
    read_closed_ = true;
    return;
  }
  if (!parser_.in_request()) {
    request_began_ = server_.reactor_.now();
    body_seen_ = false;
  }
  parser_.received(static_cast<size_t>(*size));
}

void Connection::drain() {
  std::array<char, 16 * kKiB> scratch;
  const Result<int64_t> size = sys::receive(fd_.get(), scratch.data(), scratch.size());
  if (size && *size == sys::kWouldBlock) return;
  if (!size || *size == 0) close();
}

bool Connection::held_up() const { return stream_ != nullptr || unsent() >= kHighWater; }

// Sends and answers in turns. What came behind a request is in the parser, where no event tells of it: once an answer
// that held it up is out, it is looked for.
void Connection::work() {
  rest_ = false;
  int requests = 0;
  flush();
  while (fd_.valid() && !held_up()) {
    const bool more = process(requests);
    flush();
    if (!more) return;
  }
}

// Answers whatever is whole, as long as answers go out. True: what is to be sent holds it up. Who has sent many small
// requests waits for the rest of the answers until others had their turn.
bool Connection::process(int& requests) {
  while (waiting_ == Waiting::kNothing && !closing_) {
    if (held_up()) return true;
    rest_ = requests >= kMostRequests;
    if (rest_) return false;
    ++requests;
    switch (parser_.next()) {
      case HttpParser::Step::kNeedMore:
        if (may_send_body() && read_closed_) closing_ = true;
        return false;
      case HttpParser::Step::kContinue:
        if (!may_send_body()) return false;
        out_ += "HTTP/1.1 100 Continue\r\n\r\n";
        break;
      case HttpParser::Step::kRefused: {
        head_only_ = false;
        HttpResponse& response = server_.scratch();
        response.set_error(parser_.refusal().status, parser_.refusal().message);
        refuse(response);
        return false;
      }
      case HttpParser::Step::kRequest: {
        const HttpRequest& request = parser_.request();
        ++server_.requests_;
        head_only_ = request.method == HttpMethod::kHead;
        keep_alive_ = request.keep_alive;
        http_1_0_ = request.http_1_0;
        tell_keep_alive_ = keep_alive_ && request.has_header("connection");
        HttpResponse& response = server_.scratch();
        handle(request, response);
        route_ = response.route;
        if (sys::mono_now() - server_.reactor_.now() > kLongTurn) requests = kMostRequests;
        parser_.consume();
        request_began_ = server_.reactor_.now();
        body_seen_ = false;
        switch (response.when) {
          case HttpResponse::When::kNow: respond(response); break;
          case HttpResponse::When::kLater: waiting_ = Waiting::kAnswer; break;
          case HttpResponse::When::kLongPoll:
            waiting_ = Waiting::kLongPoll;
            poll_deadline_ = response.poll_deadline;
            break;
        }
        break;
      }
    }
  }
  return false;
}

/// Who may not ask for anything need not send megabytes first. Nor is it asked anew with each part of them.
bool Connection::may_send_body() {
  if (body_seen_ || !parser_.in_body()) return true;
  body_seen_ = true;
  request_began_ = server_.reactor_.now();
  const HttpRequest& head = parser_.head();
  HttpResponse& response = server_.scratch();
  if (admit(head, response)) return true;
  ++server_.requests_;
  head_only_ = head.method == HttpMethod::kHead;
  refuse(response);
  return false;
}

/// The last answer, whatever may still come in.
void Connection::refuse(HttpResponse& response) {
  refused_ = true;
  keep_alive_ = false;
  route_ = response.route;
  respond(response);
}

// A name in a Host field that leads to a loopback address, and is not localhost, is somebody's trick with DNS: by it a
// page of that name could read our answers, and its browser would say nothing of where the request comes from.
bool Connection::has_good_host(const HttpRequest& request, HttpResponse& response) const {
  const std::string_view host = local_ ? request.header("host") : std::string_view();
  if (names_this_machine(host)) return true;
  response.set_error(403, "Host: over loopback an IP address or localhost is expected, not a name of the DNS");
  return false;
}

bool Connection::admit(const HttpRequest& head, HttpResponse& response) const {
  return has_good_host(head, response) && server_.handler_.admit(head, response);
}

void Connection::handle(const HttpRequest& request, HttpResponse& response) {
  if (has_good_host(request, response)) server_.handler_.handle(server_.ticket_of(slot_), request, response);
}

void Connection::respond(HttpResponse& response) {
  chunked_ = response.live && !http_1_0_;
  if (server_.shutting_down_ || (response.live && !chunked_)) keep_alive_ = false;
  if (unsent() == 0) progress_at_ = server_.reactor_.now();
  server_.counts_.add(route_, response.status);
  append_head(out_, response, server_.date(), {chunked_, keep_alive_, tell_keep_alive_});
  if (head_only_) {
    response.stream.reset();  // what it holds open is nobody's
  } else if (response.stream) {
    stream_ = std::move(response.stream);
  } else if (response.body.size() > kHighWater) {
    stream_ = std::make_unique<HeldBody>(std::move(response.body));
  } else {
    out_ += response.body;
  }
  if (!keep_alive_) closing_ = true;
}

void Connection::answer(HttpResponse& response) {
  waiting_ = Waiting::kNothing;
  respond(response);
  work();
  settle();
}

void Connection::wake() {
  wake_noted_ = false;
  if (waiting_ == Waiting::kLongPoll) {
    HttpResponse& response = server_.scratch();
    if (server_.handler_.on_poll_woken(server_.ticket_of(slot_), response)) answer(response);
    return;
  }
  if (unsent() == 0) progress_at_ = server_.reactor_.now();
  work();
  settle();
}

// The next piece of the stream, framed. False: it has broken off.
bool Connection::take_piece() {
  constexpr size_t kSizeDigits = 8;
  const size_t begin = out_.size();
  if (chunked_) out_.append(kSizeDigits, '0').append("\r\n");
  const size_t data = out_.size();
  if (!stream_->next(out_)) return false;
  const size_t size = out_.size() - data;
  if (chunked_ && size == 0) {
    out_.resize(begin);
  } else if (chunked_) {
    std::string digits;
    append_hex32(digits, static_cast<uint32_t>(size));
    out_.replace(begin, kSizeDigits, digits);
    out_ += "\r\n";
  }
  if (!stream_->done()) return true;
  if (chunked_) {
    out_ += "0\r\n";
    stream_->add_trailer(out_);
    out_ += "\r\n";
  }
  stream_.reset();
  return true;
}

void Connection::flush() {
  if (!fd_.valid()) return;
  for (int empty = 0;;) {
    if (unsent() == 0) {
      out_.clear();
      sent_ = 0;
      if (!sending()) break;
      if (!take_piece()) return close();
      if (unsent() == 0 && stream_ && ++empty == kMostEmpty) {
        progress_at_ = server_.reactor_.now();
        return;
      }
      continue;
    }
    const Result<int64_t> size = sys::send(fd_.get(), std::string_view(out_).substr(sent_));
    if (!size) return close();
    if (*size == sys::kWouldBlock) return;
    sent_ += static_cast<size_t>(*size);
    progress_at_ = server_.reactor_.now();
    // The kernel's buffer is full, or the rest of a big answer is left for the next turn: others want theirs too.
    if (sending()) return;
  }
  if (out_.capacity() > kKeptCapacity) out_.shrink_to_fit();
}

MonoNanos Connection::deadline() const {
  if (draining_) return progress_at_ + kDrainTime;
  if (busy()) return progress_at_ + kWriteTime;
  if (stream_) return kNever;
  switch (waiting_) {
    case Waiting::kLongPoll: return poll_deadline_;
    case Waiting::kAnswer: return kNever;
    case Waiting::kNothing: break;
  }
  if (!parser_.in_request()) return kNever;
  // A request that has begun to come behind another one has its time once that one's answer is sent.
  return std::max(request_began_, progress_at_) + (body_seen_ ? kBodyTime : kHeadTime);
}

// What is waited for from now on, and until when.
void Connection::settle() {
  if (!fd_.valid()) return;
  const bool busy = this->busy();
  if (closing_ && !busy && !stream_ && !draining_ && waiting_ == Waiting::kNothing) {
    if (!refused_ || read_closed_) return close();
    draining_ = true;
    progress_at_ = server_.reactor_.now();
    sys::shutdown_write(fd_.get());
  }
  may_read_ = !busy && !stream_ && waiting_ == Waiting::kNothing && (!closing_ || draining_) && !read_closed_;
  uint32_t events = may_read_ ? EPOLLIN : 0U;
  if (busy) events |= EPOLLOUT;
  if (suspended() && !read_closed_) events |= EPOLLRDHUP;
  // Input that comes while an answer is on its way is rare: only when it does is it masked, in on_io().
  if (events != events_ && (events | EPOLLIN) != events_) set_events(events);
  if (!fd_.valid()) return;
  const MonoNanos until = deadline();
  if (until == kNever) {
    timer_.cancel();
    if (idle()) idle_since_ = server_.reactor_.now();
  } else if (!timer_.armed() || timer_.deadline() != until) {
    timer_.set(until);
  }
}

void Connection::set_events(uint32_t events) {
  events_ = events;
  if (!watch_.set_events(events)) close();
}

void Connection::on_timer() {
  if (draining_ || busy()) return close();
  HttpResponse& response = server_.scratch();
  if (waiting_ == Waiting::kLongPoll) {
    server_.handler_.on_poll_deadline(server_.ticket_of(slot_), response);
    return answer(response);
  }
  head_only_ = false;
  response.set_error(408, "the request did not come in time");
  refuse(response);
  flush();
  settle();
}

}  // namespace te

#include "cri/grpc_channel.h"

#include <algorithm>
#include <array>
#include <utility>

#include "sys/clock.h"
#include "sys/net.h"

namespace te::cri {
namespace {

constexpr MonoNanos kBacklogRetry = 20 * kMillisecond;  // the server's queue is full (EAGAIN)
constexpr MonoNanos kLookAgain = kSecond;
constexpr MonoNanos kSettled = kSecond;  // a connection that was good for so long starts the back-off anew
constexpr size_t kMaxDraining = 4;

/// Receives what nobody waits for any more.
class Nobody final : public GrpcReceiver {
 public:
  void on_message(std::string_view message) override { (void)message; }
  void on_end(GrpcStatus& status) override { (void)status; }
};
Nobody nobody;

/// "GOAWAY ENHANCE_YOUR_CALM too_many_pings".
std::string describe_goaway(const Http2Event& event) {
  constexpr size_t kLongest = 200;
  std::string out = "GOAWAY ";
  out += http2_code_name(event.code);
  if (!event.data.empty()) out.append(" ").append(event.data.substr(0, kLongest));
  return out;
}

GrpcStatus unavailable(GrpcOrigin origin, std::string_view why) {
  return {GrpcCode::kUnavailable, origin, std::string(why)};
}

}  // namespace

GrpcChannel::GrpcChannel(Reactor& reactor, GrpcChannelOptions options, GrpcChannelOwner& owner)
    : reactor_(reactor),
      options_(std::move(options)),
      owner_(owner),
      timer_(reactor, *this),
      back_off_(options_.first_back_off),
      burial_(*this),
      burial_timer_(reactor, burial_) {}

GrpcChannel::~GrpcChannel() = default;

void GrpcChannel::start() {
  if (state_ != State::kIdle) return;
  state_ = State::kWaiting;
  timer_.set(sys::mono_now());
}

void GrpcChannel::on_timer() {
  if (state_ == State::kReady) {
    if (current_->over()) return retire_current("it has no stream ids left");
    pump();
  } else {
    connect();
  }
}

// -- the connection
// ----------------------------------------------------------------------------------------------------

void GrpcChannel::connect() {
  // A unix socket is connected at once or not at all (unix(7)), so there is nothing to wait for.
  Result<Fd> fd = sys::connect_to("unix:" + options_.socket_path, 0);
  if (!fd && fd.error().kind == ErrorKind::kSystem && fd.error().code == EAGAIN) {
    timer_.set(sys::mono_now() + kBacklogRetry);
    return;
  }
  if (!fd) return wait_and_retry(fd.error().text());
  if (options_.sockets != nullptr) options_.sockets->on_socket(fd->get());
  auto link = std::make_unique<Link>(std::move(fd).value(), static_cast<LinkOwner&>(*this), options_.http2);
  if (const Result<void> started = link->start(reactor_); !started) return wait_and_retry(started.error().text());
  current_ = std::move(link);
  state_ = State::kTrying;
  owner_.on_connected();
}

/// There is no connection now. Whoever waits for one is told, and the next attempt comes after the back-off.
void GrpcChannel::wait_and_retry(std::string_view why) {
  const MonoNanos now = sys::mono_now();
  if (state_ == State::kReady && now - ready_since_ >= kSettled) back_off_ = options_.first_back_off;
  state_ = State::kWaiting;
  timer_.set(now + back_off_);
  back_off_ = std::min(back_off_ * 2, options_.last_back_off);
  owner_.on_disconnected(why);
  fail_waiting(why);
}

void GrpcChannel::accept() {
  if (state_ != State::kTrying) return;
  state_ = State::kReady;
  ready_since_ = sys::mono_now();
  pump();
}

void GrpcChannel::refuse(std::string_view why) {
  if (state_ != State::kTrying) return;
  const std::string reason(why);  // may be of what is about to go
  std::unique_ptr<Link> link = std::move(current_);
  link->close();
  Link& closed = *link;
  bury(std::move(link));
  wait_and_retry(reason);
  fail_link(closed, reason);
}

void GrpcChannel::on_link_closed(Link& link, std::string_view why) {
  if (current_.get() == &link) {
    bury(std::move(current_));
    wait_and_retry(why);
  } else {
    const auto at = std::ranges::find_if(draining_, [&](const auto& one) { return one.get() == &link; });
    if (at != draining_.end()) {
      bury(std::move(*at));
      draining_.erase(at);
    }
  }
  fail_link(link, why);
}

/// No further call goes out on the current connection; those that are on it go on, and those that wait now wait for the
/// next. What may call back comes last, when all is in order.
void GrpcChannel::retire_current(std::string_view why) {
  const MonoNanos now = sys::mono_now();
  if (now - ready_since_ >= kSettled) back_off_ = options_.first_back_off;
  state_ = State::kWaiting;
  timer_.set(now + back_off_);
  back_off_ = std::min(back_off_ * 2, options_.last_back_off);
  draining_.push_back(std::move(current_));
  Link& retired = *draining_.back();
  Link* given_up = nullptr;
  if (draining_.size() > kMaxDraining) {
    given_up = draining_.front().get();
    given_up->close();
    bury(std::move(draining_.front()));
    draining_.erase(draining_.begin());
  }
  owner_.on_disconnected("the connection takes no more calls: " + std::string(why));
  if (given_up != nullptr) fail_link(*given_up, "too many connections are being drained");
  close_if_drained(retired);
}

void GrpcChannel::close_if_drained(Link& link) {
  if (link.open_streams() != 0) return;
  const auto at = std::ranges::find_if(draining_, [&](const auto& one) { return one.get() == &link; });
  if (at == draining_.end()) return;
  (*at)->close();
  bury(std::move(*at));
  draining_.erase(at);
}

void GrpcChannel::bury(std::unique_ptr<Link> link) {
  dead_.push_back(std::move(link));
  burial_timer_.set(reactor_.now());
}

// -- calls
// -------------------------------------------------------------------------------------------------------------

uint64_t GrpcChannel::call(Request request, GrpcReceiver& receiver) {
  const uint64_t id = next_id_++;
  const bool first = request.first;
  auto made = std::make_unique<Call>(*this, id, std::move(request), receiver);
  if (made->request.deadline != kNever) made->timer.set(made->request.deadline);
  calls_.emplace(id, std::move(made));
  if (first) {
    waiting_.push_front(id);
  } else {
    waiting_.push_back(id);
  }
  pump();
  return id;
}

void GrpcChannel::cancel(uint64_t id) {
  const auto at = calls_.find(id);
  if (at == calls_.end()) return;
  const std::unique_ptr<Call> call = take(at);
  if (call->link == nullptr) {
    waiting_.erase(std::remove(waiting_.begin(), waiting_.end(), id), waiting_.end());
    return;
  }
  call->link->reset(call->stream);
  call->link->flush();
  close_if_drained(*call->link);
  pump();
}

void GrpcChannel::pump() {
  if (state_ != State::kTrying && state_ != State::kReady) return;
  bool sent = false;
  while (!waiting_.empty() && current_->can_open()) {
    Call& call = *calls_.at(waiting_.front());
    if (state_ == State::kTrying && !call.request.first) break;
    waiting_.pop_front();
    send(call);
    sent = true;
  }
  if (sent) current_->flush();
  if (state_ != State::kReady) return;
  if (current_->over()) {
    timer_.set(sys::mono_now());  // out of ids: the owner hears of it in a turn of its own
  } else if (!waiting_.empty()) {
    timer_.set(sys::mono_now() + kLookAgain);  // SETTINGS that let more through are no event
  }
}

void GrpcChannel::send(Call& call) {
  const std::string timeout = call.request.deadline == kNever || call.request.never_cancelled
                                  ? std::string()
                                  : grpc_timeout(call.request.deadline - sys::mono_now());
  const std::array<HeaderView, 8> fields = {{{":method", "POST"},
                                             {":scheme", "http"},
                                             {":path", call.request.path},
                                             {":authority", "localhost"},
                                             {"content-type", "application/grpc"},
                                             {"te", "trailers"},
                                             {"user-agent", options_.user_agent},
                                             {"grpc-timeout", timeout}}};
  const std::span<const HeaderView> sent(fields.data(), timeout.empty() ? fields.size() - 1 : fields.size());
  call.link = current_.get();
  call.stream = current_->open(sent, frame_grpc_message(call.request.message));
  by_stream_[{call.link, call.stream}] = &call;
  std::string().swap(call.request.message);
}

std::unique_ptr<GrpcChannel::Call> GrpcChannel::take(std::map<uint64_t, std::unique_ptr<Call>>::iterator at) {
  std::unique_ptr<Call> call = std::move(at->second);
  calls_.erase(at);
  if (call->link != nullptr) by_stream_.erase({call->link, call->stream});
  return call;
}

void GrpcChannel::on_link_event(Link& link, const Http2Event& event) {
  if (event.kind == Http2Event::Kind::kGoaway) {
    if (current_.get() == &link && state_ == State::kReady) retire_current(describe_goaway(event));
    // One that comes while the connection is tried shows in how the trial ends.
    close_if_drained(link);
    return;
  }
  const auto at = by_stream_.find({&link, event.stream});
  if (at == by_stream_.end()) return;
  Call* call = at->second;
  const uint64_t id = call->id;
  call->response.take(event);
  for (;;) {
    const GrpcResponse::Step step = call->response.next();
    if (step == GrpcResponse::Step::kNeedMore) break;
    if (step == GrpcResponse::Step::kMessage) {
      call->receiver->on_message(call->response.message());
      if (calls_.find(id) == calls_.end()) break;  // it was cancelled
      continue;
    }
    if (call->response.give_up()) link.reset(call->stream);
    GrpcStatus status = std::move(call->response.status());
    // Our deadline reaches the server's first, as it may, and its CANCEL us.
    if (status.code == GrpcCode::kCancelled && sys::mono_now() >= call->request.deadline) {
      status.code = GrpcCode::kDeadlineExceeded;
    }
    finish(id, std::move(status));
    break;
  }
  close_if_drained(link);
  pump();
}

void GrpcChannel::on_deadline(Call& call) {
  Link* link = call.link;
  GrpcStatus status{GrpcCode::kDeadlineExceeded, link == nullptr ? GrpcOrigin::kNotSent : GrpcOrigin::kLocal,
                    "no answer in time"};
  if (link != nullptr && call.request.never_cancelled) {
    std::exchange(call.receiver, &nobody)->on_end(status);
    return;
  }
  if (link != nullptr) {
    link->reset(call.stream);
    link->flush();
  }
  finish(call.id, std::move(status));
  if (link != nullptr) close_if_drained(*link);
  pump();
}

/// The call is over. Its receiver may do whatever it likes but destroy the channel.
void GrpcChannel::finish(uint64_t id, GrpcStatus status) {
  const std::unique_ptr<Call> call = take(calls_.find(id));
  if (call->link == nullptr) waiting_.erase(std::remove(waiting_.begin(), waiting_.end(), id), waiting_.end());
  call->receiver->on_end(status);
}

void GrpcChannel::fail_waiting(std::string_view why) {
  const std::string reason(why);
  const std::deque<uint64_t> ids = std::exchange(waiting_, {});
  for (const uint64_t id : ids) {
    if (calls_.find(id) != calls_.end()) finish(id, unavailable(GrpcOrigin::kNotSent, reason));
  }
}

void GrpcChannel::fail_link(Link& link, std::string_view why) {
  std::vector<uint64_t> ids;
  for (const auto& [id, call] : calls_) {
    if (call->link == &link) ids.push_back(id);
  }
  const std::string reason = "the connection ended before the answer: " + std::string(why);
  for (const uint64_t id : ids) {
    if (calls_.find(id) != calls_.end()) finish(id, unavailable(GrpcOrigin::kLost, reason));
  }
}

}  // namespace te::cri

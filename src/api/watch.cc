#include "api/watch.h"

#include <algorithm>
#include <utility>

#include "base/size.h"

namespace te {

namespace {

constexpr size_t kPiece = 16 * kKiB;  ///< not more: where a thousand list all tasks, others wait for a round of them
constexpr size_t kTellBatch = 64;     ///< watchers told in one turn

}  // namespace

class WatchHub::Body final : public BodySource {
 public:
  Body(WatchHub& hub, uint64_t ticket, std::optional<uint64_t> revision)
      : hub_(hub), ticket_(ticket), serial_(hub.next_serial_++), listing_(!revision.has_value()) {
    position_ = revision.value_or(hub.log_.revision());
    bookmarks_ = hub.bookmarks_;
    hub.bodies_.emplace(serial_, this);
  }
  ~Body() override {
    hub_.bodies_.erase(serial_);
    if (hub_.bodies_.empty()) hub_.bookmark_timer_.cancel();
  }

  bool next(std::string& out) override {
    const size_t enough = out.size() + kPiece;
    if (listing_) list(out, enough);
    if (listing_) return true;
    while (out.size() < enough && position_ < hub_.log_.revision()) {
      if (!hub_.log_.reaches(position_)) {
        append_watch_error(out, position_, "the watcher was too slow: list the tasks again");
        failed_ = true;
        return true;
      }
      out += hub_.log_.line(++position_);
    }
    if (position_ == hub_.log_.revision() && bookmarks_ != hub_.bookmarks_) {
      bookmarks_ = hub_.bookmarks_;
      append_bookmark(out, position_);
    }
    return true;
  }
  bool ready() const override { return stopped_ || failed_ || listing_ || behind() || bookmarks_ != hub_.bookmarks_; }
  bool done() const override { return failed_ || (stopped_ && !listing_ && !behind()); }
  void stop() override { stopped_ = true; }

  uint64_t ticket() const { return ticket_; }
  uint64_t position() const { return position_; }

 private:
  bool behind() const { return position_ < hub_.log_.revision(); }

  // All tasks, as they are when it is their turn: what changes meanwhile is told once more, behind the list. Who goes
  // on behind a part of the list would miss the rest of it: its lines have a revision that is never there any more.
  void list(std::string& out, size_t enough) {
    while (out.size() < enough) {
      const Task* task = hub_.manager_.next_after(listed_);
      if (task == nullptr) {
        listing_ = false;
        append_bookmark(out, position_);
        return;
      }
      listed_ = task->sequence;
      append_event(out, EventType::kAdded, 0, *task);
    }
  }

  WatchHub& hub_;
  uint64_t ticket_;
  uint64_t serial_;
  uint64_t position_ = 0;  ///< the revision up to which all has been given out
  uint64_t listed_ = 0;    ///< the id up to which tasks have been listed
  uint64_t bookmarks_ = 0;
  bool listing_;
  bool failed_ = false;
  bool stopped_ = false;
};

WatchHub::WatchHub(Reactor& reactor, HttpServer& server, const Manager& manager, const Clock& clock)
    : reactor_(reactor),
      server_(server),
      manager_(manager),
      log_(static_cast<uint64_t>(clock.wall())),
      bookmark_timer_(reactor, *this) {}

WatchHub::~WatchHub() = default;

void WatchHub::add(EventType type, const Task& task) {
  log_.add(type, task);
  if (bodies_.empty()) log_.taken(log_.revision());
  begin_round();
}

// One under way goes on, and the next begins behind it: begun anew with each change it would never reach the last ones.
void WatchHub::begin_round() {
  again_ = told_ > 0;
  news_ = true;
}

void WatchHub::watch(uint64_t ticket, std::optional<uint64_t> revision, HttpResponse& response) {
  if (revision && !log_.reaches(*revision)) {
    response.set_error(410, "revision: too old, or of an earlier life of the agent; list the tasks again");
    return;
  }
  log_.widen();
  response.content_type = "application/x-ndjson";
  response.live = true;
  response.stream = std::make_unique<Body>(*this, ticket, revision);
  if (!bookmark_timer_.armed()) bookmark_timer_.set(reactor_.now() + kBookmarkInterval);
}

// By serial, because a body may end while it is woken.
bool WatchHub::end_turn() {
  if (!news_) return false;
  auto at = bodies_.upper_bound(told_);
  for (size_t i = 0; i < kTellBatch && at != bodies_.end(); ++i) {
    told_ = at->first;
    if (at->second->ready()) server_.wake(at->second->ticket());
    at = bodies_.upper_bound(told_);
  }
  if (at != bodies_.end()) return true;
  uint64_t taken = log_.revision();
  for (const auto& [serial, body] : bodies_) taken = std::min(taken, body->position());
  log_.taken(taken);
  told_ = 0;
  news_ = std::exchange(again_, false);
  return news_;
}

void WatchHub::on_timer() {
  ++bookmarks_;
  begin_round();
  bookmark_timer_.set(reactor_.now() + kBookmarkInterval);
}

}  // namespace te

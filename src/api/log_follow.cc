#include "api/log_follow.h"

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "reactor/notifier_watch.h"
#include "sys/fs.h"

namespace te {

/// One client's stream. Knows how far the files go; reads them when the connection asks for more.
class LogFollowers::Body final : public BodySource {
 public:
  Body(LogFollowers& owner, uint64_t ticket, uint64_t task, const LogQuery& query)
      : owner_(owner), ticket_(ticket), task_(task), query_(query) {}
  ~Body() override { owner_.remove(*this); }

  Result<void> refresh(const Task& task, bool gone);
  bool next(std::string& out) override;
  bool ready() const override { return stopped_ || broken_ || ended_ || anything_new(); }
  bool done() const override { return ended_ && !broken_ && !anything_new(); }
  void add_trailer(std::string& out) const override;
  void stop() override { stopped_ = true; }

  uint64_t ticket() const { return ticket_; }
  uint64_t task() const { return task_; }

 private:
  friend class LogFollowers;
  struct File {
    Fd fd;
    int64_t position = 0;
    int64_t size = 0;
    int watch = kNoWatch;
    bool followed = false;  ///< by its watch or by the tick
  };

  bool anything_new() const {
    return std::ranges::any_of(files_, [](const File& file) { return file.position < file.size; });
  }
  Result<void> open_files(const Task& task);
  void measure();

  LogFollowers& owner_;
  uint64_t ticket_;
  uint64_t task_;
  LogQuery query_;
  std::array<File, kLogFiles.size()> files_;
  size_t turn_ = 0;       ///< the file that is read next
  bool ended_ = false;    ///< the sizes are final
  bool noticed_ = false;  ///< it is among those that events are of
  bool broken_ = false;   ///< there is, or may be, more than can be had: what was sent must not be taken for all
  bool stopped_ = false;  ///< the agent stops: the stream breaks off where it is
};

// The files appear with the start; the watch comes before the size is taken, so that nothing falls between.
Result<void> LogFollowers::Body::open_files(const Task& task) {
  if (task.phase == TaskPhase::kAccepted || task.phase == TaskPhase::kQueued) return {};
  for (size_t i = 0; i < files_.size(); ++i) {
    File& file = files_[i];
    if (!query_.wants(i) || file.fd.valid()) continue;
    Fd fd = TRY(open_log(query_, owner_.root_, task.name, i));
    if (!fd.valid()) continue;
    if (!ended_ && !file.followed) {
      file.watch = owner_.watch_file(*this, log_path(query_, task.name, i));
      file.followed = true;
    }
    const int64_t size = TRY(log_size(query_, fd.get()));
    file.position = TRY(log_start(query_, fd.get(), size, i));
    file.size = size;
    file.fd = std::move(fd);  // last: what has failed is tried again
  }
  return {};
}

void LogFollowers::Body::measure() {
  for (File& file : files_) {
    if (!file.fd.valid()) continue;
    const Result<int64_t> known = log_size(query_, file.fd.get());
    broken_ = broken_ || !known;
    const int64_t size = known ? *known : file.size;
    if (owner_.bounded_) {
      // Cut where there are no holes: what was not sent yet stands at the end.
      if (size < file.position) file.position = std::max<int64_t>(0, size - (file.size - file.position));
    } else if (size < file.size) {
      file.position = 0;  // by the task, which begins anew
    }
    file.size = size;
  }
}

Result<void> LogFollowers::Body::refresh(const Task& task, bool gone) {
  if (ended_) return {};
  ended_ = gone || task.phase == TaskPhase::kEnded;  // first: all that main wrote is in the sizes taken below
  measure();
  Result<void> opened = open_files(task);
  broken_ = broken_ || (ended_ && !opened);
  return opened;
}

bool LogFollowers::Body::next(std::string& out) {
  if (broken_) return false;
  const size_t before = out.size();
  for (size_t i = 0; i < files_.size(); ++i) {
    File& file = files_[turn_++ % files_.size()];
    if (file.position >= file.size) continue;
    const auto known = std::pair(file.position, file.size);
    // A hole up to where the file ended when it was last looked at: it is told once, up to where it ends now.
    const Result<sys::DataRange> data = sys::next_data(file.fd.get(), file.position, file.size);
    if (!ended_ && data && data->start == data->end) measure();
    const Result<void> given = append_log_piece(query_, out, file.fd.get(), file.position, file.size);
    if (!given) {
      // Only one that has become shorter can be gone on with; who can't be read now would be asked for ever.
      if (ended_ || given.error().kind != ErrorKind::kCorrupt) return false;
      measure();
      if (known == std::pair(file.position, file.size)) return false;
    }
    break;
  }
  if (!ended_ && !anything_new()) measure();
  return !stopped_ || ended_ || anything_new() || out.size() > before;  // what was just read is sent
}

void LogFollowers::Body::add_trailer(std::string& out) const {
  out += kNextOffsetHeader;
  out += ": ";
  bool first = true;
  for (size_t i = 0; i < files_.size(); ++i) {
    if (!query_.wants(i)) continue;
    if (!first) out += ',';
    first = false;
    append_int(out, files_[i].position);
  }
  out += "\r\n";
}

LogFollowers::LogFollowers(Reactor& reactor, HttpServer& server, const Manager& manager, std::string data_dir, int root,
                           bool bounded)
    : reactor_(reactor),
      server_(server),
      manager_(manager),
      data_dir_(std::move(data_dir)),
      root_(root),
      bounded_(bounded),
      timer_(reactor, *this) {}

LogFollowers::~LogFollowers() = default;

Result<void> LogFollowers::follow(uint64_t ticket, const Task& task, const LogQuery& query, HttpResponse& response) {
  (void)watch_notifier(reactor_, notifier_, notifier_watch_, *this).ok();  // without it there is the tick
  auto body = std::make_unique<Body>(*this, ticket, task.sequence, query);
  by_task_.emplace(task.sequence, body.get());
  TRY(body->refresh(task, false));
  keep_ticking();
  response.content_type = "text/plain; charset=utf-8";
  response.add_header("Trailer", kNextOffsetHeader);
  response.live = true;
  response.stream = std::move(body);
  return {};
}

int LogFollowers::watch_file(Body& body, const std::string& path) {
  const Result<int> number = notifier_.add_written((data_dir_ + "/" + path).c_str());
  if (!number) {
    ++unwatched_;
    return kNoWatch;
  }
  by_watch_.emplace(*number, &body);
  return *number;
}

void LogFollowers::unwatch_file(Body& body, int number) {
  if (number == kNoWatch) {
    --unwatched_;
    return;
  }
  const auto [begin, end] = by_watch_.equal_range(number);
  const auto at = std::ranges::find_if(begin, end, [&](const auto& entry) { return entry.second == &body; });
  if (at != end) by_watch_.erase(at);
  if (!by_watch_.contains(number)) notifier_.remove(number);
}

void LogFollowers::remove(Body& body) {
  for (const Body::File& file : body.files_) {
    if (file.followed) unwatch_file(body, file.watch);
  }
  const auto [begin, end] = by_task_.equal_range(body.task());
  const auto at = std::ranges::find_if(begin, end, [&](const auto& entry) { return entry.second == &body; });
  if (at != end) by_task_.erase(at);
}

void LogFollowers::look_at(Body& body) {
  if (const Task* task = manager_.find_id(body.task())) (void)body.refresh(*task, false).ok();
  if (body.ready()) server_.wake_soon(body.ticket());
}

void LogFollowers::look_at(const Task& task, bool gone) {
  const auto [begin, end] = by_task_.equal_range(task.sequence);
  for (auto at = begin; at != end; ++at) {
    (void)at->second->refresh(task, gone).ok();
    if (at->second->ready()) server_.wake_soon(at->second->ticket());
  }
  keep_ticking();
}

void LogFollowers::look_at_all() {
  for (const auto& [id, body] : by_task_) look_at(*body);
  keep_ticking();
}

void LogFollowers::on_io(uint32_t) {
  struct Visitor final : sys::Notifier::Visitor {
    explicit Visitor(LogFollowers& owner) : followers(owner) {}
    LogFollowers& followers;
    std::vector<Body*> bodies;
    bool all = false;
    void visit(int number, sys::Notifier::Change change, std::string_view) override {
      all = all || change == sys::Notifier::Change::kLost;
      const auto [begin, end] = followers.by_watch_.equal_range(number);
      for (auto at = begin; at != end; ++at) {
        if (!std::exchange(at->second->noticed_, true)) bodies.push_back(at->second);
      }
    }
  } visitor(*this);
  constexpr int kMostReads = 64;
  for (int i = 0; i < kMostReads && notifier_.read(visitor); ++i) {
  }
  paused_ = notifier_watch_.set_events(0).ok();
  if (paused_) timer_.set(std::min(timer_.armed() ? timer_.deadline() : kNever, reactor_.now() + kFollowPause));
  for (Body* body : visitor.bodies) body->noticed_ = false;
  if (visitor.all) return look_at_all();
  for (Body* body : visitor.bodies) look_at(*body);
  keep_ticking();
}

void LogFollowers::keep_ticking() {
  if (unwatched_ > 0 && !timer_.armed()) timer_.set(reactor_.now() + kFollowTick);
}

void LogFollowers::on_timer() {
  if (paused_) {
    paused_ = false;
    (void)notifier_watch_.set_events(EPOLLIN).ok();
  }
  if (unwatched_ > 0) look_at_all();
}

}  // namespace te

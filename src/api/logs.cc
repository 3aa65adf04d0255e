#include "api/logs.h"

#include <algorithm>
#include <cerrno>
#include <vector>

#include "api/cri_log.h"
#include "base/text.h"
#include "sys/fd.h"
#include "sys/fs.h"

namespace te {

namespace {

constexpr size_t kMostRanges = 64;  ///< of data between holes; what follows is given as it is

/// A range of a file, or a text in its place.
struct Range {
  int fd = -1;
  int64_t start = 0;
  int64_t end = 0;
  std::string text;
  bool may_have_holes = false;  ///< they are zeros then
};

class LogBody final : public BodySource {
 public:
  bool next(std::string& out) override {
    Range& range = ranges_[at_];
    if (range.fd < 0) {
      out += range.text;
      ++at_;
      return true;
    }
    const size_t before = out.size();
    out.resize(before + std::min<size_t>(kLogPiece, static_cast<size_t>(range.end - range.start)));
    const Result<size_t> read = sys::read_at(range.fd, out.data() + before, out.size() - before, range.start);
    if (!read || *read == 0) return false;
    out.resize(before + *read);
    // A hole made, or the log cut, since its length was told: what was promised can't be had any more. Looked for
    // behind the read, which may have come upon it.
    const int64_t end = range.start + static_cast<int64_t>(*read);
    const Result<sys::DataRange> data = sys::next_data(range.fd, range.start, end);
    if (!range.may_have_holes && (!data || data->start != range.start || data->end != end)) return false;
    range.start = end;
    if (range.start == range.end) ++at_;
    return true;
  }
  bool done() const override { return at_ == ranges_.size(); }

  void add_range(int fd, int64_t start, int64_t end, bool may_have_holes = false) {
    if (start < end) ranges_.push_back({fd, start, end, {}, may_have_holes});
  }
  void add_text(std::string text) { ranges_.push_back({-1, 0, 0, std::move(text)}); }
  void keep(Fd fd) { files_.push_back(std::move(fd)); }
  uint64_t length() const {
    uint64_t sum = 0;
    for (const Range& range : ranges_) {
      sum += range.fd < 0 ? range.text.size() : static_cast<uint64_t>(range.end - range.start);
    }
    return sum;
  }

 private:
  std::vector<Fd> files_;
  std::vector<Range> ranges_;
  size_t at_ = 0;
};

/// A container's log as it stands now; how long its text is shows only when it is read.
class CriLogBody final : public BodySource {
 public:
  CriLogBody(const LogQuery& query, Fd file, int64_t start, int64_t end)
      : query_(query), file_(std::move(file)), position_(start), end_(end) {}
  // One piece, even when nothing in it is wanted: others want their turn.
  bool next(std::string& out) override { return append_log_piece(query_, out, file_.get(), position_, end_).ok(); }
  bool done() const override { return position_ >= end_; }

 private:
  LogQuery query_;
  Fd file_;
  int64_t position_;
  int64_t end_;
};

void add_data(LogBody& body, int fd, int64_t start, int64_t size) {
  size_t ranges = 0;
  for (; ranges < kMostRanges && start < size; ++ranges) {
    const Result<sys::DataRange> data = sys::next_data(fd, start, size);
    if (!data) break;
    const int64_t data_start = data->start == data->end ? size : data->start;
    if (data_start > start) {
      std::string text;
      append_elision(text, data_start - start);
      body.add_text(std::move(text));
    }
    body.add_range(fd, data_start, data->end);
    start = std::max(data_start, data->end);
  }
  body.add_range(fd, start, size, ranges == kMostRanges);
}

}  // namespace

std::string log_path(const LogQuery& query, std::string_view task_dir, size_t index) {
  std::string path(task_dir);
  path += '/';
  path += query.cri_file.empty() ? kLogFiles[index] : query.cri_file;
  return path;
}

Result<Fd> open_log(const LogQuery& query, int root, std::string_view task_dir, size_t index) {
  Result<Fd> file = sys::open_regular_at(root, log_path(query, task_dir, index), O_RDONLY);
  if (!file && file.error().code == ENOENT) return Fd();
  return file;
}

Result<int64_t> log_size(const LogQuery& query, int fd) {
  return query.cri_file.empty() ? sys::file_size(fd) : cri_log_size(fd);
}

Result<int64_t> log_start(const LogQuery& query, int fd, int64_t size, size_t index) {
  if (query.cri_file.empty()) return log_start(fd, size, query.since[index], query.tail);
  return cri_log_start(fd, size, query.since[0], query.tail, query.stream);
}

Result<void> append_log_piece(const LogQuery& query, std::string& out, int fd, int64_t& position, int64_t end) {
  if (query.cri_file.empty()) return append_log_piece(out, fd, position, end);
  return append_cri_log_piece(out, fd, position, end, query.stream);
}

Result<void> parse_since(std::string_view text, LogQuery& query) {
  const auto number = [](std::string_view part) { return parse_int(part).value_or(-1); };
  const size_t comma = text.find(',');
  if (query.stream == LogStream::kBoth && query.cri_file.empty()) {
    if (comma == std::string_view::npos) {
      return invalid("since: must be STDOUT,STDERR (two byte offsets) unless one stream is asked for");
    }
    query.since = {number(text.substr(0, comma)), number(text.substr(comma + 1))};
  } else {
    query.since = {number(text), number(text)};
  }
  if (query.since[0] < 0 || query.since[1] < 0) return invalid("since: must be a byte offset");
  return {};
}

namespace {

Result<void> serve_cri_log(int root, std::string_view task_dir, const LogQuery& query, HttpResponse& response) {
  Fd file = TRY(open_log(query, root, task_dir, 0));
  const int64_t size = file.valid() ? TRY(log_size(query, file.get())) : 0;
  std::string next;
  append_int(next, size);
  response.content_type = "text/plain; charset=utf-8";
  response.add_header(kNextOffsetHeader, next);
  if (size == 0) return {};
  const int64_t start = TRY(log_start(query, file.get(), size, 0));
  if (start == size) return {};
  response.live = true;
  response.stream = std::make_unique<CriLogBody>(query, std::move(file), start, size);
  return {};
}

}  // namespace

Result<void> serve_logs(int root, std::string_view task_dir, const LogQuery& query, HttpResponse& response) {
  if (!query.cri_file.empty()) return serve_cri_log(root, task_dir, query, response);
  auto body = std::make_unique<LogBody>();
  std::string next;
  for (size_t i = 0; i < kLogFiles.size(); ++i) {
    if (!query.wants(i)) continue;
    if (!next.empty()) next += ',';
    Fd file = TRY(open_log(query, root, task_dir, i));
    int64_t size = 0;
    if (file.valid()) {
      size = TRY(sys::file_size(file.get()));
      add_data(*body, file.get(), TRY(log_start(query, file.get(), size, i)), size);
      body->keep(std::move(file));
    }
    append_int(next, size);
  }
  response.content_type = "text/plain; charset=utf-8";
  response.add_header(kNextOffsetHeader, next);
  response.stream_length = body->length();
  if (response.stream_length > 0) response.stream = std::move(body);
  return {};
}

}  // namespace te

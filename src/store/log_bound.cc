#include "store/log_bound.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <string_view>

#include "base/size.h"
#include "base/text.h"
#include "sys/fs.h"

namespace te {

namespace {

constexpr int64_t kBlock = 4096;
constexpr int64_t kMostBytes = int64_t{1} << 62;  ///< left out, all cuts together
constexpr size_t kLongestEntry = 64 * kKiB;
constexpr size_t kPiece = 256 * kKiB;
constexpr int kLooks = 8;                            ///< for what came while a log was being cut
constexpr int64_t kMostPunched = int64_t{4} * kMiB;  ///< at once: a few milliseconds
constexpr int64_t kMostFollowed = int64_t{16} * kMiB;
constexpr std::string_view kElisionBegin = "\n[... ";
constexpr std::string_view kElisionEnd = " bytes left out ...]\n";

/// What an earlier cut has left at `at`: the length of its line, and how many bytes it stands for.
struct Elision {
  int64_t line = 0;
  int64_t bytes = 0;
};

Elision elision_at(int fd, int64_t at, std::string_view begin) {
  std::string text(64, '\0');
  const Result<size_t> read = sys::read_at(fd, text.data(), text.size(), at);
  if (!read) return {};
  text.resize(*read);
  const size_t end = text.find(kElisionEnd);
  if (!text.starts_with(begin) || end == std::string::npos) return {};
  const std::optional<int64_t> bytes = parse_int(std::string_view(text).substr(begin.size(), end - begin.size()));
  if (!bytes || *bytes < 0 || *bytes > kMostBytes) return {};  // the task may have written it
  return {static_cast<int64_t>(end + kElisionEnd.size()), *bytes};
}

/// Behind the next line's end; `from` where none is near.
Result<int64_t> next_line(int fd, int64_t from) {
  std::string text(kLongestEntry, '\0');
  text.resize(TRY(sys::read_at(fd, text.data(), text.size(), from)));
  const size_t end = text.find('\n');
  return end == std::string::npos ? from : from + static_cast<int64_t>(end) + 1;
}

void append_elision(std::string& text, std::string_view begin, int64_t bytes) {
  text += begin;
  append_int(text, bytes);
  text += kElisionEnd;
}

bool no_holes(const Error& error) { return error.code == EOPNOTSUPP || error.code == ENOSYS || error.code == ENODEV; }

}  // namespace

Result<void> bound_log(int fd, int64_t max_bytes, LogKind kind, bool& more) {
  const int64_t allocated = TRY(sys::allocated_size(fd));
  const int64_t size = TRY(sys::file_size(fd));
  const int64_t half = max_bytes / 2;
  const bool tells_none = allocated == 0 && size > max_bytes;  // as some file systems do
  if (allocated <= max_bytes && !tells_none) return {};
  int64_t from = (half + kBlock - 1) / kBlock * kBlock;
  int64_t to = (size - half) / kBlock * kBlock;
  if (from >= to) {  // no whole block can go: behind the end one only asks whether there are holes at all
    if (tells_none) return cut_log(fd, max_bytes, kind);
    from = (size + kBlock - 1) / kBlock * kBlock;
    to = from + kBlock;
  }
  const int64_t end = to;
  if (to - from > kMostPunched && !tells_none) {  // behind what earlier calls have punched
    from = std::min(TRY(sys::next_data(fd, from, to)).start / kBlock * kBlock, to - kBlock);
    to = std::min(to, from + kMostPunched);
  }
  Result<void> punched = sys::punch_hole(fd, from, to);
  if (!punched && no_holes(punched.error())) return cut_log(fd, max_bytes, kind);
  if (!punched || to == end) return punched;
  // Where the file system does not show its holes, or only those of larger blocks, the next call would begin here
  // again.
  if (TRY(sys::next_data(fd, to - kBlock, end)).start < to) return sys::punch_hole(fd, to, end);
  more = true;
  return {};
}

Result<void> cut_log(int fd, int64_t max_bytes, LogKind kind) {
  std::string_view begin = kElisionBegin;
  if (kind == LogKind::kText) begin.remove_prefix(1);  // a line may be cut in two; an entry is ended
  const int64_t head = max_bytes / 2;
  int64_t size = TRY(sys::file_size(fd));
  if (size <= max_bytes) return {};
  const Elision before = elision_at(fd, head, begin);
  const int64_t spare = std::min(kBlock, (max_bytes - head) / 2);  // not at once again
  int64_t tail = std::max(head + before.line, size - (max_bytes - head) + spare);
  if (kind == LogKind::kEntries) tail = TRY(next_line(fd, tail));
  std::string text;
  append_elision(text, begin, tail - head - before.line + before.bytes);
  int64_t from = tail;
  int64_t to = head;
  // Again for what came while it was being copied, but not after a writer that is as fast as we are.
  const int64_t end = size + std::max(head, kMostFollowed);
  for (int looks = 0; from < size;) {
    const size_t line = text.size();
    text.resize(line + std::min(kPiece, static_cast<size_t>(size - from)));
    const size_t read = TRY(sys::read_at(fd, text.data() + line, text.size() - line, from));
    text.resize(line + read);
    if (read == 0) break;
    TRY(sys::write_all_at(fd, text, to));
    from += static_cast<int64_t>(read);
    to += static_cast<int64_t>(text.size());
    text.clear();
    if (from == size && looks++ < kLooks) size = std::min(TRY(sys::file_size(fd)), end);
  }
  const int64_t missed = TRY(sys::file_size(fd)) - from;
  if (missed > 0) append_elision(text, begin, missed);
  TRY(sys::write_all_at(fd, text, to));
  return sys::truncate(fd, to + static_cast<int64_t>(text.size()));
}

}  // namespace te

#include "api/log_file.h"

#include <algorithm>

#include "base/text.h"
#include "sys/fs.h"

namespace te {

namespace {

/// Where the last `lines` lines of [from, size) begin.
Result<int64_t> tail_start(int fd, int64_t from, int64_t size, int64_t lines) {
  if (lines == 0) return size;
  const int64_t lowest = std::max(from, size - kTailSearch);
  std::string block(kLogPiece, '\0');
  int64_t end = size;
  int64_t found = 0;
  while (end > lowest) {
    const int64_t start = std::max(lowest, end - static_cast<int64_t>(kLogPiece));
    const size_t read = TRY(sys::read_at(fd, block.data(), static_cast<size_t>(end - start), start));
    // The newline at the very end closes the last line and begins none.
    const std::string_view text(block.data(), read - (read > 0 && end == size ? 1 : 0));
    const int64_t here = std::ranges::count(text, '\n');
    for (size_t i = text.size(); found + here >= lines && i-- > 0;) {
      if (text[i] == '\n' && ++found == lines) return start + static_cast<int64_t>(i) + 1;
    }
    found += here;
    end = start;
  }
  return lowest;
}

}  // namespace

Result<int64_t> log_start(int fd, int64_t size, int64_t since, std::optional<int64_t> tail) {
  const int64_t start = std::min(since, size);
  if (!tail) return start;
  return std::max(start, TRY(tail_start(fd, start, size, *tail)));
}

void append_elision(std::string& out, int64_t bytes) {
  out += "[... ";
  append_int(out, bytes);
  out += " bytes left out ...]\n";
}

Result<void> append_log_piece(std::string& out, int fd, int64_t& position, int64_t end) {
  const sys::DataRange data = TRY(sys::next_data(fd, position, end));
  const int64_t begins = data.start == data.end ? end : data.start;
  if (begins > position) {
    append_elision(out, begins - position);
    position = begins;
    return {};
  }
  const auto size = std::min<size_t>(kLogPiece, static_cast<size_t>(data.end - position));
  const size_t before = out.size();
  out.resize(before + size);
  const Result<size_t> read = sys::read_at(fd, out.data() + before, size, position);
  out.resize(before + (read ? *read : 0));
  if (!read) return read.error();
  if (*read == 0) return Error{ErrorKind::kCorrupt, 0, "the log has become shorter"};
  position += static_cast<int64_t>(*read);
  return {};
}

}  // namespace te

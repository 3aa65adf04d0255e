#include "api/cri_log.h"

#include <algorithm>

#include "sys/fs.h"

namespace te {

namespace {

/// The next word, and the blank behind it.
std::string_view take_word(std::string_view& text) {
  const size_t blank = text.find(' ');
  const std::string_view word = text.substr(0, blank);
  text.remove_prefix(blank == std::string_view::npos ? text.size() : blank + 1);
  return word;
}

bool wanted(const CriLogEntry& entry, LogStream stream) {
  switch (stream) {
    case LogStream::kBoth: return true;
    case LogStream::kStdout: return !entry.is_stderr;
    case LogStream::kStderr: return entry.is_stderr;
  }
  return true;
}

Result<std::string> read_piece(int fd, int64_t from, int64_t to) {
  std::string piece(static_cast<size_t>(std::min<int64_t>(kLogPiece, to - from)), '\0');
  piece.resize(TRY(sys::read_at(fd, piece.data(), piece.size(), from)));
  return piece;
}

/// Behind the next newline; `end` when there is none where one should be.
Result<int64_t> next_entry(int fd, int64_t from, int64_t end) {
  const std::string piece = TRY(read_piece(fd, from, end));
  const size_t newline = piece.find('\n');
  return newline == std::string::npos ? end : from + static_cast<int64_t>(newline) + 1;
}

/// What stands before `position` has begun a line of `stream` that it did not end.
Result<bool> line_is_open(int fd, int64_t position, LogStream stream) {
  const int64_t from = std::max<int64_t>(0, position - static_cast<int64_t>(kLogPiece));
  const std::string piece = TRY(read_piece(fd, from, position));
  std::string_view rest = piece;
  bool open = false;
  while (!rest.empty()) {
    const size_t newline = rest.find('\n');
    const std::optional<CriLogEntry> entry = parse_cri_log(rest.substr(0, newline));
    if (entry && wanted(*entry, stream)) open = entry->partial || newline == std::string_view::npos;
    rest.remove_prefix(newline == std::string_view::npos ? rest.size() : newline + 1);
  }
  return open;
}

/// Left there by a cut (store/log_bound.h). No container can write one: its lines begin with a time.
bool is_elision(std::string_view line) { return line.starts_with("[... ") && line.ends_with(" bytes left out ...]"); }

}  // namespace

std::optional<CriLogEntry> parse_cri_log(std::string_view line) {
  constexpr size_t kShortestTime = 20;  // 2026-11-24T10:00:00Z
  const std::string_view time = take_word(line);
  if (time.size() < kShortestTime || time[10] != 'T') return std::nullopt;
  const std::string_view stream = take_word(line);
  if (stream != "stdout" && stream != "stderr") return std::nullopt;
  // Tags are parted by colons; the first says whether the line is whole.
  const std::string_view tags = take_word(line);
  const std::string_view first = tags.substr(0, tags.find(':'));
  if (first != "P" && first != "F") return std::nullopt;
  return CriLogEntry{stream == "stderr", first == "P", line};
}

Result<int64_t> cri_log_size(int fd) {
  const int64_t size = TRY(sys::file_size(fd));
  const int64_t from = std::max<int64_t>(0, size - static_cast<int64_t>(kLogPiece));
  const std::string piece = TRY(read_piece(fd, from, size));
  const size_t last = piece.rfind('\n');
  return last == std::string::npos ? from : from + static_cast<int64_t>(last) + 1;
}

Result<int64_t> cri_log_start(int fd, int64_t size, int64_t since, std::optional<int64_t> tail, LogStream stream) {
  const int64_t start = std::min(since, size);
  if (!tail) return start;
  if (*tail == 0) return size;
  const int64_t lowest = std::max(start, size - kTailSearch);
  // Line ends are counted from the end; the one beyond the wanted ones ends the entry before them.
  int64_t found = 0;
  int64_t line_end = size;
  std::string rest;  // of a line whose beginning stands in an earlier piece
  for (int64_t end = size; end > lowest;) {
    const int64_t from = std::max(lowest, end - static_cast<int64_t>(kLogPiece));
    std::string piece = TRY(read_piece(fd, from, end)) + rest;
    size_t cut = piece.size();
    while (cut > 0) {
      const size_t before = cut >= 2 ? piece.rfind('\n', cut - 2) : std::string::npos;
      if (before == std::string::npos) break;
      const std::optional<CriLogEntry> entry =
          parse_cri_log(std::string_view(piece).substr(before + 1, cut - before - 2));
      const bool ends_line = entry && wanted(*entry, stream) && !entry->partial;
      if (ends_line && ++found > *tail) return line_end;
      line_end = from + static_cast<int64_t>(before) + 1;
      cut = before + 1;
    }
    rest = piece.substr(0, cut);
    if (rest.size() > 2 * kLogPiece) rest.clear();  // no entry is so long
    end = from;
  }
  return lowest == start ? start : line_end;
}

Result<void> append_cri_log_piece(std::string& out, int fd, int64_t& position, int64_t end, LogStream stream) {
  const sys::DataRange data = TRY(sys::next_data(fd, position, end));
  const int64_t begins = data.start == data.end ? end : data.start;
  if (begins > position) {
    const int64_t entry = TRY(next_entry(fd, begins, end));
    if (TRY(line_is_open(fd, position, stream))) out += '\n';
    append_elision(out, entry - position);
    position = entry;
    return {};
  }
  const std::string piece = TRY(read_piece(fd, position, std::min(data.end, end)));
  if (piece.empty()) return Error{ErrorKind::kCorrupt, 0, "the log has become shorter"};
  size_t at = 0;
  for (size_t newline = piece.find('\n'); newline != std::string::npos; newline = piece.find('\n', at)) {
    const std::string_view line = std::string_view(piece).substr(at, newline - at);
    const std::optional<CriLogEntry> entry = parse_cri_log(line);
    if (is_elision(line)) {
      if (TRY(line_is_open(fd, position + static_cast<int64_t>(at), stream))) out += '\n';
      out.append(line) += '\n';
    }
    at = newline + 1;
    if (!entry || !wanted(*entry, stream)) continue;
    out += entry->text;
    if (!entry->partial) out += '\n';
  }
  const bool before_hole = data.end < end && position + static_cast<int64_t>(piece.size()) == data.end;
  if (before_hole) {
    const std::optional<CriLogEntry> cut = parse_cri_log(std::string_view(piece).substr(at));
    if (cut && wanted(*cut, stream)) out += cut->text;
  }
  position += static_cast<int64_t>(at == 0 || before_hole ? piece.size() : at);
  return {};
}

}  // namespace te

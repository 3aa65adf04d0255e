#include "app/log_sink.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "sys/fs.h"
#include "sys/self.h"

namespace te {

namespace {

constexpr std::string_view kLogName = "task-executor.log";
constexpr std::string_view kBackupPrefix = "task-executor-";

/// Priorities of syslog(3).
char priority(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return '7';
    case LogLevel::kInfo: return '6';
    case LogLevel::kWarning: return '4';
    case LogLevel::kError: return '3';
  }
  return '6';
}

}  // namespace

StderrSink::StderrSink() : journal_(sys::stderr_is_journal()) {}

void StderrSink::write(LogLevel level, std::string_view line) {
  if (!journal_) return sys::write_now(STDERR_FILENO, line);
  std::string marked = "<";
  marked += priority(level);
  marked += '>';
  marked += line;
  sys::write_now(STDERR_FILENO, marked);
}

namespace {

/// It may be a symbolic link.
Result<Fd> open_folder(const std::string& path) { return sys::open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY); }

}  // namespace

FileSink::FileSink(LogFileOptions options, const Clock& clock) : options_(std::move(options)), clock_(clock) {}

Result<void> FileSink::open() {
  TRY(sys::make_dirs(options_.dir));
  const Fd dir = TRY(open_folder(options_.dir));
  file_ = TRY(sys::open_at(dir.get(), kLogName, O_WRONLY | O_CREAT | O_APPEND, 0640));
  size_ = TRY(sys::file_size(file_.get()));
  return {};
}

Result<void> FileSink::rotate() {
  const Fd dir = TRY(open_folder(options_.dir));
  std::string name(kBackupPrefix);
  append_rfc3339(name, clock_.wall());
  std::string target = name + ".log";
  for (int i = 1; sys::exists_at(dir.get(), target); ++i) target = name + "." + std::to_string(i) + ".log";
  const Result<void> moved = sys::rename_at(dir.get(), kLogName, dir.get(), target);
  if (!moved && moved.error().code != ENOENT) return moved.error();  // somebody may have removed it
  remove_old(dir.get());
  return open();
}

// Names hold the time, so that their order is that of age.
void FileSink::remove_old(int dir) {
  const Result<std::vector<sys::DirEntry>> entries = sys::list_dir(dir);
  if (!entries) return;
  std::vector<std::string> backups;
  for (const sys::DirEntry& entry : *entries) {
    if (!entry.is_dir && entry.name.starts_with(kBackupPrefix) && entry.name.ends_with(".log"))
      backups.push_back(entry.name);
  }
  std::sort(backups.begin(), backups.end(), std::greater<>());
  std::string oldest(kBackupPrefix);
  append_rfc3339(oldest, clock_.wall() - options_.max_age_days * 86'400 * 1'000'000);
  for (size_t i = 0; i < backups.size(); ++i) {
    const bool too_many = options_.max_backups > 0 && i >= static_cast<size_t>(options_.max_backups);
    const bool too_old = options_.max_age_days > 0 && backups[i] < oldest;
    if (too_many || too_old) (void)sys::unlink_at(dir, backups[i]).ok();
  }
}

void FileSink::write(LogLevel level, std::string_view line) {
  Result<void> ready;
  if (!file_.valid()) ready = open();
  if (ready && size_ > 0 && size_ + static_cast<int64_t>(line.size()) > options_.max_size) ready = rotate();
  if (ready) ready = sys::write_all(file_.get(), line);
  if (ready) {
    size_ += static_cast<int64_t>(line.size());
    complained_ = false;
    return;
  }
  file_.reset();  // the next line tries to open it anew
  if (!complained_)
    fallback_.write(LogLevel::kWarning, "the log file can't be written: " + ready.error().text() + "\n");
  complained_ = true;
  fallback_.write(level, line);
}

}  // namespace te

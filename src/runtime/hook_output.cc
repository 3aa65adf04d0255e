#include "runtime/hook_output.h"

#include <fcntl.h>

#include <array>
#include <string_view>
#include <utility>

#include "codec/state_file.h"
#include "sys/fs.h"
#include "sys/supervise.h"

namespace te {

Fd HookOutput::open(int dir) {
  Result<sys::Pipe> pipe = sys::make_pipe();
  if (!pipe || !sys::signal_when_readable(pipe->read.get())) return {};
  Result<Fd> log = sys::open_at(dir, "prestart.log", O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
  if (!log) return {};
  log_ = std::move(log).value();
  pipe_ = std::move(pipe->read);
  return std::move(pipe->write);
}

bool HookOutput::copy() {
  constexpr int kRounds = 16;  // 64 KiB: a hook that writes without end must not keep us from its timeout
  std::array<char, 4096> buffer;
  for (int round = 0; pipe_.valid(); ++round) {
    if (round == kRounds) return true;
    const Result<int64_t> size = sys::read_some(pipe_.get(), buffer.data(), buffer.size());
    if (size && *size < 0) return false;
    if (!size || *size == 0) {
      pipe_.reset();
      log_.reset();
      return false;
    }
    const std::string_view text(buffer.data(), static_cast<size_t>(*size));
    (void)sys::write_all(log_.get(), text).ok();  // a full disk loses it, as it would lose the hook's own write
    if (!keep_) continue;
    tail_ += text;
    if (tail_.size() > kHookOutputMax) tail_.erase(0, tail_.size() - kHookOutputMax);
  }
  return false;
}

void HookOutput::drop_tail() {
  keep_ = false;
  tail_ = {};
}

}  // namespace te

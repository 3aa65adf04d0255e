#include "reactor/child.h"

#include <signal.h>
#include <sys/epoll.h>

namespace te {

Result<void> Child::start(Reactor& reactor) {
  watch_ = TRY(reactor.watch(pidfd_.get(), EPOLLIN | EPOLLET, *this));
  return {};
}

void Child::abandon() {
  (void)signal(SIGKILL).ok();
  sys::wait_child(pid_);
}

void Child::on_io(uint32_t) {
  Result<std::optional<sys::ChildEnd>> end = sys::reap(pidfd_.get());
  if (end && !*end) return;  // readable and not reapable yet: who traces it comes first, and that is told again
  watch_.reset();
  handler_.on_child_end(*this, end ? *end : std::nullopt);
}

}  // namespace te

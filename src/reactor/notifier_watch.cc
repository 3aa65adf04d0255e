#include "reactor/notifier_watch.h"

#include <sys/epoll.h>

namespace te {

Result<void> watch_notifier(Reactor& reactor, sys::Notifier& notifier, Watch& watch, IoHandler& handler) {
  if (watch.active()) return {};
  TRY(notifier.open());
  Result<Watch> made = reactor.watch(notifier.fd(), EPOLLIN, handler);
  if (!made) {
    notifier = {};
    return made.error();
  }
  watch = std::move(made).value();
  return {};
}

}  // namespace te

#include "reactor/signals.h"

#include <sys/epoll.h>

#include "sys/signals.h"

namespace te {

Result<void> SignalWatch::start(Reactor& reactor, std::initializer_list<int> signals) {
  fd_ = TRY(sys::catch_signals(signals));
  watch_ = TRY(reactor.watch(fd_.get(), EPOLLIN, *this));
  return {};
}

void SignalWatch::on_io(uint32_t) {
  while (const int signal = sys::next_signal(fd_.get())) handler_.on_signal(signal);
}

}  // namespace te

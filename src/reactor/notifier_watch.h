// A notifier that is opened when it is first wanted, and again wanted where the user's limits did not allow it.
#pragma once

#include "reactor/reactor.h"
#include "sys/notify.h"

namespace te {

/// Does nothing where `watch` is active already. After an error the notifier is closed: adding to it fails too.
Result<void> watch_notifier(Reactor& reactor, sys::Notifier& notifier, Watch& watch, IoHandler& handler);

}  // namespace te

// What a service manager is told over NOTIFY_SOCKET (sd_notify(3)), and how often it wants to hear
// (sd_watchdog_enabled(3)).
#pragma once

#include <string_view>

#include "base/time.h"

namespace te::sys {

/// Sends one datagram of "NAME=VALUE" lines; nothing happens without a NOTIFY_SOCKET, and nothing waits.
void notify_service_manager(std::string_view state);

/// The time within which WATCHDOG=1 is awaited of this process; 0: it is not.
MonoNanos watchdog_interval();

}  // namespace te::sys

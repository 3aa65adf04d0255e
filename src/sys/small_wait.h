// Waiting small: a process that mostly waits need not hold the program's pages.
#pragma once

#include <signal.h>

#include "base/time.h"

namespace te::sys {

/// As wait_signal() (signals.h), but gives the pages of code and constants back first, as far as this process is
/// concerned; those that are needed again come from the page cache, some microseconds each. A supervisor is 200 KiB
/// smaller for it (PSS), and a Pod has thousands of them.
int wait_signal_small(const sigset_t& set, MonoNanos deadline);

/// The program's own pages that have been used so far leave our memory, and come back when they are used again: what
/// only the start has needed stays away.
void drop_program_pages();

}  // namespace te::sys

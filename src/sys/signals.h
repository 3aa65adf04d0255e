// Signals taken one by one, for a program that does nothing but wait for them.
#pragma once

#include <signal.h>

#include <initializer_list>

#include "base/result.h"
#include "base/time.h"
#include "sys/fd.h"

namespace te::sys {

/// Waits for one of the blocked signals in `set` until `deadline` (sigtimedwait(2)); its number, or 0 when time is up.
/// kNever waits for ever; a deadline in the past looks and does not wait.
int wait_signal(const sigset_t& set, MonoNanos deadline);

/// Blocks the given signals and answers a non-blocking descriptor that tells of them (signalfd(2)).
Result<Fd> catch_signals(std::initializer_list<int> signals);
/// The next signal of such a descriptor; 0: none has come.
int next_signal(int fd);
/// Writing to a closed pipe is an error from now on, and not the end.
void ignore_broken_pipes();

/// Every signal to its default disposition, ignored ones too.
void reset_dispositions();
/// Block every signal that can be, for good, and give up dispositions that were inherited (an ignored SIGPIPE, say), as
/// tasks would inherit them in turn. Children made by spawn() inherit that, and a supervisor wants it so: a signal that
/// is sent before it has looked around waits for it.
void block_all_signals();

}  // namespace te::sys

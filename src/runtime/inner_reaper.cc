#include "runtime/inner_reaper.h"

#include <optional>
#include <utility>

#include "runtime/supervisor.h"
#include "sys/clock.h"
#include "sys/credentials.h"
#include "sys/net.h"
#include "sys/process.h"
#include "sys/supervise.h"

namespace te {

namespace {

template <class Message>
Result<void> tell(const Fd& report, const Message& message) {
  const int64_t sent = TRY(sys::send(report.get(), {reinterpret_cast<const char*>(&message), sizeof message}));
  if (sent != static_cast<int64_t>(sizeof message)) return Error{ErrorKind::kSystem, EAGAIN, "send"};
  return {};
}

constexpr MonoNanos kTellInterval = 50 * kMillisecond;  ///< the end could not be told: try again

[[noreturn]] void reap_until_empty(const Fd& report, int32_t task) {
  std::optional<sys::ChildEnd> untold;
  for (;;) {
    // After a hook main may have followed by now, and nobody listens any more: all that can be read is the hang-up.
    if (untold && (tell(report, *untold) || sys::readable_within(report.get(), 0))) untold.reset();
    const Result<std::optional<sys::ChildEnd>> child = sys::reap_child(-1);
    if (child && *child) {
      if ((*child)->pid == 0 || (*child)->pid != task) continue;
      untold = **child;
      task = 0;  // the number may be given out again
    } else if (untold) {
      sys::wait_supervisor_signal(sys::mono_now() + kTellInterval);
    } else if (!child) {
      sys::end_process(child.error().code == ECHILD ? 0 : 1);
    } else {
      sys::wait_supervisor_signal(kNever);
    }
  }
}

}  // namespace

int32_t become_inner_reaper(Fd& report, std::string_view plan) {
  char go = 0;
  const Result<int64_t> n = sys::receive(report.get(), &go, 1);
  if (!n || *n != 1) sys::end_process(1);  // the supervisor has gone
  Result<void> ready = sys::become_subreaper(kInnerReaperName);
  const int32_t self = sys::self_pid();
  const Result<int32_t> task = ready ? sys::fork_child() : std::move(ready).error();
  if (task && *task == 0) {
    report.reset();
    return self;
  }
  sys::keep_only(report.get());
  sys::unmap(plan);
  HeldMessage message;
  if (!task) message = {StartStage::kFork, task.error().code, 0};
  // The supervisor may have died before we asked to die with it: then nobody listens. (getppid(2) is no help: it is 0
  // here all the time.)
  if (!tell(report, message) || !task || !sys::drop_all_capabilities()) sys::end_process(1);
  reap_until_empty(report, *task);
}

}  // namespace te

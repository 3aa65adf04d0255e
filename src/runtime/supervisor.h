// The supervisor: the small process between the agent and one task. protocol.md and the man page tell its contract.
//
// It is this same binary under another argv[0], forked by the zygote (supervisor_stock.h) or spawned by the agent, with
// nothing but these descriptors:
//
//     0 1 2  /dev/null
//     3      the task's directory, with the flock(2) that says "a supervisor lives"
//     4      the plan (plan.h)
//
// and every signal blocked. It makes itself a session leader and a child subreaper, and then, for preStart, for main,
// and for postStop when the tree is empty:
//
//     fork the child, which prepares everything up to exec and waits at a socket
//     run.json durable                      ── from here on this phase is never run again
//     release the child; exec, or an error with its stage through the same socket (CLOEXEC closes it at exec)
//     the exec noted beside run.json        ── an attribute, not synced: it says "running", recovery needs no more
//     wait: SIGCHLD, SIGTERM (stop main), SIGUSR1 (stop and sweep everything), the task's timeout
//     main reaped: exit.json durable        ── in space reserved at creation: works on a full disk
//     when the tree is empty and there is no postStop any more: exit with 0
//
// A preStart that fails, or is stopped, is the end; main does not follow. A plan that begins with postStop is of a task
// whose supervisor died before that.
//
// Stopping is the same in each case: TERM to main's group as long as main is unreaped, and by pidfd to every other
// descendant (tree_signals.h); grace; then KILL to whatever is there, until nothing is. What main leaves behind when it
// ends by itself lives on, and the supervisor with it.
#pragma once

namespace te {

constexpr const char* kSupervisorName = "task-supervisor";
constexpr const char* kZygoteName = "task-zygote";  ///< sys/zygote.h
constexpr int kSupervisorNotNow = 3;                ///< exit status: nothing was begun, for a reason of this machine
constexpr int kSupervisorDirFd = 3;
constexpr int kSupervisorPlanFd = 4;

/// The whole life of a supervisor; the value is its exit status: 0 when nothing of the tree is left.
int run_supervisor();
/// The same for the zygote, and for what it forks.
int run_zygote(int argc, char** argv);

}  // namespace te

// A task as the manager holds it, and the story of its life.
//
//            create                start               run.json            exec known
//   (none) ─────────▶ kAccepted ─────────▶ kStarting ─────────────────▶ ─────────────▶ kRunning
//                      │  ▲  no slot          │  supervisor gone,             │
//                      ▼  │  (max-concurrent) │  nothing recorded: again      │ exit.json
//                     kQueued ◀───────────────┘                               ▼
//                                    kStarting ── exit.json (start error) ▶ kEnded
//                                    kStarting, kRunning ── supervisor gone, run.json and no exit.json:
//                                        sweep by mark, then ▶ kEnded (Lost), or started again, or forgotten
//
// With lifecycle hooks kStarting lasts as long as preStart does, and kEnded comes before postStop runs, which waits
// until nothing of the tree is left. Should the supervisor have died before that, another one is started for postStop
// alone.
//
// Beside its phase a task carries two facts that move on their own:
//   deleted_at   the mark of deletion is durable. Whatever the phase, the supervisor is asked to sweep; once it has
//                gone and nothing carries the task's mark, the directory goes to the trash and the task is no more.
//   supervised   a supervisor holds the directory's lock. It outlives kEnded as long as the task left processes
//                behind (`leftover`), because these die with DELETE and not before.
//
// A task in containers goes the same way, with the agent's container runtime in the supervisor's place: `supervised`
// then means that something of the run may be in the CRI runtime, and the "supervisor's end" that all of it is gone.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/time.h"
#include "task/record.h"
#include "task/spec.h"

namespace te {

enum class TaskPhase : uint8_t { kAccepted, kQueued, kStarting, kRunning, kEnded };

struct Task {
  std::string name;
  Uid uid;
  uint64_t sequence = 0;  ///< order of creation, kept over restarts; the task's id within the program
  TaskSpec spec;

  TaskPhase phase = TaskPhase::kAccepted;
  WallMicros accepted_at = 0;
  WallMicros deleted_at = 0;        ///< 0: not being deleted
  WallMicros persisted_at = 0;      ///< 0: by an earlier agent
  WallMicros recorded_at = 0;       ///< this agent saw exit.json; 0: an earlier one did
  RunRecord run;                    ///< valid once `started()`
  std::unique_ptr<ExitRecord> end;  ///< set with kEnded
  std::string wait_message;         ///< why it has not been started yet, when something went wrong
  uint32_t leftover = 0;            ///< processes of the tree that outlive main
  int32_t attempt = 1;

  // Facts that advance() decides by.
  bool supervised = false;  ///< a supervisor holds the directory's lock
  bool held = false;        ///< and we hold its pidfd
  bool lost = false;        ///< it died after run.json and before exit.json
  bool swept = true;        ///< nothing carries the task's mark
  bool stray = false;       ///< a supervisor is lost: only a sweep by the mark can tell that nothing is left
  bool quiet = false;       ///< when this agent started, no process of it was seen
  bool end_due = false;     ///< its supervisor has done with exit.json, or has had time enough
  bool unclear = false;     ///< its records can't be read at the moment, and it must be known what they say
  // What has been asked for already.
  std::multimap<MonoNanos, uint64_t>::iterator expiry;  ///< valid where it `expires`
  bool expires = false;
  bool sweeping = false;       ///< sweep_by_mark is under way
  bool sweep_put_off = false;  ///< and has failed to clear all
  bool chore_due = false;
  bool post_stop_tried = false;  ///< a supervisor was started for the postStop hook alone
  bool start_due = false;
  bool step_due = false;  ///< its runtime has something to write
  bool dirty = false;     ///< its records are to be looked at
  bool look_due = false;  ///< they are to be looked at again by the tick
  bool log_due = false;   ///< they may have grown over their bound
  bool in_slot = false;   ///< counts against --max-concurrent-tasks

  bool deleting() const { return deleted_at != 0; }
  bool started() const { return run.begun() || end != nullptr; }
};

}  // namespace te

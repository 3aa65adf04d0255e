// ContainerRuntime: tasks as pods of a CRI runtime. The agent itself is their supervisor (pod_run.h).
//
// One ListContainers by the owner's label answers the question of all runs whether something has ended; where the
// runtime broadcasts events they are hints to look earlier. What bears this owner's label and belongs to no run is
// removed. While there is no run there is no timer, no call, and after a while no connection.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "cri/client.h"
#include "runtime/pod_cleaner.h"
#include "runtime/pod_host.h"
#include "runtime/pod_run.h"
#include "task/run_store.h"
#include "task/runtime.h"

namespace te {

/// Makes the connection when it is needed.
class CriConnector {
 public:
  /// The same one until release(); tells `observer`.
  virtual cri::Client& connect(cri::RuntimeObserver& observer) = 0;
  /// Nobody has a call on it. Not called from a handler of the client.
  virtual void release() = 0;

 protected:
  ~CriConnector() = default;
};

class ContainerRuntime final : public Runtime,
                               public cri::RuntimeObserver,
                               private PodHost,
                               private PodCleanerOwner,
                               private cri::EventHandler,
                               private cri::Handler<cri::ListContainersResponse>,
                               private cri::Handler<cri::ListPodSandboxResponse> {
 public:
  ContainerRuntime(PodSettings settings, CriConnector& connector, RunStore& store, const Clock& clock, Log& log);
  ~ContainerRuntime() override;
  void open(RuntimeEvents& events);

  Result<bool> start(const Task& task, int32_t attempt) override;
  Result<bool> adopt(const Task& task) override;
  void stop(const Task& task) override;
  void sweep(const Task& task) override { stop(task); }
  void wake(const Task&) override {}
  /// Containers bear no mark: there is nothing that could be left.
  void sweep_by_mark(const Task& task) override { events_->on_swept(task.sequence); }
  uint32_t count_leftovers(const Task&) override { return 0; }
  Result<void> take_step(const Task& task) override;
  void empty_trash() override {}

  void tick();
  /// When tick() is to be called next; kNever: nothing is waited for.
  MonoNanos next_deadline() const { return next_; }

  /// Some run waits for an answer of the runtime.
  bool busy() const;

  void on_runtime_up(const cri::VersionResponse& runtime) override;
  void on_runtime_down(std::string_view why) override;

 private:
  using Uids = SeenContainers;  ///< the keys alone, in the one kind of map
  struct Held {
    uint64_t id = 0;
    MonoNanos due = kNever;  ///< of its tick(); here, so that those which are not due cost nothing
    std::unique_ptr<PodRun> run;
  };

  cri::Client& client() override;
  void on_run_step_due(PodRun& run) override;
  void on_run_changed(PodRun& run) override;
  void on_run_recorded(PodRun& run) override;
  void on_run_gone(PodRun& run) override;
  void expect_late_ones() override;
  void wake_at(const PodRun& run, MonoNanos when) override;
  void on_clean(PodCleaner& cleaner) override;
  void on_clean_trouble(PodCleaner& cleaner, std::string_view why) override;
  void on_container_event(const cri::ContainerEvent& event) override;
  void on_events_end(const cri::Failure& failure) override;
  void on_reply(cri::CallId call, cri::Outcome<cri::ListContainersResponse>& outcome) override;
  void on_reply(cri::CallId call, cri::Outcome<cri::ListPodSandboxResponse>& outcome) override;

  std::vector<Held>::iterator place_of(uint64_t id);
  PodRun* find(uint64_t id);
  PodRun& hold(std::unique_ptr<PodRun> run);
  std::vector<uint64_t> ids(MonoNanos due_by = kNever) const;
  void wake_at(MonoNanos when);
  void note_end();
  void poll();
  void list();
  void look_for_orphans();
  void look_for_late_ones();
  cri::Labels owned() const;
  Uids known_uids() const;
  void remove_orphan(std::string_view uid, const Uids& known);
  bool idle() const { return runs_.empty() && orphans_.empty() && late_until_ == 0 && !orphan_call_.waiting(); }

  PodSettings settings_;
  CriConnector& connector_;
  RunStore& store_;
  const Clock& clock_;
  Log& log_;
  RuntimeEvents* events_ = nullptr;
  cri::Client* client_ = nullptr;
  std::vector<Held> runs_;                                      ///< by id
  std::vector<std::unique_ptr<PodRun>> graveyard_;              ///< may still be on the stack
  std::map<std::string, std::unique_ptr<PodCleaner>> orphans_;  ///< by uid
  std::vector<std::unique_ptr<PodCleaner>> cleaned_;
  cri::Call poll_call_;
  cri::Call orphan_call_;
  cri::Call events_call_;
  bool events_unsupported_ = false;
  bool orphans_due_ = true;   ///< with the next connection
  MonoNanos late_until_ = 0;  ///< what was asked for may still appear; 0: nothing
  MonoNanos next_late_ = 0;
  MonoNanos poll_due_ = kNever;  ///< or later, as runs end
  MonoNanos polled_at_ = 0;
  bool list_trouble_ = false;  ///< told
  bool poll_fresh_ = false;    ///< asked after the last end: what it has and no run has is an orphan
  bool look_fresh_ = false;    ///< the same of orphan_call_
  MonoNanos not_before_ = 0;
  MonoNanos idle_since_ = 0;
  MonoNanos next_ = kNever;
};

}  // namespace te

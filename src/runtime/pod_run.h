// PodRun: one run of a container task, from its first image to the last trace of it in the runtime.
//
//                 images            sandbox             each container in turn
//     kPrepare ──────────▶ kPrepare ────────▶ kRun: create ▶ [run.json: begun] ▶ start ▶ poll ▶ status
//        │                                      │                                               │
//        │ failure, stop                        │ deadline: [run.json: kStop], StopContainer     │ all have ended
//        ▼                                      ▼                                               ▼
//     remove all ▶ [no run.json] ▶ gone       [exit.json] ◀──────────────────────────────────────
//                                               │
//                                               ▼
//                                             remove all ▶ gone
//
// [ ] is a durable write, made before the step that it announces and in a turn of its own (take_step). All else is
// level-triggered: advance() looks at the record and at what the runtime last said, and makes the one call that is due.
// A call whose answer got lost is never simply repeated: the runtime is asked by label or by id what there is. So a run
// that an earlier agent began is taken up (adopt) by the same code that gets over a lost connection.
//
// Two rules keep a container from running twice: one with `begun` in run.json is never made again, and one is started
// only when the runtime says that it is CREATED. Should it be gone, the run is lost (Runtime, on_supervisor_end), or
// has timed out where that was written down. One exception: a runtime gives up a StartContainer whose caller has gone,
// be it killed. Where its words prove that nothing was run yet, all is removed and made anew; where they do not, the
// run is lost.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "cri/client.h"
#include "runtime/image_getter.h"
#include "runtime/pod_cleaner.h"
#include "runtime/pod_config.h"
#include "runtime/pod_host.h"
#include "runtime/pod_meter.h"
#include "task/run_store.h"
#include "task/task.h"

namespace te {

struct SeenContainer {
  const cri::ContainerSummary* summary = nullptr;
  bool taken = false;  ///< a run knows it as its own
};
using SeenContainers = std::map<std::string_view, SeenContainer>;  ///< by id

class PodRun final : private ImageGetterOwner,
                     private PodCleanerOwner,
                     private cri::Handler<cri::RunPodSandboxResponse>,
                     private cri::Handler<cri::ListPodSandboxResponse>,
                     private cri::Handler<cri::ListContainersResponse>,
                     private cri::Handler<cri::CreateContainerResponse>,
                     private cri::Handler<cri::StartContainerResponse>,
                     private cri::Handler<cri::ContainerStatusResponse>,
                     private cri::Handler<cri::StopContainerResponse>,
                     private cri::Handler<cri::RemoveContainerResponse> {
 public:
  /// `task` must outlive the run. `record`: as run.json has it.
  PodRun(const Task& task, RunRecord record, const PodSettings& settings, PodHost& host, RunStore& store,
         const Clock& clock, Log& log);
  PodRun(const PodRun&) = delete;
  PodRun& operator=(const PodRun&) = delete;
  ~PodRun() = default;

  /// The record has just been written for the first time.
  void begin();
  /// Of an earlier agent. `ended`: exit.json is there, so that all that is left to do is to remove.
  void adopt(bool ended);
  /// Of an earlier agent, with a record that can't be read: remove all, and be lost.
  void give_up();
  /// TERM, grace, KILL, and remove. May be repeated.
  void stop();
  Result<void> take_step();
  void tick();
  /// The runtime has come back: no more patience.
  void hurry();

  uint64_t id() const { return task_.sequence; }
  /// The runtime has been asked for something that must not be cut off.
  bool busy() const { return call_.waiting(); }
  const Task& task() const { return task_; }
  const PodRecord& record() const { return *run_.pod; }
  /// When it wants the states of its containers; kNever: it waits for none.
  MonoNanos next_poll() const;
  /// All containers of this owner, by id, as they were `asked_at`.
  void observe(SeenContainers& containers, MonoNanos asked_at);
  /// Something happened to that container.
  void hint(std::string_view container_id);

 private:
  static constexpr MonoNanos kReservedDelay = 300 * kMillisecond;
  enum class Due : uint8_t { kNothing, kRun, kEnd, kClear };
  /// What is known of a container beside its record, by this agent.
  struct Live {
    bool sure_created = false;  ///< made by us, not started yet
    bool check = false;         ///< its status is to be asked for
    bool given_up = false;      ///< will not be started any more
    bool may_run = false;       ///< its state can't be had: to be stopped as if it ran
    bool stopped = false;       ///< a StopContainer was answered well
    bool start_open = false;    ///< the runtime may be at work on a StartContainer
    MonoNanos running_since = 0;
    MonoNanos unknown_since = kNever;  ///< the runtime says UNKNOWN, or fails to say
    MonoNanos stop_asked = 0;
    std::optional<GotImage> image;
    bool image_missing = false;  ///< the runtime said so: pull whatever the policy
    std::string start_error;
    cri::Call stop;
  };

  const PodSpec& pod() const { return task_.spec.pod->pod; }
  PodRecord& rec() { return *run_.pod; }
  PodIdentity identity() const;
  cri::Labels labels() const;
  int64_t grace() const;

  void advance();
  void prepare();
  void run_next();
  bool check_next();
  void look();
  void make(size_t index);
  void not_made(const cri::Failure& failure);
  void note_runtime();
  void start(size_t index);
  void ask(size_t index);
  void stop_containers();
  void clean();
  void renew(std::string_view why);
  void fail(std::string text);
  void end(EndCause cause);
  void lose(std::string_view why);
  void due(Due what);
  void back_off(MonoNanos delay, std::string_view why);
  void back_off_longer(std::string_view why);
  std::string_view reason_to_wait(size_t index) const;
  void wait_reason(size_t index, std::string_view reason, std::string message);
  void start_again(size_t index);
  void unclear(size_t index, std::string_view why, bool told);
  void set_running(size_t index, const cri::ContainerStatus& status);
  void set_ended(size_t index, const cri::ContainerStatus& status);
  void set_deadline();
  void measure();
  bool settled(size_t index) const;
  bool any_begun() const;
  bool ending() const { return stopping_ || record().step == PodStep::kStop || !record().failure.empty(); }
  bool ran_to_the_end() const;
  void go_on_unwritten();
  void not_stopped(size_t index, std::string_view why);
  void publish() { host_.on_run_changed(*this); }

  void on_image(GotImage image) override;
  void on_image_failed(std::string text) override;
  void on_image_waiting(std::string_view reason, std::string message, MonoNanos retry_at) override;
  void on_clean(PodCleaner& cleaner) override;
  void on_clean_trouble(PodCleaner& cleaner, std::string_view why) override;
  void on_reply(cri::CallId call, cri::Outcome<cri::RunPodSandboxResponse>& outcome) override;
  void on_reply(cri::CallId call, cri::Outcome<cri::ListPodSandboxResponse>& outcome) override;
  void on_reply(cri::CallId call, cri::Outcome<cri::ListContainersResponse>& outcome) override;
  void on_reply(cri::CallId call, cri::Outcome<cri::CreateContainerResponse>& outcome) override;
  void on_reply(cri::CallId call, cri::Outcome<cri::StartContainerResponse>& outcome) override;
  void on_reply(cri::CallId call, cri::Outcome<cri::ContainerStatusResponse>& outcome) override;
  void on_reply(cri::CallId call, cri::Outcome<cri::StopContainerResponse>& outcome) override;
  void on_reply(cri::CallId call, cri::Outcome<cri::RemoveContainerResponse>& outcome) override;

  const Task& task_;
  const PodSettings& settings_;
  PodHost& host_;
  RunStore& store_;
  const Clock& clock_;
  Log& log_;

  RunRecord run_;
  std::vector<Live> live_;
  ImageGetter images_;
  std::optional<PodCleaner> cleaner_;
  PodMeter meter_;
  cri::Call call_;       ///< all but Stop and Stats, one at a time
  size_t at_ = 0;        ///< the container that call_ is about
  size_t image_at_ = 0;  ///< the one that images_ is about
  Due due_ = Due::kNothing;
  std::optional<ExitRecord> end_;

  bool stopping_ = false;   ///< somebody wants it to end
  bool must_look_ = false;  ///< what there is in the runtime is not known
  bool removing_ = false;   ///< nothing but cleaning any more
  bool renewing_ = false;   ///< cleaning, and then the next attempt
  bool lost_ = false;
  bool recorded_ = false;  ///< exit.json is there
  bool gone_ = false;
  uint32_t reserved_ = 0;         ///< how often in a row a name was taken and nothing was found
  uint32_t create_attempts_ = 0;  ///< added to the containers' attempt
  uint32_t highest_attempt_ = 0;  ///< of the sandboxes that were seen
  int renewals_ = 0;
  MonoNanos not_before_ = 0;
  MonoNanos deadline_ = kNever;
  MonoNanos next_poll_ = kNever;
  MonoNanos next_stats_ = kNever;
  bool complained_ = false;     ///< of trouble with cleaning
  bool stop_trouble_ = false;   ///< complained of a container that does not end
  bool asked_to_stop_ = false;  ///< some container was, by this agent or perhaps by an earlier one
};

}  // namespace te

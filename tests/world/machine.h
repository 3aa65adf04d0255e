// A machine of the simulated world: kernel, agent and ledger, one step after the other.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent.h"
#include "base/log.h"
#include "kernel.h"
#include "ledger.h"
#include "pods.h"

namespace te::world {

class NoLog final : public LogSink {
 public:
  void write(LogLevel, std::string_view line) override;
};

/// A task as clients of the world write it. `command` is a Behaviour's text.
struct Wish {
  std::string name;
  std::string command;
  std::string pre_start;  ///< Behaviours too; empty: none
  std::string post_stop;
  int64_t timeout_seconds = 0;
  int64_t grace_seconds = 1;
  WireForm form = WireForm::kGuide;
  bool container = false;  ///< in one, without hooks

  TaskSpec spec() const;
};

class Machine final : private KernelEvents, private Observer {
 public:
  Machine(const ManagerOptions& options, Ledger ledger, Disk disk = {}, PodState pods = {});
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // Chances, by whoever drives it; at first nothing fails, and everything goes in the same order.
  std::function<int(DiskOp)> on_change;           ///< before each change of the disk; errno or 0
  std::function<MonoNanos(DiskOp)> slowness;      ///< how long a change takes
  std::function<MonoNanos()> answer_time;         ///< of the container runtime
  std::function<bool(std::string_view)> happens;  ///< KernelEvents::chance
  std::function<uint32_t(uint32_t)> pick;         ///< whose turn it is
  std::function<void()> on_step;                  ///< the agent has made a turn
  std::function<bool(DiskOp)> strikes;            ///< whether who makes the change is killed before it

  /// Starts an agent; again where it was killed meanwhile or could not start, until there is one.
  void boot();
  /// As by SIGKILL.
  void kill_agent();
  void kill_program(Process& process);
  /// The one that makes a change of the disk just now.
  void kill_current();
  /// From now on nothing of the machine is of use but a survivor of its disk.
  void lose_power();
  /// What is known when the power is lost now.
  Ledger ledger_at_power_loss() const;
  bool has_power() const { return power_; }

  // Wishes of clients, which wait for an agent, and send theirs again when it was killed before the answer.
  void create(const Wish& wish);
  void remove(const std::string& name);
  void set(const std::vector<Wish>& wishes, OnSpecChange change);

  /// Somebody's turn. False: all wait for something.
  bool step();
  /// Time goes on to what happens next, `until` at most. False: that is too late.
  bool sleep(MonoNanos until);
  /// Until all is over that will be; false: it was not over after that long.
  bool settle(MonoNanos at_most = 600 * kSecond);
  /// What has no place on a disk on which all is over.
  void check_leftovers();

  Kernel& kernel() { return *kernel_; }
  Ledger& ledger() { return ledger_; }
  Pods& pods() { return *pods_; }
  Manager* manager() { return agent_ != nullptr && agent_->recovered() ? &agent_->manager() : nullptr; }
  size_t waiting() const { return sent_.size(); }
  std::string state() const;

 private:
  bool is_over();
  void turn();
  void bury_agent();
  void send(std::function<void(uint64_t)> wish);

  int on_disk(DiskOp op) override;
  MonoNanos takes(DiskOp op) override { return slowness ? slowness(op) : 0; }
  MonoNanos answers_in() override { return answer_time ? answer_time() : 0; }
  bool chance(std::string_view what) override { return happens && happens(what); }
  void on_release(const Process& child, const RunRecord& run, bool durable) override;
  void on_end(const Process& process) override {
    if (power_) ledger_.ended(process);
  }
  void on_reply(uint64_t ticket, const Reply& reply) override;
  void on_added(const Task& task) override;
  void on_changed(const Task& task) override;
  void on_gone(const Task& task) override;

  ManagerOptions options_;
  Ledger ledger_;
  NoLog sink_;
  std::unique_ptr<Kernel> kernel_;
  std::unique_ptr<Pods> pods_;
  std::unique_ptr<Agent> agent_;
  uint64_t next_ticket_ = 1;
  std::map<uint64_t, std::function<void(uint64_t)>> sent_;  ///< wishes not answered yet, by ticket
  bool met_ = false;
  bool power_ = true;
  MonoNanos boot_at_ = 0;
};

}  // namespace te::world

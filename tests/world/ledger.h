// What clients were told and what really happened, to be compared: the invariants of the simulated world.
//
// It outlives agents and power losses. Copied, it is the knowledge of one possible future.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel.h"
#include "task/manager.h"

namespace te::world {

/// One task, by its uid.
struct Life {
  std::string name;
  std::string command;
  uint64_t id = 0;
  bool promised = false;         ///< an answer of 2xx said that it is there
  bool may_go = false;           ///< somebody wished so
  bool may_be_replaced = false;  ///< as long as it is a successor
  bool must_go = false;          ///< an answer of 2xx said that it is marked
  bool unlucky = false;          ///< its supervisor died without a record, or the power was lost: Lost is no lie
  std::set<std::pair<RunPhase, int32_t>> released;
  int32_t main = 0;                 ///< pid
  int main_status = -1;             ///< how main really ended
  std::string told;                 ///< its end
  const ExitRecord* end = nullptr;  ///< that was seen to say so
  std::string shown;                ///< the status that watchers know
};

class Ledger {
 public:
  explicit Ledger(const ManagerOptions& options) : options_(&options) {}

  // Wishes, as they are sent.
  void wish_there(uint64_t ticket, std::string_view name, std::string_view command, const Manager& manager);
  void wish_only(uint64_t ticket, std::vector<std::pair<std::string, std::string>> names, bool replaces);
  void wish_gone(uint64_t ticket, std::string_view name);
  /// A new agent knows nothing of what it was not answered.
  void forget_wishes() { removals_.clear(); }

  // Answers and events.
  void answered(uint64_t ticket, const Reply& reply, const Manager& manager);
  void added(const Task& task);
  void changed(const Task& task);
  void went(const Task& task);

  // The truth.
  void released(const Process& child, const RunRecord& run, bool durable);
  void ended(const Process& process);
  /// Of a container task; `run` as its label has it.
  void container_started(std::string_view uid, std::string_view run, bool durable);
  void container_ended(std::string_view uid, int code);
  /// Nothing runs any more. `recorded` says of a name whether an end is durable under it.
  void power_lost(FunctionRef<bool(std::string_view name)> recorded);
  void supervisor_died(std::string_view name, bool recorded);

  /// All that has to be so between two steps.
  void check(const Manager& manager);
  /// What a new agent has found, before anything is done with it.
  void learn(const Manager& manager);
  /// The same as check(), and the list that a watcher begins with.
  void meet(const Manager& manager);

  void violation(std::string text) {
    if (violations_.empty() || violations_.back() != text) violations_.push_back(std::move(text));
  }
  const std::vector<std::string>& violations() const { return violations_; }
  uint64_t ends_told() const { return ends_told_; }
  uint64_t tasks() const { return tasks_; }
  /// The same when the same is known.
  uint64_t fingerprint() const;

 private:
  struct Removal {
    uint64_t ticket;
    bool all_but;  ///< else `names` is the one that goes
    bool replaces;
    bool successors;  ///< only one that waits for that name
    std::vector<std::pair<std::string, std::string>> names;
  };

  Life& life_of(const Task& task);
  bool covers(const Removal& removal, const Life& life) const;
  void strike(Life& life);
  void check_one(const Task& task, Life& life);
  void check_end(const Task& task, const Life& life);

  const ManagerOptions* options_;
  std::map<std::string, Life, std::less<>> lives_;
  std::set<std::string, std::less<>> gone_;
  std::map<int32_t, std::string> mains_;  ///< pid to uid
  std::set<std::pair<std::string, std::string>> wished_;
  std::vector<Removal> removals_;
  std::vector<std::string> violations_;
  uint32_t most_running_ = 0;  ///< at once; no more than it, and no less than the limit
  uint64_t ends_told_ = 0;
  uint64_t tasks_ = 0;
};

}  // namespace te::world

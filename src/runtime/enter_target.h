// The way of a child into the main container: what of it is taken over, and in which order (protocol.md, "Entering a
// container"). All that can be looked at only from outside is looked at first.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "runtime/launch.h"
#include "runtime/main_container.h"
#include "runtime/plan.h"
#include "sys/credentials.h"
#include "sys/namespaces.h"

namespace te {

class TargetEntry {
 public:
  explicit TargetEntry(const PlanView& plan) : plan_(plan) {}

  /// Find and hold it.
  StartFailure find();
  /// Into its namespaces (the PID namespace is for children only) and its root.
  StartFailure enter();
  /// Its PID namespace is another one than ours: the task is to be forked once more.
  bool needs_fork() const { return (kinds_ & sys::kPidNamespace) != 0; }

  /// User and group for what is made outside, in our own user namespace; absent: unchanged.
  std::optional<uint32_t> outer_user() const;
  std::optional<uint32_t> outer_group() const;
  /// What it may, as far as a task takes that over, added to what the plan says.
  void add_to(sys::Credentials& credentials) const;
  /// Its environment, less what the plan's own entries replace, and these.
  void collect_environment(std::vector<const char*>& out) const;
  /// Once the credentials are taken on: its working directory, or "/" where that is not to be reached.
  StartFailure go_to_working_dir();

 private:
  const PlanView& plan_;
  MainContainer found_;
  sys::ProcessCredentials outer_;  ///< ids as our user namespace has them
  sys::ProcessCredentials inner_;  ///< and as its own has them
  unsigned kinds_ = 0;
  Fd root_;
  Fd cwd_;
  bool in_cwd_ = false;
};

}  // namespace te

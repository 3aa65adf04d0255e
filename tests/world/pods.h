// The container runtime of the simulated world: the fake one of the unit tests, on the world's clock and with its
// chances. It outlives agents; a power loss ends what runs in it, and it knows that afterwards.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "../unit/runtime/fake_cri.h"
#include "kernel.h"
#include "runtime/container_runtime.h"

namespace te::world {

using Container = fake::CriWorld::Container;

/// What it keeps.
struct PodState {
  fake::CriWorld world;
  std::map<std::string, MonoNanos> ends;  ///< of running containers that end by themselves, by id

  uint64_t fingerprint() const;
};

class Pods final : public CriConnector {
 public:
  Pods(Kernel& kernel, PodState state) : state_(std::move(state)), kernel_(kernel) {}
  Pods(const Pods&) = delete;
  Pods& operator=(const Pods&) = delete;

  std::function<void(const Container&)> on_start;
  std::function<void(const Container&, int code)> on_end;

  cri::Client& connect(cri::RuntimeObserver& observer) override;
  void release() override;
  /// The agent is no more. Some of what it had asked for is done all the same.
  void hang_up();

  /// In a turn of the agent: it hears what has become of its oldest call, or of its connection.
  void deliver();
  /// deliver() has something.
  bool due() const;
  /// Commands end whose time has come.
  void advance();
  MonoNanos next_event() const;
  /// The runtime is gone for that long, containers run on. What was asked for is done or not.
  void go_away(MonoNanos time);

  const PodState& state() const { return state_; }
  /// As the next boot will find it.
  PodState after_power_loss() const;

 private:
  void expect_answer();
  std::optional<fake::Fault> fault(cri::Method method);
  void start(Container& one);
  void end(Container& one, int code);

  PodState state_;
  Kernel& kernel_;
  std::vector<std::unique_ptr<fake::FakeCri>> connections_;
  fake::FakeCri* current_ = nullptr;
  cri::RuntimeObserver* observer_ = nullptr;
  bool up_due_ = false;
  bool lost_ = false;              ///< the connection breaks just now
  MonoNanos answers_at_ = kNever;  ///< the oldest call
  MonoNanos gone_until_ = 0;
};

}  // namespace te::world

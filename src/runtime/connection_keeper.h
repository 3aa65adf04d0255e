// ConnectionKeeper: holds a copy of the connection to the container runtime in a process of its own.
//
// A gRPC server gives up a call when the connection breaks, and containerd then leaves a half-made container, or a shim
// that no call can reach any more. So when the agent is killed its connection lives on in the keeper until nothing has
// come for kKeeperPatience, and what the agent had asked for is done to the end. The next agent finds it.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/log.h"
#include "cri/grpc_channel.h"
#include "reactor/child.h"
#include "reactor/reactor.h"
#include "sys/fd.h"

namespace te {

constexpr const char* kKeeperName = "task-cri-keeper";
constexpr int kKeeperSocketFd = 3;
constexpr int kKeeperAgentFd = 4;  ///< a pipe that the agent holds the other end of
constexpr MonoNanos kKeeperPatience = 60 * kSecond;
/// The keeper's life.
int run_keeper();

class ConnectionKeeper final : public cri::SocketObserver, private ChildHandler {
 public:
  ConnectionKeeper(Reactor& reactor, Log& log) : reactor_(reactor), log_(log) {}
  ConnectionKeeper(const ConnectionKeeper&) = delete;
  ConnectionKeeper& operator=(const ConnectionKeeper&) = delete;
  /// The keeper stays, as it does when the agent is killed.
  ~ConnectionKeeper() = default;

  /// One keeper for the newest connection. Without one all works too, but for a kill at the wrong moment.
  void on_socket(int fd) override;
  /// The connection is needed no more.
  void drop();
  /// A child of this process that this object reaps.
  bool awaits(int32_t pid) const;

 private:
  Result<void> spawn(int fd);
  void on_child_end(Child& child, const std::optional<sys::ChildEnd>& end) override;

  Reactor& reactor_;
  Log& log_;
  Fd agent_end_;
  std::vector<std::unique_ptr<Child>> children_;  ///< the last one keeps, the others are ending
};

}  // namespace te

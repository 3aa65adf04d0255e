#include "runtime/connection_keeper.h"

#include <fcntl.h>

#include <algorithm>
#include <array>

#include "sys/clock.h"
#include "sys/fs.h"
#include "sys/net.h"
#include "sys/process.h"
#include "sys/self.h"
#include "sys/spawn.h"
#include "sys/supervise.h"

namespace te {

int run_keeper() {
  const Fd socket(kKeeperSocketFd);
  Fd agent(kKeeperAgentFd);
  std::array<char, 4096> buffer{};
  // As long as the agent lives it reads the socket, and nobody else may. A byte from it: it has closed the connection.
  {
    std::array<sys::Awaited, 1> waiting = {{{agent.get(), false, false}}};
    if (!sys::wait_ready(waiting, kNever)) return 1;
    const Result<int64_t> read = sys::read_some(agent.get(), buffer.data(), buffer.size());
    if (!read || *read > 0) return 0;
  }
  for (;;) {
    std::array<sys::Awaited, 1> waiting = {{{socket.get(), false, false}}};
    const Result<bool> ready = sys::wait_ready(waiting, sys::mono_now() + kKeeperPatience);
    if (!ready || !*ready) return 0;
    const Result<int64_t> got = sys::receive(socket.get(), buffer.data(), buffer.size());
    if (!got || *got == 0) return 0;
  }
}

void ConnectionKeeper::on_socket(int fd) {
  drop();
  const Result<void> spawned = spawn(fd);
  if (!spawned) log_.warning("no keeper of the runtime's connection", {{"error", spawned.error().text()}});
}

Result<void> ConnectionKeeper::spawn(int fd) {
  const Fd self = TRY(sys::open_self());
  const Fd null = TRY(sys::open_at(AT_FDCWD, "/dev/null", O_RDWR));
  sys::Pipe pipe = TRY(sys::make_pipe());
  const std::array<const char*, 2> argv = {kKeeperName, nullptr};
  const std::array<const char*, 1> envp = {nullptr};
  const std::array<sys::FdMap, 5> fds = {
      {{null.get(), 0}, {null.get(), 1}, {null.get(), 2}, {fd, kKeeperSocketFd}, {pipe.read.get(), kKeeperAgentFd}}};
  sys::Spawned spawned = TRY(sys::spawn({self.get(), argv.data(), envp.data(), fds}));
  auto child = std::make_unique<Child>(std::move(spawned.pidfd), spawned.pid, static_cast<ChildHandler&>(*this));
  if (Result<void> watching = child->start(reactor_); !watching) {
    child->abandon();
    return watching;
  }
  children_.push_back(std::move(child));
  agent_end_ = std::move(pipe.write);
  return {};
}

void ConnectionKeeper::drop() {
  if (!agent_end_.valid()) return;
  (void)sys::write_all(agent_end_.get(), "x").ok();
  agent_end_.reset();
}

bool ConnectionKeeper::awaits(int32_t pid) const {
  return std::ranges::any_of(children_, [&](const auto& child) { return child->pid() == pid; });
}

void ConnectionKeeper::on_child_end(Child& child, const std::optional<sys::ChildEnd>&) {
  std::erase_if(children_, [&](const auto& one) { return one.get() == &child; });
}

}  // namespace te

// Listening sockets and connections: TCP by numeric address, unix by path, or passed by systemd.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "sys/fd.h"

namespace te::sys {

struct Listener {
  Fd fd;
  std::string address;    ///< "127.0.0.1:5758", "[::]:5758" or "unix:/run/x.sock", the real port in it
  bool loopback = false;  ///< reachable from this machine only
};

/// Whether listen_on() takes `text` as far as its form goes; kInvalid says what is wrong with it.
Result<void> check_listen_address(std::string_view text);

/// `text`: "127.0.0.1:5758", ":5758" and "0.0.0.0:5758", "localhost:5758", "[::1]:5758", "unix:/path". Names other than
/// localhost are refused: there is no resolver in a static binary. Port 0: any free one.
/// A unix socket gets mode 0600, or 0666 when `allowed` users are let in beside root and our own (accept_from()); a
/// dead one in the way is removed, a living one is EADDRINUSE.
Result<Listener> listen_on(std::string_view text, std::span<const uint32_t> allowed = {});

/// The sockets of LISTEN_FDS and LISTEN_PID (sd_listen_fds(3)); none when they are not meant for this process.
std::vector<Listener> passed_listeners();

struct Accepted {
  Fd fd;
  bool local = false;   ///< over a loopback address
  bool trusted = true;  ///< false: a unix socket's peer that may not come in (SO_PEERCRED, unix(7))
};
/// The next waiting connection, non-blocking; an invalid fd when none is left. EMFILE and the like are errors.
/// On a unix socket root, our own user and those in `allowed` are trusted.
Result<Accepted> accept_from(const Listener& listener, std::span<const uint32_t> allowed);

/// A connection to a server at an address as listen_on() takes it, non-blocking; waits for it `patience` at most.
Result<Fd> connect_to(std::string_view text, MonoNanos patience);

/// A descriptor that something is waited of.
struct Awaited {
  int fd;
  bool to_write;  ///< else to read
  bool ready = false;
};
/// Waits until some are ready (poll(2)). False: the deadline has come first.
Result<bool> wait_ready(std::span<Awaited> all, MonoNanos deadline);

/// Bytes moved; kWouldBlock when the socket is not ready.
constexpr int64_t kWouldBlock = -1;
Result<int64_t> receive(int fd, char* to, size_t size);
Result<int64_t> send(int fd, std::string_view bytes);
/// End what we send; the peer sees EOF.
void shutdown_write(int fd);
/// Both ways, and for all processes that have it open: whoever reads at either end gets the end.
void shutdown_both(int fd);

}  // namespace te::sys

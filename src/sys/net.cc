#include "sys/net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "sys/clock.h"
#include "sys/fs.h"
#include "sys/self.h"

namespace te::sys {

namespace {

constexpr int kBacklog = 1024;

union AnyAddress {
  sockaddr_storage whole;  // first, because `{}` makes the first member zero, and that one only
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
  sockaddr_un local;
};

std::string describe(const AnyAddress& address, socklen_t size) {
  char host[INET6_ADDRSTRLEN] = {};
  std::string text;
  if (address.any.sa_family == AF_INET) {
    text = ::inet_ntop(AF_INET, &address.v4.sin_addr, host, sizeof host);
    text += ':';
    append_int(text, ntohs(address.v4.sin_port));
  } else if (address.any.sa_family == AF_INET6) {
    text = "[";
    text += ::inet_ntop(AF_INET6, &address.v6.sin6_addr, host, sizeof host);
    text += "]:";
    append_int(text, ntohs(address.v6.sin6_port));
  } else {
    text = "unix:";
    if (size > offsetof(sockaddr_un, sun_path)) text += address.local.sun_path;
  }
  return text;
}

bool is_loopback(const AnyAddress& address) {
  switch (address.any.sa_family) {
    case AF_INET: return (ntohl(address.v4.sin_addr.s_addr) >> 24U) == 127;
    case AF_INET6: {
      const in6_addr& v6 = address.v6.sin6_addr;
      constexpr size_t kMapped = 12;  // of an IPv4 peer on a socket for both: ::ffff:127.0.0.1
      return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[kMapped] == 127);
    }
    default: return true;
  }
}

// Accepted sockets inherit all of it on Linux. Without probes a peer that has vanished would hold a silent stream for
// ever; with them it is found out after two minutes.
void set_tcp_options(int fd) {
  constexpr struct {
    int level;
    int name;
    int value;
  } kOptions[] = {{IPPROTO_TCP, TCP_NODELAY, 1},
                  {SOL_SOCKET, SO_KEEPALIVE, 1},
                  {IPPROTO_TCP, TCP_KEEPIDLE, 60},
                  {IPPROTO_TCP, TCP_KEEPINTVL, 10},
                  {IPPROTO_TCP, TCP_KEEPCNT, 6}};
  for (const auto& one : kOptions) ::setsockopt(fd, one.level, one.name, &one.value, sizeof one.value);
}

Result<Listener> describe_listener(Fd fd) {
  AnyAddress address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd.get(), &address.any, &size) != 0) return system_error("getsockname");
  if (address.any.sa_family != AF_UNIX) set_tcp_options(fd.get());
  Listener listener;
  listener.address = describe(address, size);
  listener.loopback = is_loopback(address);
  listener.fd = std::move(fd);
  return listener;
}

/// What a text names: an IP address with its port, or the path of a unix socket.
struct NamedAddress {
  AnyAddress at{};
  socklen_t size = 0;
};

Result<NamedAddress> parse_unix(std::string_view path) {
  NamedAddress named;
  sockaddr_un& local = named.at.local;
  local.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof local.sun_path) {
    return invalid("the path of a unix socket has 1 to 107 bytes");
  }
  std::memcpy(local.sun_path, path.data(), path.size());
  named.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return named;
}

Result<NamedAddress> parse_address(std::string_view text) {
  if (text.starts_with("unix:")) return parse_unix(text.substr(5));
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return invalid("must be ADDRESS:PORT or unix:/path");
  const std::optional<int64_t> port = parse_int(text.substr(colon + 1));
  if (!port || *port < 0 || *port > 65'535) return invalid("the port must be 0 to 65535");
  std::string host(text.substr(0, colon));
  if (host == "localhost") host = "127.0.0.1";
  if (host.empty()) host = "0.0.0.0";
  NamedAddress named;
  if (host.starts_with('[') && host.ends_with(']')) {
    sockaddr_in6& v6 = named.at.v6;
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(static_cast<uint16_t>(*port));
    if (::inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6.sin6_addr) != 1) {
      return invalid("not a numeric IPv6 address");
    }
    named.size = sizeof v6;
    return named;
  }
  sockaddr_in& v4 = named.at.v4;
  v4.sin_family = AF_INET;
  v4.sin_port = htons(static_cast<uint16_t>(*port));
  if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) != 1) {
    return invalid("not a numeric address (names are not looked up; localhost and an empty host are known)");
  }
  named.size = sizeof v4;
  return named;
}

Result<Listener> listen_at(const NamedAddress& named, std::string_view text, mode_t mode = 0600) {
  const AnyAddress& address = named.at;
  Fd fd(::socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return system_error("socket");
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);  // of no effect for a unix socket
  if (::bind(fd.get(), &address.any, named.size) != 0) return system_error("listen on", text);
  if (address.any.sa_family == AF_UNIX) ::chmod(address.local.sun_path, mode);
  if (::listen(fd.get(), kBacklog) != 0) return system_error("listen on", text);
  return describe_listener(std::move(fd));
}

Result<Listener> listen_unix(const NamedAddress& named, std::string_view text, mode_t mode) {
  const sockaddr_un& local = named.at.local;
  struct stat info {};
  if (::lstat(local.sun_path, &info) == 0 && S_ISSOCK(info.st_mode)) {
    const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (probe.valid() && ::connect(probe.get(), &named.at.any, named.size) != 0 && errno == ECONNREFUSED) {
      ::unlink(local.sun_path);  // left behind by one that was killed
    }
  }
  const mode_t old_mask = ::umask(0177);  // never open for others, not for an instant
  Result<Listener> listener = listen_at(named, text, mode);
  ::umask(old_mask);
  return listener;
}

bool trusted_peer(int fd, std::span<const uint32_t> allowed) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == 0 || peer.uid == ::geteuid() || std::ranges::find(allowed, peer.uid) != allowed.end();
}

}  // namespace

Result<void> check_listen_address(std::string_view text) {
  TRY(parse_address(text));
  return {};
}

Result<Listener> listen_on(std::string_view text, std::span<const uint32_t> allowed) {
  const NamedAddress named = TRY(parse_address(text));
  return named.at.any.sa_family == AF_UNIX ? listen_unix(named, text, allowed.empty() ? 0600 : 0666)
                                           : listen_at(named, text);
}

std::vector<Listener> passed_listeners() {
  std::vector<Listener> out;
  const char* pid = environment_value("LISTEN_PID");
  const char* count = environment_value("LISTEN_FDS");
  if (pid == nullptr || count == nullptr || parse_int(pid) != ::getpid()) return out;
  constexpr int kFirst = 3;  // SD_LISTEN_FDS_START
  const int64_t n = parse_int(count).value_or(0);
  for (int fd = kFirst; fd < kFirst + n && n < 64; ++fd) {
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    ::fcntl(fd, F_SETFL, O_NONBLOCK);
    Result<Listener> listener = describe_listener(Fd(fd));
    if (listener) out.push_back(std::move(listener).value());
  }
  return out;
}

Result<Accepted> accept_from(const Listener& listener, std::span<const uint32_t> allowed) {
  for (;;) {
    AnyAddress peer{};
    socklen_t size = sizeof peer;
    Fd fd(::accept4(listener.fd.get(), &peer.any, &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd.valid()) {
      const bool trusted = peer.any.sa_family != AF_UNIX || trusted_peer(fd.get(), allowed);
      const bool local = peer.any.sa_family != AF_UNIX && is_loopback(peer);
      return Accepted{std::move(fd), local, trusted};
    }
    if (errno == EAGAIN) return Accepted{};
    // A peer that gave up while it waited is no reason to stop (accept(2), Error handling).
    if (errno != EINTR && errno != ECONNABORTED) return system_error("accept");
  }
}

Result<Fd> connect_to(std::string_view text, MonoNanos patience) {
  const NamedAddress named = TRY(parse_address(text));
  Fd fd(::socket(named.at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return system_error("socket");
  if (::connect(fd.get(), &named.at.any, named.size) == 0) return fd;
  // A full backlog of a unix socket is EAGAIN, and nothing tells when it is over (unix(7)).
  if (errno != EINPROGRESS) return system_error("connect to", text);
  Awaited connected{fd.get(), true};
  if (!TRY(wait_ready({&connected, 1}, mono_now() + patience))) return system_error("connect to", text, ETIMEDOUT);
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return system_error("connect to", text, error);
  return fd;
}

Result<bool> wait_ready(std::span<Awaited> all, MonoNanos deadline) {
  std::vector<pollfd> polled;
  for (const Awaited& one : all) polled.push_back({one.fd, static_cast<short>(one.to_write ? POLLOUT : POLLIN), 0});
  for (;;) {
    const MonoNanos left = deadline == kNever ? 0 : std::max<MonoNanos>(0, deadline - mono_now());
    const timespec timeout{left / kSecond, left % kSecond};
    const int count = ::ppoll(polled.data(), polled.size(), deadline == kNever ? nullptr : &timeout, nullptr);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_error("poll");
    for (size_t i = 0; i < all.size(); ++i) all[i].ready = polled[i].revents != 0;
    return count > 0;
  }
}

Result<int64_t> receive(int fd, char* to, size_t size) {
  for (;;) {
    const ssize_t n = ::recv(fd, to, size, 0);
    if (n >= 0) return static_cast<int64_t>(n);
    if (errno == EAGAIN) return kWouldBlock;
    if (errno != EINTR) return system_error("recv");
  }
}

Result<int64_t> send(int fd, std::string_view bytes) {
  for (;;) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n >= 0) return static_cast<int64_t>(n);
    if (errno == EAGAIN) return kWouldBlock;
    if (errno != EINTR) return system_error("send");
  }
}

void shutdown_write(int fd) { ::shutdown(fd, SHUT_WR); }
void shutdown_both(int fd) { ::shutdown(fd, SHUT_RDWR); }

}  // namespace te::sys

#include "sys/net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

#include "../support.h"

using namespace te;
using test::in_child;
using test::TempDir;
using test::Tidy;

namespace {

/// Connects to what listen_on() has called "HOST:PORT" or "unix:/path"; invalid when that is refused.
Fd connect_to(const std::string& address) {
  if (address.starts_with("unix:")) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::strncpy(to.sun_path, address.c_str() + 5, sizeof to.sun_path - 1);
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) return {};
    return fd;
  }
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(static_cast<uint16_t>(std::atoi(address.c_str() + address.rfind(':') + 1)));
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) return {};
  return fd;
}

mode_t mode_of(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return 0;
  return info.st_mode;
}

sys::Accepted accept_one(const sys::Listener& listener) {
  sys::Accepted accepted;
  CHECK(test::eventually([&] {
    Result<sys::Accepted> one = sys::accept_from(listener, {});
    if (!one || !one->fd.valid()) return false;
    accepted = std::move(one).value();
    return true;
  }));
  return accepted;
}

}  // namespace

TEST_CASE_FIXTURE(Tidy, "listen: spellings of an address, and what is said of each") {
  const struct {
    const char* text;
    const char* shown;
    bool loopback;
  } spellings[] = {{"127.0.0.1:0", "127.0.0.1:", true}, {"localhost:0", "127.0.0.1:", true},
                   {"127.1.2.3:0", "127.1.2.3:", true}, {":0", "0.0.0.0:", false},
                   {"0.0.0.0:0", "0.0.0.0:", false},    {"[::1]:0", "[::1]:", true},
                   {"[::]:0", "[::]:", false}};
  for (const auto& one : spellings) {
    CAPTURE(std::string(one.text));
    CHECK(sys::check_listen_address(one.text));
    const Result<sys::Listener> listener = sys::listen_on(one.text);
    if (!listener && one.text[0] == '[' &&
        (listener.error().code == EAFNOSUPPORT || listener.error().code == EADDRNOTAVAIL)) {
      test::skip("IPv6 is not to be had here");
      continue;
    }
    REQUIRE(listener);
    CHECK(listener->loopback == one.loopback);
    CHECK(listener->address.starts_with(one.shown));
    CHECK(!listener->address.ends_with(":0"));  // the real port
    CHECK((::fcntl(listener->fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(listener->fd.get(), F_GETFL) & O_NONBLOCK) != 0);
  }
}

TEST_CASE_FIXTURE(Tidy, "listen: what is no address is refused before anything is touched") {
  for (const std::string text : {"",
                                 "5758",
                                 "127.0.0.1",
                                 "example.com:80",
                                 "127.0.0.1:",
                                 "127.0.0.1:http",
                                 "127.0.0.1:65536",
                                 "127.0.0.1:-1",
                                 "127.0.0.1: 1",
                                 "127.1:80",
                                 "256.0.0.1:80",
                                 "::1:80",
                                 "[::1]",
                                 "[::1:80",
                                 "[zz]:80",
                                 "[127.0.0.1]:80",
                                 "[]:80",
                                 "LOCALHOST:80",
                                 "127.0.0.1 :80",
                                 "http://127.0.0.1:80",
                                 "unix:"}) {
    CAPTURE(text);
    const Result<sys::Listener> listener = sys::listen_on(text);
    REQUIRE(!listener);
    CHECK(listener.error().kind == ErrorKind::kInvalid);
    CHECK(!listener.error().text().empty());
    const Result<void> checked = sys::check_listen_address(text);
    REQUIRE(!checked);
    CHECK(checked.error().kind == ErrorKind::kInvalid);
    CHECK(checked.error().text() == listener.error().text());
  }
  CHECK(sys::listen_on("unix:/" + std::string(107, 'x')).error().kind == ErrorKind::kInvalid);
  CHECK(sys::check_listen_address("unix:/" + std::string(106, 'x')));
}

TEST_CASE_FIXTURE(Tidy, "listen: an address in use") {
  const Result<sys::Listener> first = sys::listen_on("127.0.0.1:0");
  REQUIRE(first);
  const Result<sys::Listener> second = sys::listen_on(first->address);
  REQUIRE(!second);
  CHECK(second.error().code == EADDRINUSE);
  CHECK(second.error().text().find(first->address) != std::string::npos);
}

TEST_CASE_FIXTURE(Tidy, "listen: a unix socket is private from its first moment") {
  const TempDir dir;
  const mode_t mask = ::umask(0);
  const Result<sys::Listener> listener = sys::listen_on("unix:" + dir.path("s"));
  CHECK(::umask(mask) == 0);  // left as it was
  REQUIRE(listener);
  CHECK(listener->address == "unix:" + dir.path("s"));
  CHECK(listener->loopback);
  CHECK(S_ISSOCK(mode_of(dir.path("s"))));
  CHECK((mode_of(dir.path("s")) & 07777U) == 0600);
}

TEST_CASE_FIXTURE(Tidy, "listen: a living unix socket is respected, a dead one replaced") {
  const TempDir dir;
  const std::string address = "unix:" + dir.path("s");
  Result<sys::Listener> first = sys::listen_on(address);
  REQUIRE(first);
  const Result<sys::Listener> refused = sys::listen_on(address);
  REQUIRE(!refused);
  CHECK(refused.error().code == EADDRINUSE);
  CHECK(connect_to(address).valid());
  first->fd.reset();  // killed: the name stays
  CHECK(dir.has("s"));
  CHECK(!connect_to(address).valid());
  const Result<sys::Listener> next = sys::listen_on(address);
  REQUIRE(next);
  CHECK(connect_to(address).valid());
}

TEST_CASE_FIXTURE(Tidy, "listen: what is no socket is never removed") {
  const TempDir dir;
  dir.write("file", "precious");
  CHECK(sys::listen_on("unix:" + dir.path("file")).error().code == EADDRINUSE);
  CHECK(dir.read("file") == "precious");
  REQUIRE(::symlinkat("file", dir.fd(), "link") == 0);
  CHECK(!sys::listen_on("unix:" + dir.path("link")));
  CHECK(dir.read("file") == "precious");
  CHECK(sys::listen_on("unix:" + dir.path("no/such/dir")).error().code == ENOENT);
}

TEST_CASE_FIXTURE(Tidy, "accept: nobody, then one after the other, non-blocking") {
  const Result<sys::Listener> listener = sys::listen_on("127.0.0.1:0");
  REQUIRE(listener);
  CHECK(!sys::accept_from(*listener, {})->fd.valid());
  const Fd client = connect_to(listener->address);
  const Fd other = connect_to(listener->address);
  REQUIRE(client.valid());
  REQUIRE(other.valid());
  const sys::Accepted accepted = accept_one(*listener);
  CHECK(accepted.trusted);
  CHECK((::fcntl(accepted.fd.get(), F_GETFL) & O_NONBLOCK) != 0);
  CHECK((::fcntl(accepted.fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
  int no_delay = 0;
  socklen_t size = sizeof no_delay;
  CHECK(::getsockopt(accepted.fd.get(), IPPROTO_TCP, TCP_NODELAY, &no_delay, &size) == 0);
  CHECK(no_delay == 1);
  CHECK(accept_one(*listener).fd.valid());
  CHECK(!sys::accept_from(*listener, {})->fd.valid());
  sys::Listener broken;
  CHECK(sys::accept_from(broken, {}).error().code == EBADF);
}

TEST_CASE_FIXTURE(Tidy, "accept: a peer that vanishes is found out") {
  const Result<sys::Listener> listener = sys::listen_on("127.0.0.1:0");
  REQUIRE(listener);
  const Fd client = connect_to(listener->address);
  const sys::Accepted accepted = accept_one(*listener);
  const auto option = [&](int level, int name) {
    int value = 0;
    socklen_t size = sizeof value;
    CHECK(::getsockopt(accepted.fd.get(), level, name, &value, &size) == 0);
    return value;
  };
  CHECK(option(SOL_SOCKET, SO_KEEPALIVE) == 1);
  CHECK(option(IPPROTO_TCP, TCP_KEEPIDLE) == 60);
  CHECK(option(IPPROTO_TCP, TCP_KEEPINTVL) == 10);
  CHECK(option(IPPROTO_TCP, TCP_KEEPCNT) == 6);
}

TEST_CASE_FIXTURE(Tidy, "accept: a loopback peer is local over a socket for both families too") {
  for (const char* text : {"127.0.0.1:0", "0.0.0.0:0", "[::]:0"}) {
    CAPTURE(std::string(text));
    const Result<sys::Listener> listener = sys::listen_on(text);
    if (!listener && text[0] == '[') {
      test::skip("IPv6 is not to be had here");
      continue;
    }
    REQUIRE(listener);
    const Fd client = connect_to(listener->address);
    if (!client.valid()) {
      test::skip("an IPv6 socket takes IPv6 only here");
      continue;
    }
    CHECK(accept_one(*listener).local);
  }
}

TEST_CASE_FIXTURE(Tidy, "accept: a unix peer is trusted if it is our own user") {
  const TempDir dir;
  const Result<sys::Listener> listener = sys::listen_on("unix:" + dir.path("s"));
  REQUIRE(listener);
  const Fd client = connect_to(listener->address);
  REQUIRE(client.valid());
  CHECK(accept_one(*listener).trusted);
  if (!test::is_root()) return test::skip("a peer of another user needs root");
  REQUIRE(::chmod(dir.path().c_str(), 0755) == 0);
  REQUIRE(::chmod(dir.path("s").c_str(), 0666) == 0);
  CHECK(in_child([&]() -> std::string {
          MUST(::setresuid(65534, 65534, 65534) == 0);
          const Fd stranger = connect_to(listener->address);
          MUST(stranger.valid());
          return {};
        }) == "");
  const sys::Accepted stranger = accept_one(*listener);
  CHECK(stranger.fd.valid());
  CHECK(!stranger.trusted);
}

TEST_CASE_FIXTURE(Tidy, "sockets: not ready, bytes, the end, and a peer that is gone") {
  const Result<sys::Listener> listener = sys::listen_on("127.0.0.1:0");
  REQUIRE(listener);
  Fd client = connect_to(listener->address);
  const sys::Accepted accepted = accept_one(*listener);
  const int fd = accepted.fd.get();
  char bytes[16] = {};
  CHECK(*sys::receive(fd, bytes, sizeof bytes) == sys::kWouldBlock);
  CHECK(*sys::send(client.get(), "hello") == 5);
  CHECK(test::eventually([&] { return *sys::receive(fd, bytes, sizeof bytes) == 5; }));
  CHECK(std::string(bytes, 5) == "hello");
  sys::shutdown_write(client.get());
  CHECK(test::eventually([&] { return *sys::receive(fd, bytes, sizeof bytes) == 0; }));
  CHECK(*sys::send(fd, "back") == 4);  // the other way is open still
  CHECK(*sys::receive(client.get(), bytes, sizeof bytes) == 4);
  const std::string much(1 << 20, 'x');
  CHECK(test::eventually([&] { return *sys::send(fd, much) == sys::kWouldBlock; }));
  client.reset();
  // An error, and no SIGPIPE, which would end the test program.
  CHECK(test::eventually([&] { return !sys::send(fd, "x"); }));
}

TEST_CASE_FIXTURE(Tidy, "passed sockets: taken when they are meant for this process") {
  const auto passed = [](const char* pid, const char* count) -> std::string {
    if (pid == nullptr) {
      ::unsetenv("LISTEN_PID");
    } else {
      ::setenv("LISTEN_PID", std::string(pid) == "self" ? std::to_string(::getpid()).c_str() : pid, 1);
    }
    count != nullptr ? ::setenv("LISTEN_FDS", count, 1) : ::unsetenv("LISTEN_FDS");
    std::string out;
    for (const sys::Listener& one : sys::passed_listeners()) {
      out += one.address.substr(0, one.address.rfind(':')) + (one.loopback ? " loopback," : ",");
      if ((::fcntl(one.fd.get(), F_GETFD) & FD_CLOEXEC) == 0) out += "(inheritable)";
      if ((::fcntl(one.fd.get(), F_GETFL) & O_NONBLOCK) == 0) out += "(blocking)";
    }
    return out;
  };
  CHECK(in_child([&]() -> std::string {
          const Result<sys::Listener> listener = sys::listen_on("127.0.0.1:0");
          MUST(listener);
          const Fd kept(::fcntl(listener->fd.get(), F_DUPFD_CLOEXEC, 50));
          const auto place = [&] {
            ::dup2(kept.get(), 3);
            ::fcntl(3, F_SETFL, 0);
            const Fd no_socket(::open("/dev/null", O_RDONLY | O_CLOEXEC));
            ::dup2(no_socket.get(), 4);
          };
          place();
          MUST(passed(nullptr, "1").empty());
          MUST(passed("self", nullptr).empty());
          MUST(passed("1", "1").empty());
          MUST(passed("self", "0").empty());
          MUST(passed("self", "-1").empty());
          MUST(passed("self", "many").empty());
          MUST(passed("self", "999999").empty());
          MUST(::fcntl(3, F_GETFD) >= 0);  // untouched so far
          MUST(passed("self", "1") == "127.0.0.1 loopback,");
          place();
          MUST(passed("self", "2") == "127.0.0.1 loopback,");  // the second one is no socket
          return {};
        }) == "");
}

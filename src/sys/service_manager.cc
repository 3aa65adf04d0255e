#include "sys/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "base/text.h"
#include "sys/fd.h"
#include "sys/self.h"

namespace te::sys {

void notify_service_manager(std::string_view state) {
  const char* name = environment_value("NOTIFY_SOCKET");
  if (name == nullptr) return;
  const std::string_view path = name;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() < 2 || path.size() >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@')) return;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';  // an abstract socket (unix(7))
  const Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  ::sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address), size);
}

MonoNanos watchdog_interval() {
  const char* microseconds = environment_value("WATCHDOG_USEC");
  if (microseconds == nullptr) return 0;
  const char* pid = environment_value("WATCHDOG_PID");
  if (pid != nullptr && parse_int(pid) != ::getpid()) return 0;
  constexpr int64_t kMost = INT64_C(86'400) * 1'000'000;
  const int64_t number = parse_int(microseconds).value_or(0);
  return number > 0 && number <= kMost ? number * 1'000 : 0;
}

}  // namespace te::sys

// What a test of the runtime needs to have supervisors as its children.
#pragma once

#include <signal.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "../support.h"

namespace te::test {

/// All signals blocked, as the agent has them, and as they were before at the end.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

inline std::string whole_file(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return file.valid() ? read_to_end(file.get()) : std::string();
}

inline std::vector<pid_t> children_called(std::string_view name) {
  std::vector<pid_t> out;
  const std::string pids = whole_file("/proc/self/task/" + std::to_string(::gettid()) + "/children");
  for (const char* at = pids.c_str(); *at != '\0';) {
    char* end = nullptr;
    const auto pid = static_cast<pid_t>(std::strtol(at, &end, 10));
    at = *end == ' ' ? end + 1 : end;
    if (whole_file("/proc/" + std::to_string(pid) + "/comm") == std::string(name) + "\n") out.push_back(pid);
  }
  return out;
}

}  // namespace te::test

// Fd: the owner of one file descriptor.
#pragma once

#include <utility>

namespace te {

namespace sys {
/// EINTR or not: the descriptor is gone (close(2)).
void close_fd(int fd);
}  // namespace sys

/// Closes in the destructor. A parameter `Fd` is taken over, an `int` is borrowed.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset() {
    if (fd_ >= 0) sys::close_fd(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

}  // namespace te

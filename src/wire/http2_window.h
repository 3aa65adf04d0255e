// Flow control windows (RFC 9113 sections 5.2 and 6.9). Signed 64 bits: one may become negative, none may overflow.
#pragma once

#include <cstdint>

#include "wire/http2_frame.h"

namespace te {

/// What we may still send.
class SendWindow {
 public:
  explicit SendWindow(int64_t size) : left_(size) {}

  int64_t left() const { return left_; }
  void spend(int64_t octets) { left_ -= octets; }
  /// A WINDOW_UPDATE, or the (also negative) change of INITIAL_WINDOW_SIZE. False: over 2^31-1, a FLOW_CONTROL_ERROR.
  bool grow(int64_t octets) {
    left_ += octets;
    return left_ <= kLargestWindow;
  }

 private:
  int64_t left_;
};

/// What the peer may still send. What has come is used up at once, so the window is opened again by halves.
class ReceiveWindow {
 public:
  explicit ReceiveWindow(int64_t size) : size_(size), left_(size) {}

  /// False: more than we allowed, a FLOW_CONTROL_ERROR.
  bool take(int64_t octets) {
    left_ -= octets;
    return left_ >= 0;
  }
  /// The increment to send now; 0 when it can wait.
  uint32_t refill() {
    if (left_ > size_ / 2) return 0;
    const auto increment = static_cast<uint32_t>(size_ - left_);
    left_ = size_;
    return increment;
  }

 private:
  int64_t size_;
  int64_t left_;
};

}  // namespace te

#include "wire/http1_buffer.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace te {
namespace {

// Less room than this is not worth a system call when more bytes are expected.
constexpr size_t kWorthReceiving = 1024;
// Where no length is known: behind a big body there may be much room, and requests that fill it are a long way.
constexpr size_t kMostUnexpected = 64 * kKiB;

}  // namespace

std::span<char> HttpBuffer::room(size_t expected) {
  const size_t wanted = expected == 0 ? kWorthReceiving : std::min(expected, kWorthReceiving);
  const size_t used = end_ + kBodyPadding;
  if (capacity_ < used || capacity_ - used < wanted) {
    // Moving pays only when it wins at least as much as it moves: all moves together stay linear.
    if (begin_ > 0 && begin_ >= size() && capacity_ - size() - kBodyPadding >= wanted) {
      std::memmove(bytes_.get(), data(), size());
      end_ -= begin_;
      begin_ = 0;
    } else {
      size_t target = std::max({kSmall, 2 * size(), size() + wanted + kBodyPadding});
      if (expected != 0 && expected < target) {
        target = std::min(target, std::max(kSmall, size() + expected + kBodyPadding));
      }
      reallocate(target);
    }
  }
  return {bytes_.get() + end_, std::min(capacity_ - end_ - kBodyPadding, std::max(expected, kMostUnexpected))};
}

void HttpBuffer::append(size_t count) {
  assert(count <= capacity_ - end_ - kBodyPadding);
  end_ += count;
}

void HttpBuffer::drop_front(size_t count) {
  begin_ += count;
  if (begin_ == end_) {
    begin_ = end_ = 0;
    if (capacity_ > kSmall) clear();
  } else if (capacity_ > kSmall && size() + kBodyPadding + kWorthReceiving <= kSmall) {
    reallocate(kSmall);
  }
}

void HttpBuffer::clear_padding() { std::memset(bytes_.get() + end_, 0, kBodyPadding); }

void HttpBuffer::clear() {
  bytes_.reset();
  capacity_ = begin_ = end_ = 0;
}

void HttpBuffer::reallocate(size_t capacity) {
  if (begin_ == 0) {
    // Unshifted: the allocator can often grow it where it is, or move pages instead of bytes.
    void* grown = std::realloc(bytes_.get(), capacity);
    if (grown == nullptr) std::abort();  // as operator new does without exceptions
    (void)bytes_.release();
    bytes_.reset(static_cast<char*>(grown));
  } else {
    void* fresh = std::malloc(capacity);
    if (fresh == nullptr) std::abort();
    std::memcpy(fresh, data(), size());
    bytes_.reset(static_cast<char*>(fresh));
    end_ -= begin_;
    begin_ = 0;
  }
  capacity_ = capacity;
}

}  // namespace te

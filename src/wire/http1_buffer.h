// The bytes of one connection that have been received and not yet used up, in one piece.
//
// Live bytes stand at [begin, end) of one allocation, with at least kBodyPadding readable bytes behind them. Nothing is
// allocated before the first byte is to be received. Growth moves the bytes: keep offsets from data(), not pointers.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <span>
#include <string_view>

#include "wire/http1.h"

namespace te {

class HttpBuffer {
 public:
  static constexpr size_t kSmall = 4096;  ///< the first allocation, and the most that an idle connection keeps

  const char* data() const { return bytes_.get() + begin_; }
  char* data() { return bytes_.get() + begin_; }
  size_t size() const { return end_ - begin_; }
  std::string_view view() const { return {data(), size()}; }
  size_t memory() const { return capacity_; }

  /// Space behind the live bytes, never empty. `expected`: how many bytes are known to come (0 when that is not known).
  /// At most doubles what has really been received, so that a mere claim of a length costs nothing.
  std::span<char> room(size_t expected);
  /// `count` bytes have been written into room().
  void append(size_t count);
  /// Forgets the first `count` live bytes; memory beyond kSmall is given back once it is not needed.
  void drop_front(size_t count);
  /// Forgets the last `count` live bytes.
  void drop_back(size_t count) { end_ -= count; }
  /// Makes the padding behind the live bytes zero.
  void clear_padding();
  void clear();

 private:
  struct Free {
    void operator()(char* bytes) const { std::free(bytes); }
  };

  void reallocate(size_t capacity);

  std::unique_ptr<char, Free> bytes_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace te

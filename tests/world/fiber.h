// A function on a stack of its own, which can be left in its midst and gone on with later (makecontext(3)).
#pragma once

#include <ucontext.h>

#include <functional>
#include <memory>

namespace te::world {

class Fiber {
 public:
  explicit Fiber(std::function<void()> body);
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber();

  /// Until the body yields or has come to its end. From outside only.
  void resume();
  /// Back to who resumed it. From inside only.
  void yield();
  bool done() const { return done_; }

 private:
  static void enter(unsigned low, unsigned high);
  void run();

  std::function<void()> body_;
  std::unique_ptr<char[]> stack_;
  ucontext_t here_{};
  ucontext_t outside_{};
  bool done_ = false;
  void* fake_stack_ = nullptr;  ///< the sanitizer's
  const void* outside_stack_ = nullptr;
  size_t outside_size_ = 0;
};

}  // namespace te::world

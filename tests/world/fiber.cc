#include "fiber.h"

#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define TE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TE_ASAN 1
#endif
#endif
#ifdef TE_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace te::world {

namespace {

constexpr size_t kStackSize = size_t{256} * 1024;

// Stacks are used again: a million tasks need some thousand at once.
std::vector<std::unique_ptr<char[]>>& spare_stacks() {
  static std::vector<std::unique_ptr<char[]>> stacks;
  return stacks;
}

std::unique_ptr<char[]> take_stack() {
  std::vector<std::unique_ptr<char[]>>& spare = spare_stacks();
  if (spare.empty()) return std::unique_ptr<char[]>(new char[kStackSize]);
  std::unique_ptr<char[]> stack = std::move(spare.back());
  spare.pop_back();
  return stack;
}

void leave([[maybe_unused]] void** keep, [[maybe_unused]] const void* bottom, [[maybe_unused]] size_t size) {
#ifdef TE_ASAN
  __sanitizer_start_switch_fiber(keep, bottom, size);
#endif
}

void arrive([[maybe_unused]] void* kept, [[maybe_unused]] const void** bottom, [[maybe_unused]] size_t* size) {
#ifdef TE_ASAN
  __sanitizer_finish_switch_fiber(kept, bottom, size);
#endif
}

}  // namespace

Fiber::Fiber(std::function<void()> body) : body_(std::move(body)), stack_(take_stack()) {
  ::getcontext(&here_);
  here_.uc_stack.ss_sp = stack_.get();
  here_.uc_stack.ss_size = kStackSize;
  here_.uc_link = nullptr;
  const auto self = reinterpret_cast<uintptr_t>(this);
  ::makecontext(&here_, reinterpret_cast<void (*)()>(&Fiber::enter), 2, static_cast<unsigned>(self),
                static_cast<unsigned>(self >> 32U));
}

Fiber::~Fiber() {
  if (!done_) std::abort();
#ifdef TE_ASAN
  ASAN_UNPOISON_MEMORY_REGION(stack_.get(), kStackSize);
#endif
  spare_stacks().push_back(std::move(stack_));
}

void Fiber::enter(unsigned low, unsigned high) { reinterpret_cast<Fiber*>(uintptr_t{high} << 32U | low)->run(); }

void Fiber::run() {
  arrive(nullptr, &outside_stack_, &outside_size_);
  body_();
  done_ = true;
  leave(nullptr, outside_stack_, outside_size_);
  ::setcontext(&outside_);
  std::abort();
}

void Fiber::resume() {
  void* kept = nullptr;
  leave(&kept, stack_.get(), kStackSize);
  ::swapcontext(&outside_, &here_);
  arrive(kept, nullptr, nullptr);
}

void Fiber::yield() {
  leave(&fake_stack_, outside_stack_, outside_size_);
  ::swapcontext(&here_, &outside_);
  arrive(fake_stack_, &outside_stack_, &outside_size_);
}

}  // namespace te::world

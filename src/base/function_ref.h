// FunctionRef: a borrowed callable, for a parameter that is called before the function returns.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace te {

template <class Signature>
class FunctionRef;

/// Two pointers, no allocation; valid only as long as the callable that it was made from.
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  // NOLINTBEGIN(google-explicit-constructor,bugprone-forwarding-reference-overload): a lambda is passed as it is, and
  // the constraint leaves copies to the copy constructor.
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>) FunctionRef(F&& callable)
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(callable)))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
        }) {}
  // NOLINTEND(google-explicit-constructor,bugprone-forwarding-reference-overload)

  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

}  // namespace te

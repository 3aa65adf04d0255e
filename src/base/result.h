// Result and Error: how every fallible function of this program answers.
//
// A function returns Result<T> (or Result<void>); the caller uses TRY to pass an error on, or looks at it.
// There are no exceptions. A function either returns an error or logs it, never both.
#pragma once

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace te {

/// What kind of thing went wrong; decides the HTTP status, never the text.
enum class ErrorKind : uint8_t {
  kSystem,       ///< a system call failed; `code` is its errno
  kInvalid,      ///< the input is wrong (400)
  kNotFound,     ///< no such thing (404)
  kConflict,     ///< it is there already, and different (409)
  kTooLarge,     ///< over a limit (413)
  kCorrupt,      ///< a file of ours fails its checksum or format
  kUnsupported,  ///< known, but not to be had here
};

// Copied, moved and destroyed out of line: every TRY does it, and the error's way may be the slow one.
struct Error {
  Error();
  Error(ErrorKind error_kind, int error_code, std::string error_context);
  Error(const Error& other);
  Error(Error&& other) noexcept;
  Error& operator=(const Error& other);
  Error& operator=(Error&& other) noexcept;
  ~Error();

  ErrorKind kind = ErrorKind::kSystem;
  int code = 0;         ///< errno for kSystem, else 0
  std::string context;  ///< what was tried, on what: "open /var/lib/x/task.json"

  /// One line for people: "open /x: No such file or directory (ENOENT)".
  std::string text() const;
};

/// An Error of kind kSystem from errno (read first, before anything can change it).
Error system_error(std::string_view what, std::string_view object = {}, int code = errno);
/// An Error of kind kInvalid.
Error invalid(std::string message);

/// "No such file or directory (ENOENT)": the text and the name of an errno.
std::string errno_text(int code);

template <class T>
class [[nodiscard]] Result {
 public:
  // Implicit on purpose: `return value;` and `return error;` both read as what they are.
  Result(T value) : value_(std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  explicit operator bool() const { return value_.has_value(); }
  bool ok() const { return value_.has_value(); }
  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return std::move(*value_); }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }
  const Error& error() const& { return error_; }
  Error&& error() && { return std::move(error_); }

 private:
  std::optional<T> value_;
  Error error_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  explicit operator bool() const { return !error_.has_value(); }
  bool ok() const { return !error_.has_value(); }
  void value() const {}
  const Error& error() const& { return *error_; }
  Error&& error() && { return std::move(*error_); }

 private:
  std::optional<Error> error_;
};

/// The value of `expr`, or return its error from the function that stands around.
#define TRY(expr) TE_TRY_COUNTED(expr, __COUNTER__)
// A name of its own for each use, as one may stand in a lambda within another.
#define TE_TRY_COUNTED(expr, count) TE_TRY_PASTED(expr, count)
#define TE_TRY_PASTED(expr, count) TE_TRY_NAMED(expr, try_result_##count)
// NOLINTBEGIN(bugprone-macro-parentheses): `name` is declared here
#define TE_TRY_NAMED(expr, name)                    \
  __extension__({                                   \
    auto name = (expr);                             \
    if (!name.ok()) return std::move(name).error(); \
    std::move(name).value();                        \
  })
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace te

#include "base/result.h"

#include <cstring>

namespace te {

Error::Error() = default;
Error::Error(ErrorKind error_kind, int error_code, std::string error_context)
    : kind(error_kind), code(error_code), context(std::move(error_context)) {}
Error::Error(const Error& other) = default;
Error::Error(Error&& other) noexcept = default;
Error& Error::operator=(const Error& other) = default;
Error& Error::operator=(Error&& other) noexcept = default;
Error::~Error() = default;

std::string errno_text(int code) {
  const char* description = strerrordesc_np(code);
  const char* name = strerrorname_np(code);
  std::string text = description != nullptr ? description : "Unknown error";
  text += " (";
  text += name != nullptr ? name : std::to_string(code);
  text += ")";
  return text;
}

std::string Error::text() const {
  if (kind != ErrorKind::kSystem) return context;
  return context + ": " + errno_text(code);
}

Error system_error(std::string_view what, std::string_view object, int code) {
  std::string context(what);
  if (!object.empty()) {
    context += ' ';
    context += object;
  }
  return Error{ErrorKind::kSystem, code, std::move(context)};
}

Error invalid(std::string message) { return Error{ErrorKind::kInvalid, 0, std::move(message)}; }

}  // namespace te

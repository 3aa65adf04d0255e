#include "task/record.h"

#include <algorithm>

namespace te {

Uid Uid::from(std::string_view text) {
  Uid uid;
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (text.size() == uid.digits.size() && std::ranges::all_of(text, is_hex)) {
    std::copy(text.begin(), text.end(), uid.digits.begin());
  }
  return uid;
}

}  // namespace te

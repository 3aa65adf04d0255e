// A text with the bytes behind it that the JSON parser may read, in memory of just that size, so that a sanitizer sees
// one byte more.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

#include "wire/json_reader.h"

class PaddedCopy {
 public:
  explicit PaddedCopy(std::string_view text) : bytes_(text.size() + te::kJsonPadding, '}'), size_(text.size()) {
    std::copy(text.begin(), text.end(), bytes_.begin());
  }
  te::PaddedText text() const { return {bytes_.data(), size_}; }

 private:
  std::vector<char> bytes_;
  size_t size_;
};

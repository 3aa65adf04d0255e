// Sizes in bytes.
#pragma once

#include <cstddef>

namespace te {

constexpr size_t kKiB = 1024;
constexpr size_t kMiB = 1024 * kKiB;

/// The longest body of a request that can be allowed.
constexpr size_t kBodyMax = 1024 * kMiB;

}  // namespace te

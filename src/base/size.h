// Sizes in bytes.
#pragma once

#include <cstddef>

namespace te {

constexpr size_t kKiB = 1024;
constexpr size_t kMiB = 1024 * kKiB;

}  // namespace te

// Kubernetes' quantities: "500m", "1.5", "128Mi", "1e3" (resource.Quantity of apimachinery).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace te {

/// The quantity times ten to the power of `scale`, rounded up as Kubernetes does it: scale 3 reads CPUs as thousandths,
/// scale 0 memory as bytes. Nothing for what is no quantity, is negative, has more than 18 digits or does not fit.
std::optional<int64_t> parse_quantity(std::string_view text, int scale);

}  // namespace te

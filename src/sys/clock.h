// The real clocks.
#pragma once

#include "base/time.h"

namespace te::sys {

MonoNanos mono_now();
WallMicros wall_now();

class SystemClock final : public Clock {
 public:
  MonoNanos mono() const override { return mono_now(); }
  WallMicros wall() const override { return wall_now(); }
};

}  // namespace te::sys

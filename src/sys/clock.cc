#include "sys/clock.h"

#include <time.h>

namespace te::sys {

MonoNanos mono_now() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<MonoNanos>(now.tv_sec) * kSecond + now.tv_nsec;
}

WallMicros wall_now() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<WallMicros>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1'000;
}

}  // namespace te::sys

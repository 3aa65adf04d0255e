#include "runtime/preflight.h"

#include <doctest/doctest.h>

#include "task/capability.h"

using namespace te;

TEST_CASE("preflight: what is missing is named, in one order") {
  CHECK(missing_capabilities(kAllCapabilities).empty());
  CHECK(missing_capabilities(0) ==
        "SYS_ADMIN, SYS_CHROOT, SYS_PTRACE, SETPCAP, KILL, SETUID, SETGID, CHOWN, DAC_OVERRIDE");
  CHECK(missing_capabilities(kAllCapabilities & ~*capability_bits("SYS_ADMIN") & ~*capability_bits("KILL")) ==
        "SYS_ADMIN, KILL");
}

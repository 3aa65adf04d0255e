#include "runtime/helpers.h"
#include "sys/remove_tree.h"

namespace te {

int run_unlinker() {
  sys::lower_priority();
  return sys::remove_contents(kUnlinkerDirFd) ? 0 : 1;
}

}  // namespace te

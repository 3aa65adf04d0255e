#include "runtime/helpers.h"
#include "sys/remove_tree.h"

namespace te {

namespace {

constexpr size_t kBacklog = 256;  ///< tasks; more come than can be removed behind everybody else

}  // namespace

int run_unlinker() {
  // Here for good before anything of it is gone: a power loss must not put back what is half removed, and may then look
  // as if it had never run.
  const Result<std::vector<sys::DirEntry>> trash = sys::list_dir(kUnlinkerDirFd);
  if (!trash || trash->size() < kBacklog) sys::lower_priority();
  if (!trash || !sys::sync(kUnlinkerDirFd)) return 1;
  return sys::remove_entries(kUnlinkerDirFd, *trash) ? 0 : 1;
}

}  // namespace te

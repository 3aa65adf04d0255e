#include "sys/namespaces.h"

#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/size.h"
#include "sys/fs.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

namespace te::sys {

namespace {

struct Kind {
  unsigned bit;
  const char* file;
};
// In the order in which they can be entered: the user namespace gives the right to the others, and the mount namespace
// takes the file system away.
constexpr std::array<Kind, 8> kKinds = {{{CLONE_NEWUSER, "ns/user"},
                                         {CLONE_NEWCGROUP, "ns/cgroup"},
                                         {CLONE_NEWIPC, "ns/ipc"},
                                         {CLONE_NEWUTS, "ns/uts"},
                                         {CLONE_NEWNET, "ns/net"},
                                         {CLONE_NEWPID, "ns/pid"},
                                         {CLONE_NEWTIME, "ns/time"},
                                         {CLONE_NEWNS, "ns/mnt"}}};
static_assert(kPidNamespace == CLONE_NEWPID);

}  // namespace

Result<unsigned> differing_namespaces(int proc) {
  const Fd own = TRY(open_at(AT_FDCWD, "/proc/self", O_PATH | O_DIRECTORY));
  unsigned kinds = 0;
  for (const Kind& kind : kKinds) {
    struct stat ours {};
    struct stat theirs {};
    if (::fstatat(own.get(), kind.file, &ours, 0) != 0) continue;  // a kind that this kernel does not have
    if (::fstatat(proc, kind.file, &theirs, 0) != 0) return system_error("stat", kind.file);
    if (ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev) kinds |= kind.bit;
  }
  return kinds;
}

Result<void> enter_namespaces(int pidfd, int proc, unsigned kinds) {
  if (kinds == 0) return {};
  if (::setns(pidfd, static_cast<int>(kinds)) == 0) return {};
  if (errno != EINVAL) return system_error("setns");
  return enter_namespaces_one_by_one(proc, kinds);
}

Result<void> enter_namespaces_one_by_one(int proc, unsigned kinds) {
  std::array<Fd, kKinds.size()> files;
  for (size_t i = 0; i < kKinds.size(); ++i) {
    if ((kinds & kKinds[i].bit) != 0) files[i] = TRY(open_at(proc, kKinds[i].file, O_RDONLY));
  }
  for (size_t i = 0; i < kKinds.size(); ++i) {
    if (files[i].valid() && ::setns(files[i].get(), static_cast<int>(kKinds[i].bit)) != 0) {
      return system_error("setns", kKinds[i].file);
    }
  }
  return {};
}

Result<void> change_root(int root) {
  if (::fchdir(root) != 0) return system_error("fchdir");
  if (::chroot(".") != 0) return system_error("chroot");
  return {};
}

Result<void> change_dir_to(int dir) {
  if (::fchdir(dir) != 0) return system_error("fchdir");
  return {};
}

bool working_dir_is_inside() {
  // The system call itself: it says "(unreachable)/…" where getcwd(3) would walk up by hand.
  std::array<char, 4 * kKiB> path;
  return ::syscall(SYS_getcwd, path.data(), path.size()) > 0 && path[0] == '/';
}

Result<int32_t> fork_sibling() {
  const long pid = ::syscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid < 0) return system_error("clone");
  return static_cast<int32_t>(pid);
}

}  // namespace te::sys

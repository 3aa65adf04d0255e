// Into another process's namespaces and root (setns(2), namespaces(7), chroot(2)).
#pragma once

#include <cstdint>

#include "base/result.h"

namespace te::sys {

/// The kinds of namespaces (CLONE_NEW* bits) in which the process behind `proc`, its directory in /proc, and the caller
/// differ. `pid` is the one that the process is in, not that of its children.
Result<unsigned> differing_namespaces(int proc);
constexpr unsigned kPidNamespace = 0x20000000;  ///< CLONE_NEWPID; entered by children only, so it takes a fork

/// Enters the `kinds` of namespaces of the process. By its pidfd in one call where the kernel can (5.8), else one by
/// one, through the files of /proc that are all opened before the first step.
Result<void> enter_namespaces(int pidfd, int proc, unsigned kinds);
Result<void> enter_namespaces_one_by_one(int proc, unsigned kinds);

/// Root and working directory become the directory `root`.
Result<void> change_root(int root);
Result<void> change_dir_to(int dir);
/// Whether the working directory is below the root: one that was left behind by setns(2) or chroot(2) is not
/// (CVE-2024-21626).
bool working_dir_is_inside();

/// fork(2), but the child is our parent's and no child of ours: CLONE_PARENT, clone(2). 0 in the child.
Result<int32_t> fork_sibling();

}  // namespace te::sys

// Removal of whole trees, kind to everybody else on the disk.
#pragma once

#include <vector>

#include "base/result.h"
#include "sys/fs.h"

namespace te::sys {

/// All that is in the directory; the directory itself stays. Links are removed, never followed. Files of many blocks
/// are cut down step by step first: one unlink of gigabytes holds the file system's journal for half a second, and
/// with it every fsync of the agent.
Result<void> remove_contents(int dir);
/// Of it only these.
Result<void> remove_entries(int dir, const std::vector<DirEntry>& entries);

/// The calling process gets out of the way of others (nice(2)).
void lower_priority();

}  // namespace te::sys

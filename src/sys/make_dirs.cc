#include <cerrno>

#include "sys/fs.h"

namespace te::sys {

Result<void> make_dirs(std::string_view path, mode_t mode, bool durable) {
  std::string_view above = path.starts_with('/') ? "/" : ".";
  for (size_t end = 1; end <= path.size(); ++end) {
    if (end < path.size() && path[end] != '/') continue;
    const std::string_view part = path.substr(0, end);
    Result<void> made = make_dir_at(AT_FDCWD, part, mode);
    if (!made && made.error().code != EEXIST) return made;
    if (made && durable) {
      const Fd parent = TRY(open_at(AT_FDCWD, above, O_RDONLY | O_DIRECTORY));
      TRY(sync(parent.get()));
    }
    above = part;
  }
  return {};
}

Result<void> sync_above(std::string_view path) {
  while (!path.empty() && path != "/") {
    const size_t slash = path.rfind('/');
    path = slash == std::string_view::npos ? "" : slash == 0 ? "/" : path.substr(0, slash);
    const Result<Fd> parent = open_at(AT_FDCWD, path.empty() ? "." : path, O_RDONLY | O_DIRECTORY);
    if (parent) TRY(sync(parent->get()));
  }
  return {};
}

}  // namespace te::sys

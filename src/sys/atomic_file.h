// Files that are there whole or not at all: written under another name, synced, renamed.
#pragma once

#include <string_view>

#include "base/result.h"
#include "sys/fd.h"

namespace te::sys {

/// `text` as `name` in the directory `dir`, by way of `temporary`. `durable`: file and directory are synced.
Result<void> write_atomic(int dir, std::string_view temporary, std::string_view name, std::string_view text,
                          bool durable);

/// To be written, and made where it is missing. Never waits: what is no file there (a FIFO, a directory) has to go.
Result<Fd> open_reserved(int dir, std::string_view name);
/// As write_atomic() over blocks that `reserved` has been given before (reserve(), fs.h), so that it works on a full
/// disk. Durable, and known to be (is_known_durable()). Done again after a failure it goes on where it stood.
Result<void> fill_reserved(int dir, std::string_view reserved, std::string_view name, std::string_view text);
/// Whether fill_reserved() has come to its end with that file: no power loss can take it any more. The mark is an
/// extended attribute (xattr(7)), and setting it is the last that happens to the file. Where the file system has none
/// the file's times are set, so that an event comes all the same (notify.h), and nothing is known.
bool is_known_durable(int fd);
/// A short `text` that stands beside the content of a file, in an extended attribute: it costs no new file, is not
/// synced, and is gone when the file is replaced. As any change of attributes it is an event for whoever watches the
/// directory (notify.h). EOPNOTSUPP where the file system has no attributes.
Result<void> add_note(int dir, std::string_view name, const char* attribute, std::string_view text);
/// That event alone.
Result<void> announce(int dir, std::string_view name);
/// Durable, but not marked; for a `name` that is there already and is replaced.
Result<void> fill_reserved_over(int dir, std::string_view reserved, std::string_view name, std::string_view text);

}  // namespace te::sys

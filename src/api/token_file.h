// The bearer token that clients must show, kept in a file (RFC 6750, section 2.1).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "sys/fs.h"

namespace te {

/// The file is read again when it changes, as mounted secrets do; when it can't be read the last token stays valid.
class TokenFile {
 public:
  /// kInvalid: there is no token in the file.
  static Result<TokenFile> open(std::string path);

  /// Whether an Authorization field is "Bearer TOKEN". The time that this takes does not depend on where they differ.
  bool accepts(std::string_view authorization);

 private:
  Result<void> load();

  std::string path_;
  std::string token_;
  sys::FileVersion version_;
};

}  // namespace te

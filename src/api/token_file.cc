#include "api/token_file.h"

#include <array>

#include "base/text.h"
#include "sys/fs.h"

namespace te {

namespace {

constexpr size_t kTokenLimit = 4096;

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

}  // namespace

Result<TokenFile> TokenFile::open(std::string path) {
  TokenFile file;
  file.path_ = std::move(path);
  TRY(file.load());
  return file;
}

// Links are followed: a mounted secret is one, and what it points to is what changes.
Result<void> TokenFile::load() {
  const Fd file = TRY(sys::open_at(AT_FDCWD, path_, O_RDONLY));
  const sys::FileVersion version = TRY(sys::file_version(file.get()));
  if (version == version_) return {};
  std::array<char, kTokenLimit + 1> text;
  const size_t size = TRY(sys::read_at(file.get(), text.data(), text.size(), 0));
  if (size > kTokenLimit) return Error{ErrorKind::kTooLarge, 0, path_ + ": larger than a token"};
  const std::string_view token = trim({text.data(), size});
  if (token.empty()) return invalid("there is no token in " + path_);
  token_ = token;
  version_ = version;
  return {};
}

bool TokenFile::accepts(std::string_view authorization) {
  (void)load().ok();
  constexpr std::string_view kScheme = "Bearer ";
  if (!starts_with_i(authorization, kScheme)) return false;
  const std::string_view given = trim(authorization.substr(kScheme.size()));
  unsigned difference = given.size() == token_.size() ? 0U : 1U;
  for (size_t i = 0; i < given.size(); ++i) {
    difference |=
        static_cast<unsigned>(static_cast<uint8_t>(given[i]) ^ static_cast<uint8_t>(token_[i % token_.size()]));
  }
  return difference == 0;
}

}  // namespace te

#include "api/token_file.h"

#include "../support.h"

using namespace te;
using test::TempDir;
using test::Tidy;

namespace {

TokenFile open(const TempDir& dir) { return std::move(TokenFile::open(dir.path("token"))).value(); }

/// The new content appears by rename, as mounted secrets do, and at another time.
void replace(const TempDir& dir, std::string_view text) {
  const WallMicros before = *sys::change_time_at(dir.fd(), "token");
  CHECK(test::eventually([&] {
    dir.write("token.new", text);
    if (!sys::rename_at(dir.fd(), "token.new", dir.fd(), "token")) return false;
    return *sys::change_time_at(dir.fd(), "token") != before;
  }));
}

}  // namespace

TEST_CASE_FIXTURE(Tidy, "token: the one in the file, blanks around it do not count") {
  const TempDir dir;
  dir.write("token", " \tsesame\r\n\n");
  TokenFile token = open(dir);
  CHECK(token.accepts("Bearer sesame"));
  CHECK(token.accepts("bearer sesame"));
  CHECK(token.accepts("BEARER   sesame "));
  for (const char* bad : {"", "sesame", "Bearer", "Bearer ", "Bearersesame", "Basic sesame", "Bearer sesam",
                          "Bearer sesames", "Bearer Sesame", "Bearer sesame sesame", "Bearer sesamesesame"}) {
    CAPTURE(std::string(bad));
    CHECK(!token.accepts(bad));
  }
}

TEST_CASE_FIXTURE(Tidy, "token: a file without one is an error") {
  const TempDir dir;
  CHECK(TokenFile::open(dir.path("token")).error().code == ENOENT);
  for (const char* text : {"", "\n", " \t\r\n"}) {
    dir.write("token", text);
    const Result<TokenFile> file = TokenFile::open(dir.path("token"));
    REQUIRE(!file);
    CHECK(file.error().kind == ErrorKind::kInvalid);
    CHECK(file.error().text().find(dir.path("token")) != std::string::npos);
  }
  dir.write("token", std::string(5000, 'x'));
  CHECK(TokenFile::open(dir.path("token")).error().kind == ErrorKind::kTooLarge);
}

TEST_CASE_FIXTURE(Tidy, "token: a new one counts at once, the old one no more") {
  const TempDir dir;
  dir.write("token", "old");
  TokenFile token = open(dir);
  CHECK(token.accepts("Bearer old"));
  replace(dir, "new");
  CHECK(token.accepts("Bearer new"));
  CHECK(!token.accepts("Bearer old"));
}

TEST_CASE_FIXTURE(Tidy, "token: when the file can't be read the last one stays valid") {
  const TempDir dir;
  dir.write("token", "old");
  TokenFile token = open(dir);
  replace(dir, "\n");
  CHECK(token.accepts("Bearer old"));
  CHECK(!token.accepts("Bearer "));
  REQUIRE(sys::unlink_at(dir.fd(), "token"));
  CHECK(token.accepts("Bearer old"));
  dir.write("token", "next");
  CHECK(token.accepts("Bearer next"));
}

TEST_CASE_FIXTURE(Tidy, "token: a mounted secret is a link to a link, whose target changes") {
  const TempDir dir;
  dir.make_dir("v1");
  dir.write("v1/token", "one");
  dir.make_dir("v2");
  dir.write("v2/token", "two");
  REQUIRE(::symlinkat("v1", dir.fd(), "..data") == 0);
  REQUIRE(::symlinkat("..data/token", dir.fd(), "token") == 0);
  Result<TokenFile> token = TokenFile::open(dir.path("token"));
  REQUIRE(token);
  CHECK(token->accepts("Bearer one"));
  REQUIRE(::symlinkat("v2", dir.fd(), "..data_tmp") == 0);
  REQUIRE(sys::rename_at(dir.fd(), "..data_tmp", dir.fd(), "..data"));
  CHECK(token->accepts("Bearer two"));
  CHECK(!token->accepts("Bearer one"));
}

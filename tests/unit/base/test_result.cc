#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "base/result.h"

using te::Error;
using te::ErrorKind;
using te::Result;

namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return te::invalid("odd: " + std::to_string(value));
  return value / 2;
}

Result<void> check(bool good) {
  if (!good) return te::invalid("not good");
  return {};
}

Result<int> quarter(int value) { return TRY(half(TRY(half(value)))); }

}  // namespace

TEST_CASE("result: a value or an error") {
  const Result<int> good = half(4);
  CHECK(good);
  CHECK(good.ok());
  CHECK(*good == 2);
  CHECK(good.value() == 2);
  const Result<int> bad = half(3);
  CHECK(!bad);
  CHECK(!bad.ok());
  CHECK(bad.error().kind == ErrorKind::kInvalid);
  CHECK(bad.error().text() == "odd: 3");
  CHECK(check(true).ok());
  CHECK(!check(false));
  CHECK(check(false).error().context == "not good");
}

TEST_CASE("result: holds what can only be moved") {
  const auto make = [](bool good) -> Result<std::unique_ptr<int>> {
    TRY(check(good));
    return std::make_unique<int>(7);
  };
  Result<std::unique_ptr<int>> result = make(true);
  REQUIRE(result);
  CHECK(**result == 7);
  const std::unique_ptr<int> taken = std::move(result).value();
  CHECK(*taken == 7);
  CHECK(!make(false));
}

TEST_CASE("result: TRY gives the value or returns the error") {
  CHECK(*quarter(8) == 2);
  CHECK(quarter(7).error().text() == "odd: 7");
  CHECK(quarter(6).error().text() == "odd: 3");
}

TEST_CASE("result: TRY returns from the lambda that it stands in, and no further") {
  int reached = 0;
  const auto outer = [&](int value) -> Result<int> {
    const int sum = TRY([&]() -> Result<int> {
      const int inner = TRY([&]() -> Result<int> { return TRY(half(value)) + TRY(half(value)); }());
      ++reached;
      return inner + TRY(half(inner));
    }());
    ++reached;
    return sum;
  };
  CHECK(*outer(4) == 6);
  CHECK(reached == 2);
  CHECK(outer(5).error().text() == "odd: 5");
  CHECK(reached == 2);
  // An error that a lambda returned may be dealt with by the function around it.
  const Result<int> kept = [&]() -> Result<int> {
    const Result<int> tried = [&]() -> Result<int> { return TRY(half(1)); }();
    return tried ? *tried : -1;
  }();
  CHECK(*kept == -1);
}

TEST_CASE("result: system errors name the call, the object and the errno") {
  const Error error = te::system_error("open", "/x", ENOENT);
  CHECK(error.kind == ErrorKind::kSystem);
  CHECK(error.code == ENOENT);
  CHECK(error.text() == "open /x: No such file or directory (ENOENT)");
  CHECK(te::system_error("fork", {}, EAGAIN).text() == "fork: Resource temporarily unavailable (EAGAIN)");
  errno = EACCES;
  CHECK(te::system_error("read").code == EACCES);
}

TEST_CASE("result: an errno that has no name is told by its number") {
  CHECK(te::errno_text(ENOSPC) == "No space left on device (ENOSPC)");
  CHECK(te::errno_text(9999) == "Unknown error (9999)");
}

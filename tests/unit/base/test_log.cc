#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "padded_copy.h"

using te::Log;
using te::LogFormat;
using te::LogLevel;

namespace {

class FixedClock final : public te::Clock {
 public:
  te::MonoNanos mono() const override { return 0; }
  te::WallMicros wall() const override { return 1'795'514'400'000'000; }  // 2026-11-24T10:00:00Z
};

class Lines final : public te::LogSink {
 public:
  void write(LogLevel level, std::string_view line) override { lines.emplace_back(level, line); }
  std::vector<std::pair<LogLevel, std::string>> lines;
};

struct Fixture {
  FixedClock clock;
  Lines sink;
  Log log{sink, clock};

  const std::string& last() const {
    REQUIRE(!sink.lines.empty());
    return sink.lines.back().second;
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "log: text lines") {
  log.info("task ended", {{"task", "a"}, {"code", 3}});
  CHECK(last() == "2026-11-24T10:00:00Z info task ended task=a code=3\n");
  log.error("no");
  CHECK(last() == "2026-11-24T10:00:00Z error no\n");
  CHECK(sink.lines.back().first == LogLevel::kError);
}

TEST_CASE_FIXTURE(Fixture, "log: values that could be taken for more than one are quoted") {
  log.info("x", {{"a", ""}});
  CHECK(last() == "2026-11-24T10:00:00Z info x a=\"\"\n");
  log.info("x", {{"a", "b c"}, {"d", "e=f"}, {"g", "say \"h\" \\"}});
  CHECK(last() == "2026-11-24T10:00:00Z info x a=\"b c\" d=\"e=f\" g=\"say \\\"h\\\" \\\\\"\n");
}

TEST_CASE_FIXTURE(Fixture, "log: no value can forge a line") {
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    log.configure(format, LogLevel::kInfo);
    for (int c = 0; c < 0x20; ++c) {
      log.info("x", {{"a", std::string("b") + static_cast<char>(c) + "2026-11-24T10:00:00Z info forged"}});
      for (const char one : last().substr(0, last().size() - 1)) REQUIRE(static_cast<unsigned char>(one) >= 0x20);
      CHECK(last().back() == '\n');
    }
    log.info("x", {{"a", "\x7F"}});
    CHECK(last().find('\x7F') == std::string::npos);
  }
}

TEST_CASE_FIXTURE(Fixture, "log: JSON lines") {
  log.configure(LogFormat::kJson, LogLevel::kInfo);
  log.warning("say \"hi\"\n", {{"task", "a b"}, {"code", -1}, {"tab", "\t\x7F"}});
  CHECK(last() ==
        "{\"time\":\"2026-11-24T10:00:00Z\",\"level\":\"warning\",\"message\":\"say \\\"hi\\\"\\n\","
        "\"task\":\"a b\",\"code\":-1,\"tab\":\"\\u0009\\u007f\"}\n");
}

TEST_CASE_FIXTURE(Fixture, "log: a JSON line is JSON, and says what went in") {
  log.configure(LogFormat::kJson, LogLevel::kInfo);
  std::string all;
  for (int c = 0; c < 0x80; ++c) all += static_cast<char>(c);
  all += "\xC3\xA9";
  log.info("x", {{"value", all}});
  te::JsonParser parser;
  const PaddedCopy copy(last());
  std::string found;
  const te::Result<void> read = parser.parse(copy.text(), [&](te::JsonValue& root) {
    return root.object([&](std::string_view name, te::JsonValue& value) -> te::Result<void> {
      if (name == "value") found = TRY(value.string());
      return {};
    });
  });
  CHECK(read);
  CHECK(found == all);
}

TEST_CASE_FIXTURE(Fixture, "log: levels below the lowest are left out") {
  log.debug("x");
  CHECK(sink.lines.empty());
  log.configure(LogFormat::kText, LogLevel::kDebug);
  log.debug("x");
  CHECK(last() == "2026-11-24T10:00:00Z debug x\n");
  log.configure(LogFormat::kText, LogLevel::kError);
  log.info("x");
  log.warning("x");
  CHECK(sink.lines.size() == 1);
  log.error("x");
  CHECK(sink.lines.size() == 2);
}

TEST_CASE("log: the names of levels") {
  CHECK(te::parse_log_level("debug") == LogLevel::kDebug);
  CHECK(te::parse_log_level("info") == LogLevel::kInfo);
  CHECK(te::parse_log_level("warning") == LogLevel::kWarning);
  CHECK(te::parse_log_level("error") == LogLevel::kError);
  CHECK(!te::parse_log_level("warn"));
  CHECK(!te::parse_log_level("INFO"));
  CHECK(!te::parse_log_level(""));
}

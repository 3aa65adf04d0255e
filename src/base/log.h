// Log lines: a level, a sentence, and fields. Where they go is the sink's affair.
//
// No secret may get here: no value of an environment variable, no token, no command line of a task.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"

namespace te {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };
enum class LogFormat : uint8_t {
  kText,  ///< `2026-11-24T10:00:00Z info task ended task=a code=3`
  kJson,  ///< one object a line
};

std::optional<LogLevel> parse_log_level(std::string_view text);

struct LogField {
  LogField(std::string_view field_key, std::string_view value) : key(field_key), text(value) {}
  LogField(std::string_view field_key, const char* value) : key(field_key), text(value) {}
  LogField(std::string_view field_key, const std::string& value) : key(field_key), text(value) {}
  template <std::integral T>
  LogField(std::string_view field_key, T value)
      : key(field_key), number(static_cast<int64_t>(value)), is_number(true) {}

  std::string_view key;
  std::string_view text;
  int64_t number = 0;
  bool is_number = false;
};

/// Takes whole lines, newline included. Failing to write is never fatal and never reported back.
class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void write(LogLevel level, std::string_view line) = 0;
  /// The file may have been moved away: the next line goes to the one that has its name then.
  virtual void reopen() {}
};

class Log {
 public:
  Log(LogSink& sink, const Clock& clock) : sink_(sink), clock_(clock) {}

  void configure(LogFormat format, LogLevel lowest) {
    format_ = format;
    lowest_ = lowest;
  }
  void reopen() { sink_.reopen(); }
  void debug(std::string_view text, std::initializer_list<LogField> fields = {}) {
    line(LogLevel::kDebug, text, fields);
  }
  void info(std::string_view text, std::initializer_list<LogField> fields = {}) { line(LogLevel::kInfo, text, fields); }
  void warning(std::string_view text, std::initializer_list<LogField> fields = {}) {
    line(LogLevel::kWarning, text, fields);
  }
  void error(std::string_view text, std::initializer_list<LogField> fields = {}) {
    line(LogLevel::kError, text, fields);
  }

 private:
  void line(LogLevel level, std::string_view text, std::initializer_list<LogField> fields);

  LogSink& sink_;
  const Clock& clock_;
  LogFormat format_ = LogFormat::kText;
  LogLevel lowest_ = LogLevel::kInfo;
};

}  // namespace te

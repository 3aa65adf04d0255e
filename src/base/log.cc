#include "base/log.h"

#include "base/text.h"

namespace te {

namespace {

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return "debug";
    case LogLevel::kInfo: return "info";
    case LogLevel::kWarning: return "warning";
    case LogLevel::kError: return "error";
  }
  return "?";
}

/// Quoted with JSON's escapes: control characters can't forge a line, in either format.
void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7F) {
      out += "\\u00";
      out += "0123456789abcdef"[byte >> 4U];
      out += "0123456789abcdef"[byte & 15U];
    } else {
      out += c;
    }
  }
  out += '"';
}

bool needs_quotes(std::string_view text) {
  if (text.empty()) return true;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte <= 0x20 || byte == 0x7F || c == '"' || c == '\\' || c == '=') return true;
  }
  return false;
}

}  // namespace

std::optional<LogLevel> parse_log_level(std::string_view text) {
  for (const LogLevel level : {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
    if (text == level_name(level)) return level;
  }
  return std::nullopt;
}

void Log::line(LogLevel level, std::string_view text, std::initializer_list<LogField> fields) {
  if (level < lowest_) return;
  std::string out;
  const bool json = format_ == LogFormat::kJson;
  if (json) out += "{\"time\":\"";
  append_rfc3339(out, clock_.wall());
  out += json ? "\",\"level\":\"" : " ";
  out += level_name(level);
  if (json) {
    out += "\",\"message\":";
    append_quoted(out, text);
  } else {
    out += ' ';
    out += text;
  }
  for (const LogField& field : fields) {
    if (json) {
      out += ',';
      append_quoted(out, field.key);
      out += ':';
    } else {
      out += ' ';
      out += field.key;
      out += '=';
    }
    if (field.is_number) {
      append_int(out, field.number);
    } else if (json || needs_quotes(field.text)) {
      append_quoted(out, field.text);
    } else {
      out += field.text;
    }
  }
  out += json ? "}\n" : "\n";
  sink_.write(level, out);
}

}  // namespace te

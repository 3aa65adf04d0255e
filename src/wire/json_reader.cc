#include "wire/json_reader.h"

#include <simdjson.h>

#include <algorithm>
#include <unordered_set>
#include <vector>

#include "base/size.h"
#include "base/utf8.h"

namespace te {

namespace {

namespace ondemand = simdjson::ondemand;

constexpr size_t kKeepBuffersUpTo = 32 * kKiB;  ///< size of a text; a bigger one's buffers are given back
constexpr size_t kPathNameLimit = 128;          ///< bytes of a field's name that a path shows

JsonType type_of(ondemand::json_type type) {
  switch (type) {
    case ondemand::json_type::object: return JsonType::kObject;
    case ondemand::json_type::array: return JsonType::kArray;
    case ondemand::json_type::string: return JsonType::kString;
    case ondemand::json_type::number: return JsonType::kNumber;
    case ondemand::json_type::boolean: return JsonType::kBoolean;
    case ondemand::json_type::null: break;
  }
  return JsonType::kNull;
}

/// Valid UTF-8 went in, so only an escape (\ud800) can have made a surrogate: ED A0..BF is one (RFC 3629, section 3).
bool has_lone_surrogate(std::string_view text) {
  for (size_t at = text.find('\xED'); at != std::string_view::npos; at = text.find('\xED', at + 1)) {
    if (at + 1 < text.size() && static_cast<uint8_t>(text[at + 1]) >= 0xA0) return true;
  }
  return false;
}

/// simdjson's first stage says that something is wrong with strings, not where.
size_t first_bad_byte(std::string_view text, simdjson::error_code code) {
  if (code == simdjson::UTF8_ERROR) {
    size_t at = 0;
    while (at < text.size()) {
      const size_t length = utf8_length(text, at);
      if (length == 0) return at;
      at += length;
    }
    return at;
  }
  bool in_string = false;
  for (size_t at = 0; at < text.size(); ++at) {
    if (in_string && static_cast<uint8_t>(text[at]) < 0x20) return at;
    if (text[at] == '"') in_string = !in_string;
    if (in_string && text[at] == '\\') ++at;
  }
  return text.size();
}

std::string_view describe(simdjson::error_code code) {
  switch (static_cast<int>(code)) {
    case simdjson::EMPTY: return "there is no text";
    case simdjson::UTF8_ERROR: return "not UTF-8";
    case simdjson::UNCLOSED_STRING: return "a string is not closed";
    case simdjson::UNESCAPED_CHARS: return "a control character in a string";
    case simdjson::STRING_ERROR: return "a bad escape in a string";
    case simdjson::NUMBER_ERROR: return "a bad number";
    case simdjson::INCOMPLETE_ARRAY_OR_OBJECT: return "an array or object is not closed";
    case simdjson::DEPTH_ERROR: return "nested too deeply";
    case simdjson::TRAILING_CONTENT: return "something stands behind the document";
    default: return "unexpected character";
  }
}

/// Names of one object's fields; few of them as a rule.
class SeenNames {
 public:
  /// False when it has been there before.
  bool add(std::string_view name) {
    if (few_.size() < kFew) {
      for (const std::string_view one : few_) {
        if (one == name) return false;
      }
      few_.push_back(name);
      return true;
    }
    if (many_.empty()) many_.insert(few_.begin(), few_.end());
    return many_.insert(name).second;
  }

 private:
  static constexpr size_t kFew = 32;
  std::vector<std::string_view> few_;
  std::unordered_set<std::string_view> many_;
};

}  // namespace

struct JsonParser::Buffers {
  ondemand::parser parser;
};

class JsonDocument {
 public:
  JsonDocument(PaddedText text, ondemand::document& document, int max_depth)
      : text_(text), document_(document), max_depth_(max_depth) {}

  Error bad(simdjson::error_code code) {
    size_t at = text_.size;
    const char* location = nullptr;
    if (document_.current_location().get(location) == simdjson::SUCCESS && location >= text_.data &&
        location <= text_.data + text_.size) {
      at = static_cast<size_t>(location - text_.data);
    }
    return bad_at(at, describe(code));
  }

  static Error bad_at(size_t at, std::string_view what) {
    std::string message = "invalid JSON at byte ";
    message += std::to_string(at);
    message += ": ";
    message += what;
    return invalid(std::move(message));
  }

  /// Calls the handler with the value, and checks what the handler has not read.
  template <class Call>
  Result<void> visit(ondemand::value& inner, JsonType type, Call call) {
    JsonValue value(*this, &inner, type);
    TRY(call(value));
    return value.read_ ? Result<void>() : value.skip();
  }

  Result<void> visit_root(ondemand::value* root, JsonType type, JsonValue::ElementHandler handler) {
    JsonValue value(*this, root, type);
    TRY(handler(value));
    if (root == nullptr) return value.error("must be an object or an array");
    return value.read_ ? Result<void>() : value.skip();
  }

  Result<void> enter() {
    if (++depth_ > max_depth_) return bad(simdjson::DEPTH_ERROR);
    return {};
  }
  void leave() { --depth_; }

  /// Of the next token.
  size_t offset() {
    const char* location = nullptr;
    if (document_.current_location().get(location) != simdjson::SUCCESS || location < text_.data) return text_.size;
    return std::min(static_cast<size_t>(location - text_.data), text_.size);
  }
  /// Without the blanks and the one token (a comma, a bracket) that may stand behind a value.
  std::string_view text_between(size_t begin, size_t end) const {
    std::string_view text = std::string_view(text_.data, text_.size).substr(begin, end - begin);
    const size_t last = text.find_last_not_of(" \t\r\n");
    return last == std::string_view::npos ? std::string_view() : text.substr(0, last + 1);
  }

  std::string path;

 private:
  PaddedText text_;
  ondemand::document& document_;
  int max_depth_;
  int depth_ = 0;
};

const std::string& JsonValue::path() const { return document_.path; }

Error JsonValue::error(std::string_view message) const {
  if (path().empty()) return invalid(std::string(message));
  return invalid(path() + ": " + std::string(message));
}

Result<void> JsonValue::object(FieldHandler handler) {
  if (type_ != JsonType::kObject) return error("must be an object");
  read_ = true;
  TRY(document_.enter());
  ondemand::object object;
  if (const auto code = static_cast<ondemand::value*>(value_)->get_object().get(object)) return document_.bad(code);
  std::string& path = document_.path;
  const size_t length = path.size();
  SeenNames seen;
  for (auto next : object) {
    ondemand::field field;
    if (const auto code = std::move(next).get(field)) return document_.bad(code);
    std::string_view name;
    if (const auto code = field.unescaped_key().get(name)) return document_.bad(code);
    if (has_lone_surrogate(name)) return document_.bad(simdjson::STRING_ERROR);
    if (length != 0) path += '.';
    path += name.empty() ? std::string_view(R"("")") : name.substr(0, kPathNameLimit);
    if (!seen.add(name)) return error("the field is there twice");
    ondemand::value value = field.value();
    ondemand::json_type type{};
    if (const auto code = value.type().get(type)) return document_.bad(code);
    if (type == ondemand::json_type::null) {
      bool is_null = false;
      if (const auto code = value.is_null().get(is_null); code != simdjson::SUCCESS || !is_null) {
        return document_.bad(simdjson::TAPE_ERROR);
      }
    } else {
      TRY(document_.visit(value, type_of(type), [&](JsonValue& one) { return handler(name, one); }));
    }
    path.resize(length);
  }
  document_.leave();
  return {};
}

Result<void> JsonValue::array(ElementHandler handler) {
  if (type_ != JsonType::kArray) return error("must be an array");
  read_ = true;
  TRY(document_.enter());
  ondemand::array array;
  if (const auto code = static_cast<ondemand::value*>(value_)->get_array().get(array)) return document_.bad(code);
  std::string& path = document_.path;
  const size_t length = path.size();
  size_t index = 0;
  for (auto next : array) {
    ondemand::value value;
    if (const auto code = next.get(value)) return document_.bad(code);
    path += '[';
    path += std::to_string(index++);
    path += ']';
    ondemand::json_type type{};
    if (const auto code = value.type().get(type)) return document_.bad(code);
    TRY(document_.visit(value, type_of(type), handler));
    path.resize(length);
  }
  document_.leave();
  return {};
}

Result<std::string_view> JsonValue::string() {
  if (type_ != JsonType::kString || value_ == nullptr) return error("must be a string");
  read_ = true;
  std::string_view text;
  if (const auto code = static_cast<ondemand::value*>(value_)->get_string().get(text)) return document_.bad(code);
  if (has_lone_surrogate(text)) return document_.bad(simdjson::STRING_ERROR);
  return text;
}

Result<int64_t> JsonValue::integer() {
  if (type_ != JsonType::kNumber || value_ == nullptr) return error("must be an integer");
  int64_t number = 0;
  if (static_cast<ondemand::value*>(value_)->get_int64().get(number) != simdjson::SUCCESS) {
    TRY(skip());  // not a number at all?
    return error("must be an integer of 64 bits");
  }
  read_ = true;
  return number;
}

Result<bool> JsonValue::boolean() {
  if (type_ != JsonType::kBoolean || value_ == nullptr) return error("must be true or false");
  read_ = true;
  bool is_true = false;
  if (static_cast<ondemand::value*>(value_)->get_bool().get(is_true)) return document_.bad(simdjson::TAPE_ERROR);
  return is_true;
}

Result<std::string_view> JsonValue::number() {
  if (type_ != JsonType::kNumber || value_ == nullptr) return error("must be a number");
  const size_t begin = offset();
  TRY(skip());
  return text_from(begin);
}

size_t JsonValue::offset() const { return document_.offset(); }

std::string_view JsonValue::text_from(size_t begin) const { return document_.text_between(begin, document_.offset()); }

Result<void> JsonValue::skip() {
  switch (type_) {
    case JsonType::kObject: return object([](std::string_view, JsonValue&) { return Result<void>(); });
    case JsonType::kArray: return array([](JsonValue&) { return Result<void>(); });
    case JsonType::kString: TRY(string()); return {};
    case JsonType::kBoolean: TRY(boolean()); return {};
    case JsonType::kNumber: {
      read_ = true;
      double number = 0;
      if (const auto code = static_cast<ondemand::value*>(value_)->get_double().get(number)) return document_.bad(code);
      return {};
    }
    case JsonType::kNull: {
      read_ = true;
      bool is_null = false;
      const auto code = static_cast<ondemand::value*>(value_)->is_null().get(is_null);
      return code == simdjson::SUCCESS && is_null ? Result<void>() : document_.bad(simdjson::TAPE_ERROR);
    }
  }
  return {};
}

JsonParser::JsonParser() = default;
JsonParser::~JsonParser() = default;

Result<void> JsonParser::parse(PaddedText text, int max_depth, JsonValue::ElementHandler root) {
  if (!buffers_) buffers_ = std::make_unique<Buffers>();
  const std::unique_ptr<Buffers> dropped_after = text.size > kKeepBuffersUpTo ? std::move(buffers_) : nullptr;
  ondemand::parser& parser = (dropped_after ? dropped_after : buffers_)->parser;

  ondemand::document document;
  const simdjson::padded_string_view view(text.data, text.size, text.size + kJsonPadding);
  if (const auto code = parser.iterate(view).get(document)) {
    return JsonDocument::bad_at(first_bad_byte({text.data, text.size}, code), describe(code));
  }
  JsonDocument state(text, document, max_depth);
  ondemand::json_type type{};
  if (const auto code = document.type().get(type)) return state.bad(code);
  if (type != ondemand::json_type::object && type != ondemand::json_type::array) {
    return state.visit_root(nullptr, type_of(type), root);
  }
  ondemand::value value;
  if (const auto code = document.get_value().get(value)) return state.bad(code);
  TRY(state.visit_root(&value, type_of(type), root));
  const char* rest = nullptr;
  if (document.current_location().get(rest) == simdjson::SUCCESS) return state.bad(simdjson::TRAILING_CONTENT);
  return {};
}

}  // namespace te

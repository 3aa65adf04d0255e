// JSON in, over simdjson On-Demand: values are read straight from the buffer that they came in.
//
// What On-Demand leaves unchecked is checked here: depth, values that nobody asks for, names that come twice in one
// object, surrogates that stand alone, text behind the document. Bad JSON is refused with its byte offset
// ("invalid JSON at byte 17: …"), a value of the wrong kind with its path ("spec.process.command[1]: must be a
// string").
//
// simdjson's types stay in json_reader.cc, so that nobody else is compiled with them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/function_ref.h"
#include "base/result.h"

namespace te {

/// Bytes that must be readable (their value does not matter) behind a text that is to be parsed.
constexpr size_t kJsonPadding = 64;
/// Nesting of arrays and objects that a document may have.
constexpr int kJsonMaxDepth = 64;
/// Of what we have written ourselves: a task that was taken stands within other things there.
constexpr int kJsonOwnDepth = kJsonMaxDepth + 4;

struct PaddedText {
  const char* data = nullptr;
  size_t size = 0;  ///< without the padding
};

enum class JsonType : uint8_t { kObject, kArray, kString, kNumber, kBoolean, kNull };

class JsonDocument;

/// One value, valid inside the handler that it is given to. Each may be read once; one that is not read is checked and
/// skipped when the handler returns.
class JsonValue {
 public:
  using FieldHandler = FunctionRef<Result<void>(std::string_view name, JsonValue& value)>;
  using ElementHandler = FunctionRef<Result<void>(JsonValue& value)>;

  JsonType type() const { return type_; }

  /// The fields of an object, in order; those that are null are left out, as if they were absent.
  Result<void> object(FieldHandler handler);
  Result<void> array(ElementHandler handler);
  /// UTF-8, valid until parse() returns.
  Result<std::string_view> string();
  /// Exactly an integer: 1.0 and 1e3 are none.
  Result<int64_t> integer();
  Result<bool> boolean();
  /// A number as it is written, "1.5e3".
  Result<std::string_view> number();

  /// Where this value begins in the text; asked before it is read.
  size_t offset() const;
  /// The JSON from there to the end of this value, which has been read.
  std::string_view text_from(size_t begin) const;

  /// "spec.process.command[1]"; empty for the document itself.
  const std::string& path() const;
  /// kInvalid, "PATH: MESSAGE".
  Error error(std::string_view message) const;

 private:
  friend class JsonDocument;
  JsonValue(JsonDocument& document, void* value, JsonType type) : document_(document), value_(value), type_(type) {}
  Result<void> skip();

  JsonDocument& document_;
  void* value_;  ///< simdjson's, on the stack of the one who called the handler
  JsonType type_;
  bool read_ = false;
};

/// Holds simdjson's buffers from one document to the next, and gives them back after a big one.
class JsonParser {
 public:
  JsonParser();
  ~JsonParser();
  JsonParser(const JsonParser&) = delete;
  JsonParser& operator=(const JsonParser&) = delete;

  /// Calls `root` with the document's value. Without an error the whole text was valid JSON.
  Result<void> parse(PaddedText text, JsonValue::ElementHandler root) { return parse(text, kJsonMaxDepth, root); }
  Result<void> parse(PaddedText text, int max_depth, JsonValue::ElementHandler root);

 private:
  friend class JsonDocument;
  struct Buffers;
  std::unique_ptr<Buffers> buffers_;
};

}  // namespace te

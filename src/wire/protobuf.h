// Protocol Buffers on the wire (protobuf.dev, "Encoding"): a writer, and a reader that trusts no length.
//
// No schema and no generated code: the structs of cri/ name their field numbers in an encode and a decode function.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/function_ref.h"
#include "base/result.h"

namespace te {

/// Appends fields to a string. As proto3 has it, a value that is the default (0, "", false) is left out; message() is
/// always written, so that an empty one is present.
class ProtoWriter {
 public:
  explicit ProtoWriter(std::string& out) : out_(out) {}

  void text(uint32_t field, std::string_view value) {
    if (!value.empty()) element(field, value);
  }
  /// An element of a repeated string field: written even when it is empty.
  void element(uint32_t field, std::string_view value);
  /// int32, int64, enums; a negative one takes ten bytes.
  void integer(uint32_t field, int64_t value) {
    if (value != 0) number(field, static_cast<uint64_t>(value));
  }
  /// An element of a repeated number field: written even when it is 0.
  void repeated_integer(uint32_t field, int64_t value) { number(field, static_cast<uint64_t>(value)); }
  void boolean(uint32_t field, bool value) {
    if (value) number(field, 1);
  }
  void message(uint32_t field, FunctionRef<void(ProtoWriter&)> body);
  /// google.protobuf.Int64Value: present, also with 0.
  void wrapped(uint32_t field, int64_t value) {
    message(field, [value](ProtoWriter& inner) { inner.integer(1, value); });
  }

 private:
  void number(uint32_t field, uint64_t value);

  std::string& out_;
};

enum class ProtoType : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

/// One field. `bytes` points into the reader's input.
struct ProtoField {
  uint32_t number = 0;
  ProtoType type = ProtoType::kVarint;
  uint64_t value = 0;      ///< kVarint, kFixed64, kFixed32
  std::string_view bytes;  ///< kBytes: a string or a message

  // The value, as the schema has it. kInvalid: the field is there with another type than the schema's.
  Result<void> into(std::string& out) const;
  Result<void> into(int64_t& out) const;
  Result<void> into(uint64_t& out) const;
  Result<void> into(int32_t& out) const;  ///< also enums: the low 32 bits, as every decoder takes them
  Result<void> into(uint32_t& out) const;
};

class ProtoReader {
 public:
  explicit ProtoReader(std::string_view bytes) : rest_(bytes) {}

  /// The next field; false at the end. Groups (deprecated, of no use to us) are skipped with all that is in them.
  /// kInvalid: cut off, a number over 64 bits, field number 0, an unknown type.
  Result<bool> next(ProtoField& out);

 private:
  Result<uint64_t> varint();
  Result<void> skip_group(uint32_t number);
  Result<void> value_of(unsigned type, ProtoField& out);
  Result<std::string_view> take(uint64_t size);

  std::string_view rest_;
};

/// Calls `handler` for each field, in order, until one fails.
Result<void> read_fields(std::string_view bytes, FunctionRef<Result<void>(const ProtoField&)> handler);
/// The same of an embedded message.
Result<void> read_fields(const ProtoField& message, FunctionRef<Result<void>(const ProtoField&)> handler);

}  // namespace te

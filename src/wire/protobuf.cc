#include "wire/protobuf.h"

#include <array>

namespace te {
namespace {

constexpr unsigned kStartGroup = 3;
constexpr unsigned kEndGroup = 4;
constexpr size_t kMaxGroupDepth = 16;

size_t write_varint(std::array<char, 10>& to, uint64_t value) {
  size_t size = 0;
  while (value >= 0x80) {
    to[size++] = static_cast<char>(0x80U | (value & 0x7fU));
    value >>= 7U;
  }
  to[size++] = static_cast<char>(value);
  return size;
}

void append_varint(std::string& out, uint64_t value) {
  std::array<char, 10> bytes;
  out.append(bytes.data(), write_varint(bytes, value));
}

uint64_t tag(uint32_t field, ProtoType type) { return uint64_t{field} << 3U | static_cast<uint64_t>(type); }

Error wrong_type(const ProtoField& field) {
  return invalid("field " + std::to_string(field.number) + " has the wrong wire type");
}

}  // namespace

void ProtoWriter::element(uint32_t field, std::string_view value) {
  append_varint(out_, tag(field, ProtoType::kBytes));
  append_varint(out_, value.size());
  out_.append(value);
}

void ProtoWriter::number(uint32_t field, uint64_t value) {
  append_varint(out_, tag(field, ProtoType::kVarint));
  append_varint(out_, value);
}

// The length stands before the body and is known behind it: the body is written in place and then moved by as much as
// the length takes, one byte nearly always.
void ProtoWriter::message(uint32_t field, FunctionRef<void(ProtoWriter&)> body) {
  append_varint(out_, tag(field, ProtoType::kBytes));
  const size_t start = out_.size();
  body(*this);
  std::array<char, 10> length;
  const size_t size = write_varint(length, out_.size() - start);
  out_.insert(start, length.data(), size);
}

Result<void> ProtoField::into(std::string& out) const {
  if (type != ProtoType::kBytes) return wrong_type(*this);
  out = bytes;
  return {};
}

Result<void> ProtoField::into(uint64_t& out) const {
  if (type != ProtoType::kVarint) return wrong_type(*this);
  out = value;
  return {};
}

Result<void> ProtoField::into(int64_t& out) const {
  if (type != ProtoType::kVarint) return wrong_type(*this);
  out = static_cast<int64_t>(value);
  return {};
}

Result<void> ProtoField::into(uint32_t& out) const {
  if (type != ProtoType::kVarint) return wrong_type(*this);
  out = static_cast<uint32_t>(value);
  return {};
}

Result<void> ProtoField::into(int32_t& out) const {
  if (type != ProtoType::kVarint) return wrong_type(*this);
  out = static_cast<int32_t>(static_cast<uint32_t>(value));
  return {};
}

Result<bool> ProtoReader::next(ProtoField& out) {
  while (!rest_.empty()) {
    const uint64_t head = TRY(varint());
    if (head > UINT32_MAX || head >> 3U == 0) return invalid("a bad field number");
    out.number = static_cast<uint32_t>(head >> 3U);
    const auto type = static_cast<unsigned>(head & 7U);
    if (type == kStartGroup) {
      TRY(skip_group(out.number));
      continue;
    }
    TRY(value_of(type, out));
    return true;
  }
  return false;
}

Result<uint64_t> ProtoReader::varint() {
  uint64_t value = 0;
  for (unsigned i = 0; i < 10; ++i) {
    if (i == rest_.size()) return invalid("a number is cut off");
    const auto octet = static_cast<unsigned char>(rest_[i]);
    if (i == 9 && octet > 1) break;
    value |= uint64_t{octet & 0x7fU} << (7 * i);
    if ((octet & 0x80U) == 0) {
      rest_.remove_prefix(i + 1);
      return value;
    }
  }
  return invalid("a number has more than 64 bits");
}

Result<void> ProtoReader::value_of(unsigned type, ProtoField& out) {
  out.value = 0;
  out.bytes = {};
  switch (type) {
    case static_cast<unsigned>(ProtoType::kVarint):
      out.type = ProtoType::kVarint;
      out.value = TRY(varint());
      return {};
    case static_cast<unsigned>(ProtoType::kBytes):
      out.type = ProtoType::kBytes;
      out.bytes = TRY(take(TRY(varint())));
      return {};
    case static_cast<unsigned>(ProtoType::kFixed64):
    case static_cast<unsigned>(ProtoType::kFixed32): {
      out.type = static_cast<ProtoType>(type);
      const std::string_view bytes = TRY(take(type == 1 ? 8 : 4));
      for (size_t i = bytes.size(); i-- > 0;) out.value = out.value << 8U | static_cast<unsigned char>(bytes[i]);
      return {};
    }
    default: return invalid("an unknown wire type");
  }
}

Result<void> ProtoReader::skip_group(uint32_t number) {
  std::array<uint32_t, kMaxGroupDepth> open;
  size_t depth = 0;
  open[depth++] = number;
  while (depth > 0) {
    const uint64_t head = TRY(varint());
    if (head > UINT32_MAX || head >> 3U == 0) return invalid("a bad field number");
    const auto type = static_cast<unsigned>(head & 7U);
    if (type == kStartGroup) {
      if (depth == kMaxGroupDepth) return invalid("groups nested too deeply");
      open[depth++] = static_cast<uint32_t>(head >> 3U);
    } else if (type == kEndGroup) {
      if (open[--depth] != head >> 3U) return invalid("a group ends that was not begun");
    } else {
      ProtoField ignored;
      TRY(value_of(type, ignored));
    }
  }
  return {};
}

Result<std::string_view> ProtoReader::take(uint64_t size) {
  if (size > rest_.size()) return invalid("a field is cut off");
  const std::string_view bytes = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return bytes;
}

Result<void> read_fields(std::string_view bytes, FunctionRef<Result<void>(const ProtoField&)> handler) {
  ProtoReader reader(bytes);
  ProtoField field;
  while (TRY(reader.next(field))) TRY(handler(field));
  return {};
}

Result<void> read_fields(const ProtoField& message, FunctionRef<Result<void>(const ProtoField&)> handler) {
  if (message.type != ProtoType::kBytes) return wrong_type(message);
  return read_fields(message.bytes, handler);
}

}  // namespace te

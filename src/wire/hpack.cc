#include "wire/hpack.h"

#include "wire/hpack_huffman.h"

namespace te {
namespace {

constexpr uint32_t kLargestInteger = 1U << 30U;  // far over any table or block that we take
constexpr unsigned kMaxIntegerOctets = 6;        // with the prefix; one more would be padding or too large

/// Section 5.1. `prefix_bits` of the first octet belong to the number.
Result<uint32_t> read_integer(std::string_view& rest, unsigned prefix_bits) {
  if (rest.empty()) return invalid("an integer is missing");
  const uint32_t mask = (1U << prefix_bits) - 1;
  uint32_t value = static_cast<unsigned char>(rest.front()) & mask;
  rest.remove_prefix(1);
  if (value < mask) return value;
  uint64_t sum = value;
  for (unsigned i = 1; i < kMaxIntegerOctets; ++i) {
    if (rest.empty()) return invalid("an integer is cut off");
    const auto octet = static_cast<unsigned char>(rest.front());
    rest.remove_prefix(1);
    sum += uint64_t{octet & 0x7fU} << (7 * (i - 1));
    if (sum > kLargestInteger) break;
    if ((octet & 0x80U) == 0) return static_cast<uint32_t>(sum);
  }
  return invalid("an integer is too large");
}

void write_integer(std::string& out, unsigned first, unsigned prefix_bits, size_t value) {
  const unsigned mask = (1U << prefix_bits) - 1;
  if (value < mask) {
    out.push_back(static_cast<char>(first | static_cast<unsigned>(value)));
    return;
  }
  out.push_back(static_cast<char>(first | mask));
  value -= mask;
  while (value >= 0x80) {
    out.push_back(static_cast<char>(0x80U | (value & 0x7fU)));
    value >>= 7U;
  }
  out.push_back(static_cast<char>(value));
}

void write_string(std::string& out, std::string_view text) {
  write_integer(out, 0, 7, text.size());
  out.append(text);
}

}  // namespace

void HeaderList::clear() {
  constexpr size_t kKept = 16 * kKiB;
  if (bytes_.capacity() > kKept) std::string().swap(bytes_);
  if (fields_.capacity() > kKept / sizeof(Field)) std::vector<Field>().swap(fields_);
  bytes_.clear();
  fields_.clear();
  size_ = 0;
  cut_ = false;
}

bool HeaderList::add(HeaderView field, size_t limit) {
  const size_t cost = field.name.size() + field.value.size() + kFieldOverhead;
  if (cut_ || cost > limit - size_) {
    cut_ = true;
    return false;
  }
  fields_.push_back({bytes_.size(), field.name.size(), field.value.size()});
  bytes_.append(field.name).append(field.value);
  size_ += cost;
  return true;
}

HeaderView HeaderList::operator[](size_t index) const {
  const Field& field = fields_[index];
  const std::string_view bytes = bytes_;
  return {bytes.substr(field.at, field.name_size), bytes.substr(field.at + field.name_size, field.value_size)};
}

Result<void> HpackDecoder::decode(std::string_view block, HeaderList& out) {
  out.clear();
  bool at_start = true;
  while (!block.empty()) {
    const auto first = static_cast<unsigned char>(block.front());
    if ((first & 0x80U) != 0) {  // 6.1 indexed field
      const std::optional<HeaderView> field = table_.at(TRY(read_integer(block, 7)));
      if (!field) return invalid("an index beyond the table");
      out.add(*field, list_limit_);
    } else if ((first & 0x40U) != 0) {  // 6.2.1 literal, kept in the table
      TRY(read_literal(block, 6, true, out));
    } else if ((first & 0x20U) != 0) {  // 6.3 size update, only in front (4.2)
      if (!at_start) return invalid("a table size update behind a field");
      if (!table_.set_max_size(TRY(read_integer(block, 5)))) return invalid("a table larger than we allow");
      continue;
    } else {  // 6.2.2 and 6.2.3 literal, not kept
      TRY(read_literal(block, 4, false, out));
    }
    at_start = false;
  }
  return {};
}

Result<void> HpackDecoder::read_string(std::string_view& rest, std::string& scratch, std::string_view& out) {
  if (rest.empty()) return invalid("a string is missing");
  const bool huffman = (static_cast<unsigned char>(rest.front()) & 0x80U) != 0;
  const size_t size = TRY(read_integer(rest, 7));
  if (size > rest.size()) return invalid("a string is cut off");
  out = rest.substr(0, size);
  rest.remove_prefix(size);
  if (!huffman) return {};
  scratch.clear();
  if (!huffman_decode(out, scratch)) return invalid("a bad Huffman code");
  out = scratch;
  return {};
}

Result<void> HpackDecoder::read_literal(std::string_view& rest, unsigned prefix_bits, bool keep, HeaderList& out) {
  const size_t index = TRY(read_integer(rest, prefix_bits));
  HeaderView field;
  if (index == 0) {
    TRY(read_string(rest, name_, field.name));
  } else {
    const std::optional<HeaderView> named = table_.at(index);
    if (!named) return invalid("the index of a name beyond the table");
    field.name = named->name;
  }
  TRY(read_string(rest, value_, field.value));
  out.add(field, list_limit_);
  if (keep) table_.insert(field.name, field.value);
  return {};
}

void HpackEncoder::encode(std::span<const HeaderView> fields, std::string& out) {
  if (update_due_) {
    out.push_back(0x20);  // size 0
    declared_ = 0;
    update_due_ = false;
  }
  for (const HeaderView& field : fields) {
    const StaticMatch match = hpack_find_static(field.name, field.value);
    if (match.value) {
      write_integer(out, 0x80, 7, match.index);
      continue;
    }
    write_integer(out, 0, 4, match.index);
    if (match.index == 0) write_string(out, field.name);
    write_string(out, field.value);
  }
}

}  // namespace te

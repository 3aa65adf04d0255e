// Fuzzes the HPACK decoder: header blocks of one connection, one after the other; the bounds hold and nothing depends
// on what was there before.
//
// Input: the first byte chooses the limits; then blocks, each with a byte of length before it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "wire/hpack.h"
#include "wire/http2_header_check.h"

namespace {

void must(bool condition) {
  if (!condition) std::abort();
}

std::string outcome(std::string_view input, size_t list_limit, size_t table_limit) {
  te::HpackDecoder decoder(list_limit, table_limit);
  te::HeaderList list;
  std::string out;
  while (!input.empty()) {
    const size_t size = static_cast<unsigned char>(input.front());
    input.remove_prefix(1);
    const std::string_view block = input.substr(0, size);
    input.remove_prefix(block.size());
    const te::Result<void> result = decoder.decode(block, list);
    must(decoder.table().size() <= decoder.table().max_size());
    must(decoder.table().max_size() <= table_limit);
    must(decoder.table().entries() * te::kFieldOverhead <= decoder.table().size());
    must(list.size() <= list_limit);
    if (!result) {
      must(!result.error().context.empty());
      return out + "error";
    }
    size_t sum = 0;
    for (size_t i = 0; i < list.count(); ++i) {
      sum += list[i].name.size() + list[i].value.size() + te::kFieldOverhead;
      out.append(list[i].name).append(":").append(list[i].value).append("\n");
    }
    must(sum == list.size());
    out.append(te::malformed_headers(list, te::HeaderSection::kResponse));
    out.append(te::malformed_headers(list, te::HeaderSection::kTrailers));
    out += list.cut() ? "cut\n" : "\n";
  }
  return out;
}

/// What the encoder writes of a list, the decoder reads as that list.
void round_trip(std::string_view input) {
  std::vector<te::HeaderView> fields;
  while (input.size() > 2) {
    const size_t name = static_cast<unsigned char>(input[0]) % 20;
    const size_t value = static_cast<unsigned char>(input[1]);
    input.remove_prefix(2);
    te::HeaderView field;
    field.name = input.substr(0, name);
    input.remove_prefix(field.name.size());
    field.value = input.substr(0, value);
    input.remove_prefix(field.value.size());
    fields.push_back(field);
  }
  std::string block;
  te::HpackEncoder encoder;
  encoder.set_peer_limit(fields.size() % 2 == 0 ? 0 : te::kHpackTableSize);
  encoder.encode(fields, block);
  te::HpackDecoder decoder(te::kMiB);
  te::HeaderList list;
  must(decoder.decode(block, list).ok() && list.count() == fields.size());
  for (size_t i = 0; i < fields.size(); ++i) {
    must(list[i].name == fields[i].name && list[i].value == fields[i].value);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t list_limit = (data[0] & 1) != 0 ? 200 : te::kMiB;
  const size_t table_limit = (data[0] & 2) != 0 ? 100 : te::kHpackTableSize;
  must(outcome(input, list_limit, table_limit) == outcome(input, list_limit, table_limit));
  round_trip(input);
  return 0;
}

// HPACK, the header compression of HTTP/2 (RFC 7541): whole header blocks to fields and back.
//
// The decoder keeps the dynamic table of a connection, so it must see every header block of it, also those of streams
// that nobody waits for any more. What it hands out is bounded: fields beyond the limit of the list are decoded for the
// table's sake and dropped. The encoder uses the static table and literals only, and no Huffman code: it holds no state
// but the duty to answer a smaller table of the peer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/size.h"
#include "wire/hpack_table.h"

namespace te {

/// SETTINGS_HEADER_TABLE_SIZE of both sides until it is said otherwise (RFC 9113, 6.5.2).
constexpr size_t kHpackTableSize = 4096;

/// Fields in the order in which they came, in one piece of memory.
class HeaderList {
 public:
  void clear();
  /// False: the list would have more than `limit` octets as RFC 9113, 6.5.2 counts them; it is cut() from now on.
  bool add(HeaderView field, size_t limit);

  size_t count() const { return fields_.size(); }
  HeaderView operator[](size_t index) const;
  /// Fields are missing because there were too many.
  bool cut() const { return cut_; }
  size_t size() const { return size_; }

 private:
  struct Field {
    size_t at;
    size_t name_size;
    size_t value_size;
  };
  std::string bytes_;
  std::vector<Field> fields_;
  size_t size_ = 0;
  bool cut_ = false;
};

class HpackDecoder {
 public:
  /// `list_limit`: the largest header list that is handed out.
  explicit HpackDecoder(size_t list_limit, size_t table_limit = kHpackTableSize)
      : table_(table_limit), list_limit_(list_limit) {}

  /// A whole header block, into `out` (cleared first). An error ends the connection (COMPRESSION_ERROR).
  Result<void> decode(std::string_view block, HeaderList& out);

  const HpackTable& table() const { return table_; }

 private:
  Result<void> read_string(std::string_view& rest, std::string& scratch, std::string_view& out);
  Result<void> read_literal(std::string_view& rest, unsigned prefix_bits, bool keep, HeaderList& out);

  HpackTable table_;
  size_t list_limit_;
  std::string name_;  ///< scratch for Huffman strings
  std::string value_;
};

class HpackEncoder {
 public:
  /// The peer's SETTINGS_HEADER_TABLE_SIZE. Below the size that it reckons with, the next block must say that we know
  /// (RFC 7541, 4.2): we then give up the table that we never used.
  void set_peer_limit(size_t size) {
    if (size < declared_) update_due_ = true;
  }
  /// Appends one header block.
  void encode(std::span<const HeaderView> fields, std::string& out);

 private:
  size_t declared_ = kHpackTableSize;
  bool update_due_ = false;
};

}  // namespace te

// The tables of HPACK: static and dynamic, in one address space (RFC 7541 section 2.3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace te {

struct HeaderView {
  std::string_view name;
  std::string_view value;
};

/// What a field costs in a table and in a header list, beside its octets (RFC 7541, 4.1; RFC 9113, 6.5.2).
constexpr size_t kFieldOverhead = 32;

/// The entry of the static table, 1 to 61.
HeaderView hpack_static_entry(size_t index);
constexpr size_t kHpackStaticEntries = 61;

struct StaticMatch {
  size_t index = 0;  ///< 0: not even the name is there
  bool value = false;
};
StaticMatch hpack_find_static(std::string_view name, std::string_view value);

/// The dynamic table of one direction. Its size is bounded by the limit that it was made with.
class HpackTable {
 public:
  explicit HpackTable(size_t limit) : limit_(limit), max_size_(limit) {}

  /// Index 1 to 61: static; then the newest dynamic entry and so on. Nothing: there is no such entry (0 included).
  /// Valid until the next insert() or set_max_size().
  std::optional<HeaderView> at(size_t index) const;
  /// Evicts what must go first. An entry larger than the table empties it. The views may point into an entry that
  /// is evicted.
  void insert(std::string_view name, std::string_view value);
  /// False: more than the limit.
  bool set_max_size(size_t size);

  size_t size() const { return size_; }  ///< as RFC 7541 section 4.1 counts
  size_t max_size() const { return max_size_; }
  size_t entries() const { return dynamic_.size(); }

 private:
  struct Entry {
    std::string bytes;  ///< name and value
    size_t name_size = 0;
  };
  void shrink_to(size_t size);

  std::deque<Entry> dynamic_;  ///< newest first
  size_t limit_;
  size_t max_size_;
  size_t size_ = 0;
};

}  // namespace te

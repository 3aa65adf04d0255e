#include "wire/hpack_table.h"

#include <array>

namespace te {
namespace {

// RFC 7541 appendix A.
constexpr std::array<HeaderView, kHpackStaticEntries> kStatic = {{
    {":authority", ""},
    {":method", "GET"},
    {":method", "POST"},
    {":path", "/"},
    {":path", "/index.html"},
    {":scheme", "http"},
    {":scheme", "https"},
    {":status", "200"},
    {":status", "204"},
    {":status", "206"},
    {":status", "304"},
    {":status", "400"},
    {":status", "404"},
    {":status", "500"},
    {"accept-charset", ""},
    {"accept-encoding", "gzip, deflate"},
    {"accept-language", ""},
    {"accept-ranges", ""},
    {"accept", ""},
    {"access-control-allow-origin", ""},
    {"age", ""},
    {"allow", ""},
    {"authorization", ""},
    {"cache-control", ""},
    {"content-disposition", ""},
    {"content-encoding", ""},
    {"content-language", ""},
    {"content-length", ""},
    {"content-location", ""},
    {"content-range", ""},
    {"content-type", ""},
    {"cookie", ""},
    {"date", ""},
    {"etag", ""},
    {"expect", ""},
    {"expires", ""},
    {"from", ""},
    {"host", ""},
    {"if-match", ""},
    {"if-modified-since", ""},
    {"if-none-match", ""},
    {"if-range", ""},
    {"if-unmodified-since", ""},
    {"last-modified", ""},
    {"link", ""},
    {"location", ""},
    {"max-forwards", ""},
    {"proxy-authenticate", ""},
    {"proxy-authorization", ""},
    {"range", ""},
    {"referer", ""},
    {"refresh", ""},
    {"retry-after", ""},
    {"server", ""},
    {"set-cookie", ""},
    {"strict-transport-security", ""},
    {"transfer-encoding", ""},
    {"user-agent", ""},
    {"vary", ""},
    {"via", ""},
    {"www-authenticate", ""},
}};

}  // namespace

HeaderView hpack_static_entry(size_t index) { return kStatic[index - 1]; }

StaticMatch hpack_find_static(std::string_view name, std::string_view value) {
  StaticMatch match;
  for (size_t i = 0; i < kStatic.size(); ++i) {
    if (kStatic[i].name != name) continue;
    if (!value.empty() && kStatic[i].value == value) return {i + 1, true};
    if (match.index == 0) match.index = i + 1;
  }
  return match;
}

std::optional<HeaderView> HpackTable::at(size_t index) const {
  if (index == 0) return std::nullopt;
  if (index <= kHpackStaticEntries) return hpack_static_entry(index);
  index -= kHpackStaticEntries + 1;
  if (index >= dynamic_.size()) return std::nullopt;
  const Entry& entry = dynamic_[index];
  const std::string_view bytes = entry.bytes;
  return HeaderView{bytes.substr(0, entry.name_size), bytes.substr(entry.name_size)};
}

void HpackTable::insert(std::string_view name, std::string_view value) {
  Entry entry;
  const size_t cost = name.size() + value.size() + kFieldOverhead;
  if (cost > max_size_) {
    shrink_to(0);  // no error: RFC 7541, 4.4
    return;
  }
  entry.bytes.reserve(name.size() + value.size());
  entry.bytes.append(name).append(value);  // before the eviction, as `name` may point into what goes
  entry.name_size = name.size();
  shrink_to(max_size_ - cost);
  dynamic_.push_front(std::move(entry));
  size_ += cost;
}

bool HpackTable::set_max_size(size_t size) {
  if (size > limit_) return false;
  max_size_ = size;
  shrink_to(size);
  return true;
}

void HpackTable::shrink_to(size_t size) {
  while (size_ > size) {
    size_ -= dynamic_.back().bytes.size() + kFieldOverhead;
    dynamic_.pop_back();
  }
}

}  // namespace te

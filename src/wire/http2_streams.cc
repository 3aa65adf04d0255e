#include "wire/http2_streams.h"

#include <algorithm>

namespace te {

Http2Stream* Http2Streams::find(uint32_t id) {
  const auto at = std::lower_bound(streams_.begin(), streams_.end(), id,
                                   [](const Http2Stream& stream, uint32_t wanted) { return stream.id < wanted; });
  return at != streams_.end() && at->id == id ? &*at : nullptr;
}

void Http2Streams::remove(uint32_t id) {
  const Http2Stream* stream = find(id);
  if (stream != nullptr) streams_.erase(streams_.begin() + (stream - streams_.data()));
}

bool Http2Streams::grow_all(int64_t octets) {
  bool fits = true;
  for (Http2Stream& stream : streams_) fits = stream.send.grow(octets) && fits;
  return fits;
}

Http2Stream* Http2Streams::next_to_send() {
  Http2Stream* first = nullptr;
  for (Http2Stream& stream : streams_) {
    if (stream.unsent() == 0 || stream.send.left() <= 0) continue;
    if (stream.id > last_served_) {
      last_served_ = stream.id;
      return &stream;
    }
    if (first == nullptr) first = &stream;
  }
  if (first != nullptr) last_served_ = first->id;
  return first;
}

void Http2Streams::remove_above(uint32_t last, std::vector<uint32_t>& ids) {
  while (!streams_.empty() && streams_.back().id > last) {
    ids.push_back(streams_.back().id);
    streams_.pop_back();
  }
}

}  // namespace te

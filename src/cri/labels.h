// Labels and annotations, and how maps stand in protobuf: entries {key 1, value 2}.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "wire/protobuf.h"

namespace te::cri {

struct Label {
  std::string key;
  std::string value;
  bool operator==(const Label&) const = default;
};
/// In the order in which they are written or came. containerd refuses a label of more than 4096 octets, key and value
/// together.
using Labels = std::vector<Label>;

/// The value of a label; empty when there is none.
std::string_view find_label(const Labels& labels, std::string_view key);

/// How many elements (containers, labels, tags) one answer may hand out: far more than a node has, and few enough that
/// an answer of nothing but empty elements costs some ten MiB.
class ElementBudget {
 public:
  static constexpr size_t kMax = 100'000;
  Result<void> take() {
    if (++taken_ > kMax) return invalid("too many elements in one answer");
    return {};
  }

 private:
  size_t taken_ = 0;
};

void write_labels(ProtoWriter& out, uint32_t field, const Labels& labels);
/// One entry.
Result<void> read_label(const ProtoField& message, Labels& out, ElementBudget& budget);

}  // namespace te::cri

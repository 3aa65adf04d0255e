#include "cri/labels.h"

namespace te::cri {

std::string_view find_label(const Labels& labels, std::string_view key) {
  for (const Label& label : labels) {
    if (label.key == key) return label.value;
  }
  return {};
}

void write_labels(ProtoWriter& out, uint32_t field, const Labels& labels) {
  for (const Label& label : labels) {
    out.message(field, [&](ProtoWriter& entry) {
      entry.text(1, label.key);
      entry.text(2, label.value);
    });
  }
}

Result<void> read_label(const ProtoField& message, Labels& out, ElementBudget& budget) {
  TRY(budget.take());
  Label& label = out.emplace_back();
  return read_fields(message, [&](const ProtoField& field) -> Result<void> {
    if (field.number == 1) return field.into(label.key);
    if (field.number == 2) return field.into(label.value);
    return {};
  });
}

}  // namespace te::cri

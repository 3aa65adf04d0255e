#include "task/pod_spec.h"

#include <algorithm>
#include <unordered_map>

namespace te {

bool PodSpec::operator==(const PodSpec& other) const {
  return init_containers == other.init_containers && containers == other.containers && volumes == other.volumes &&
         host_network == other.host_network && host_pid == other.host_pid && host_ipc == other.host_ipc &&
         share_pid == other.share_pid && hostname == other.hostname && runtime_handler == other.runtime_handler &&
         security == other.security && labels == other.labels && annotations == other.annotations &&
         dns_servers == other.dns_servers && dns_searches == other.dns_searches && dns_options == other.dns_options &&
         timeout_seconds.value_or(0) == other.timeout_seconds.value_or(0) && is_template == other.is_template;
}

bool valid_label_name(std::string_view name) {
  constexpr size_t kLongest = 63;
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (name.empty() || name.size() > kLongest || !plain(name.front()) || !plain(name.back())) return false;
  return std::ranges::all_of(name, [&](char c) { return plain(c) || c == '-'; });
}

namespace {

class Expander {
 public:
  explicit Expander(Expansion* out) : out_(out) {}

  void add(const EnvEntry& entry) {
    const size_t size = expand(entry.value);
    take(entry.name.size());
    const size_t place = values_.size();
    Value& value = values_[entry.name];
    if (values_.size() > place) value.place = place;
    value.size = size;
    if (out_ == nullptr) return;
    if (value.place == out_->env.size()) out_->env.emplace_back().name = entry.name;
    out_->env[value.place].value = std::move(text_);
  }
  void add(const std::vector<std::string>& texts, std::vector<std::string> Expansion::*to) {
    for (const std::string& text : texts) {
      expand(text);
      if (out_ != nullptr) (out_->*to).push_back(std::move(text_));
    }
  }
  bool full() const { return full_; }

 private:
  struct Value {
    size_t size = 0;
    size_t place = 0;  ///< in the environment
  };

  void take(size_t bytes) {
    full_ = full_ || bytes > room_;
    room_ -= full_ ? 0 : bytes;
  }
  size_t expand(std::string_view text);

  Expansion* out_;  ///< nullptr: sizes are enough
  bool full_ = false;
  size_t room_ = kMostExpanded;
  std::string text_;
  std::unordered_map<std::string_view, Value> values_;
};

// Part by part; with a '$' begins a variable, or what is none.
size_t Expander::expand(std::string_view text) {
  take(1);  // its NUL
  text_.clear();
  size_t sum = 0;
  bool may_close = true;
  while (!text.empty() && !full_) {
    size_t used = std::min(text.find('$'), text.size());
    std::string_view part = text.substr(0, used);
    size_t size = used;
    if (used == 0) {
      // "$$" is a dollar sign; a '$' before anything else, or before an open '(' alone, is itself.
      used = std::min<size_t>(text.size(), 2);
      part = text.substr(0, text.starts_with("$$") ? 1 : used);
      const size_t close = may_close && text.starts_with("$(") ? text.find(')') : 0;
      may_close = may_close && close != std::string_view::npos;  // nor do those behind it, which are not looked for
      if (close != 0 && may_close) part = text.substr(0, used = close + 1);
      size = part.size();
      const auto value = close != 0 && may_close ? values_.find(part.substr(2, close - 2)) : values_.end();
      if (value != values_.end()) {
        size = value->second.size;
        if (out_ != nullptr) part = out_->env[value->second.place].value;
      }
    }
    take(size);
    sum += size;
    if (out_ != nullptr && !full_) text_ += part;
    text.remove_prefix(used);
  }
  return sum;
}

}  // namespace

Result<void> expand_container(const ContainerSpec& container, Expansion* out) {
  Expander expander(out);
  std::string_view field = "env";
  for (const EnvEntry& entry : container.env) expander.add(entry);
  if (!expander.full()) field = "command";
  expander.add(container.command, &Expansion::command);
  if (!expander.full()) field = "args";
  expander.add(container.args, &Expansion::args);
  return expander.full() ? invalid(std::string(field) + ": expands to more than 1 MiB") : Result<void>();
}

}  // namespace te

#include "task/pod_spec.h"

#include <algorithm>

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
  return std::all_of(name.begin(), name.end(), [&](char c) { return plain(c) || c == '-'; });
}

namespace {

const EnvEntry* find(const std::vector<EnvEntry>& values, std::string_view name) {
  const auto at = std::find_if(values.begin(), values.end(), [&](const EnvEntry& one) { return one.name == name; });
  return at == values.end() ? nullptr : &*at;
}

}  // namespace

std::string expand_variables(std::string_view text, const std::vector<EnvEntry>& values) {
  std::string out;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '$' || at + 1 == text.size()) {
      out += text[at];
      continue;
    }
    const char next = text[at + 1];
    const size_t close = next == '(' ? text.find(')', at + 2) : std::string_view::npos;
    if (close != std::string_view::npos) {
      const std::string_view name = text.substr(at + 2, close - at - 2);
      if (const EnvEntry* value = find(values, name)) {
        out += value->value;
      } else {
        out += text.substr(at, close - at + 1);
      }
      at = close;
    } else {
      // "$$" is a dollar sign; a '$' before anything else, or before an open '(' alone, is itself.
      out += '$';
      if (next != '$') out += next;
      ++at;
    }
  }
  return out;
}

std::vector<EnvEntry> expand_environment(const std::vector<EnvEntry>& env) {
  std::vector<EnvEntry> out;
  for (const EnvEntry& entry : env) {
    std::string value = expand_variables(entry.value, out);
    const auto at = std::find_if(out.begin(), out.end(), [&](const EnvEntry& one) { return one.name == entry.name; });
    if (at == out.end()) {
      out.push_back({entry.name, std::move(value)});
    } else {
      at->value = std::move(value);
    }
  }
  return out;
}

}  // namespace te

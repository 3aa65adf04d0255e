#include "codec/minified_json.h"

namespace te {

std::string minified_json(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  bool in_string = false;
  for (size_t at = 0; at < json.size(); ++at) {
    const char c = json[at];
    if (!in_string && (c == ' ' || c == '\t' || c == '\r' || c == '\n')) continue;
    out += c;
    if (c == '"') in_string = !in_string;
    if (in_string && c == '\\' && at + 1 < json.size()) out += json[++at];
  }
  out.shrink_to_fit();
  return out;
}

}  // namespace te

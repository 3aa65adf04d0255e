// Readers of single fields that processes and containers, or several parts of a pod, have in common.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "wire/json_reader.h"

namespace te {

/// Without a NUL, as no argument, variable or path may have one.
Result<std::string_view> plain_string(JsonValue& value);
Result<void> read_text(JsonValue& value, std::string& out);
Result<void> read_texts(JsonValue& value, std::vector<std::string>& out);
Result<void> read_flag(JsonValue& value, bool& out);
Result<void> read_flag(JsonValue& value, std::optional<bool>& out);
Result<void> read_seconds(JsonValue& value, std::optional<int64_t>& out);
/// A user or group number.
Result<void> read_id(JsonValue& value, std::optional<uint32_t>& out);
/// Adds the bits of ["NET_RAW", …].
Result<void> read_capabilities(JsonValue& list, uint64_t& bits);

bool one_of(std::string_view name, std::initializer_list<std::string_view> names);
/// A part of the path is "..".
bool has_dots(std::string_view path);

}  // namespace te

// The words that state files use for enumerators.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "task/record.h"

namespace te {

// Index is the enumerator's value.
constexpr std::array<std::string_view, 3> kRunPhaseNames = {"preStart", "main", "postStop"};
constexpr std::array<std::string_view, 5> kEndCauseNames = {"ended", "timeout", "startError", "lost", "preStart"};
constexpr std::array<std::string_view, 9> kStartStageNames = {
    "none", "fork", "record", "log", "workingDir", "credentials", "exec", "target", "namespaces"};
constexpr std::array<std::string_view, 4> kPodStepNames = {"prepare", "run", "stop", "removed"};
constexpr std::array<std::string_view, 3> kContainerStageNames = {"waiting", "running", "terminated"};
constexpr std::array<std::string_view, 4> kHookOutcomeNames = {"none", "ended", "timeout", "startError"};

template <class Enum, size_t N>
std::string_view name_of(const std::array<std::string_view, N>& names, Enum value) {
  return names[static_cast<size_t>(value)];
}

}  // namespace te

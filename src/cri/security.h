// What sandboxes and containers have in common: namespaces, seccomp, numbers that may be absent.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "wire/protobuf.h"

namespace te::cri {

enum class NamespaceMode : uint8_t { kPod = 0, kContainer = 1, kNode = 2 };

/// The defaults are the kubelet's: a PID namespace for each container, network and IPC shared within the pod.
struct NamespaceOptions {
  NamespaceMode network = NamespaceMode::kPod;
  NamespaceMode pid = NamespaceMode::kContainer;  ///< kPod shares the pause container's
  NamespaceMode ipc = NamespaceMode::kPod;
};

struct SecurityProfile {
  enum class Type : uint8_t { kRuntimeDefault = 0, kUnconfined = 1, kLocalhost = 2 };
  Type type = Type::kRuntimeDefault;
  std::string localhost_ref;  ///< with kLocalhost
};

void write_namespaces(ProtoWriter& out, uint32_t field, const NamespaceOptions& options);
/// Absent means unconfined to a runtime, so RuntimeDefault must be there as an empty message.
void write_profile(ProtoWriter& out, uint32_t field, const std::optional<SecurityProfile>& profile);
void write_optional(ProtoWriter& out, uint32_t field, std::optional<int64_t> number);
void write_texts(ProtoWriter& out, uint32_t field, const std::vector<std::string>& texts);

}  // namespace te::cri

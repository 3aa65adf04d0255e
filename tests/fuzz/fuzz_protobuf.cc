// Fuzzes the protobuf reader, and every answer of the CRI that we decode.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "cri/container.h"
#include "cri/container_config.h"
#include "cri/container_event.h"
#include "cri/image.h"
#include "cri/sandbox.h"
#include "cri/version.h"
#include "wire/protobuf.h"

namespace {

void must(bool condition) {
  if (!condition) std::abort();
}

/// All fields lie within the input, and so do those of what may be a message.
void walk(std::string_view bytes, int depth) {
  te::ProtoReader reader(bytes);
  te::ProtoField field;
  for (;;) {
    const te::Result<bool> more = reader.next(field);
    if (!more) {
      must(more.error().kind == te::ErrorKind::kInvalid && !more.error().context.empty());
      return;
    }
    if (!*more) return;
    must(field.number != 0 && field.number < 1U << 29U);
    if (field.type != te::ProtoType::kBytes) continue;
    must(field.bytes.data() >= bytes.data());
    must(field.bytes.data() + field.bytes.size() <= bytes.data() + bytes.size());
    if (depth < 6) walk(field.bytes, depth + 1);
  }
}

template <class Response>
void decoded(std::string_view bytes) {
  Response response;
  const te::Result<void> result = te::cri::decode(bytes, response);
  if (!result) must(!result.error().context.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  walk(bytes, 0);
  decoded<te::cri::VersionResponse>(bytes);
  decoded<te::cri::RunPodSandboxResponse>(bytes);
  decoded<te::cri::StopPodSandboxResponse>(bytes);
  decoded<te::cri::ListPodSandboxResponse>(bytes);
  decoded<te::cri::CreateContainerResponse>(bytes);
  decoded<te::cri::ContainerStatusResponse>(bytes);
  decoded<te::cri::ListContainersResponse>(bytes);
  decoded<te::cri::ContainerStatsResponse>(bytes);
  decoded<te::cri::ImageStatusResponse>(bytes);
  decoded<te::cri::PullImageResponse>(bytes);
  decoded<te::cri::ContainerEvent>(bytes);
  return 0;
}

#include "runtime/pod_meter.h"

#include <algorithm>

#include "base/size.h"
#include "base/time.h"

namespace te {

void PodMeter::ask(cri::Client& client, size_t index) {
  last_ = index;
  call_ = client.container_stats({pod_.containers[index].id}, *this);
}

void PodMeter::on_reply(cri::CallId, cri::Outcome<cri::ContainerStatsResponse>& outcome) {
  call_.reset();
  if (outcome.failure) {
    unsupported_ = outcome.failure->verdict == cri::Verdict::kUnsupported;
    return;
  }
  used_.resize(pod_.containers.size());
  Used& one = used_[last_];
  if (outcome.response.cpu_nanos) one.cpu_us = static_cast<int64_t>(*outcome.response.cpu_nanos / kMicrosecond);
  if (outcome.response.working_set_bytes) {
    one.memory_kib = static_cast<int64_t>(*outcome.response.working_set_bytes / kKiB);
  }
  Used sum;
  for (const Used& each : used_) {
    sum.cpu_us += each.cpu_us;
    sum.memory_kib += each.memory_kib;
  }
  pod_.cpu_us = std::max(pod_.cpu_us, sum.cpu_us);
  pod_.memory_kib = std::max(pod_.memory_kib, sum.memory_kib);
}

}  // namespace te

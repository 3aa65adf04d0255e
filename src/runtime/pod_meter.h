// PodMeter: what the containers of a run use, as ContainerStats tells it.
#pragma once

#include <cstdint>
#include <vector>

#include "cri/client.h"
#include "task/pod_record.h"

namespace te {

class PodMeter final : private cri::Handler<cri::ContainerStatsResponse> {
 public:
  /// Writes the sum over all containers into `pod`, which must outlive it.
  explicit PodMeter(PodRecord& pod) : pod_(pod) {}
  PodMeter(const PodMeter&) = delete;
  PodMeter& operator=(const PodMeter&) = delete;
  ~PodMeter() = default;

  void ask(cri::Client& client, size_t index);
  bool waiting() const { return call_.waiting(); }
  /// The runtime does not tell.
  bool unsupported() const { return unsupported_; }
  /// The container that was asked about last.
  size_t last() const { return last_; }

 private:
  struct Used {
    int64_t cpu_us = 0;
    int64_t memory_kib = 0;
  };

  void on_reply(cri::CallId call, cri::Outcome<cri::ContainerStatsResponse>& outcome) override;

  PodRecord& pod_;
  std::vector<Used> used_;
  cri::Call call_;
  size_t last_ = 0;
  bool unsupported_ = false;
};

}  // namespace te

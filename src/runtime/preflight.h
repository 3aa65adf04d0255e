// Preflight: whether tasks could be run in the main container, asked before the first one is.
#pragma once

#include <string>

#include "base/log.h"
#include "base/result.h"
#include "base/time.h"
#include "runtime/main_container.h"
#include "sys/process.h"

namespace te {

class Preflight {
 public:
  Preflight(std::string container, const sys::ProgramFile& program)
      : container_(std::move(container)), program_(program) {}

  /// What is missing, in one line, and what can never be taken over from the main container.
  void report(Log& log);
  /// kUnsupported: capabilities are missing, or there is no such container; the text names them. The container found is
  /// remembered, so that /proc is searched again only when it has gone, and that it is not there for a second.
  Result<void> ready();
  const sys::ProgramFile& program() const { return program_; }

 private:
  Result<void> look_for_container();

  std::string container_;
  sys::ProgramFile program_;
  ProcessId found_;
  MonoNanos look_again_at_ = 0;
};

/// Names of the capabilities that sidecar mode needs and `effective` has not, with commas; empty: all are there.
std::string missing_capabilities(uint64_t effective);

}  // namespace te

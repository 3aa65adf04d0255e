// The test program; under the names of supervisor and helpers it is these, as the agent's binary is.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <string_view>

#include "runtime/helpers.h"
#include "runtime/supervisor.h"
#include "sys/signals.h"
#include "sys/test_zygote.h"
#include "sys/zygote.h"

int main(int argc, char** argv) {
  const std::string_view called = argc > 0 ? argv[0] : "";
  if (called == te::kZygoteName) return te::run_zygote(argc, argv);
  if (called == te::test::kZygoteName) {
    te::sys::block_all_signals();  // as the agent has them
    return te::sys::serve_as_zygote(argc, argv, te::test::kZygoteChildName) == te::sys::ZygoteEnd::kGiven
               ? te::test::run_zygote_child()
               : 0;
  }
  if (called == te::kSupervisorName) return te::run_supervisor();
  if (called == te::kSweeperName) return te::run_sweeper(argc, argv);
  if (called == te::kUnlinkerName) return te::run_unlinker();
  return doctest::Context(argc, argv).run();
}

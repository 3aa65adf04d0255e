// The test program; under the names of supervisor and helpers it is these, as the agent's binary is.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <string_view>

#include "runtime/helpers.h"
#include "runtime/supervisor.h"

int main(int argc, char** argv) {
  const std::string_view called = argc > 0 ? argv[0] : "";
  if (called == te::kSupervisorName) return te::run_supervisor();
  if (called == te::kSweeperName) return te::run_sweeper(argc, argv);
  if (called == te::kUnlinkerName) return te::run_unlinker();
  return doctest::Context(argc, argv).run();
}

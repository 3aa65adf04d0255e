// The zygote of test_zygote.cc, and what its children do.
#pragma once

namespace te::test {

constexpr const char* kZygoteName = "test-zygote";
constexpr const char* kZygoteChildName = "test-zygote-child";
int run_zygote_child();

}  // namespace te::test

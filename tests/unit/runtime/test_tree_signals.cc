#include "runtime/tree_signals.h"

#include <sys/prctl.h>

#include "../support.h"

using namespace te;
using test::eventually;
using test::in_child;
using test::Pipe;
using test::Program;
using test::Tidy;

namespace {

bool become_subreaper() { return ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0; }

/// Reaps all that have ended; true when there is nobody left.
bool all_gone() {
  for (;;) {
    const Result<std::optional<sys::ChildEnd>> end = sys::reap_child(-1);
    if (!end) return end.error().code == ECHILD;
    if (!*end) return false;
  }
}

constexpr const char* kPath = "PATH=/bin:/usr/bin";

}  // namespace

TEST_CASE_FIXTURE(Tidy, "tree: TERM reaches other sessions and the group of main") {
  CHECK(in_child([]() -> std::string {
          MUST(become_subreaper());
          const Program main({"/usr/bin/setsid", "sh", "-c", "sleep 1000 & setsid sleep 1000 & sleep 1000"}, {kPath});
          MUST(eventually([&] { return sys::count_descendants(main.pid(), 100) == 3; }));
          TreeSignals signals;
          signals.begin(main.pid());
          MUST(eventually([&] {
            signals.again();
            return all_gone();
          }));
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "tree: TERM comes once, and not to what a handler forks to clean up") {
  CHECK(in_child([]() -> std::string {
          MUST(become_subreaper());
          Pipe output;
          const sys::FdMap fds[] = {{output.in.get(), 1}};
          const Program main(
              {"/bin/sh", "-c",
               "trap 'echo term; sleep 1000 & cleaner=$!; echo $cleaner; wait $cleaner; echo cut $?' TERM;"
               "echo ready; while :; do sleep 1000 & wait $!; done"},
              {kPath}, fds);
          output.in.reset();
          const auto line = [&] {
            std::string text;
            char byte = 0;
            while (::read(output.out.get(), &byte, 1) == 1 && byte != '\n') text += byte;
            return text;
          };
          MUST(line() == "ready");
          MUST(eventually([&] { return sys::count_descendants(main.pid(), 100) == 1; }));
          TreeSignals signals;
          signals.begin(0);
          MUST(line() == "term");
          const int32_t cleaner = std::atoi(line().c_str());
          for (int i = 0; i < 5; ++i) signals.again();
          const std::optional<sys::ProcStat> stat = sys::read_stat(cleaner);
          MUST(stat && stat->state != 'Z');
          // A second TERM to the shell would have interrupted its wait, and a TERM to the cleaner ended it.
          MUST(eventually([&] {
            signals.kill(0);
            return all_gone();
          }));
          MUST(test::read_to_end(output.out.get()).empty());
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "tree: KILL ends what ignores TERM, however it is nested") {
  CHECK(in_child([]() -> std::string {
          MUST(become_subreaper());
          const Program main(
              {"/bin/sh", "-c", "trap '' TERM; setsid sh -c 'sleep 1000 & setsid sleep 1000 & wait' & sleep 1000"},
              {kPath});
          MUST(eventually([&] { return sys::count_descendants(main.pid(), 100) == 4; }));
          TreeSignals signals;
          signals.begin(0);
          signals.again();
          MUST(sys::count_descendants(main.pid(), 100) == 4);
          MUST(eventually([&] {
            signals.kill(0);
            return all_gone();
          }));
          return {};
        }) == "");
}

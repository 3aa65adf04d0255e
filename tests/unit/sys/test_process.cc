#include "sys/process.h"
#include "sys/process_environment.h"

#include <linux/capability.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <cstring>
#include <span>
#include <thread>

#include "../support.h"
#include "sys/credentials.h"

using namespace te;
using test::end_of;
using test::eventually;
using test::in_child;
using test::Pipe;
using test::Program;
using test::TempDir;
using test::Tidy;

namespace {

struct Found {
  int32_t pid;
  int32_t parent;
};

std::vector<Found> descendants_of(int32_t root) {
  struct Collector final : sys::DescendantVisitor {
    std::vector<Found> found;
    void visit(int pidfd, const sys::ProcStat& stat) override {
      if (pidfd >= 0 && stat.state != 'Z') found.push_back({stat.id.pid, stat.parent});
    }
  } collector;
  sys::visit_descendants(root, collector);
  return std::move(collector.found);
}

/// Kills and reaps all descendants of a subreaper: those that are missed come to it as orphans.
bool kill_all() {
  struct Killer final : sys::DescendantVisitor {
    void visit(int pidfd, const sys::ProcStat&) override { (void)sys::send_signal(pidfd, SIGKILL).ok(); }
  } killer;
  return eventually([&] {
    sys::visit_descendants(::getpid(), killer);
    for (;;) {
      const Result<std::optional<sys::ChildEnd>> end = sys::reap_child(-1);
      if (!end) return end.error().code == ECHILD;
      if (!*end) return false;
    }
  });
}

bool become_subreaper() { return ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0; }

/// A number that no process has: that of a child that was reaped a moment ago.
int32_t gone_pid() {
  const Program program({"/bin/true"});
  end_of(program.pidfd());
  return program.pid();
}

}  // namespace

TEST_CASE_FIXTURE(Tidy, "pidfd: of a process that is there, and of none") {
  const Result<Fd> self = sys::open_pidfd(::getpid());
  REQUIRE(self);
  CHECK((::fcntl(self->get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(sys::open_pidfd(gone_pid()).error().code == ESRCH);
  CHECK(sys::open_pidfd(0).error().code == EINVAL);
  CHECK(sys::open_pidfd(-1).error().code == EINVAL);
}

TEST_CASE_FIXTURE(Tidy, "the running program can be opened") {
  const Result<Fd> self = sys::open_self();
  REQUIRE(self);
  char magic[4] = {};
  CHECK(*sys::read_at(self->get(), magic, 4, 0) == 4);
  CHECK(std::memcmp(magic,
                    "\x7f"
                    "ELF",
                    4) == 0);
}

TEST_CASE_FIXTURE(Tidy, "signal by pidfd: delivered, and no error once the process has gone") {
  const Program program({"/bin/sleep", "1000"});
  CHECK(sys::send_signal(program.pidfd(), SIGTERM));
  const sys::ChildEnd end = end_of(program.pidfd());
  CHECK(WIFSIGNALED(end.status));
  CHECK(WTERMSIG(end.status) == SIGTERM);
  CHECK(sys::send_signal(program.pidfd(), SIGTERM));
  const Result<Fd> self = sys::open_pidfd(::getpid());
  CHECK(sys::send_signal(self->get(), 999).error().code == EINVAL);
  CHECK(!sys::send_signal(-1, SIGTERM));
}

TEST_CASE_FIXTURE(Tidy, "open_process: only that very process") {
  const Program program({"/bin/sleep", "1000"});
  const std::optional<sys::ProcStat> stat = sys::read_stat(program.pid());
  REQUIRE(stat);
  CHECK(stat->id.pid == program.pid());
  CHECK(sys::open_process(stat->id)->valid());
  ProcessId other = stat->id;
  ++other.start_ticks;
  const Result<Fd> stranger = sys::open_process(other);
  REQUIRE(stranger);
  CHECK(!stranger->valid());
  for (const int32_t pid : {gone_pid(), 0, -1}) {
    const Result<Fd> none = sys::open_process({pid, stat->id.start_ticks});
    REQUIRE(none);
    CHECK(!none->valid());
  }
}

TEST_CASE_FIXTURE(Tidy, "reap: not yet, once, and never again") {
  const Program program({"/bin/cat"}, {}, {});
  {
    const Program sleeper({"/bin/sleep", "1000"});
    CHECK(!sys::reap(sleeper.pidfd())->has_value());
  }
  (void)sys::send_signal(program.pidfd(), SIGKILL).ok();
  end_of(program.pidfd());
  CHECK(sys::reap(program.pidfd()).error().code == ECHILD);
  const Result<Fd> parent = sys::open_pidfd(::getppid() > 0 ? ::getppid() : 1);
  if (parent) CHECK(sys::reap(parent->get()).error().code == ECHILD);
}

TEST_CASE_FIXTURE(Tidy, "reap_child: whoever has ended, and ECHILD when there is nobody") {
  CHECK(in_child([]() -> std::string {
          MUST(sys::reap_child(-1).error().code == ECHILD);
          const Program sleeper({"/bin/sleep", "1000"});
          MUST(!sys::reap_child(-1)->has_value());
          const Program other({"/bin/sh", "-c", "exit 3"});
          std::optional<sys::ChildEnd> end;
          MUST(eventually([&] { return (end = *sys::reap_child(-1)).has_value(); }));
          MUST(end->pid == other.pid());
          MUST(end->status == 3 << 8);
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "reap_child: the stops of a child that has asked to be traced are no ends") {
  CHECK(in_child([]() -> std::string {
          const pid_t pid = ::fork();
          if (pid == 0) {
            ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
            ::signal(SIGUSR1, [](int) {});
            ::raise(SIGUSR1);
            ::execl("/bin/sh", "sh", "-c", "kill -TERM $$", nullptr);
            ::_exit(99);
          }
          MUST(!sys::child_has_ended(pid));
          std::optional<sys::ChildEnd> end;
          int stops = 0;
          MUST(eventually([&] {
            end = *sys::reap_child(-1);
            stops += end && end->pid == 0 ? 1 : 0;
            return end && end->pid != 0;
          }));
          MUST(stops == 1);  // it is not traced any more then
          MUST(end->pid == pid);
          MUST(end->status == SIGTERM);
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "a child that has ended, and was exec'd") {
  const Program sleeper({"/bin/sleep", "1000"});
  CHECK(!sys::child_has_ended(sleeper.pid()));
  CHECK(eventually([&] { return sys::read_stat(sleeper.pid())->execed; }));
  const Program program({"/bin/true"});
  CHECK(eventually([&] { return sys::child_has_ended(program.pid()); }));
  CHECK(sys::child_has_ended(program.pid()));  // it is not reaped
  CHECK(sys::read_stat(program.pid())->execed);
  const pid_t forked = ::fork();
  if (forked == 0) ::_exit(0);
  CHECK(eventually([&] { return sys::child_has_ended(forked); }));
  CHECK(!sys::read_stat(forked)->execed);
  sys::wait_child(forked);
  CHECK(sys::child_has_ended(forked));
  CHECK(!sys::open_hidden_process(sleeper.pid()).valid());  // /proc shows it
  CHECK(!sys::open_hidden_process(forked).valid());
}

TEST_CASE_FIXTURE(Tidy, "wait_child waits and forgets") {
  const Program program({"/bin/true"});
  sys::wait_child(program.pid());
  CHECK(sys::reap(program.pidfd()).error().code == ECHILD);
}

TEST_CASE_FIXTURE(Tidy, "stat: of ourselves, of a zombie, of nobody") {
  const std::optional<sys::ProcStat> self = sys::read_stat(::getpid());
  REQUIRE(self);
  CHECK(self->id.pid == ::getpid());
  CHECK(self->id.start_ticks > 0);
  CHECK(self->parent == ::getppid());
  CHECK(self->group == ::getpgrp());
  CHECK(self->state == 'R');
  CHECK(!sys::read_stat(gone_pid()));
  const Program program({"/bin/true"});
  CHECK(eventually([&] { return sys::read_stat(program.pid())->state == 'Z'; }));
}

TEST_CASE_FIXTURE(Tidy, "stat: a name can't pass for other fields") {
  for (const char* name : {"a) R 1 (b", ") Z 1 1", "x y", "((((", "))))", "\n) R 9"}) {
    CAPTURE(std::string(name));
    CHECK(in_child([&]() -> std::string {
            const std::optional<sys::ProcStat> before = sys::read_stat(::getpid());
            MUST(::prctl(PR_SET_NAME, name, 0, 0, 0) == 0);
            const std::optional<sys::ProcStat> stat = sys::read_stat(::getpid());
            MUST(stat.has_value());
            MUST(stat->id == before->id);
            MUST(stat->parent == ::getppid());
            MUST(stat->group == ::getpgrp());
            MUST(stat->state == 'R');
            return {};
          }) == "");
  }
}

TEST_CASE_FIXTURE(Tidy, "newest pid: that of the child made last, or a later one's") {
  const Program program({"/bin/true"});
  const int32_t newest = sys::newest_pid();
  CHECK(newest > 0);
  if (newest < program.pid()) return test::skip("pids began anew just now");
  end_of(program.pidfd());
}

TEST_CASE_FIXTURE(Tidy, "descendants: whole trees, other sessions too, parents first") {
  CHECK(in_child([]() -> std::string {
          MUST(become_subreaper());
          // The shells stay because they wait; the inner ones are leaders of sessions of their own.
          const Program tree(
              {"/bin/sh", "-c",
               "sleep 1000 & setsid sh -c 'sleep 1000 & setsid sh -c \"sleep 1000 & wait\" & wait' & wait"},
              {"PATH=/bin:/usr/bin"});
          std::vector<Found> found;
          MUST(eventually([&] { return (found = descendants_of(tree.pid())).size() >= 5; }));
          std::set<int32_t> seen = {tree.pid()};
          for (const Found& one : found) {
            MUST(seen.contains(one.parent));
            seen.insert(one.pid);
          }
          MUST(!seen.contains(::getpid()));
          MUST(sys::count_descendants(tree.pid(), 100) >= 5);
          MUST(sys::count_descendants(::getpid(), 100) == sys::count_descendants(tree.pid(), 100) + 1);
          MUST(kill_all());
          MUST(sys::count_descendants(tree.pid(), 100) == 0);
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "descendants: orphans come to a subreaper, zombies do not count") {
  CHECK(in_child([]() -> std::string {
          MUST(become_subreaper());
          const Program parent({"/bin/sh", "-c", "setsid sh -c 'sleep 1000 & exit' & wait"}, {"PATH=/bin:/usr/bin"});
          MUST(eventually([&] { return sys::read_stat(parent.pid())->state == 'Z'; }));
          MUST(eventually([&] {
            const std::vector<Found> found = descendants_of(::getpid());
            return found.size() == 1 && found[0].parent == ::getpid();
          }));
          MUST(sys::count_descendants(parent.pid(), 100) == 0);
          MUST(kill_all());
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "descendants: of nobody there are none") {
  CHECK(sys::count_descendants(gone_pid(), 100) == 0);
  CHECK(descendants_of(gone_pid()).empty());
}

TEST_CASE_FIXTURE(Tidy, "marked: whoever has the variable in its environment, by name and value") {
  const std::string name = "UNIT_MARK_" + std::to_string(::getpid());
  const std::string marked = name + "=one";
  const std::string longer = name + "X=two";
  const std::string late = "OTHER=1";
  const std::string empty = name + "=";
  const Program a({"/bin/sleep", "1000"}, {late.c_str(), marked.c_str()});
  const Program b({"/bin/sleep", "1000"}, {longer.c_str()});
  const Program c({"/bin/sleep", "1000"}, {empty.c_str()});
  const Program d({"/bin/sleep", "1000"}, {(name.c_str())});
  struct Collector final : sys::MarkVisitor {
    std::multiset<std::string> values;
    void visit(int pidfd, std::string_view value) override {
      values.emplace(value);
      if (value == "one") (void)sys::send_signal(pidfd, SIGKILL).ok();
    }
  } collector;
  CHECK(sys::visit_marked(name, collector));
  CHECK(collector.values == std::multiset<std::string>{"one", ""});
  const sys::ChildEnd end = end_of(a.pidfd());  // the pidfd was that process's
  CHECK(WIFSIGNALED(end.status));
  collector.values.clear();
  CHECK(sys::visit_marked(name, collector));
  CHECK(collector.values == std::multiset<std::string>{""});
}

TEST_CASE_FIXTURE(Tidy, "marked: for want of descriptors nobody is missed in silence") {
  CHECK(in_child([]() -> std::string {
          const Program program({"/bin/sleep", "1000"}, {"UNIT_SHORT=x"});
          struct Finder final : sys::MarkVisitor {
            bool found = false;
            void visit(int, std::string_view) override { found = true; }
          } finder;
          const int lowest = ::dup(0);
          ::close(lowest);
          bool whole = false;
          for (rlim_t more = 0; more < 16 && !whole; ++more) {
            const rlimit limit{static_cast<rlim_t>(lowest) + more, 1024};
            MUST(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
            finder.found = false;
            whole = sys::visit_marked("UNIT_SHORT", finder).ok();
            MUST(!whole || finder.found);
          }
          MUST(whole);
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "marked: the caller itself is left out, a mark is inherited") {
  CHECK(in_child([]() -> std::string {
          struct Counter final : sys::MarkVisitor {
            int count = 0;
            void visit(int, std::string_view) override { ++count; }
          } counter;
          MUST(become_subreaper());
          const std::string name = "UNIT_TREE_" + std::to_string(::getpid());
          const std::string entry = name + "=x";
          const Program tree({"/bin/sh", "-c", "setsid sleep 1000 & wait"}, {"PATH=/bin:/usr/bin", entry.c_str()});
          MUST(eventually([&] {
            counter.count = 0;
            return sys::visit_marked(name, counter).ok() && counter.count == 2;
          }));
          MUST(kill_all());
          return {};
        }) == "");
}

TEST_CASE("process: how another one's child ended, while it is not reaped and afterwards") {
  for (const bool killed : {false, true}) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      if (killed) ::raise(SIGKILL);
      ::_exit(7);
    }
    const Fd pidfd = sys::open_pidfd(pid).value();
    const std::optional<int32_t> expected = killed ? 9 : 7 << 8;
    CHECK(sys::wait_status_of(pidfd.get(), pid, sys::mono_now() + test::kPatience) == expected);
    sys::wait_child(pid);
    // Where the kernel does not remember, nothing is made up.
    const std::optional<int32_t> afterwards = sys::wait_status_of(pidfd.get(), pid, sys::mono_now());
    CHECK((!afterwards || afterwards == expected));
  }
  const Fd self = sys::open_pidfd(::getpid()).value();
  CHECK(!sys::wait_status_of(self.get(), ::getpid(), 0));
}

TEST_CASE("process: a leader that ended before its other threads has not ended the process") {
  Pipe go;
  const pid_t pid = ::fork();
  if (pid == 0) {
    go.in.reset();
    std::thread([&] {
      (void)test::read_to_end(go.out.get());
      ::_exit(7);
    }).detach();
    ::syscall(SYS_exit, 0);
  }
  const Fd pidfd = sys::open_pidfd(pid).value();
  REQUIRE(eventually([&] {
    const std::optional<sys::ProcStat> stat = sys::read_stat(pid);
    return stat && stat->state == 'Z';
  }));
  CHECK(!sys::wait_status_of(pidfd.get(), pid, sys::mono_now()));
  go.in.reset();
  CHECK(sys::wait_status_of(pidfd.get(), pid, sys::mono_now() + test::kPatience) == 7 << 8);
  sys::wait_child(pid);
}

TEST_CASE("process: a status that /proc hides from us is none") {
  if (!test::is_root()) return test::skip("processes of two users");
  CHECK(in_child([]() -> std::string {
          const pid_t pid = ::fork();
          if (pid == 0) ::_exit(::setresuid(65534, 65534, 65534) == 0 ? 7 : 8);
          const Fd pidfd = sys::open_pidfd(pid).value();
          MUST(sys::wait_status_of(pidfd.get(), pid, sys::mono_now() + test::kPatience) == 7 << 8);
          sys::Credentials no_ptrace;
          no_ptrace.drop = uint64_t{1} << CAP_SYS_PTRACE;
          MUST(sys::take_on(no_ptrace));
          MUST(!sys::wait_status_of(pidfd.get(), pid, sys::mono_now()));
          sys::wait_child(pid);
          const std::optional<int32_t> afterwards = sys::wait_status_of(pidfd.get(), pid, sys::mono_now());
          MUST(!afterwards || afterwards == 7 << 8);
          return {};
        }) == "");
}

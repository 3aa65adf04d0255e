#include "reactor/child.h"

#include <memory>

#include "../support.h"

using namespace te;
using test::Pipe;
using test::Program;
using test::Tidy;

namespace {

struct OnEnd final : ChildHandler {
  void on_child_end(Child& child, const std::optional<sys::ChildEnd>& ended) override {
    ++calls;
    pid = child.pid();
    end = ended;
    if (owned) owned.reset();
  }
  int calls = 0;
  int32_t pid = 0;
  std::optional<sys::ChildEnd> end;
  std::unique_ptr<Child> owned;
};

void turn_until_called(Reactor& reactor, const OnEnd& handler) {
  while (handler.calls == 0) REQUIRE(reactor.turn(true));
}

}  // namespace

TEST_CASE_FIXTURE(Tidy, "child: its end is an event, and it has been reaped") {
  Reactor reactor = std::move(Reactor::create()).value();
  OnEnd handler;
  Program program({"/bin/sh", "-c", "exit 42"});
  Child child(program.take_pidfd(), program.pid(), handler);
  CHECK(child.pid() == program.pid());
  REQUIRE(child.start(reactor));
  turn_until_called(reactor, handler);
  REQUIRE(handler.end);
  CHECK(handler.end->pid == program.pid());
  CHECK(WEXITSTATUS(handler.end->status) == 42);
  CHECK(::waitpid(program.pid(), nullptr, WNOHANG) == -1);
  CHECK(reactor.turn(false));
  CHECK(handler.calls == 1);
}

TEST_CASE_FIXTURE(Tidy, "child: nothing is told while it lives; signals reach it") {
  Reactor reactor = std::move(Reactor::create()).value();
  OnEnd handler;
  Program program({"/bin/sleep", "1000"});
  Child child(program.take_pidfd(), program.pid(), handler);
  REQUIRE(child.start(reactor));
  CHECK(reactor.turn(false));
  CHECK(handler.calls == 0);
  CHECK(child.signal(SIGTERM));
  turn_until_called(reactor, handler);
  CHECK(WTERMSIG(handler.end->status) == SIGTERM);
  CHECK(child.signal(SIGTERM));  // gone: no error
}

TEST_CASE_FIXTURE(Tidy, "child: one that ended before it was watched, destroyed in its own handler") {
  Reactor reactor = std::move(Reactor::create()).value();
  OnEnd handler;
  Program program({"/bin/true"});
  REQUIRE(test::eventually([&] { return sys::read_stat(program.pid())->state == 'Z'; }));
  handler.owned = std::make_unique<Child>(program.take_pidfd(), program.pid(), handler);
  REQUIRE(handler.owned->start(reactor));
  turn_until_called(reactor, handler);
  CHECK(handler.end->status == 0);
  CHECK(!handler.owned);
}

TEST_CASE_FIXTURE(Tidy, "child: destroyed while it lives, it is left alone") {
  Reactor reactor = std::move(Reactor::create()).value();
  OnEnd handler;
  Program program({"/bin/sleep", "1000"});
  {
    Child child(program.take_pidfd(), program.pid(), handler);
    REQUIRE(child.start(reactor));
  }
  CHECK(reactor.turn(false));
  CHECK(handler.calls == 0);
  CHECK(sys::read_stat(program.pid())->state != 'Z');
}

TEST_CASE_FIXTURE(Tidy, "child: of somebody else, only that it has ended") {
  Reactor reactor = std::move(Reactor::create()).value();
  OnEnd handler;
  Pipe output;
  const sys::FdMap fds[] = {{output.in.get(), 1}};
  const Program shell({"/bin/sh", "-c", "sleep 1000 >/dev/null & echo $!; exec >/dev/null; wait"},
                      {"PATH=/bin:/usr/bin"}, fds);
  output.in.reset();
  const int32_t pid = std::atoi(test::read_to_end(output.out.get()).c_str());
  REQUIRE(pid > 0);
  Result<Fd> pidfd = sys::open_pidfd(pid);
  REQUIRE(pidfd);
  Child grandchild(std::move(pidfd).value(), pid, handler);
  REQUIRE(grandchild.start(reactor));
  CHECK(grandchild.signal(SIGKILL));
  turn_until_called(reactor, handler);
  CHECK(handler.pid == pid);
  CHECK(!handler.end.has_value());
  CHECK(test::eventually([&] { return sys::reap(shell.pidfd())->has_value(); }));
}

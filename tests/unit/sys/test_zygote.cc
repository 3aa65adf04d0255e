#include "sys/zygote.h"

#include <sys/socket.h>

#include "../support.h"
#include "sys/supervise.h"
#include "test_zygote.h"

using namespace te;
using test::end_of;
using test::eventually;
using test::Pipe;
using test::Tidy;

namespace te::test {

// Tells through its descriptor 3 what it is, and what can be read from its descriptor 4.
int run_zygote_child() {
  std::string said;
  for (const char* file : {"/proc/self/cmdline", "/proc/self/fd/4"}) {
    const Fd from(::open(file, O_RDONLY | O_CLOEXEC));
    said += read_to_end(from.get()) + "|";
  }
  for (int fd = 0; fd < 5; ++fd) {
    const int flags = ::fcntl(fd, F_GETFD);
    if (flags >= 0) said += std::to_string(fd) + (flags == FD_CLOEXEC ? "c " : " ");
  }
  said += "parent " + std::to_string(::getppid());
  sigset_t pending;
  ::sigpending(&pending);
  said += ::sigismember(&pending, SIGUSR1) == 1 ? " USR1" : " none";
  return ::write(3, said.data(), said.size()) == static_cast<ssize_t>(said.size()) ? 7 : 1;
}

}  // namespace te::test

namespace {

struct World : Tidy {
  Fd self = sys::open_self().value();
  sys::Spawner spawner;
  Fd null = Fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  sys::Attached zygote = sys::spawn_zygote(spawner, self.get(), null.get(), test::kZygoteName).value();

  // It ends with its channel, and by itself.
  int end_zygote() {
    zygote.channel.reset();
    const int status = end_of(zygote.process.pidfd.get()).status;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  sys::Attached next() {
    sys::Attached out;
    CHECK(eventually([&] {
      Result<std::optional<sys::Attached>> child = sys::next_child(zygote.channel.get());
      if (!child || !*child) return false;
      out = std::move(**child);
      return true;
    }));
    return out;
  }

  sys::Attached make() {
    CHECK(sys::ask_zygote(zygote.channel.get()));
    return next();
  }
};

}  // namespace

TEST_CASE_FIXTURE(World, "zygote: a child is the caller's own, and has what it is given and nothing else") {
  CHECK(sys::next_child(zygote.channel.get()).value() == std::nullopt);
  const sys::Attached child = make();
  CHECK(child.process.pid > 0);
  CHECK(child.process.pid != zygote.process.pid);
  Pipe output;
  const Fd text = sys::make_memfd("text", "given").value();
  CHECK(sys::give_to_child(child.channel.get(), {output.in.get(), text.get()}, "a.name"));
  output.in.reset();
  const std::string said = test::read_to_end(output.out.get());
  CHECK(said.starts_with(std::string("test-zygote-child\0a.name\0", 25)));
  CHECK(said.find_first_not_of('\0', 25) == said.find('|'));  // no word of the zygote's is left
  CHECK(said.substr(said.find('|')) == "|given|0 1 2 3c 4c parent " + std::to_string(::getpid()) + " none");
  const sys::ChildEnd end = end_of(child.process.pidfd.get());
  CHECK(end.pid == child.process.pid);
  CHECK(WEXITSTATUS(end.status) == 7);
  CHECK(end_zygote() == 0);
}

TEST_CASE_FIXTURE(World, "zygote: what strangers sent before the gift is forgotten, what the parent sent is not") {
  for (const bool own : {false, true}) {
    const sys::Attached child = make();
    if (own) {
      CHECK(sys::send_signal(child.process.pidfd.get(), SIGUSR1));
    } else {
      CHECK(test::status_of_child([&] { return ::kill(child.process.pid, SIGUSR1); }) == 0);
    }
    Pipe output;
    const Fd text = sys::make_memfd("text", "").value();
    CHECK(sys::give_to_child(child.channel.get(), {output.in.get(), text.get()}, "a"));
    output.in.reset();
    const std::string said = test::read_to_end(output.out.get());
    CHECK(said.ends_with(own ? " USR1" : " none"));
    end_of(child.process.pidfd.get());
  }
  CHECK(end_zygote() == 0);
}

TEST_CASE_FIXTURE(World, "zygote: the longest name there is has room") {
  const sys::Attached child = make();
  Pipe output;
  const Fd text = sys::make_memfd("text", "").value();
  const std::string name(253, 'n');
  CHECK(sys::give_to_child(child.channel.get(), {output.in.get(), text.get()}, name));
  output.in.reset();
  CHECK(test::read_to_end(output.out.get()).starts_with(std::string("test-zygote-child\0", 18) + name + '\0'));
  end_of(child.process.pidfd.get());
  CHECK(end_zygote() == 0);
}

TEST_CASE_FIXTURE(World, "zygote: children that nothing is given to end with their channels, others stay") {
  for (int i = 0; i < 3; ++i) CHECK(sys::ask_zygote(zygote.channel.get()));
  sys::Attached first = next();
  sys::Attached second = next();
  const sys::Attached third = next();
  second.channel.reset();
  CHECK(end_of(second.process.pidfd.get()).status == 0);
  // The zygote's own end is no end of its children.
  CHECK(end_zygote() == 0);
  Pipe output;
  const Fd text = sys::make_memfd("text", "still here").value();
  CHECK(sys::give_to_child(third.channel.get(), {output.in.get(), text.get()}, "third"));
  output.in.reset();
  CHECK(test::read_to_end(output.out.get()).find("|still here|") != std::string::npos);
  end_of(third.process.pidfd.get());
  first.channel.reset();
  CHECK(end_of(first.process.pidfd.get()).status == 0);
}

TEST_CASE_FIXTURE(World, "zygote: one that was killed is told from one that is slow, and so is its child") {
  const sys::Attached child = make();
  CHECK(::kill(child.process.pid, SIGKILL) == 0);
  CHECK(WTERMSIG(end_of(child.process.pidfd.get()).status) == SIGKILL);
  const Fd text = sys::make_memfd("text", "").value();
  CHECK_FALSE(sys::give_to_child(child.channel.get(), {null.get(), text.get()}, "late"));

  CHECK(::kill(zygote.process.pid, SIGSTOP) == 0);
  CHECK(sys::ask_zygote(zygote.channel.get()));
  CHECK(sys::next_child(zygote.channel.get()).value() == std::nullopt);
  CHECK(::kill(zygote.process.pid, SIGKILL) == 0);
  end_of(zygote.process.pidfd.get());
  const Result<std::optional<sys::Attached>> none = sys::next_child(zygote.channel.get());
  REQUIRE_FALSE(none);
  CHECK(none.error().code == EPIPE);
  CHECK_FALSE(sys::ask_zygote(zygote.channel.get()));
}

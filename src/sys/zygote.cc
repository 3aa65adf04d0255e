#include "sys/zygote.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace te::sys {

namespace {

constexpr int kChannelFd = 3;
constexpr int kFirstGivenFd = 3;
constexpr size_t kNameRoom = 280;   ///< "task-supervisor" and the longest name of a task
constexpr size_t kDescriptors = 2;  ///< in each message: a child's channel and pidfd; what it is given
static_assert(kDescriptors == kGivenToChild);

struct Message {
  std::array<char, kNameRoom> text;
  size_t size = 0;
  std::array<Fd, kDescriptors> fds;
  bool whole = false;  ///< with all its descriptors
};

union Control {
  cmsghdr header;
  char bytes[CMSG_SPACE(kDescriptors * sizeof(int))];
};

bool send_message(int socket, std::string_view text, const std::array<int, kDescriptors>* fds) {
  iovec part = {const_cast<char*>(text.data()), text.size()};
  Control control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fds != nullptr) {
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof *fds);
    std::memcpy(CMSG_DATA(&control.header), fds->data(), sizeof *fds);
  }
  ssize_t n = 0;
  do n = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  return n >= 0;
}

/// Bytes; 0: the other side has gone; less: none now, or no memory for it.
ssize_t receive_message(int socket, Message& into, int flags) {
  iovec part = {into.text.data(), into.text.size()};
  Control control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  ssize_t n = 0;
  do n = ::recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0) return errno == EAGAIN || errno == ENOMEM || errno == ENOBUFS ? n : 0;
  into.size = static_cast<size_t>(n);
  size_t count = 0;
  for (cmsghdr* at = CMSG_FIRSTHDR(&message); at != nullptr; at = CMSG_NXTHDR(&message, at)) {
    std::array<int, kDescriptors> fds;
    const size_t bytes = std::min(at->cmsg_len - CMSG_LEN(0), sizeof fds);
    std::memcpy(fds.data(), CMSG_DATA(at), bytes);
    for (; count < bytes / sizeof(int); ++count) into.fds[count] = Fd(fds[count]);
  }
  into.whole = count == kDescriptors;
  return n;
}

/// The words of the command line, over those that main was called with; what is left of their room is empty.
void set_command_line(int argc, char** argv, std::string_view first, std::string_view second) {
  char* const end = argv[argc - 1] + std::strlen(argv[argc - 1]);
  char* at = argv[0];
  for (const std::string_view word : {first, second}) {
    const size_t size = std::min(word.size(), static_cast<size_t>(end - at));
    std::memcpy(at, word.data(), size);
    at += size;
    if (at < end) *at++ = '\0';
  }
  std::memset(at, 0, static_cast<size_t>(end - at));
}

/// What strangers have sent while there was no task is not meant for it. The agent's own may have come already.
void forget_signals_of_strangers() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGUSR1);
  const timespec now{};
  siginfo_t info{};
  bool keep_term = false;
  bool keep_usr1 = false;
  for (int number = 0; (number = ::sigtimedwait(&set, &info, &now)) > 0;) {
    if (info.si_pid == ::getppid()) (number == SIGTERM ? keep_term : keep_usr1) = true;
  }
  if (keep_term) ::kill(::getpid(), SIGTERM);
  if (keep_usr1) ::kill(::getpid(), SIGUSR1);
}

/// A child's way to what it is there for.
ZygoteEnd await_gift(const Fd& channel, int argc, char** argv, std::string_view called) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0UL, 0UL, 0UL);  // if somebody has stopped it, the end of its channel does nothing
  Message message;
  if (receive_message(channel.get(), message, 0) <= 0) return ZygoteEnd::kOver;
  if (!message.whole) return ZygoteEnd::kNotWhole;
  for (size_t i = 0; i < message.fds.size(); ++i) {
    if (::dup3(message.fds[i].get(), kFirstGivenFd + static_cast<int>(i), O_CLOEXEC) < 0) return ZygoteEnd::kNotWhole;
  }
  ::prctl(PR_SET_PDEATHSIG, 0UL, 0UL, 0UL, 0UL);
  forget_signals_of_strangers();
  set_command_line(argc, argv, called, {message.text.data(), message.size});
  return ZygoteEnd::kGiven;
}

}  // namespace

// Its command line has room for its children's: empty words, which nobody sees.
Result<Attached> spawn_zygote(Spawner& spawner, int exe, int null, const char* name) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return system_error("socketpair");
  Attached zygote;
  zygote.channel = Fd(ends[0]);
  const Fd there(ends[1]);
  std::array<const char*, kNameRoom + 1> argv;
  argv.fill("");
  argv.front() = name;
  argv.back() = nullptr;
  const std::array<const char*, 1> envp = {nullptr};
  const std::array<FdMap, 5> fds = {
      {{null, 0}, {null, 1}, {null, 2}, {there.get(), kChannelFd}, {null, kFirstGivenFd + 1}}};
  zygote.process = TRY(spawner.start({exe, argv.data(), envp.data(), fds}));
  return zygote;
}

bool ask_zygote(int channel) { return send_message(channel, "c", nullptr); }

Result<std::optional<Attached>> next_child(int channel) {
  Message message;
  const ssize_t n = receive_message(channel, message, MSG_DONTWAIT);
  if (n < 0) return std::optional<Attached>();
  Attached child;
  if (n != sizeof child.process.pid) return system_error("zygote", {}, EPIPE);
  std::memcpy(&child.process.pid, message.text.data(), sizeof child.process.pid);
  child.channel = std::move(message.fds[0]);
  child.process.pidfd = std::move(message.fds[1]);
  return std::optional<Attached>(std::move(child));
}

bool give_to_child(int channel, const std::array<int, kGivenToChild>& fds, std::string_view name) {
  return send_message(channel, name, &fds);
}

ZygoteEnd serve_as_zygote(int argc, char** argv, std::string_view called) {
  ::prctl(PR_SET_NAME, argv[0], 0UL, 0UL, 0UL);
  ::prctl(PR_SET_DUMPABLE, 0UL, 0UL, 0UL, 0UL);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0UL, 0UL, 0UL);
  for (;;) {
    Message wish;
    if (receive_message(kChannelFd, wish, 0) <= 0) return ZygoteEnd::kOver;
    int ends[2] = {-1, -1};
    int pidfd = -1;
    long pid = -1;
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0) {
      pid = ::syscall(SYS_clone, CLONE_PARENT | CLONE_PIDFD | SIGCHLD, nullptr, &pidfd, nullptr, nullptr);
    }
    Fd here(ends[0]);
    Fd there(ends[1]);
    if (pid == 0) {
      here.reset();
      ::dup3(STDIN_FILENO, kChannelFd, O_CLOEXEC);  // it is the zygote's alone, so that its end is seen
      return await_gift(there, argc, argv, called);
    }
    there.reset();  // before anybody knows of the child: what is sent to a dead one must not lie in its socket
    const Fd handle(pidfd);
    const auto number = static_cast<int32_t>(std::max(pid, 0L));
    const std::array<int, kDescriptors> fds = {here.get(), handle.get()};
    if (!send_message(kChannelFd, {reinterpret_cast<const char*>(&number), sizeof number}, pid > 0 ? &fds : nullptr)) {
      return ZygoteEnd::kOver;
    }
  }
}

}  // namespace te::sys

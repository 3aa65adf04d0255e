"""What is made to go wrong: a kill at a system call, or an error from one. And which errors which call can give."""

import dataclasses
import errno
import shlex

# Of files: the disk is full, broken, or has become read-only.
DISK = ("ENOSPC", "EIO")
DESCRIPTORS = ("EMFILE", "ENFILE")
# Errors that the kernel can give where the program calls (man 2); calls that can't fail there are left out. All signals
# are blocked, so EINTR comes only where a SIGCONT brings it (signal(7)) or a file system does: not from wait4 or poll.
ERRNOS = {
    "accept4": ("EMFILE", "ENFILE", "ECONNABORTED", "ENOMEM", "EPROTO"),
    "bind": ("EADDRINUSE", "EACCES"),
    "brk": ("ENOMEM",),
    "capset": ("EPERM",),
    "chdir": ("EIO", "EACCES", "ENOMEM"),
    "chroot": ("EPERM", "EIO"),
    "clone": ("EAGAIN", "ENOMEM"),
    "close": ("EIO", "ENOSPC"),
    "close_range": ("ENOSYS",),
    "connect": ("ECONNREFUSED", "EAGAIN", "ENOENT"),
    "dup2": ("EMFILE", "EINTR"),
    "dup3": ("EMFILE", "EINTR"),
    "epoll_create1": (*DESCRIPTORS, "ENOMEM"),
    "epoll_ctl": ("ENOMEM", "ENOSPC"),
    "epoll_wait": ("EINTR",),
    "execve": ("ENOMEM", "EAGAIN", "EIO", "EACCES"),
    "execveat": ("ENOMEM", "EAGAIN", "EIO"),
    "faccessat2": ("EIO", "ENOMEM"),
    "fallocate": ("ENOSPC", "EIO", "EROFS", "EOPNOTSUPP", "EINTR"),
    "fchdir": ("EIO", "EACCES"),
    "fchmod": ("EIO", "EPERM", "EROFS"),
    "fchown": ("EIO", "EPERM", "EROFS"),
    "fcntl": ("EMFILE", "ENOLCK"),
    "flock": ("ENOLCK", "EINTR"),
    "fsync": ("EIO", "ENOSPC", "EDQUOT"),
    "ftruncate": ("EIO", "EROFS", "EINTR"),
    "getcwd": ("ENOENT", "ENOMEM"),
    "getdents64": ("EIO",),
    "getrandom": ("EINTR", "ENOSYS"),
    "getsockname": ("ENOBUFS",),
    "inotify_add_watch": ("ENOSPC", "ENOMEM"),
    "inotify_init1": (*DESCRIPTORS, "ENOMEM"),
    "kill": ("EPERM",),
    "listen": ("EADDRINUSE",),
    "lseek": ("EIO",),
    "memfd_create": (*DESCRIPTORS, "ENOMEM"),
    "mkdir": (*DISK, "EROFS", "EACCES"),
    "mkdirat": (*DISK, "EROFS"),
    "mmap": ("ENOMEM",),
    "munmap": ("ENOMEM",),
    "newfstatat": ("EIO", "ENOMEM"),
    # Not EACCES: a directory that may not be read is put into quarantine, as promised.
    "openat": (*DISK, *DESCRIPTORS, "EROFS", "ENOMEM", "EINTR"),
    "pidfd_open": (*DESCRIPTORS, "ENOMEM"),
    "pidfd_send_signal": ("EPERM",),
    "pipe2": DESCRIPTORS,
    "poll": ("ENOMEM",),
    "prctl": ("EPERM", "EINVAL"),
    "pread64": ("EIO", "EINTR"),
    "prlimit64": ("EPERM",),
    "pwrite64": (*DISK, "EINTR"),
    "read": ("EIO", "EINTR"),
    "readlink": ("EIO", "EACCES"),
    "readlinkat": ("EIO", "EACCES"),
    "recvfrom": ("EINTR", "ECONNRESET"),
    "recvmsg": ("EINTR", "ENOMEM"),
    "renameat": (*DISK, "EROFS", "ENOMEM"),
    "renameat2": (*DISK, "EROFS", "EINVAL"),
    "rt_sigtimedwait": ("EINTR", "EAGAIN"),
    "sendmsg": ("EINTR", "EPIPE", "ENOBUFS"),
    "sendto": ("EINTR", "EPIPE", "ENOBUFS"),
    "sendfile": ("EIO", "ENOMEM"),
    "setgid": ("EPERM",),
    "setgroups": ("EPERM",),
    "setns": ("EPERM",),
    "setpriority": ("EPERM",),
    "setresgid": ("EPERM",),
    "setresuid": ("EPERM", "EAGAIN"),
    "setsid": ("EPERM",),
    "setsockopt": ("ENOMEM",),
    "setuid": ("EPERM", "EAGAIN"),
    "signalfd4": (*DESCRIPTORS, "ENOMEM"),
    "socket": (*DESCRIPTORS, "ENOMEM"),
    "socketpair": (*DESCRIPTORS, "ENOMEM"),
    "timerfd_create": (*DESCRIPTORS, "ENOMEM"),
    "timerfd_settime": ("EINVAL",),
    "unlinkat": ("EIO", "EROFS", "EBUSY"),
    "write": (*DISK, "EINTR"),
}
# From a child it would be a reset by nobody: the kernel tells it when the other end has died with something unread.
NOT_OF_ROLE = {("supervisor", "recvfrom", "ECONNRESET")}
# The kernel closes the descriptor whatever it says (close(2)); a child that was cloned is there.
CARRIED_OUT = {"close"}


@dataclasses.dataclass(frozen=True)
class Fault:
    """One point: a kill when `error` is empty (`when`: before or after the call), else the error of a call."""
    life: str
    role: str
    point: int
    when: str = ""
    call: str = ""
    error: str = ""

    @property
    def kills(self):
        return not self.error

    def tracer_flags(self):
        flags = ["--role", self.role, "--point", str(self.point)]
        if self.call:
            flags += ["--call", self.call]
        if self.kills:
            return flags + ["--when", self.when]
        flags += ["--errno", str(getattr(errno, self.error))]
        return flags + (["--carried-out"] if self.call in CARRIED_OUT else [])

    def replay(self):
        """The arguments of tools/crashpoints/run that run exactly this point again."""
        words = ["--life", self.life, "--role", self.role, "--point", str(self.point)]
        words += ["--call", self.call] if self.call else []
        words += ["--when", self.when] if self.kills else ["--errno", self.error]
        return shlex.join(words)


# The sweeper looks at each process of the machine with the same few calls: so many of them, evenly spread, stand for all.
MOST_OF_SWEEPER = 200


def numbers(role, total):
    step = max(1, total // MOST_OF_SWEEPER) if role == "sweeper" else 1
    return range(1, total + 1, step)


def kills(life, totals):
    """All points of a life whose roles make so many system calls: {role: number}."""
    return [Fault(life, role, n, when) for role, total in sorted(totals.items())
            for n in numbers(role, total) for when in ("before", "after")]


def errors(life, calls):
    """All errors that the calls {(role, name): number} can give."""
    return [Fault(life, role, n, call=name, error=error) for (role, name), total in sorted(calls.items())
            for n in numbers(role, total) for error in ERRNOS.get(name, ())
            if (role, name, error) not in NOT_OF_ROLE]

"""A main container to run tasks in, made by hand: its own namespaces, and a root with one static busybox in it.

As a module: Target(...) starts one. As a program: becomes the container's first process, as its one argument (JSON) says.
"""

import ctypes
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile

from proc import kill_pid

LIBC = ctypes.CDLL(None, use_errno=True)
NAMESPACES = {"mnt": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000,
              "pid": 0x20000000, "net": 0x40000000}
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
PIVOT_ROOT = 155  # x86-64
PR_CAPBSET_DROP, PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 24, 1, 38
APPLETS = ("ls", "cat", "echo", "sleep", "id", "hostname", "env", "pwd", "setsid", "readlink", "true", "false", "kill",
           "touch", "usleep", "ifconfig")


def busybox():
    """A static busybox of this machine, or None."""
    for path in ("/bin/busybox", "/usr/bin/busybox"):
        if os.path.exists(path):
            with open(path, "rb") as f:
                if b"/ld-linux" not in f.read(4096):
                    return path
    return None


class Target:
    """One main container; close() ends it and all that is in its PID namespace."""

    def __init__(self, test, name, root=None, namespaces=("mnt", "pid", "uts", "ipc", "net"), **options):
        self.name = name
        self.own_root = root is None
        self.root = root or self.make_root()
        self.namespaces = namespaces
        self.options = options
        self.process = None
        self.pid = 0
        self.start()
        test.addCleanup(self.close)

    @staticmethod
    def make_root():
        root = tempfile.mkdtemp(prefix="te-target-")
        os.chmod(root, 0o755)
        for folder in ("tools", "proc", "dev", "home/app", "tmp", "locked"):
            os.makedirs(os.path.join(root, folder))
        os.chmod(os.path.join(root, "tmp"), 0o1777)
        os.chmod(os.path.join(root, "locked"), 0o700)
        os.mknod(os.path.join(root, "dev/null"), 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.chmod(os.path.join(root, "dev/null"), 0o666)
        shutil.copy(busybox(), os.path.join(root, "tools/busybox"))
        for applet in APPLETS:  # no `sh` anywhere: tests say busybox ash
            os.symlink("busybox", os.path.join(root, "tools", applet))
        with open(os.path.join(root, "in-the-target"), "w", encoding="utf-8") as f:
            f.write("a file of the target\n")
        return root

    def start(self):
        told = os.pipe()
        options = {"root": self.root, "namespaces": list(self.namespaces), "told": told[1], "name": self.name,
                   **self.options}
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), json.dumps(options)],
                                        pass_fds=[told[1]], stdin=subprocess.DEVNULL, start_new_session=True)
        os.close(told[1])
        with os.fdopen(told[0]) as f:
            text = f.read()  # ends when the target has exec'd
        assert text.strip().isdigit(), f"the target could not be made: {text}"
        self.pid = int(text)

    def kill(self):
        """As a container dies: its first process, and the kernel ends the rest of its PID namespace."""
        if self.process is not None:
            kill_pid(self.pid)
            self.process.wait()
            self.process = None

    def restart(self):
        self.kill()
        self.start()

    def close(self):
        self.kill()
        if self.own_root:
            shutil.rmtree(self.root, ignore_errors=True)

    def ns(self, kind):
        return os.readlink(f"/proc/{self.pid}/ns/{kind}")

    def path(self, inside):
        return os.path.join(self.root, inside.lstrip("/"))


def check(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


def become_target(options):
    told = options["told"]
    flags = sum(NAMESPACES[name] for name in options["namespaces"])
    if "user" in options["namespaces"]:  # its maps are written from outside
        ends = os.pipe()
        go = (open(ends[0], "rb", buffering=0), open(ends[1], "wb", buffering=0))
        me = os.getpid()
        mapper = os.fork()
        if mapper == 0:
            go[0].read(1)
            for name in ("uid_map", "gid_map"):
                with open(f"/proc/{me}/{name}", "w", encoding="utf-8") as f:
                    f.write("0 0 65536")
            os._exit(0)
    check(LIBC.unshare(flags), "unshare")
    if "user" in options["namespaces"]:
        go[1].write(b"x")
        go[1].close()
        os.waitpid(mapper, 0)
    pid = os.fork()
    if pid != 0:
        os.write(told, str(pid).encode())
        os.close(told)
        LIBC.prctl(PR_SET_PDEATHSIG, 9)
        os.waitpid(pid, 0)
        os._exit(0)
    if "uts" in options["namespaces"]:
        LIBC.sethostname(b"target-host", 11)
    root = options["root"]
    if "mnt" in options["namespaces"]:
        check(LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "private")
        check(LIBC.mount(root.encode(), root.encode(), None, MS_BIND, None), "bind")
        check(LIBC.mount(b"proc", (root + "/proc").encode(), b"proc", 0, None), "proc")
        os.chdir(root)
        os.makedirs("old", exist_ok=True)
        check(LIBC.syscall(PIVOT_ROOT, b".", b"old"), "pivot_root")
        check(LIBC.umount2(b"/old", 2), "umount")
        os.rmdir("/old")
    else:
        os.chroot(root)
    os.chdir(options.get("cwd", "/home/app"))
    keep = options.get("bounding")
    if keep is not None:
        for cap in range(64):
            if cap not in keep and LIBC.prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0:
                break
    if "groups" in options:
        os.setgroups(options["groups"])
    if "gid" in options:
        os.setresgid(*[options["gid"]] * 3)
    if "uid" in options:
        os.setresuid(*[options["uid"]] * 3)
    if options.get("no_new_privs"):
        check(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    os.set_inheritable(told, False)
    env = {"SANDBOX_MAIN_CONTAINER": options["name"], "TARGET_VAR": "from-the-target", "PATH": "/tools",
           **options.get("env", {})}
    os.execve("/tools/busybox", ["busybox", *options.get("command", ["sleep", "100000"])], env)


if __name__ == "__main__":
    OPTIONS = json.loads(sys.argv[1])
    try:
        become_target(OPTIONS)
    except OSError as error:
        os.write(OPTIONS["told"], f"failed: {error}".encode())
        os._exit(1)

"""What looks on while an agent is under load: /health asked from a process of its own, watchers, and what is held."""

import collections
import os
import selectors
import signal
import socket
import struct
import time
import traceback

from agents import percentile, pss
from report import fail

SETTLE_LIMIT = 120.0

Held = collections.namedtuple("Held", "rss pss descriptors children zombies watches files inodes")
HELD = ("RSS / PSS, KiB", "descriptors", "children / zombies", "files", "inodes of the file system")


class Helper:
    """A process that runs `work(socket)`; the other end of that socket is here."""

    def __init__(self, work):
        self.end, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        self.pid = os.fork()
        if self.pid:
            other.close()
            return
        code = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self.end.close()
            work(other)
            code = 0
        except BaseException:  # noqa: BLE001 - it goes nowhere else
            traceback.print_exc()
        finally:
            os._exit(code)

    def ask(self, what=b"?"):
        self.end.send(what)
        answer = self.end.recv(1 << 16)
        if not answer:
            raise RuntimeError("a helper has ended: see its complaint above")
        return answer

    def close(self):
        try:
            self.end.send(b"end")  # closing it might not tell: later helpers have inherited it
        except BrokenPipeError:
            pass
        self.end.close()
        os.waitpid(self.pid, 0)


class Health:
    """Asks /health every 10 ms on a connection of its own. A process, so that no other work here delays it."""

    def __init__(self, agent):
        self.all, self.helper = [0], Helper(lambda end: self.work(agent.client(), end))

    @staticmethod
    def work(client, end):
        times = []
        while True:
            began = time.perf_counter()
            status, _ = client.ask(b"GET", b"/health")
            if status != 200:
                raise RuntimeError(f"/health: {status}")
            times.append(time.perf_counter() - began)
            end.settimeout(0.01)
            try:
                if end.recv(16) != b"?":
                    return
            except TimeoutError:
                continue
            end.settimeout(None)
            end.send(struct.pack("4d", *Health.shares(times), len(times)))
            times.clear()

    @staticmethod
    def shares(times):
        return percentile(times, 0.5), percentile(times, 0.99), max(times)

    def take(self):
        """p50, p99 and longest in seconds since it was last asked."""
        *shares, _ = struct.unpack("4d", self.helper.ask())
        self.all.append(shares[-1])
        return shares

    def close(self):
        self.helper.close()


class Watchers:
    """Connections that watch all tasks; each counts what it is told. There once each has the first list."""

    MARK = b'{"type":"DELETED"'
    ERROR = b'"type":"ERROR"'
    LISTED = b'"type":"BOOKMARK"'

    def __init__(self, agent, count):
        self.helper = Helper(lambda end: self.work(agent, count, end))
        assert self.helper.end.recv(16) == b"ready"

    @staticmethod
    def work(agent, count, end):
        selector = selectors.DefaultSelector()
        deleted, rests, received, listing = {}, {}, 0, set()
        for _ in range(count):
            client = agent.client()
            client.socket.sendall(client.request_bytes(b"GET", b"/tasks?watch=true"))
            selector.register(client.socket, selectors.EVENT_READ)
            deleted[client.socket], rests[client.socket] = 0, b""
            listing.add(client.socket)
        selector.register(end, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(1 << 18)
                if key.fileobj is end:
                    if data != b"?":
                        return
                    end.send(struct.pack("3Q", min(deleted.values()), max(deleted.values()), received))
                    continue
                received += len(data)
                text = rests[key.fileobj] + data
                rests[key.fileobj] = text[-len(Watchers.MARK) + 1:]  # a word may lie across two pieces
                if not data or Watchers.ERROR in text:
                    raise RuntimeError("a watcher was left behind")
                deleted[key.fileobj] += text.count(Watchers.MARK)
                if key.fileobj in listing and Watchers.LISTED in text:
                    listing.discard(key.fileobj)
                    if not listing:
                        end.send(b"ready")

    def counts(self):
        """The fewest and the most deletions that one of them has seen, and bytes received by all."""
        return struct.unpack("3Q", self.helper.ask())

    def close(self):
        self.helper.close()


def files_below(folder):
    """Files and directories."""
    return sum(len(files) + len(folders) for _, folders, files in os.walk(folder))


def inotify_watches(agent):
    count = 0
    for fd in os.listdir(f"/proc/{agent.pid}/fdinfo"):
        try:
            with open(f"/proc/{agent.pid}/fdinfo/{fd}", encoding="utf-8") as info:
                count += sum(line.startswith("inotify") for line in info)
        except FileNotFoundError:  # a connection that was just being closed
            pass
    return count


def children(agent):
    """How many the agent has, and how many of them are zombies."""
    with open(f"/proc/{agent.pid}/task/{agent.pid}/children", encoding="utf-8") as file:
        pids = file.read().split()
    zombies = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                zombies += file.read().rsplit(b")", 1)[1].split()[0] == b"Z"
        except (FileNotFoundError, ProcessLookupError):
            pass
    return len(pids), zombies


class Looker:
    """Looks at what an agent holds, over one connection, so that looking does not change what is seen."""

    def __init__(self, agent):
        self.agent, self.client = agent, agent.client()

    def ask(self, *request):
        return self.client.ask(*request)[1]

    def busy(self, running):
        """What is still under way, or "": deletions, the trash, children beside the supervisors of what runs."""
        trash, (count, _) = os.listdir(self.agent.data + "/.trash"), children(self.agent)
        deleting = b"\ntask_executor_tasks_deleting 0\n" not in self.ask(b"GET", b"/metrics")
        return f"{len(trash)} in the trash, {count} children" if deleting or trash or count != running else ""

    def settled(self, running=0):
        limit = time.monotonic() + SETTLE_LIMIT
        while busy := self.busy(running):
            if time.monotonic() > limit:
                fail(f"not settled: {busy}")
                break
            time.sleep(0.02)
        disk = os.statvfs(self.agent.data)
        return Held(self.agent.status("VmRSS"), pss(self.agent.pid), self.agent.descriptors(), *children(self.agent),
                    inotify_watches(self.agent), files_below(self.agent.data), disk.f_files - disk.f_ffree)


def cells(held):
    """For the columns HELD."""
    return (f"{held.rss} / {held.pss}", held.descriptors, f"{held.children} / {held.zombies}", held.files, held.inodes)

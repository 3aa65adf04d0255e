"""An agent, what was promised about its tasks, and what is checked when it has been killed and started again."""

import http.client
import multiprocessing.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(REPOSITORY, "tests", "system"))

import agent as harness  # noqa: E402
from proc import kill_pid, no_namespaces, parent_of, process_state, processes, read  # noqa: E402
from target import Target, busybox  # noqa: E402

TRACER = os.path.join(os.path.dirname(harness.BINARY), "tools", "crashpoints", "crashpoint_tracer")
ASK = 0.02  # seconds between two requests: each is a dozen of system calls, and points
DEADLINE = 20  # seconds, for whatever is waited for
# Where a fault has killed the command itself, or its supervisor, before it had told its end.
KILLED = (137, "Failed")
LOST = (137, "Lost")
TICK_ONLY = "records are looked at by the tick only"
# The connection to a runtime is kept for a while: its socket, its keeper's pidfd and the pipe to that.
KEPT_CONNECTION = 3
# When the zygote has died with a wish unanswered, each end of a child is looked at from then on: a signalfd.
ORPHANS_WATCHED = 1
OF_ZYGOTE = {"zygote", "spawn"}
# What an agent leaves in its data directory when it has no task.
OWN_FILES = {".lock", ".owner", ".owner.tmp", ".probe"}
OWN_FOLDERS = {".new", ".next", ".trash", ".quarantine"}
# How a task's end may be told when the fault was one of its own supervisor or child, and not the agent's.
BESIDE = {"agent", "spawn", "sweeper", "unlinker", "keeper", "zygote"}


class Failure(AssertionError):
    """The program did not keep what it promises."""


def hold(condition, message):
    if not condition:
        raise Failure(message)


def until(fn, what, poll=harness.POLL):
    deadline = time.monotonic() + DEADLINE
    while not (value := fn()):
        hold(time.monotonic() < deadline, f"{what} did not come true within {DEADLINE} s")
        time.sleep(poll)
    return value


def port_of(pid):
    """The TCP port on which the process listens, or 0."""
    try:
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return 0
    sockets = {link[8:-1] for link in links if link.startswith("socket:[")}
    listening = "0A"
    for line in read("/proc/net/tcp").splitlines()[1:]:
        words = line.split()
        if words[3] == listening and words[9] in sockets:
            return int(words[1].split(":")[1], 16)
    return 0


class Lasting:
    """What takes long to start: one for each process that goes through lives, ended with that."""

    _all = {}

    @classmethod
    def get(cls):
        if cls not in Lasting._all:
            Lasting._all[cls] = cls()
            multiprocessing.util.Finalize(None, Lasting.end_all, exitpriority=10)
        return Lasting._all[cls]

    @staticmethod
    def end_all():
        while Lasting._all:
            Lasting._all.popitem()[1].end()


class FakeRuntime(Lasting):
    """tests/system/fake_pods.py"""

    PYTHON = "/usr/bin/python3"  # Debian's, which has grpcio

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="te-crash-cri-")
        self.socket = os.path.join(self.folder, "socket")
        script = os.path.join(REPOSITORY, "tests", "system", "fake_pods.py")
        # It ends with its stdin, which is ours.
        self.process = subprocess.Popen([self.PYTHON, script, self.socket], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        hold(self.process.stdout.readline() == "listening\n", "the fake runtime does not listen")

    @classmethod
    def missing(cls):
        """Why there can be none, or None."""
        tried = subprocess.run([cls.PYTHON, "-c", "import grpc"], check=False, stderr=subprocess.DEVNULL)
        return "python3-grpcio is not installed" if tried.returncode else None

    def news(self):
        """(containers started since the last call, pods and containers that there are)"""
        self.process.stdin.write("left\n")
        self.process.stdin.flush()
        starts = 0
        while (line := self.process.stdout.readline()).startswith("start "):
            starts += 1
        return starts, int(line.split()[1])

    def end(self):
        self.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class MainContainer(Lasting):
    """tests/system/target.py"""

    def __init__(self):
        self.name = f"main-{uuid.uuid4().hex[:8]}"
        self.target = Target(self, self.name)
        self.namespace = os.stat(f"/proc/{self.target.pid}/ns/pid").st_ino

    def addCleanup(self, *_):  # as a test has it; end() does it
        pass

    @classmethod
    def missing(cls):
        return no_namespaces() or (None if busybox() else "busybox-static is not installed")

    def strangers(self):
        """Who is in there and is not its first process."""
        return processes(lambda pid: pid != self.target.pid and
                         os.stat(f"/proc/{pid}/ns/pid").st_ino == self.namespace)

    def end(self):
        kill_pid(self.target.pid)
        shutil.rmtree(self.target.root, ignore_errors=True)


class World:
    def __init__(self, fault=None, trace=False, flags=()):
        self.fault = fault
        self.trace = trace
        self.agent = harness.Agent("--reconcile-interval=50ms", "--on-lost=fail", *flags, start=False)
        self.folder = tempfile.mkdtemp(prefix="te-crash-")
        self.report_path = os.path.join(self.folder, "report")
        self.traced = False  # the one start that is has been
        self.deaths = 0
        self.answered_badly = []
        self.live = set()     # names that were acknowledged
        self.deleted = set()  # names whose DELETE was, and no create since
        self.leaving = set()  # names that the request under way deletes: they may be there or not
        self.coming = set()   # names that it creates
        self.descriptors = None
        self.runtime = None   # of a life with containers
        self.main = None      # of a life in a main container
        self.starts = 0       # of containers

    # -- the agent ------------------------------------------------------------------------------------------------

    def start(self, traced=True):
        """Starts the agent and waits until it answers. One that dies of the fault is started again."""
        offset = os.path.getsize(self.agent.stderr_path) if os.path.exists(self.agent.stderr_path) else 0
        self.agent.prefix = []
        if traced and not self.traced:
            self.traced = True
            self.agent.prefix = [TRACER, "--report", self.report_path, *(["--trace"] if self.trace else []),
                                 *(self.fault.tracer_flags() if self.fault else []), "--"]
        self.agent.start(wait=False)
        until(lambda: self._up(offset), "the agent's first answer")
        if self.agent.running() and self.descriptors is None:
            late = TICK_ONLY in self.agent.log()  # the one of inotify: it comes with a later start
            self.descriptors = (self.agent.pid, self._count_descriptors() + late)

    def _up(self, offset):
        if not self.agent.running():
            self._died(offset)
            self.start(traced=False)
            return True
        found = re.search(r'address["=: ]+127\.0\.0\.1:(\d+)', self.agent.log()[offset:])
        # That line is lost where the fault hits its write.
        self.agent.port = int(found.group(1)) if found else port_of(self.agent.pid)
        if not self.agent.port:
            return False
        try:
            return self.agent.get("/health", timeout=DEADLINE).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def _died(self, offset=0):
        """The agent has ended: that must have been the fault's doing, and once only."""
        code = self.agent.process.returncode
        self.deaths += 1
        text = self.agent.log()[offset:][-1500:]
        hold(self.fault is not None and self.hit(), f"the agent ended by itself with {code}: {text}")
        hold(self.deaths == 1, f"the agent ended again, with {code}: {text}")
        if self.fault.kills:
            hold(self.fault.role == "agent" and code == -signal.SIGKILL, f"the agent ended with {code}: {text}")
            return
        hold(self.fault.role == "agent" and code >= 0, f"the agent crashed with {code}: {text}")
        hold(code in (1, 2) and ("can't go on" in text or "task-executor: " in text),
             f"the agent ended with {code} and no clear error: {text}")

    def survive(self):
        """A connection broke. If the agent has died it is started again, and must know all that was acknowledged."""
        try:
            self.agent.process.wait(0.5 if self.fault is None or not self.fault.kills else DEADLINE)
        except Exception as problem:  # pylint: disable=broad-except
            if self.fault is not None and not self.fault.kills:
                return  # an error that only this connection has felt
            raise Failure("the agent lives and has broken a connection") from problem
        self._died()
        self.start(traced=False)
        self.check_promises()

    def check_promises(self):
        listed = self.ask("GET", "/getTasks").json()
        staying = {t["name"] for t in listed if "deletionTimestamp" not in t}
        missing = self.live - staying - self.leaving
        hold(not missing, f"acknowledged and not there after the restart: {missing}")
        undead = (self.deleted & staying) - self.coming
        hold(not undead, f"deleted, acknowledged, and there again after the restart: {undead}")

    def ask(self, method, path, body=None):
        """An answer below 500, whatever it takes: what a client does that sends again what was not answered."""
        deadline = time.monotonic() + DEADLINE
        while True:
            hold(time.monotonic() < deadline, f"{method} {path}: no answer ({self.answered_badly[-3:]})")
            try:
                response = self.agent.request(method, path, body=body, timeout=DEADLINE)
            except TimeoutError as problem:
                raise Failure(f"{method} {path}: no answer within {DEADLINE} s") from problem
            except (OSError, http.client.HTTPException):
                self.survive()
                continue
            if response.status < 500:
                return response
            hold(self.fault is not None and not self.fault.kills and self.hit(), f"{method} {path}: {response}")
            hold(response.json().get("message"), f"an error without a message: {response}")
            self.answered_badly.append((method, path, response.status))

    def stop(self):
        """SIGTERM, exit 0; one that the fault has struck meanwhile is started and stopped again."""
        self.agent.process.send_signal(signal.SIGTERM)
        until(lambda: not self.agent.running(), "the agent's end after SIGTERM")
        if self.agent.process.returncode != 0:
            self._died()
            self.start(traced=False)
            self.check_promises()
            self.stop()

    def kill(self):
        self.agent.kill9()

    # -- tasks ----------------------------------------------------------------------------------------------------

    def script(self, name, rest):
        """A command that counts its runs in a file outside and then does the rest."""
        if self.main:
            return ["/tools/busybox", "ash", "-c", f"echo run >>/tmp/{self.agent.mark}; {rest}"]
        return ["/bin/sh", "-c", f"echo run >>{self.folder}/{name}; {rest}"]

    def use_containers(self):
        self.runtime = FakeRuntime.get()
        self.runtime.news()
        self.agent.flags += ["--enable-container-mode", f"--cri-socket={self.runtime.socket}"]

    def use_main_container(self):
        self.main = MainContainer.get()
        self.agent.flags += ["--enable-sidecar-mode", f"--main-container-name={self.main.name}"]

    def count_starts(self):
        starts, left = self.runtime.news()
        self.starts += starts
        return self.starts, left

    def runs(self, name):
        if self.runtime:
            return self.count_starts()[0]
        if self.main:
            return len(read(self.main.target.path(f"/tmp/{self.agent.mark}")).splitlines())
        return len(read(os.path.join(self.folder, name)).splitlines())

    def change(self, method, path, body=None, leaving=(), coming=()):
        self.leaving, self.coming = set(leaving), set(coming)
        response = self.ask(method, path, body)
        self.leaving, self.coming = set(), set()
        return response

    def create(self, task):
        response = self.change("POST", "/tasks", task, coming=[task["name"]])
        hold(response.status in (200, 201), f"create {task['name']}: {response}")
        self.live.add(task["name"])
        self.deleted.discard(task["name"])

    def set_tasks(self, tasks, query=""):
        wanted = {t["name"] for t in tasks}
        response = self.change("POST", "/setTasks" + query, tasks, leaving=self.live - wanted, coming=wanted)
        hold(response.status == 200, f"setTasks: {response}")
        self.deleted = (self.deleted | self.live) - wanted
        self.live = wanted

    def delete(self, name):
        response = self.change("DELETE", f"/tasks/{name}", leaving=[name])
        hold(response.status == 204, f"delete {name}: {response}")
        self.live.discard(name)
        self.deleted.add(name)

    def get(self, name):
        response = self.ask("GET", f"/tasks/{name}")
        hold(response.status == 200, f"{name}: {response}")
        return response.json()

    def running(self, name):
        """Waits until it runs, or has ended."""
        until(lambda: harness.state_of(self.get(name))[0] != "waiting", f"{name} running", ASK)

    def ended(self, name):
        def look():
            response = self.ask("GET", f"/tasks/{name}?wait=terminated&timeout=5s")
            hold(response.status == 200, f"{name}: {response}")
            state, fields = harness.state_of(response.json())
            return fields if state == "terminated" else None
        return until(look, f"the end of {name}")

    def expect(self, name, code, reason, counter=None):
        """The end of a task is told as it was, and it ran as often as it may."""
        fields = self.ended(name)
        told = (fields["exitCode"], fields["reason"])
        runs = self.runs(counter or name)
        hold(runs <= 1, f"{name} ran {runs} times")
        if told == (code, reason):
            hold(runs == 1, f"{name} is told as {told} and never ran")
            return
        hold(told in self.other_ends(), f"{name} ended with {told} and not with {(code, reason)}: {fields}")
        hold(fields.get("message"), f"an end without a message: {fields}")
        hold(runs == 0 or fields["reason"] not in ("StartError", "PreStartHookError"), f"{name} ran, and is told as {told}")

    def other_ends(self):
        """How the end of a task may be told, beside the true one, after this fault."""
        if self.fault is None or not self.hit() or self.fault.role in BESIDE:
            return ()
        not_started = [(code, reason) for code in (126, 127, 128) for reason in ("StartError", "PreStartHookError")]
        if not self.fault.kills:
            return (LOST, *not_started)
        return (LOST,) if self.fault.role == "supervisor" else (KILLED, (137, "PreStartHookError"), *not_started)

    def gone(self, name):
        # Looked for on the disk first: requests would be system calls of the agent, and points.
        folder = os.path.join(self.agent.data_dir, name)
        self.settle(lambda: os.path.exists(folder), f"directory of {name}")
        until(lambda: self.ask("GET", f"/tasks/{name}").status == 404, f"{name} gone")

    # -- the end --------------------------------------------------------------------------------------------------

    def hit(self):
        """Whether the fault has come: the tracer's line, or None."""
        return next((line for line in read(self.report_path).splitlines() if line.startswith("hit ")), None)

    def finish(self):
        """Deletes what is left, and looks for what must not be."""
        self.set_tasks([])
        until(lambda: self.ask("GET", "/getTasks").json() == [], "the empty list at the end", ASK)
        self.settle(lambda: self.agent.all_processes() and self.agent.describe(self.agent.all_processes()), "processes")
        self.settle(self.leftovers, "files")
        self.settle(self.zombies, "zombies of the agent")
        if self.main:
            self.settle(lambda: self.agent.describe(self.main.strangers()), "processes in the main container")
        if self.runtime:
            self.settle(lambda: self.count_starts()[1], "pods and containers")
        if self.descriptors and self.agent.running() and self.descriptors[0] == self.agent.pid:
            before = (self.descriptors[1] + (KEPT_CONNECTION if self.runtime else 0) +
                      (ORPHANS_WATCHED if self.fault and self.fault.role in OF_ZYGOTE else 0))
            self.settle(lambda: max(0, self._count_descriptors() - before), f"descriptors above {before}")
        self.stop()

    def settle(self, left, what):
        """Waits until nothing is left() any more; an agent that dies meanwhile is started again."""
        def look():
            if not self.agent.running():
                self.survive()
            return not left()
        try:
            until(look, what)
        except Failure as problem:
            raise Failure(f"{what} left: {left()}") from problem

    def leftovers(self):
        out = []
        for name in os.listdir(self.agent.data_dir):
            path = os.path.join(self.agent.data_dir, name)
            if name in OWN_FOLDERS:
                out += [f"{name}/{inner}" for inner in os.listdir(path)]
            elif name not in OWN_FILES:
                out.append(name)
        return out

    def zombies(self):
        def is_one(entry):
            try:
                return parent_of(int(entry)) == self.agent.pid and process_state(int(entry)) == "Z"
            except (OSError, KeyError):
                return False
        return [entry for entry in os.listdir("/proc") if entry.isdigit() and is_one(entry)]

    def _count_descriptors(self):
        try:
            return len(os.listdir(f"/proc/{self.agent.pid}/fd"))
        except OSError:
            return 0

    def calls(self):
        """What the tracer saw, once it has left: [(role, number, call)]."""
        until(lambda: "\ntotal " in read(self.report_path), "the tracer's end")
        lines = (line.split() for line in read(self.report_path).splitlines())
        return [(w[1], int(w[2]), w[4]) for w in lines if w[0] == "call"]

    def abort(self):
        """close(), in a signal handler: without a wait that the code it has interrupted may be in."""
        if self.agent.process is not None and self.agent.process.returncode is None:
            kill_pid(self.agent.pid)
        for pid in self.agent.all_processes():
            kill_pid(pid)
        shutil.rmtree(self.agent.own_dir, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self):
        """Ends whatever there still is, and takes it away."""
        if self.agent.process is not None:
            self.agent.kill9()
        deadline = time.monotonic() + DEADLINE
        while (left := self.agent.all_processes()) and time.monotonic() < deadline:
            for pid in left:
                harness.kill_pid(pid)
            time.sleep(harness.POLL)
        shutil.rmtree(self.agent.own_dir, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

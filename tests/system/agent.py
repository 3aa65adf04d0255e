"""An agent under test, seen from outside: started as a process, spoken to over HTTP, watched through /proc."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.parse
import uuid

import openapi
from proc import (alive, environ_has, has_file_below, kill_pid, parent_of, processes, process_state,  # noqa: F401
                  read, status_fields)

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.abspath(os.environ.get("TASK_EXECUTOR_BINARY") or
                         os.path.join(REPOSITORY, "build", "task-executor"))
# Sanitizer builds are slow: every bound on time is multiplied, bounds on memory are not looked at.
SLOW = 5 if os.environ.get("TASK_EXECUTOR_SLOW", "") not in ("", "0") else 1
IS_ROOT = os.geteuid() == 0
MARK = "TE_SYSTEM_TEST"  # inherited by every task from the agent's environment: finds what a test has left
RFC3339 = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
# What waits inside of a test is this process, never a fixed time.
POLL = 0.003


def eventually(fn, timeout=10.0, what="the condition", poll=POLL):
    """The first true value of fn(), polled; fails when there is none within timeout (times SLOW) seconds."""
    deadline = time.monotonic() + timeout * SLOW
    while True:
        value = fn()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {timeout * SLOW:g} s (last: {value!r})")
        time.sleep(poll)


def guide(name, *command, args=None, spec=None, **process):
    """A task in the guide's form."""
    body = {"command": list(command), **process}
    if args is not None:
        body["args"] = args
    return {"name": name, "spec": {"process": body, **(spec or {})}}


def controller(name, *command, **process):
    """A task in the controller's form."""
    return {"name": name, "process": {"command": list(command), **process}}


def state_of(task):
    """('waiting'|'running'|'terminated', its fields) of a task in either form."""
    state = task["status"]["state"] if "status" in task else task["processStatus"]
    assert len(state) == 1, f"a task is in one state: {state}"
    return next(iter(state.items()))


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class Agent:
    """One agent process and its data directory. Starts at once unless start=False."""

    def __init__(self, *flags, data_dir=None, env=None, listen="127.0.0.1:0", start=True, rlimit_nofile=None,
                 log_dir=None, prefix=()):
        self.own_dir = tempfile.mkdtemp(prefix="te-system-")
        self.data_dir = data_dir or os.path.join(self.own_dir, "data")
        self.flags = list(flags)
        self.listen = listen
        self.token = None
        self.mark = uuid.uuid4().hex
        self.env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": "/", MARK: self.mark, **(env or {})}
        self.rlimit_nofile = rlimit_nofile
        self.log_dir = log_dir
        self.prefix = list(prefix)  # a command that execs the agent with less than it has itself
        self.stderr_path = os.path.join(self.own_dir, "stderr")
        self.process = None
        self.port = 0
        if start:
            self.start()

    # -- life ---------------------------------------------------------------------------------------------------

    def start(self, wait=True):
        offset = os.path.getsize(self.stderr_path) if os.path.exists(self.stderr_path) else 0
        command = [*self.prefix, BINARY, f"--data-dir={self.data_dir}"]
        if self.listen:
            command.append(f"--listen-addr={self.listen}")
        if self.rlimit_nofile:
            soft, hard = self.rlimit_nofile
            command = ["prlimit", f"--nofile={soft}:{hard}", *command]
        with open(self.stderr_path, "ab") as err:
            self.process = subprocess.Popen(command + self.flags, stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                                            env=self.env, start_new_session=True, cwd="/")
        if wait:
            self.port = eventually(lambda: self._find_port(offset), 10, "the agent's line with its address")
            # Listening may come before recovery has ended: the first answer says that both are done.
            assert self.get("/health", timeout=20).status == 200
        return self

    def _find_port(self, offset):
        found = re.search(r'address["=: ]+127\.0\.0\.1:(\d+)', self.log()[offset:])
        if found:
            return int(found.group(1))
        if self.process.poll() is not None:
            raise AssertionError(f"the agent exited with {self.process.returncode}: {self.log()[offset:]}")
        return None

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        text = read(self.stderr_path)
        if self.log_dir and os.path.isdir(self.log_dir):
            text += "".join(read(os.path.join(self.log_dir, f)) for f in sorted(os.listdir(self.log_dir)))
        return text

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill9(self):
        if self.running():
            self.process.kill()
        self.process.wait()

    def restart(self):
        if self.running():
            self.kill9()
        return self.start()

    def stop(self, timeout=10):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout * SLOW)
        assert code == 0, f"SIGTERM must end the agent with 0, not {code}: {self.log()[-2000:]}"

    def close(self):
        """Deletes everything through the API, stops the agent, and complains about whatever is left."""
        complaint = None
        try:
            if self.running():
                assert self.post("/setTasks", []).status == 200, "setTasks [] at the end"
                eventually(lambda: self.get("/getTasks").json() == [], 30, "the empty list at the end")
                left = self.all_processes()
                # One that is seen once and no more was on its way to its exec, where it has no name.
                if left and (left := [pid for pid in self.all_processes() if pid in left]):
                    complaint = f"processes left after all was deleted: {self.describe(left)}"
                self.stop()
            elif self.process is not None and self.process.returncode not in (0, 1, -signal.SIGKILL):
                complaint = f"the agent ended by itself with {self.process.returncode}: {self.log()[-6000:]}"
        finally:
            if self.process is not None:
                self.kill9()
            for pid in self.all_processes():
                kill_pid(pid)
            eventually(lambda: not self.all_processes(), 10, "killing what a test has left")
            shutil.rmtree(self.own_dir, ignore_errors=True)
        if complaint:
            raise AssertionError(complaint)

    # -- processes ------------------------------------------------------------------------------------------------

    def all_processes(self):
        """Every task process and supervisor of this agent, the agent and its trash remover not counted."""
        me = self.pid if self.running() else -1
        folder = os.path.realpath(self.data_dir)
        return processes(lambda pid: pid != me and (environ_has(pid, f"{MARK}={self.mark}") or
                                                    has_file_below(pid, folder)) and not self._helper(pid))

    def children(self):
        """Pids of the agent's own children, zombies too: supervisors, helpers, the zygote and what it has in stock."""
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="utf-8") as f:
            return [int(pid) for pid in f.read().split()]

    def _helper(self, pid):
        # The remover of .trash is the agent's own child and no part of a task. Before its exec it looks like the agent.
        # A container runtime has logs open.
        if "task-unlinker" in (seen := self.describe([pid])) or read(f"/proc/{pid}/comm").strip() == "containerd":
            return True
        return self.running() and seen.partition(" ")[2] == self.describe([self.pid]).partition(" ")[2]

    def all_processes_with_mark(self, uid):
        return processes(lambda pid: environ_has(pid, f"TASK_EXECUTOR_RUN={uid}"))

    @staticmethod
    def describe(pids):
        lines = []
        for pid in pids:
            command = read(f"/proc/{pid}/cmdline").replace("\0", " ").strip() or read(f"/proc/{pid}/comm").strip()
            lines.append(f"{pid} [{command}]")
        return ", ".join(lines)

    def uid(self, name):
        for file in ("task.json", "deleted.json"):
            text = read(os.path.join(self.data_dir, name, file))
            if text:
                found = json.loads(text)["uid"]
                return found
        raise AssertionError(f"no state file of {name}")

    def supervisor_of(self, name):
        """The supervisor of a task: it holds the lock on the task's directory, so it has that open."""
        if not IS_ROOT:
            raise unittest.SkipTest("NEEDS ROOT: a supervisor is not dumpable, nobody else sees what it has open")
        folder = os.path.join(os.path.realpath(self.data_dir), name)

        def holds(pid):
            return pid != self.pid and any(os.readlink(f"/proc/{pid}/fd/{fd}") == folder
                                           for fd in os.listdir(f"/proc/{pid}/fd"))
        found = eventually(lambda: processes(holds), 5, f"a supervisor of {name}")
        assert len(found) == 1, f"one supervisor a task: {self.describe(found)}"
        return found[0]

    # -- HTTP -----------------------------------------------------------------------------------------------------

    def request(self, method, path, body=None, headers=None, timeout=30):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout * SLOW)
        all_headers = {}
        if self.token:
            all_headers["Authorization"] = f"Bearer {self.token}"
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            all_headers["Content-Type"] = "application/json"
        all_headers.update(headers or {})
        try:
            connection.request(method, path, body=body, headers=all_headers)
            response = connection.getresponse()
            answer = Response(response.status, response.headers, response.read())
            openapi.check(method, path, answer)
            return answer
        finally:
            connection.close()

    def get(self, path, **kwargs):
        return self.request("GET", path, **kwargs)

    def post(self, path, body, **kwargs):
        return self.request("POST", path, body=body, **kwargs)

    def delete(self, name, **kwargs):
        return self.request("DELETE", f"/tasks/{urllib.parse.quote(name)}", **kwargs)

    def create(self, task):
        response = self.post("/tasks", task)
        assert response.status == 201, f"create {task['name']}: {response}"
        return response.json()

    def task(self, name):
        response = self.get(f"/tasks/{name}")
        assert response.status == 200, f"{name}: {response}"
        return response.json()

    def wait_state(self, name, state, deadline=10):
        """The fields of the state, once the task is in it. `terminated` waits in the agent (long poll)."""
        end = time.monotonic() + deadline * SLOW
        while True:
            if state == "terminated":
                left = max(1, min(20, int(end - time.monotonic()) + 1))
                response = self.get(f"/tasks/{name}?wait=terminated&timeout={left}s", timeout=60)
            else:
                response = self.get(f"/tasks/{name}")
            assert response.status == 200, f"{name}: {response}"
            current, fields = state_of(response.json())
            if current == state:
                return fields
            if current == "terminated" or time.monotonic() > end:
                raise AssertionError(f"{name} should be {state} but is {current} {fields}")
            time.sleep(POLL)

    def ended(self, name, deadline=10):
        return self.wait_state(name, "terminated", deadline)

    def run(self, name, *command, deadline=10, **process):
        """Creates, waits, and gives the terminated fields."""
        self.create(guide(name, *command, **process))
        return self.ended(name, deadline)

    def output(self, name, stream="stdout"):
        return read(os.path.join(self.data_dir, name, f"{stream}.log"))

    def gone(self, name, timeout=15):
        eventually(lambda: self.get(f"/tasks/{name}").status == 404, timeout, f"{name} gone")

    def raw(self, data=b"", timeout=10):
        """An open socket on which `data` was sent."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout * SLOW)
        if data:
            sock.sendall(data)
        return sock


def read_all(sock):
    """Everything until the peer closes; a reset counts as closed."""
    data = b""
    try:
        while chunk := sock.recv(65536):
            data += chunk
    except ConnectionError:
        pass
    return data


def read_answer(stream):
    """One answer with a Content-Length from a socket's makefile('rb'): (status, headers, body), or None at EOF."""
    line = stream.readline()
    if not line:
        return None
    status = int(line.split()[1])
    headers = {}
    while (line := stream.readline()) not in (b"\r\n", b""):
        key, _, value = line.decode("latin-1").partition(":")
        headers[key.strip().lower()] = value.strip()
    if status < 200:
        return status, headers, b""
    return status, headers, stream.read(int(headers.get("content-length", 0)))


class AgentTest(unittest.TestCase):
    """A test with agents that are deleted, stopped and looked after at its end."""

    serial = False  # True: the class runs alone at the end (it measures time or fills the machine)
    first = False  # True: the class mostly waits and runs beside the others from the beginning
    maxDiff = None

    def agent(self, *flags, start=True, **kwargs):
        new = Agent(*flags, start=False, **kwargs)
        self.addCleanup(new.close)
        return new.start() if start else new

    def scratch(self):
        """A directory of the test that everybody may write to, outside of any data directory."""
        path = tempfile.mkdtemp(prefix="te-scratch-")
        os.chmod(path, 0o777)
        self.addCleanup(shutil.rmtree, path, True)
        return path

    def skip_if_unsupported(self, response):
        """A feature that the program itself refuses as not supported yet is skipped, loudly, until it does not."""
        if response.status == 400 and "not supported yet" in response.text:
            self.skipTest(f"NOT SUPPORTED YET BY THE PROGRAM: {response.json()['message']}")

    def assert_error(self, response, status, code=None):
        """Errors are {"code": <the status's text>, "message": …} (contract §2)."""
        self.assertEqual(response.status, status, response)
        body = response.json()
        self.assertEqual(body.get("code"), code or http.client.responses[status], body)
        self.assertTrue(body.get("message"), body)
        return body["message"]

    def assert_no_trace(self, agent, uid):
        eventually(lambda: not agent.all_processes_with_mark(uid), 5,
                   f"no process with the mark {uid}: {agent.describe(agent.all_processes_with_mark(uid))}")

"""The agent under a service manager, as process 1, and for the users of its unix socket."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest

from agent import AgentTest, BINARY, IS_ROOT, REPOSITORY, SLOW, eventually, guide, read
from proc import no_namespaces, parent_of, process_state, processes

UNITS = os.path.join(REPOSITORY, "tools", "systemd")


class Notify(AgentTest):
    def manager(self):
        """A service manager's socket, and what has come there so far."""
        path = os.path.join(self.scratch(), "notify")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.bind(path)
        sock.settimeout(10 * SLOW)
        return path, lambda: sock.recv(4096).decode()

    def test_ready_and_stopping(self):
        path, told = self.manager()
        agent = self.agent(env={"NOTIFY_SOCKET": path})
        self.assertEqual(told().splitlines()[0], "READY=1")
        agent.run("a", "sh", "-c", "env")
        for name in ("NOTIFY_SOCKET", "WATCHDOG"):
            self.assertNotIn(name, agent.output("a"))
        agent.stop()
        self.assertEqual(told().splitlines()[0], "STOPPING=1")
        # READY comes when the door is open: the address is taken, so it never does.
        with socket.create_server(("127.0.0.1", 0)) as taken:
            failed = subprocess.run([BINARY, f"--data-dir={agent.data_dir}",
                                     f"--listen-addr=127.0.0.1:{taken.getsockname()[1]}"], capture_output=True,
                                    check=False, env={"NOTIFY_SOCKET": path}, timeout=20 * SLOW)
        self.assertEqual(failed.returncode, 1)
        agent.start()
        self.assertEqual(told().splitlines()[0], "READY=1")

    def test_abstract_socket(self):
        name = f"te-test-{os.getpid()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind("\0" + name)
            sock.settimeout(10 * SLOW)
            self.agent(env={"NOTIFY_SOCKET": "@" + name})
            self.assertTrue(sock.recv(4096).startswith(b"READY=1"))

    def test_watchdog(self):
        path, told = self.manager()
        agent = self.agent(env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"})
        told()
        begin = time.monotonic()
        for _ in range(4):
            self.assertEqual(told(), "WATCHDOG=1")
        self.assertTrue(0.3 < time.monotonic() - begin < 2 * SLOW)
        agent.stop()
        agent.env["WATCHDOG_PID"] = "1"  # meant for another process
        agent.start()
        said = []
        agent_is_done = time.monotonic() + 0.5
        while not said or said[-1] != "end":
            left = agent_is_done - time.monotonic()
            if left <= 0:
                break
            said.append(told().splitlines()[0] if said[-1:] != ["READY=1"] else "end")
        self.assertNotIn("WATCHDOG=1", said[said.index("READY=1"):])

    def test_nobody_listens_there(self):
        for path in ("/nowhere/socket", "relative", "", "/" + "x" * 200):
            self.assertEqual(self.agent(env={"NOTIFY_SOCKET": path}).get("/health").status, 200)


class Reload(AgentTest):
    def test_hup_reopens_the_log(self):
        folder = os.path.join(self.scratch(), "logs")
        agent = self.agent(f"--log-dir={folder}", log_dir=folder)
        path = os.path.join(folder, "task-executor.log")
        os.rename(path, path + ".1")
        agent.run("a", "true")
        self.assertIn("task=a", read(path + ".1"))
        agent.process.send_signal(signal.SIGHUP)
        eventually(lambda: "log file opened again" in read(path), 5, "the new file")
        agent.run("b", "true")
        self.assertIn("task=b", read(path))
        self.assertNotIn("task=b", read(path + ".1"))
        self.assertTrue(agent.running())


class UnixSocket(AgentTest):
    def ask(self, path, uid):
        done = subprocess.run(["curl", "-sS", "-w", "%{http_code}", "--unix-socket", path, "http://x/getTasks"],
                              capture_output=True, text=True, check=False, user=uid)
        return done.stdout[-3:]

    def test_allowed_users(self):
        if not IS_ROOT:
            self.skipTest("NEEDS ROOT: to ask as another user")
        path = os.path.join(self.scratch(), "socket")
        agent = self.agent(f"--listen-addr=unix:{path}", "--allow-uid=65533", "-allow-uid", "65532")
        self.assertEqual([self.ask(path, uid) for uid in (0, 65532, 65533)], ["200", "200", "200"])
        # The connection is closed behind the 403; what the client still sends may be quicker than its reading of that.
        self.assertIn(self.ask(path, 65534), ("403", "000"))
        agent.stop()
        agent.flags = agent.flags[:1]  # without the flag the file's mode keeps them out already
        agent.start()
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.assertEqual([self.ask(path, uid) for uid in (0, 65533)], ["200", "000"])
        for value in ("x", "-1", "4294967295", ""):
            done = subprocess.run([BINARY, f"--allow-uid={value}"], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2, value)


class Init(AgentTest):
    """As process 1 of a PID namespace, as in a container of its own."""

    def setUp(self):
        if why := no_namespaces():
            self.skipTest(why)

    def start_init(self, *flags):
        folder = self.scratch()
        log = open(os.path.join(folder, "log"), "wb")
        self.addCleanup(log.close)
        outer = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", BINARY,
                                  f"--data-dir={folder}/data", "--listen-addr=127.0.0.1:0", *flags],
                                 stdout=log, stderr=log, env={"PATH": os.environ["PATH"]})
        self.addCleanup(outer.wait)
        self.addCleanup(outer.kill)
        found = eventually(lambda: re.search(r"listening address=127\.0\.0\.1:(\d+)", read(log.name)), 10, "the agent")
        self.port = int(found.group(1))
        self.inner = eventually(lambda: processes(lambda p: parent_of(p) == outer.pid), 5, "process 1")[0]
        return outer

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20 * SLOW)
        try:
            connection.request(method, path, body=json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def children(self):
        with open(f"/proc/{self.inner}/task/{self.inner}/children", encoding="utf-8") as f:
            return [int(pid) for pid in f.read().split()]

    def test_orphans_are_reaped_and_no_end_is_stolen(self):
        self.start_init()
        # Orphans rain on process 1 while tasks end.
        rain = subprocess.Popen(["nsenter", "-t", str(self.inner), "-p", "sh", "-c",
                                 "i=0; while [ $i -lt 300 ]; do sh -c 'sh -c \"exit 5\" & exit 0'; i=$((i+1)); done"])
        self.addCleanup(rain.wait)
        self.addCleanup(rain.kill)
        for n in range(100):
            status, _ = self.ask("POST", "/tasks", guide(f"t{n}", "sh", "-c", f"exit {n + 1}"))
            self.assertEqual(status, 201)
        tasks = json.loads(self.ask("GET", "/tasks?wait=all-terminated&timeout=60s")[1])
        ends = {t["name"]: t["status"]["state"]["terminated"] for t in tasks}
        self.assertEqual({name: end["exitCode"] for name, end in ends.items()}, {f"t{n}": n + 1 for n in range(100)})
        self.assertEqual({end["reason"] for end in ends.values()}, {"Failed"})
        self.assertEqual(rain.wait(60 * SLOW), 0)
        # One that ends long after its parent.
        subprocess.run(["nsenter", "-t", str(self.inner), "-p", "sh", "-c", "sleep 0.3 & exit 0"], check=True)
        eventually(lambda: self.children() == [], 20, "no child, no zombie")

    def test_orphan_that_asks_to_be_traced(self):
        self.start_init()
        # Its new parent, process 1, is told of its stop as of an end.
        stops = ("import ctypes, os, signal, time\nif os.fork(): os._exit(0)\nwhile os.getppid() != 1: time.sleep(0.01)\n"
                 "signal.signal(10, signal.SIG_IGN)\nctypes.CDLL(None).ptrace(0, 0, 0, 0)\nos.kill(os.getpid(), 10)\n"
                 "open('/proc/self/comm', 'w').write('goes on')\ntime.sleep(1000)")
        subprocess.run(["nsenter", "-t", str(self.inner), "-p", "-m", sys.executable, "-c", stops], check=True)
        orphan = eventually(lambda: [pid for pid in self.children() if read(f"/proc/{pid}/comm") == "goes on\n"], 10,
                            "the orphan goes on")[0]
        self.assertEqual(self.ask("GET", "/health")[0], 200)
        os.kill(orphan, signal.SIGKILL)
        eventually(lambda: self.children() == [], 10, "it is reaped")

    def test_tasks_are_stopped_with_it(self):
        outer = self.start_init()
        self.ask("POST", "/tasks", guide("a", "sh", "-c", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done"))
        folder = [a for a in read(f"/proc/{self.inner}/cmdline").split("\0") if a.startswith("--data-dir=")][0][11:]
        # Only then is its trap set.
        eventually(lambda: read(f"{folder}/a/stdout.log") == "up\n", 10, "it runs")
        os.kill(self.inner, signal.SIGTERM)
        self.assertEqual(outer.wait(20 * SLOW), 0)
        self.assertEqual(read(f"{folder}/a/stdout.log"), "up\nbye\n")
        self.assertIn('"cause":"ended"', read(f"{folder}/a/exit.json").replace(" ", ""))
        self.assertIsNone(process_state(self.inner))


class Units(unittest.TestCase):
    def text(self, name):
        return read(os.path.join(UNITS, name))

    def test_what_the_units_promise(self):
        service = self.text("task-executor.service")
        for line in ("Type=notify", "KillMode=process", "WatchdogSec=30s"):
            self.assertIn(f"\n{line}\n", service)
        # Tasks inherit the sandbox of the agent: nothing may be taken from them here.
        settings = {line.split("=")[0] for line in service.splitlines() if "=" in line and not line.startswith("#")}
        for forbidden in ("NoNewPrivileges", "SystemCallFilter", "PrivateTmp", "ProtectSystem", "PrivateDevices",
                          "CapabilityBoundingSet", "RestrictNamespaces", "MemoryDenyWriteExecute"):
            self.assertNotIn(forbidden, settings)

    def test_systemd_takes_them(self):
        if shutil.which("systemd-analyze") is None:
            self.skipTest("NO SYSTEMD: the units are not verified by systemd-analyze")
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", f"{UNITS}/task-executor.socket",
                               f"{UNITS}/task-executor.service"], capture_output=True, text=True, check=False)
        said = [line for line in done.stderr.splitlines() if "task-executor" in line and
                "is not executable" not in line]  # it is not installed here
        self.assertEqual(said, [])

    def test_under_a_real_systemd(self):
        if not os.path.isdir("/run/systemd/system") or not IS_ROOT:
            self.skipTest("NO SYSTEMD: no service manager runs here, or we are not root")
        name = f"te-test-{os.getpid()}"
        folder = f"/run/{name}"
        unit = self.text("task-executor.service").replace("/usr/sbin/task-executor", BINARY)
        unit = unit.replace("/var/lib/sandbox/tasks", f"{folder}/data").replace("127.0.0.1:5758", f"unix:{folder}/socket")
        unit = unit.replace("Wants=task-executor.socket\n", "")
        os.makedirs(folder)
        self.addCleanup(shutil.rmtree, folder, True)
        with open(f"/run/systemd/system/{name}.service", "w", encoding="utf-8") as f:
            f.write(unit)
        self.addCleanup(os.unlink, f"/run/systemd/system/{name}.service")

        def ctl(*words):
            return subprocess.run([BINARY, "taskctl", "-s", f"unix:{folder}/socket", *words], capture_output=True,
                                  text=True, check=False)

        def systemctl(*words):
            subprocess.run(["systemctl", *words], check=True)
        systemctl("daemon-reload")
        systemctl("start", name)
        self.addCleanup(subprocess.run, ["systemctl", "kill", "--kill-whom=all", name], check=False)
        self.addCleanup(subprocess.run, ["systemctl", "stop", name], check=False)
        self.assertEqual(ctl("run", "-d", "--name=kept", "--", "sleep", "1000").returncode, 0)
        systemctl("restart", name)
        self.assertIn("running", ctl("get", "kept").stdout)  # it has outlived its agent
        systemctl("reload", name)
        self.assertEqual(ctl("delete", "kept").returncode, 0)
        eventually(lambda: ctl("get", "kept").returncode == 3, 10, "the task gone")

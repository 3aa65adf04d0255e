"""The CRI client on the wire: against containerd, grpcio, nghttpd, and HPACK against python3-hpack."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest
import uuid

from agent import SLOW, eventually
from cri import DEBIAN_PYTHON, IMAGE, ContainerdCase, Probe, Registry, missing_probe, probe_path
from proc import read

HERE = os.path.dirname(os.path.abspath(__file__))


def missing_module(name, package):
    """Why Debian's Python can't import it, or None."""
    done = subprocess.run([DEBIAN_PYTHON, "-c", f"import {name}"], stderr=subprocess.DEVNULL, check=False) \
        if os.access(DEBIAN_PYTHON, os.X_OK) else None
    return None if done and done.returncode == 0 else f"{package} is not installed"


class HpackAlikeTest(unittest.TestCase):
    def test_python3_hpack_says_the_same(self):
        why = missing_probe("hpack_probe") or missing_module("hpack", "python3-hpack")
        if why:
            self.skipTest(why)
        seed = str(int.from_bytes(os.urandom(4), "big"))
        done = subprocess.run([DEBIAN_PYTHON, os.path.join(HERE, "hpack_reference.py"), probe_path("hpack_probe"), seed,
                               "400"], check=False, timeout=100 * SLOW, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True)
        self.assertEqual(done.returncode, 0, f"seed {seed}: {done.stdout[-3000:]}")
        self.assertIn("400 connections alike", done.stdout)


class ContainerdTest(ContainerdCase):
    """Real pods of the containerd of Debian."""

    def setUp(self):
        super().setUp()
        self.probe = Probe(self.containerd.socket)
        self.addCleanup(self.probe.close)
        self.label = f"label=te-test={uuid.uuid4().hex}"
        self.runtime = self.probe.up()

    def sandbox(self, **changes):
        self.pod = {"pod": "pod", "uid": uuid.uuid4().hex, "log_dir": os.path.join(self.containerd.dir, "logs"), **changes}
        sandbox = self.probe.good("run", self.label, **self.pod)["id"]
        self.addCleanup(self.remove_sandbox, sandbox)
        return sandbox

    def remove_sandbox(self, sandbox):
        """Also one that is removed already."""
        stopped = self.probe.ask("stop_sandbox", id=sandbox, timeout=60)
        self.assertEqual(stopped.get("failure", {}).get("verdict", "gone"), "gone", stopped)
        self.probe.good("remove_sandbox", id=sandbox, timeout=60)

    def container(self, sandbox, script, *more, name="main"):
        return self.probe.good("create", "command=/bin/sh", "arg=-c", f"arg={script}", self.label, *more, sandbox=sandbox,
                               name=name, image=IMAGE, log=f"{name}-{sandbox[:8]}.log", **self.pod)["id"]

    def ended(self, container):
        def look():
            status = self.probe.good("status", id=container)
            return status if status["state"] == "EXITED" else None
        return eventually(look, 20, "the container's end")

    def said_up(self, container):
        """Its trap is set."""
        log = self.probe.good("status", id=container)["log_path"]
        eventually(lambda: "stdout F up\n" in read(log), 20, "the container's first word")

    def test_version_is_asked_on_connect(self):
        self.assertEqual(self.runtime["up"], "containerd")
        self.assertEqual(self.runtime["api"], "v1")
        self.assertEqual(self.runtime["broadcasts"], 0)

    def test_the_life_of_a_container(self):
        sandbox = self.sandbox()
        with tempfile.TemporaryDirectory() as volume:
            container = self.container(sandbox, "echo hello $X; echo word >&2; echo seen > /v/f; exit 3", "env=X=y z",
                                       f"mount=/v={volume}")
            listed = self.probe.good("list", self.label)["items"]
            self.assertEqual([(c["id"], c["sandbox"], c["name"], c["state"]) for c in listed],
                             [(container, sandbox, "main", "CREATED")])
            self.probe.good("start", id=container)
            status = self.ended(container)
            self.assertEqual(read(os.path.join(volume, "f")), "seen\n")
        self.assertEqual((status["exit_code"], status["reason"], status["name"]), (3, "Error", "main"))
        # (The runtime notes the start of so short a process after its end.)
        self.assertGreater(status["started_at"], status["created_at"])
        self.assertGreater(status["finished_at"], status["created_at"])
        lines = read(status["log_path"]).splitlines()
        self.assertEqual(sorted(line.split(" ", 1)[1] for line in lines), ["stderr F word", "stdout F hello y z"])
        self.probe.good("remove", id=container)
        self.assertEqual(self.probe.good("list", self.label)["items"], [])
        gone = self.probe.ask("status", id=container)["failure"]
        self.assertEqual((gone["verdict"], gone["code"]), ("gone", "NOT_FOUND"))
        found = self.probe.good("list_sandboxes", self.label)["items"]
        self.assertEqual([(s["id"], s["state"], s["uid"]) for s in found], [(sandbox, "READY", self.pod["uid"])])

    def test_a_safe_container(self):
        """Its own PID namespace, masked and read-only paths, seccomp: the defaults of our structs."""
        sandbox = self.sandbox()
        container = self.container(sandbox, "echo pid $$; echo x > /proc/sys/kernel/domainname; cat /proc/self/status; "
                                            "cat /proc/self/mountinfo")
        self.probe.good("start", id=container)
        status = self.ended(container)
        log = read(status["log_path"])
        self.assertIn("stdout F pid 1\n", log)
        self.assertIn("/proc/sys/kernel/domainname: Read-only file system", log)
        self.assertRegex(log, r" /proc/sys ro[, ]")
        self.assertRegex(log, r"Seccomp:\s+2\n")

    def test_stop_kills_after_the_grace_and_at_once(self):
        sandbox = self.sandbox()
        stubborn = self.container(sandbox, "trap '' TERM; echo up; while :; do sleep 0.1; done")
        self.probe.good("start", id=stubborn)
        self.said_up(stubborn)
        slow = self.probe.call("stop", id=stubborn, grace=300)
        # A second one overrides the first, and both are answered.
        self.probe.good("stop", id=stubborn, grace=0)
        self.assertNotIn("failure", self.probe.reply(slow))
        self.assertEqual(self.ended(stubborn)["exit_code"], 137)
        self.probe.good("stop", id=stubborn, grace=0)

        polite = self.container(sandbox, "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done", name="polite")
        self.probe.good("start", id=polite)
        self.said_up(polite)
        self.probe.good("stop", id=polite, grace=20)
        self.assertEqual(self.ended(polite)["exit_code"], 5)

    def test_stats_of_a_running_container(self):
        sandbox = self.sandbox()
        container = self.container(sandbox, "i=0; while :; do i=$((i+1)); done")
        self.probe.good("start", id=container)

        def used():
            reply = self.probe.ask("stats", id=container)
            return reply if reply.get("cpu_nanos", 0) > 1_000_000 else None
        self.assertGreater(eventually(used, 20, "cpu time")["working_set"], 0)

    def test_what_containerd_says_to_mistakes(self):
        sandbox = self.sandbox()
        verdict = lambda *args, **named: self.probe.ask(*args, **named)["failure"]["verdict"]  # noqa: E731
        create = {"name": "x", "image": IMAGE, "sandbox": sandbox, **self.pod}
        self.assertEqual(verdict("run", **self.pod), "reserved")
        self.assertEqual(verdict("create", **{**create, "image": "no/such:image"}), "image missing")
        self.assertEqual(verdict("create", **{**create, "sandbox": "0123456789"}), "new attempt")
        container = self.probe.good("create", "command=/no/such/program", **create)["id"]
        self.assertEqual(verdict("create", "command=/bin/true", **create), "reserved")
        self.assertEqual(verdict("start", id=container), "fail")
        status = self.ended(container)
        self.assertEqual((status["exit_code"], status["reason"]), (128, "StartError"))
        self.assertIn("/no/such/program", status["message"])
        self.assertEqual(verdict("start", id=container), "already started")
        running = self.container(sandbox, "sleep 1000", name="running")
        self.probe.good("start", id=running)
        self.assertEqual(verdict("start", id=running), "already started")
        for call in ("start", "stop", "status", "stats", "stop_sandbox"):
            self.assertEqual(verdict(call, id="none"), "gone", call)
        for call in ("remove", "remove_sandbox"):
            self.assertNotIn("failure", self.probe.ask(call, id="none"), call)
        self.assertEqual(verdict("pull", image="127.0.0.1:1/x:y", timeout=60), "back off")
        self.assertEqual(verdict("pull", image="BAD::y"), "fail")
        self.assertNotIn("id", self.probe.good("image", image="no/such:image"))
        self.assertIn(IMAGE, self.probe.good("image", image=IMAGE)["tags"])
        self.probe.call("events")
        end = self.probe.find(lambda line: "events_end" in line)
        self.assertEqual(end["failure"]["verdict"], "unsupported")

    def test_a_long_error_text_comes_whole(self):
        """30 kB of grpc-message: HEADERS and CONTINUATION."""
        name = "n" * 30_000
        failure = self.probe.ask("create", "command=/bin/true", name=name, image=IMAGE, sandbox="none", pod="p")["failure"]
        self.assertEqual(failure["verdict"], "new attempt")
        failure = self.probe.ask("status", id=name)["failure"]
        self.assertIn(name, failure["message"])

    def test_megabytes_both_ways(self):
        sandbox = self.sandbox()
        value = "v" * 3_000_000
        container = self.probe.good("create", "command=/bin/true", f"label=big={'w' * 4_000}", sandbox=sandbox, name="big",
                                    image=IMAGE, **self.pod)["id"]
        self.assertEqual(len(self.probe.good("status", id=container)["labels"]["big"]), 4_000)
        failure = self.probe.ask("create", "command=/bin/true", f"label=big={value}", sandbox=sandbox, name="bigger",
                                 image=IMAGE, timeout=60, **self.pod)["failure"]
        self.assertEqual(failure["origin"], "server")
        self.assertIn("label", failure["message"])

    def test_pulls_from_a_registry(self):
        registry = Registry()
        self.addCleanup(registry.close)
        image = f"{registry.host}/pulled:1"
        verdict = lambda **named: self.probe.ask("pull", timeout=60, **named)["failure"]["verdict"]  # noqa: E731
        self.assertEqual(verdict(image=image), "fail")
        self.assertEqual(verdict(image=image, user="u", password="wrong"), "fail")
        self.assertEqual(verdict(image=f"{registry.host}/pulled:2", user="u", password="p"), "fail")
        for registry.trouble in (429, 500, 503):
            self.assertEqual(verdict(image=image, user="u", password="p"), "back off", registry.trouble)
        registry.trouble = None
        self.assertNotIn("id", self.probe.good("image", image=image))
        reference = self.probe.good("pull", image=image, user="u", password="p", timeout=60)["ref"]
        found = self.probe.good("image", image=image)
        self.assertEqual((found["id"], found["tags"]), (reference, [image]))

    def test_many_calls_at_once(self):
        sandbox = self.sandbox()
        containers = [self.container(sandbox, f"exit {i}", name=f"c{i}") for i in range(6)]
        for call in [self.probe.call("start", id=container) for container in containers]:
            self.assertNotIn("failure", self.probe.reply(call))
        self.assertEqual([self.ended(container)["exit_code"] for container in containers], list(range(6)))
        for call in [self.probe.call("list", self.label) for _ in range(200)]:
            self.assertEqual(len(self.probe.reply(call)["items"]), 6)

    def test_the_runtime_restarts(self):
        for number, why in ((signal.SIGTERM, "not there"), (signal.SIGKILL, "dead")):
            with self.subTest(why):
                sandbox = self.sandbox()
                word = uuid.uuid4().hex
                container = self.container(sandbox, f"sleep 0.5; exit 7 # {word}")
                self.probe.good("start", id=container)
                waiting = self.probe.call("stop", id=self.container(sandbox, "sleep 1000", name="idle"), grace=300)
                self.probe.reply(waiting)  # a container that never ran is stopped at once
                self.containerd.kill(number)
                self.assertIn("down", self.probe.down())
                failure = self.probe.ask("list", self.label)["failure"]
                self.assertEqual((failure["verdict"], failure["origin"]), ("retry", "not sent"))
                self.containerd.wait_ended(word)
                self.containerd.start()
                self.probe.up()
                self.assertEqual(self.ended(container)["exit_code"], 7)
                self.remove_sandbox(sandbox)


class GrpcioTest(unittest.TestCase):
    """A fake runtime in grpcio: another HTTP/2 implementation, and calls that misbehave."""

    @classmethod
    def setUpClass(cls):
        cls.why = missing_probe("cri_probe") or missing_module("grpc", "python3-grpcio")

    def setUp(self):
        if self.why:
            self.skipTest(self.why)
        self.dir = tempfile.mkdtemp(prefix="te-grpcio-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.socket = os.path.join(self.dir, "s")

    def serve(self, *options):
        self.server = subprocess.Popen([DEBIAN_PYTHON, os.path.join(HERE, "fake_cri.py"), self.socket, *options],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        lines, changed = [], threading.Condition()

        def reading():
            for line in self.server.stdout:
                with changed:
                    lines.append(line.rstrip("\n"))
                    changed.notify_all()
        thread = threading.Thread(target=reading, daemon=True)
        thread.start()

        def wait_said(text, timeout=20):
            with changed:
                self.assertTrue(changed.wait_for(lambda: text in lines, timeout * SLOW), f"no {text!r} in {lines}")

        def stop():
            if self.server.poll() is None:
                self.server.stdin.close()
                self.server.wait(20)
            thread.join(5)
            self.server.stdout.close()
        self.addCleanup(stop)
        self.said, self.wait_said = lines, wait_said
        wait_said("listening")

    def connect(self, *flags):
        probe = Probe(self.socket, *flags)
        self.addCleanup(probe.close)
        probe.up()
        return probe

    def test_answers_small_and_large(self):
        self.serve()
        probe = self.connect()
        self.assertEqual(probe.good("status", id="a")["state"], "EXITED")
        for size in (1, 16_384, 100_000, 8_000_000):
            self.assertEqual(len(probe.good("status", id=f"size={size}")["message"]), size)
        failure = probe.ask("status", id="size=17000000", timeout=60)["failure"]
        self.assertEqual((failure["code"], failure["origin"]), ("RESOURCE_EXHAUSTED", "local"))
        self.assertEqual(probe.good("status", id="a")["state"], "EXITED")
        calls = [probe.call("status", id=f"size={i * 1_000}") for i in range(50)]
        for i, call in enumerate(calls):
            self.assertEqual(len(probe.reply(call)["message"]), i * 1_000)

    def test_large_requests(self):
        self.serve()
        probe = self.connect()
        env = "env=K=" + "v" * 9_000_000
        calls = [probe.call("create", env, sandbox="s", name="n", image="i", pod="p") for _ in range(3)]
        for call in calls:
            self.assertNotIn("failure", probe.reply(call, 60))

    def test_errors_small_and_large(self):
        self.serve()
        probe = self.connect()
        for code, verdict in ((5, "gone"), (12, "unsupported"), (14, "retry"), (2, "retry")):
            for length in (0, 20, 20_000):
                failure = probe.ask("status", id=f"error={code},{length}")["failure"]
                self.assertEqual((failure["verdict"], failure["message"]), (verdict, "e" * length))
        text = "a%b \u20ac \"quoted\"\n\ttab%41"
        self.assertEqual(probe.ask("status", id="text=" + text.replace("\n", "").replace("\t", ""))["failure"]["message"],
                         text.replace("\n", "").replace("\t", ""))
        self.assertEqual(probe.ask("image", image="x")["failure"]["verdict"], "unsupported")

    def test_deadlines(self):
        self.serve()
        probe = self.connect("--timeout-ms=1200")
        failure = probe.ask("status", id="sleep=60")["failure"]
        self.assertEqual((failure["verdict"], failure["code"]), ("retry", "DEADLINE_EXCEEDED"))
        self.wait_said("cancelled ContainerStatus")
        failure = probe.ask("start", id="sleep=2")["failure"]
        self.assertEqual((failure["verdict"], failure["code"]), ("look again", "DEADLINE_EXCEEDED"))
        self.wait_said("finished StartContainer")  # never cancelled
        self.assertNotIn("failure", probe.ask("stop", id="sleep=1", grace=30))
        self.assertEqual(probe.good("status", id="a")["state"], "EXITED")

    def test_dropped_calls(self):
        self.serve()
        probe = self.connect()
        pull = probe.call("pull", image="x")
        self.wait_said("pulling")
        probe.call("drop", of=pull)
        self.wait_said("cancelled PullImage")
        stop = probe.call("stop", id="sleep=1", grace=5)
        self.assertEqual(probe.good("status", id="a")["state"], "EXITED")
        probe.call("drop", of=stop)
        self.wait_said("finished StopContainer")

    def test_events(self):
        self.serve()
        probe = self.connect()
        stream = probe.call("events")
        for kind in range(3):
            event = probe.find(lambda line: "event" in line)
            self.assertEqual((event["event"], event["type"], event["at"]), (f"c{kind}", kind, 1_000 + kind))
        self.assertEqual(probe.good("status", id="a")["state"], "EXITED")
        probe.call("drop", of=stream)
        self.wait_said("cancelled GetContainerEvents")

    def test_the_server_goes_and_comes(self):
        self.serve()
        probe = self.connect()
        calls = [probe.call("status", id="sleep=60"), probe.call("start", id="sleep=60"), probe.call("run", pod="p")]
        self.assertNotIn("failure", probe.reply(calls.pop()))
        probe.good("status", id="a")
        self.server.kill()
        self.server.wait()
        probe.down()
        self.assertEqual([probe.reply(call)["failure"]["verdict"] for call in calls], ["retry", "look again"])
        self.assertEqual(probe.ask("status", id="a")["failure"]["origin"], "not sent")
        os.unlink(self.socket)
        self.serve()
        probe.up()
        self.assertEqual(probe.good("status", id="a")["state"], "EXITED")

    def test_connections_of_a_short_life(self):
        """GOAWAY every 300 ms or so: calls that are on their way are answered, new ones go to the next connection."""
        self.serve("max_connection_age_ms=300", "max_connection_age_grace_ms=20000")
        probe = self.connect()
        for _ in range(3):
            slow = [probe.call("status", id="sleep=0.7") for _ in range(3)]
            probe.up()
            for call in slow:
                self.assertNotIn("failure", probe.reply(call))
            self.assertEqual(probe.good("status", id="a")["state"], "EXITED")

    def test_a_graceful_stop(self):
        """GOAWAY twice, as every gRPC server says good-bye: the call in flight is answered."""
        self.serve()
        probe = self.connect()
        slow = probe.call("status", id="sleep=1")
        probe.good("status", id="a")
        self.server.stdin.write("stop 20\n")
        self.server.stdin.flush()
        probe.down()
        self.assertNotIn("failure", probe.reply(slow))
        self.assertEqual(probe.ask("status", id="a")["failure"]["origin"], "not sent")


class NghttpdTest(unittest.TestCase):
    """nghttp2's server, strict about HPACK and generous with padding: it echoes uploads, and knows no gRPC."""

    @classmethod
    def setUpClass(cls):
        missing = [name for name in ("nghttpd", "socat") if not shutil.which(name)]
        cls.why = missing_probe("cri_probe") or (missing and "not installed: " + ", ".join(missing))

    def setUp(self):
        if self.why:
            self.skipTest(self.why)
        self.dir = tempfile.mkdtemp(prefix="te-nghttpd-")
        self.addCleanup(shutil.rmtree, self.dir)

    def start(self, *command, **named):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, **named)

        def stop():
            process.terminate()
            process.communicate()
        self.addCleanup(stop)
        return process

    def serve(self, *flags):
        """nghttpd on a port of its own choice, socat with a unix socket in front of it."""
        # It can't say which port it got, so one is reserved by binding it first.
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.start("nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", self.dir, "--echo-upload", *flags, str(port))
        path = os.path.join(self.dir, "s")
        self.start("socat", f"UNIX-LISTEN:{path},fork", f"TCP:127.0.0.1:{port},retry=50,interval=0.1")
        eventually(lambda: os.path.exists(path), 10, "socat's socket")
        probe = Probe(path)
        self.addCleanup(probe.close)
        return probe

    def test_padding_and_a_table_of_nothing(self):
        """Version comes back as it was sent: its request is a good answer, field 1 with the text 0.1.0."""
        probe = self.serve("--header-table-size=0", "-b", "17", "--trailer", "grpc-status: 0")
        probe.up()
        status = probe.good("status", id="")  # an empty message is one, too
        self.assertEqual(status["state"], "UNKNOWN")
        self.assertEqual(len(probe.good("stop_sandbox", id="i" * 1_000_000, timeout=60)), 1)
        calls = [probe.call("remove_sandbox", id="x" * i) for i in range(0, 3_000, 30)]
        for call in calls:
            self.assertNotIn("failure", probe.reply(call))

    def test_small_windows(self):
        probe = self.serve("-w", "8", "-W", "8", "--trailer", "grpc-status: 0")
        probe.up()
        self.assertNotIn("failure", probe.ask("stop_sandbox", id="i" * 300_000, timeout=60))

    def test_no_grpc_status(self):
        probe = self.serve("-b", "255")
        failure = eventually(lambda: probe.ask("status", id="a").get("failure"), 10)
        self.assertEqual(failure["origin"], "not sent")
        self.assertIn("the answer has no grpc-status", failure["message"])

"""taskctl, as somebody at a shell uses it."""

import http.server
import json
import os
import pty
import re
import signal
import socket
import subprocess
import threading
import time

from agent import AgentTest, BINARY, SLOW, controller, eventually, guide, state_of


class Ctl(AgentTest):
    def setUp(self):
        # The same binary under the other name, wherever that one lies.
        self.taskctl = os.path.join(self.scratch(), "taskctl")
        os.symlink(BINARY, self.taskctl)
        self.running = None

    def agent(self, *flags, **kwargs):
        self.running = super().agent(*flags, **kwargs)
        return self.running

    def environment(self, **more):
        return {"PATH": os.environ["PATH"], "TASKCTL_SERVER": f"http://127.0.0.1:{self.running.port}", **more}

    def ctl(self, *words, text=None, **more):
        return subprocess.run([self.taskctl, *words], input=text, capture_output=True, text=True, check=False,
                              timeout=30 * SLOW, env=self.environment(**more))

    def start(self, *words):
        process = subprocess.Popen([self.taskctl, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env=self.environment())
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def check(self, result, code, out, err=""):
        self.assertEqual((result.returncode, result.stdout, result.stderr), (code, out, err))


class LongWait(Ctl):
    first = True  # mostly waiting: beside all the others

    def test_agent_that_is_replaced_after_longer_than_its_replacement_may_take(self):
        agent = self.agent(listen="127.0.0.1:0")
        agent.listen = f"127.0.0.1:{agent.port}"
        agent.create(guide("a", "sh", "-c", "sleep 33; exit 6"))
        process = self.start("wait", "a")
        time.sleep(31)
        agent.kill9()
        time.sleep(0.5)
        agent.start()
        self.assertEqual(process.wait(20 * SLOW), 6, process.stderr.read())


class Run(Ctl):
    def test_output_and_exit_status(self):
        agent = self.agent()
        self.check(self.ctl("run", "--", "sh", "-c", "echo out; echo err >&2; exit 7"), 7, "out\n", "err\n")
        self.check(self.ctl("run", "--name", "a", "-eA=1", "--env=B=2=3", "-w", "/usr", "--",
                            "sh", "-c", "echo $A $B; pwd"), 0, "1 2=3\n/usr\n")
        self.assertEqual(agent.ended("a")["exitCode"], 0)
        self.check(self.ctl("run", "--rm", "--name=b", "--", "true"), 0, "")
        agent.gone("b")
        big = self.ctl("run", "--", "seq", "1", "300000")
        self.assertEqual(big.returncode, 0)
        self.assertEqual(big.stdout, "".join(f"{n}\n" for n in range(1, 300001)))

    def test_ends_that_are_not_the_command_s(self):
        self.agent()
        result = self.ctl("run", "--name=x", "--", "/nowhere/command")
        self.assertEqual((result.returncode, result.stdout), (127, ""))
        self.assertIn("taskctl: x: StartError: ", result.stderr)
        self.assertIn("/nowhere/command", result.stderr)
        result = self.ctl("run", "--name=y", "--timeout=100ms", "--grace=0", "--", "sh", "-c", "echo on; exec sleep 1000")
        self.assertEqual((result.returncode, result.stdout), (143, "on\n"))
        self.assertIn("taskctl: y: TaskTimeout: ", result.stderr)
        # One that takes the end of its time well is no success either.
        result = self.ctl("run", "--name=z", "--timeout=1s", "--",
                          "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.01; done")
        self.assertEqual((result.returncode, result.stdout), (143, ""))
        waited = self.ctl("wait", "z")
        self.assertEqual((waited.returncode, waited.stdout), (143, ""))
        for said in (result.stderr, waited.stderr):
            self.assertIn("taskctl: z: TaskTimeout: ", said)
        result = self.ctl("run", "--name=y", "--", "true")  # the name is taken
        self.assertEqual(result.returncode, 125)
        self.assertIn("exists with another spec", result.stderr)
        self.check(self.ctl("run", "--name=x", "--", "/nowhere/command"), 125, "",
                   "taskctl: the task x is there already\n")
        self.assertEqual(self.ctl("run").returncode, 2)
        self.assertEqual(self.ctl("run", "true").returncode, 2)
        self.assertEqual(self.ctl("run", "--name=/", "--", "true").returncode, 125)
        self.assertEqual(self.ctl("run", "--", "true", TASKCTL_SERVER="127.0.0.1:1").returncode, 125)

    def test_detach(self):
        agent = self.agent()
        result = self.ctl("run", "-d", "--", "sleep", "1000")
        self.assertRegex(result.stdout, r"^run-[0-9a-f]{8}\n$")
        self.assertEqual(result.returncode, 0)
        agent.wait_state(result.stdout.strip(), "running")

    def test_output_comes_as_it_is_written(self):
        self.agent()
        fifo = os.path.join(self.scratch(), "fifo")
        os.mkfifo(fifo)
        process = self.start("run", "--", "sh", "-c", f"exec 3<{fifo}; while read x <&3; do echo got $x; done; exit 5")
        with open(fifo, "w", encoding="utf-8") as f:
            for n in range(3):
                f.write(f"{n}\n")
                f.flush()
                self.assertEqual(process.stdout.readline(), f"got {n}\n")
        self.assertEqual(process.wait(10 * SLOW), 5)

    def test_signals_stop_the_task(self):
        agent = self.agent()
        for number, code in ((signal.SIGINT, 143), (signal.SIGTERM, 143), (signal.SIGHUP, 143)):
            process = self.start("run", "--name=a", "--", "sh", "-c", "echo on; exec sleep 1000")
            self.assertEqual(process.stdout.readline(), "on\n")
            process.send_signal(number)
            self.assertEqual(process.wait(10 * SLOW), code)
            agent.gone("a")
        # One that takes its time to stop: its own code, and what it says last.
        process = self.start("run", "--name=a", "--", "sh", "-c",
                             "trap 'echo bye; exit 9' TERM; echo on; while :; do sleep 0.01; done")
        self.assertEqual(process.stdout.readline(), "on\n")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(10 * SLOW), 9)
        self.assertEqual(process.stdout.read(), "bye\n")
        agent.gone("a")
        # The second signal ends the client at once, and the task all the same.
        process = self.start("run", "--name=a", "--", "sh", "-c", "trap '' TERM; echo on; while :; do sleep 0.01; done")
        self.assertEqual(process.stdout.readline(), "on\n")
        process.send_signal(signal.SIGINT)
        eventually(lambda: "deletionTimestamp" in agent.task("a"), 5, "the mark")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(10 * SLOW), 130)
        agent.gone("a", 20)

    def test_ctrl_c_at_a_terminal(self):
        try:
            for end in pty.openpty():
                os.close(end)
        except OSError as error:
            self.skipTest(f"NO TERMINAL CAN BE MADE HERE: {error}")
        agent = self.agent()
        child, terminal = pty.fork()
        if child == 0:
            os.execve(self.taskctl, ["taskctl", "run", "--name=a", "--", "sh", "-c", "echo on; exec sleep 1000"],
                      self.environment())
        self.addCleanup(os.close, terminal)
        text = b""
        while b"on" not in text:
            text += os.read(terminal, 4096)
        os.write(terminal, b"\x03")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 143)
        agent.gone("a")

    def test_reader_that_goes_away(self):
        agent = self.agent()
        process = self.start("run", "--name=a", "--", "yes")
        process.stdout.readline()
        process.stdout.close()
        self.assertEqual(process.wait(10 * SLOW), 125)
        agent.gone("a")  # not left running for ever

    def test_signal_that_ends_the_reader_too(self):
        agent = self.agent()
        process = self.start("run", "--name=a", "--", "yes")
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        process.stdout.close()
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGCONT)  # it finds both at once
        self.assertEqual(process.wait(10 * SLOW), 125)
        agent.gone("a")

    @staticmethod
    def looks(agent):
        """How many were told how tasks are."""
        return sum(int(n) for n in re.findall(r'{route="/tasks(?:/{name})?",code="200"} (\d+)', agent.get("/metrics").text))

    def test_agent_that_is_replaced(self):
        agent = self.agent(listen="127.0.0.1:0")
        fifo = os.path.join(self.scratch(), "fifo")
        os.mkfifo(fifo)
        agent.listen = f"127.0.0.1:{agent.port}"
        for name, end in (("killed", agent.kill9), ("stopped", agent.stop)):
            process = self.start("run", f"--name={name}", "--", "sh", "-c", f"echo one; cat {fifo}; echo three; exit 6")
            self.assertEqual(process.stdout.readline(), "one\n")
            looked = self.looks(agent)
            waiting = [self.start("wait", name), self.start("wait", "--all", "-t1h")]
            eventually(lambda: self.looks(agent) == looked + 2, 10, "both have had their first look")
            # Two that follow, three that wait, and whoever asks.
            eventually(lambda: "task_executor_http_connections 6\n" in agent.get("/metrics").text, 10, "all wait")
            end()
            agent.start()
            with open(fifo, "w", encoding="utf-8") as f:
                f.write("two\n")
            self.assertEqual(process.wait(20 * SLOW), 6, name)
            self.assertEqual(process.stdout.read(), "two\nthree\n")
            self.assertEqual(waiting[0].wait(20 * SLOW), 6, name)
            status = waiting[1].wait(20 * SLOW)
            self.assertEqual(status, 6 if name == "killed" else 1, (name, waiting[1].stderr.read()))
        # An end that comes too late for whoever waits for several.
        agent.create(guide("b", "sleep", "1000"))
        agent.create(guide("c", "sleep", "1000"))
        began = time.monotonic()
        self.check(self.ctl("wait", "-t", "1s", "b", "c"), 124, "")
        self.assertLess(time.monotonic() - began, 1.9 * SLOW)

    def test_answer_of_the_creation_that_is_lost(self):
        self.agent()
        with socket.create_server(("127.0.0.1", 0)) as server:
            def serve():
                with server.accept()[0] as connection:
                    connection.recv(65536)
            thread = threading.Thread(target=serve)
            thread.start()
            result = self.ctl("run", "--", "true", TASKCTL_SERVER=f"127.0.0.1:{server.getsockname()[1]}")
            thread.join()
        self.assertEqual((result.returncode, result.stdout), (125, ""))
        self.assertRegex(result.stderr, r"whether there is a task run-\w+ now is not known")
        # Nobody was asked: there is nothing to be told.
        result = self.ctl("run", "--", "true", TASKCTL_SERVER="127.0.0.1:1")
        self.assertEqual(result.returncode, 125)
        self.assertNotIn("whether", result.stderr)

    def test_signals_while_the_agent_does_not_answer(self):
        agent = self.agent()
        running = self.start("run", "--name=a", "--", "sh", "-c", "echo on; exec sleep 1000")
        self.assertEqual(running.stdout.readline(), "on\n")
        os.kill(agent.pid, signal.SIGSTOP)
        try:
            process = self.start("run", "--name=b", "--", "true")
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(5 * SLOW), 130)
            self.assertIn("whether there is a task b", process.stderr.read())
            # Under a name that nobody else has, it is stopped if it is there.
            unnamed = self.start("run", "--", "sleep", "1000")
            time.sleep(0.2)
            unnamed.send_signal(signal.SIGINT)
            time.sleep(0.2)
            unnamed.send_signal(signal.SIGINT)
            self.assertEqual(unnamed.wait(5 * SLOW), 130)
            name = re.search(r"whether there is a task (run-\w+)", unnamed.stderr.read())[1]
            running.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            running.send_signal(signal.SIGTERM)
            self.assertEqual(running.wait(5 * SLOW), 143)
        finally:
            os.kill(agent.pid, signal.SIGCONT)
        agent.gone(name)
        agent.gone("a")

    def test_agent_that_can_t_give_the_output_now(self):
        """What the agent refuses for a time is asked for again; what it refuses for good is no end of the output."""
        self.agent()
        refusals, end = {}, b'{"name":"a","status":{"state":{"terminated":{"exitCode":0,"reason":"Succeeded"}}}}'

        class Refusing(http.server.BaseHTTPRequestHandler):
            def answer(self, status, body):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.answer(201, b'{"name":"a"}')

            def do_GET(self):
                stream = self.path.partition("stream=")[2][:6]
                if left := refusals.get(stream):
                    return self.answer(left.pop(), b'{"code":"x","message":"not now"}')
                self.answer(200, stream.encode() + b"\n" if stream else end)

            def do_DELETE(self):
                self.answer(204, b"")

            def log_message(self, *_):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            there = f"--server=127.0.0.1:{server.server_port}"
            refusals.update(stdout=[507, 503], stderr=[503])
            self.check(self.ctl("run", there, "--", "x"), 0, "stdout\n", "stderr\n")
            refusals.update(stderr=[500])
            refused = self.ctl("run", there, "--", "x")
            self.assertEqual(refused.returncode, 125)
            self.assertIn("taskctl: not now\n", refused.stderr)
            server.shutdown()


class Commands(Ctl):
    def test_list_and_get(self):
        agent = self.agent()
        self.check(self.ctl("list"), 0, "NAME  STATE  REASON  EXIT  STARTED  FINISHED\n")
        self.check(self.ctl("list", "-o", "json"), 0, "[]\n")
        agent.run("a", "sh", "-c", "exit 3")
        agent.create(controller("b", "sleep", "1000"))
        agent.wait_state("b", "running")
        lines = self.ctl("list").stdout.splitlines()
        self.assertRegex(lines[1], r"^a     terminated  Failed  3     \S+Z  \S+Z$")
        self.assertRegex(lines[2], r"^b     running                   \S+Z$")
        self.check(self.ctl("list", "-oname"), 0, "a\nb\n")
        self.assertEqual([t["name"] for t in json.loads(self.ctl("list", "--output=json").stdout)], ["a", "b"])
        self.assertEqual(json.loads(self.ctl("get", "a", "-o", "json").stdout), agent.task("a"))
        self.assertEqual([t["name"] for t in json.loads(self.ctl("get", "b", "a", "-ojson").stdout)], ["b", "a"])
        self.check(self.ctl("get", "b", "a", "-oname"), 0, "b\na\n")
        self.check(self.ctl("get", "c"), 3, "", 'taskctl: there is no task "c"\n')
        self.assertEqual(self.ctl("get", "..").returncode, 1)
        self.assertEqual(self.ctl("get").returncode, 2)

    def test_logs(self):
        agent = self.agent()
        fifo = os.path.join(self.scratch(), "fifo")
        os.mkfifo(fifo)
        agent.create(guide("a", "sh", "-c", f"seq 1 5; echo err >&2; read x < {fifo}; echo last"))
        agent.wait_state("a", "running")
        eventually(lambda: "err" in agent.output("a", "stderr"), 5, "the output")
        self.check(self.ctl("logs", "a"), 0, "1\n2\n3\n4\n5\nerr\n")
        self.check(self.ctl("logs", "a", "--stream=stdout", "-n2"), 0, "4\n5\n")
        self.check(self.ctl("logs", "a", "--stream=stdout", "--since", "6"), 0, "4\n5\n")
        self.check(self.ctl("logs", "a", "--since=10,0", "--tail=1"), 0, "err\n")
        process = self.start("logs", "-f", "--stream=stdout", "a")
        self.assertEqual(process.stdout.readline(), "1\n")
        with open(fifo, "w", encoding="utf-8") as f:
            f.write("go\n")
        self.assertEqual(process.wait(10 * SLOW), 0)
        self.assertEqual(process.stdout.read(), "2\n3\n4\n5\nlast\n")
        self.assertEqual(self.ctl("logs", "b").returncode, 3)
        self.assertEqual(self.ctl("logs", "a", "--stream=x").returncode, 1)

    def test_output_that_can_t_be_written(self):
        agent = self.agent()
        agent.run("a", "echo", "something")
        for words in (("list",), ("logs", "a")):
            for where, why in ((">/dev/full", "ENOSPC"), (">&-", "EBADF")):
                done = subprocess.run(["sh", "-c", f'"$@" {where}', "sh", self.taskctl, *words], capture_output=True,
                                      text=True, check=False, timeout=30 * SLOW, env=self.environment())
                self.assertEqual(done.returncode, 1, done)
                self.assertIn("standard output: write: ", done.stderr)
                self.assertIn(why, done.stderr)

    def test_wait(self):
        agent = self.agent()
        agent.run("good", "true")
        agent.run("bad", "sh", "-c", "exit 9")
        agent.create(guide("long", "sleep", "1000"))
        self.check(self.ctl("wait", "good"), 0, "")
        self.check(self.ctl("wait", "bad"), 9, "")
        self.check(self.ctl("wait", "good", "bad", "-oname"), 1, "good\nbad\n")
        self.check(self.ctl("wait", "long", "--timeout=50ms"), 124, "")
        self.check(self.ctl("wait", "--all", "-t50ms"), 124, "")
        self.assertEqual(self.ctl("wait", "nobody").returncode, 3)
        self.assertEqual(self.ctl("wait").returncode, 2)
        process = self.start("wait", "--all")
        agent.delete("long")
        self.assertEqual(process.wait(10 * SLOW), 1)

    def test_wait_for_an_agent_that_is_frozen(self):
        agent = self.agent()
        agent.create(guide("long", "sleep", "1000"))
        began = time.monotonic()
        process = self.start("wait", "-t", "1s", "long")
        time.sleep(0.3)
        os.kill(agent.pid, signal.SIGSTOP)
        try:
            self.assertEqual(process.wait(5 * SLOW), 124, process.stderr.read())
            self.assertGreater(time.monotonic() - began, 1)
            self.assertLess(time.monotonic() - began, 3 * SLOW)
            self.check(self.ctl("wait", "-t", "50ms", "long", "other"), 124, "")
        finally:
            os.kill(agent.pid, signal.SIGCONT)

    def test_wait_for_two_over_a_replacement(self):
        """Whoever has answered once is waited for."""
        self.agent()
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = server.getsockname()
            process = subprocess.Popen([self.taskctl, "-s", f"127.0.0.1:{address[1]}", "wait", "a", "b"],
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            self.addCleanup(process.stdout.close)
            self.addCleanup(process.kill)
            connection = server.accept()[0]

        def answer(connection, name, code):
            with connection:
                connection.recv(65536)
                body = json.dumps({"name": name, "status": {"state": {"terminated": {
                    "exitCode": code, "reason": "Failed" if code else "Succeeded"}}}})
                connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())

        answer(connection, "a", 0)
        time.sleep(0.3)
        with socket.create_server(address) as server:
            server.settimeout(10 * SLOW)
            answer(server.accept()[0], "b", 4)
            self.assertEqual(process.wait(5 * SLOW), 1)

    def test_delete(self):
        agent = self.agent()
        for name in ("a", "b", "c"):
            agent.create(guide(name, "sleep", "1000"))
        self.check(self.ctl("delete", "a", "nobody", "-oname"), 0, "a\nnobody\n")
        agent.gone("a")
        self.assertEqual(self.ctl("delete").returncode, 2)
        self.check(self.ctl("delete", "--all"), 0, "")
        agent.gone("b")
        agent.gone("c")

    def test_apply(self):
        agent = self.agent()
        one = json.dumps(guide("a", "sh", "-c", 'echo "]},{"'))
        self.check(self.ctl("apply", "-f", "-", text=one), 0, "a created\n")
        self.check(self.ctl("apply", "-f-", text=one), 0, "a unchanged\n")
        path = os.path.join(self.scratch(), "tasks.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump([guide("a", "sh", "-c", 'echo "]},{"'), controller("b", "true"), guide("c", "true")], f, indent=2)
        self.check(self.ctl("apply", "--file", path), 0, "a unchanged\nb created\nc created\n")
        agent.ended("a")
        self.assertEqual(agent.output("a"), "]},{\n")
        changed = self.ctl("apply", "-f", "-", text=json.dumps([guide("d", "true"), guide("a", "false")]))
        self.assertEqual((changed.returncode, changed.stdout), (1, "d created\n"))
        self.assertIn("exists with another spec", changed.stderr)
        misspelt = self.ctl("apply", "-f", "-", text='{"name":"e","spec":{"process":{"command":["true"],"evn":[]}}}')
        self.assertEqual(misspelt.returncode, 0)
        self.assertIn('Warning: 299 - "unknown field', misspelt.stderr)
        pruned = self.ctl("apply", "--prune", "-oname", "-f", "-", text=json.dumps([guide("z", "true")]))
        self.assertEqual((pruned.returncode, pruned.stdout.splitlines()[0]), (0, "z"))
        eventually(lambda: [t["name"] for t in agent.get("/tasks").json()] == ["z"], 10, "the others gone")
        for text in ("", "3", "{", "[{}", '{"name":"x"}'):
            self.assertEqual(self.ctl("apply", "-f", "-", text=text).returncode, 1, text)
        self.assertEqual(self.ctl("apply").returncode, 2)
        self.assertEqual(self.ctl("apply", "-f", "/nowhere").returncode, 2)

    def test_watch(self):
        agent = self.agent()
        process = self.start("watch")
        names = self.start("watch", "-oname")
        lines = self.start("watch", "-ojson")
        self.assertEqual(json.loads(lines.stdout.readline())["type"], "BOOKMARK")
        eventually(lambda: "\ntask_executor_watchers 3\n" in agent.get("/metrics").text, 10, "all watch")
        agent.run("a", "sh", "-c", "exit 3")
        while True:
            event = json.loads(lines.stdout.readline())
            if state_of(event["object"])[0] == "terminated":
                break
        self.assertRegex(process.stdout.readline(), r"^ADDED     a waiting Initialized$")
        self.assertEqual(names.stdout.readline(), "a\n")
        behind = self.start("watch", f"--revision={event['revision']}")
        agent.delete("a")
        self.assertEqual(behind.stdout.readline(), "MODIFIED  a terminated,deleting Failed 3\n")
        self.assertEqual(behind.stdout.readline(), "DELETED   a terminated,deleting Failed 3\n")
        self.assertEqual(self.ctl("watch", "--revision=1").returncode, 1)
        agent.stop()
        self.assertEqual(process.wait(10 * SLOW), 0)
        agent.start()

    def test_health_version_top(self):
        agent = self.agent()
        self.check(self.ctl("health"), 0, "/health: ok\n/readyz: ok\n")
        self.assertIn("version", json.loads(self.ctl("version").stdout))
        agent.create(guide("a", "sleep", "1000"))
        agent.wait_state("a", "running")
        top = self.ctl("top", "-n", "2", "--interval=20ms")
        self.assertEqual(top.returncode, 0)
        self.assertEqual(top.stdout.count("tasks: 1, waiting 0, running 1, terminated 0\n"), 2)
        self.assertEqual(top.stdout.count(f"a     {agent.task('a')['status']['pid']}"), 2)

    def test_token_and_unix_socket(self):
        folder = self.scratch()
        token = os.path.join(folder, "token")
        with open(token, "w", encoding="utf-8") as f:
            f.write("s3cret\n")
        path = os.path.join(folder, "socket")
        agent = self.agent(f"--auth-token-file={token}", f"--listen-addr=unix:{path}")
        agent.token = "s3cret"
        self.assertEqual(self.ctl("health").returncode, 0)
        refused = self.ctl("list")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("token", refused.stderr)
        self.assertEqual(self.ctl("list", TASKCTL_TOKEN_FILE=token).returncode, 0)
        for server in (f"unix:{path}", f"unix://{path}"):
            self.check(self.ctl("--server", server, "--token-file", token, "run", "--rm", "--", "echo", "hi"), 0, "hi\n")
            self.check(self.ctl("run", f"--server={server}", f"--token-file={token}", "--rm", "--", "echo", "hi"), 0, "hi\n")
        for words in (("list",), ("run", "--", "true"), ("wait", "--all")):
            result = self.ctl(*words[:1], "--token-file=/nowhere", *words[1:])
            self.assertEqual((result.returncode, result.stdout), (2, ""))
            self.assertIn("--token-file", result.stderr)

    def test_agent_that_is_not_there(self):
        self.agent()
        for server in ("127.0.0.1:1", "unix:/nowhere/socket"):
            result = self.ctl("list", TASKCTL_SERVER=server)
            self.assertEqual((result.returncode, result.stdout), (4, ""))
        # One that speaks something else, or breaks off.
        with socket.create_server(("127.0.0.1", 0)) as server:
            def serve():
                for answer in (b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[]", b""):
                    with server.accept()[0] as connection:
                        connection.recv(65536)
                        connection.sendall(answer)
            thread = threading.Thread(target=serve)
            thread.start()
            for _ in range(3):
                result = self.ctl("list", "-ojson", TASKCTL_SERVER=f"127.0.0.1:{server.getsockname()[1]}")
                self.assertNotEqual(result.returncode, 0)
                self.assertEqual(result.stdout, "")
            thread.join()

    def test_run_changes_no_argument(self):
        # JSON can't carry every octet: another file would be touched.
        self.agent()
        for words in ([b"--", b"touch", b"new\xe9"], [b"-e", b"A=\xff", b"--", b"true"], [b"-w", b"/\xff", b"--", b"true"]):
            with self.subTest(words=words):
                self.check(self.ctl("run", *words), 2, "",
                           "taskctl: command, -e and -w must be UTF-8\n")
        self.check(self.ctl("run", "--", "printf", "%s", "n\u00e9\U0001f600"), 0, "n\u00e9\U0001f600")

    def test_usage(self):
        self.agent()
        self.assertEqual(self.ctl().returncode, 2)
        self.assertEqual(self.ctl("nothing").returncode, 2)
        self.assertEqual(self.ctl("list", "--nothing").returncode, 2)
        for server in ("foo", "https://127.0.0.1:5758", "127.0.0.1:99999", "unix:", "name.example:80"):
            with self.subTest(server=server):
                result = self.ctl("-s", server, "list")
                self.assertEqual(result.returncode, 2)
                self.assertIn(f'--server (TASKCTL_SERVER): "{server}": ', result.stderr)
        for flag in ("-s", "--server", "--token-file"):
            self.check(self.ctl(flag), 2, "", f"taskctl: {flag}: needs a value\n")
        for words in (("help",), ("--help",), ("-h",)):
            self.assertIn("run -- COMMAND", self.ctl(*words).stdout)
        for words in (("help", "logs"), ("logs", "--help"), ("logs", "-h")):
            self.assertIn("-f, --follow", self.ctl(*words).stdout)
        self.check(self.ctl("run", "--rm", "--", "printf", "%s", "--help"), 0, "--help")
        # The same program by its first name.
        result = subprocess.run([BINARY, "taskctl", "list", "-oname"], capture_output=True, text=True, check=False,
                                env=self.environment())
        self.assertEqual(result.returncode, 0)

    def complete(self, *words):
        script = (f'source <("{self.taskctl}" completion bash)\n'
                  f'COMP_WORDS=({" ".join(repr(w) for w in ("taskctl", *words))})\n'
                  f'COMP_CWORD={len(words)}\n_taskctl\nprintf "%s\\n" "${{COMPREPLY[@]}}"\n')
        result = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=True, env={
            **self.environment(), "PATH": os.path.dirname(self.taskctl) + ":" + os.environ["PATH"]})
        self.assertEqual(result.stderr, "")
        return result.stdout.split()

    def test_bash_completion(self):
        agent = self.agent()
        agent.run("apple", "true")
        agent.run("banana", "true")
        self.assertEqual(self.complete("l"), ["list", "logs"])
        self.assertEqual(self.complete("logs", "--f"), ["--follow"])
        self.assertEqual(self.complete("logs", "a"), ["apple"])
        self.assertEqual(self.complete("get", ""), ["apple", "banana"])
        self.assertEqual(self.complete("list", "-o", "j"), ["json"])
        self.assertEqual(self.complete("run", "--na"), ["--name"])
        self.assertIn("/etc/passwd", self.complete("apply", "-f", "/etc/passw"))

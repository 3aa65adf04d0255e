"""Processes, files and clients that do not do what is expected of them: nobody may hang for it, and nothing may live on."""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import unittest

from agent import AgentTest, IS_ROOT, SLOW, alive, eventually, guide, kill_pid, process_state, read, read_all, state_of
from tracer import no_tracer, slow_process, slowed

# The leader's thread ends, another one goes on: /proc shows a zombie that is none.
LEADERLESS = r"""
import ctypes, os, signal, threading, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    threading.Thread(target=lambda: time.sleep(1000)).start()
    print('up', os.getpid(), flush=True)
    ctypes.CDLL(None).pthread_exit(None)
"""


class Stubborn(AgentTest):
    def leaderless(self, agent, name):
        agent.create(guide(name, sys.executable, "-c", LEADERLESS, terminationGracePeriodSeconds=0))
        pid = int(eventually(lambda: agent.output(name), 10, "up").split()[1])
        eventually(lambda: process_state(pid) == "Z", 5, "a leader that looks like a zombie")
        return pid

    @staticmethod
    def has_threads(pid):
        """More than the dead leader, which its parent may not have reaped."""
        try:
            return len(os.listdir(f"/proc/{pid}/task")) > 1
        except FileNotFoundError:
            return False

    def test_process_without_its_leader_dies_with_the_delete(self):
        agent = self.agent()
        pid = self.leaderless(agent, "a")
        self.assertEqual(agent.ended("a")["exitCode"], 0)
        agent.delete("a")
        agent.gone("a")
        self.assertFalse(self.has_threads(pid))

    @unittest.skipUnless(IS_ROOT, "NEEDS ROOT: to see who supervises")
    def test_process_without_its_leader_is_swept_by_its_mark(self):
        agent = self.agent("--on-lost=fail")
        pid = self.leaderless(agent, "a")
        agent.ended("a")
        supervisor = agent.supervisor_of("a")
        kill_pid(supervisor)
        eventually(lambda: not alive(supervisor), 5)
        agent.delete("a")
        agent.gone("a")
        eventually(lambda: not self.has_threads(pid), 5, "none of its threads lives")

    @unittest.skipUnless(IS_ROOT, "NEEDS ROOT: to see who supervises")
    def test_process_that_is_always_in_exec_is_swept_by_its_mark(self):
        agent = self.agent("--on-lost=fail")
        script = os.path.join(self.scratch(), "again")
        with open(script, "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\nexec \"$0\"\n")
        os.chmod(script, 0o755)
        for n in range(5):
            name = f"t{n}"
            agent.create(guide(name, "sh", "-c", f"setsid {script} & exit 0"))
            uid = agent.uid(name)
            agent.ended(name)
            kill_pid(agent.supervisor_of(name))
            agent.delete(name)
            agent.gone(name)
            self.assert_no_trace(agent, uid)

    @unittest.skipUnless(IS_ROOT, "NEEDS ROOT: to see who supervises")
    def test_huge_environment_hides_no_mark(self):
        agent = self.agent("--on-lost=fail")
        fill = "import os,resource;resource.setrlimit(resource.RLIMIT_STACK,(1<<26,1<<26));" \
               "os.environ.update({'X%d'%i:'x'*100000 for i in range(48)});" \
               "os.setsid() if os.fork()==0 else os._exit(0);print('up',flush=True);os.execvp('sleep',['sleep','1000'])"
        agent.create(guide("a", sys.executable, "-c", fill))
        uid = agent.uid("a")
        agent.ended("a")
        eventually(lambda: "sleep" in agent.describe(agent.all_processes_with_mark(uid)), 10, "the sleeper")
        kill_pid(agent.supervisor_of("a"))
        agent.delete("a")
        agent.gone("a")
        self.assert_no_trace(agent, uid)

    @unittest.skipUnless(IS_ROOT, "NEEDS ROOT: a lease on a file of another user")
    def test_exec_that_hangs_can_be_deleted(self):
        # Somebody has a lease on the program: exec waits, as it would for a file system that is gone.
        agent = self.agent()
        program = os.path.join(self.scratch(), "program")
        shutil.copy("/bin/true", program)
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        with open(program, "rb+") as f:
            fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            agent.create(guide("a", program))
            eventually(lambda: os.path.exists(os.path.join(agent.data_dir, "a", "run.json")), 5, "begun")
            began = time.monotonic()
            agent.delete("a")
            agent.gone("a")
            self.assertLess(time.monotonic() - began, 3 * SLOW)
            fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_UNLCK)

    def test_task_that_stops_its_supervisor(self):
        agent = self.agent()
        agent.create(guide("a", "sh", "-c", "kill -STOP $PPID; exit 5"))
        self.assertEqual(agent.ended("a")["exitCode"], 5)
        agent.create(guide("b", "sh", "-c", "kill -STOP $PPID; sleep 1000"))
        eventually(lambda: state_of(agent.task("b"))[0] == "running", 10, "running all the same")
        agent.delete("b")
        agent.gone("b")

    def test_task_that_asks_to_be_traced(self):
        agent = self.agent()
        # Its signals and its exec stop it, and its parent, whom it asked, is its supervisor.
        asks = "import ctypes, os, signal; ctypes.CDLL(None).ptrace(0, 0, 0, 0); "
        goes_on = asks + "signal.signal(10, lambda *_: print('told', flush=True)); os.kill(os.getpid(), 10); os._exit(7)"
        self.assertEqual(agent.run("a", sys.executable, "-c", goes_on)["exitCode"], 7)
        self.assertEqual(agent.output("a"), "told\n")
        execs = asks + "os.execvp('sh', ['sh', '-c', 'exit 3'])"
        self.assertEqual(agent.run("b", sys.executable, "-c", execs)["exitCode"], 3)
        ended = agent.run("c", sys.executable, "-c", asks + "os.kill(os.getpid(), 15)")
        self.assertEqual((ended["exitCode"], ended["signal"]), (143, 15))
        agent.create(guide("d", sys.executable, "-c", asks + "os.execvp('sleep', ['sleep', '1000'])"))
        agent.wait_state("d", "running")
        agent.delete("d")
        agent.gone("d")

    @unittest.skipUnless(IS_ROOT, "NEEDS ROOT: to trace a supervisor")
    def test_orphans_that_ask_to_be_traced_without_end(self):
        if why := no_tracer():
            self.skipTest(why)
        # Each stop of theirs is something to look at. While a look takes 2 ms, there is always another one.
        orphans = textwrap.dedent("""
            import ctypes, os, signal
            libc = ctypes.CDLL(None)
            stop = getattr(libc, "raise")
            for n in range(20):
                if os.fork() == 0:
                    if os.fork() == 0:
                        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
                        signal.signal(signal.SIGTERM, signal.SIG_IGN)
                        signal.alarm(300)
                        while True:
                            libc.ptrace(0, 0, 0, 0)
                            stop(signal.SIGUSR1)
                    os._exit(0)
                os.wait()
            print("all are there", flush=True)
            signal.pause()
            """)
        agent = self.agent()
        agent.create(guide("a", sys.executable, "-c", orphans, timeoutSeconds=3 * SLOW,
                           terminationGracePeriodSeconds=0))
        eventually(lambda: agent.output("a") == "all are there\n", 4, "the orphans")
        tracer = slow_process(agent.supervisor_of("a"), before={"ptrace": 0.002})
        self.addCleanup(tracer.communicate)
        self.addCleanup(tracer.kill)
        self.assertEqual(agent.ended("a", 15)["reason"], "TaskTimeout")
        agent.delete("a")
        agent.gone("a")

    @unittest.skipUnless(IS_ROOT, "NEEDS ROOT: to trace a supervisor")
    def test_traced_supervisor_that_ends(self):
        agent = self.agent("--on-lost=fail")
        agent.create(guide("a", "sleep", "1000"))
        agent.wait_state("a", "running")
        supervisor = agent.supervisor_of("a")
        # Whoever traces a process is told of its end first, and it is nobody else's until then.
        tracer = subprocess.Popen([sys.executable, "-c", textwrap.dedent(f"""
            import ctypes, sys
            failed = ctypes.CDLL(None).ptrace(0x4206, {supervisor}, 0, 0)  # PTRACE_SEIZE
            print("traced" if failed == 0 else "not traced", flush=True)
            sys.stdin.read()
            """)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(tracer.wait)
        self.addCleanup(tracer.stdin.close)
        self.assertEqual(tracer.stdout.readline(), "traced\n")
        kill_pid(supervisor)
        eventually(lambda: process_state(supervisor) == "Z", 5, "it has ended")
        turns = lambda: int(re.search(r"loop_turn_seconds_count (\d+)", agent.get("/metrics").text).group(1))  # noqa: E731
        before = turns()
        time.sleep(1)
        self.assertLess(turns() - before, 50)
        tracer.stdin.close()
        tracer.wait()
        self.assertEqual(agent.ended("a")["reason"], "Lost")

    @unittest.skipUnless(IS_ROOT, "NEEDS ROOT: a /proc of its own")
    def test_proc_that_hides_processes(self):
        # From another user than root, such a /proc hides those that are not dumpable: supervisors, and whoever wants.
        user = 54321  # nobody's
        agent = self.agent(start=False)
        os.chmod(agent.own_dir, 0o755)
        os.mkdir(agent.data_dir, 0o700)
        os.chown(agent.data_dir, user, user)
        agent.prefix = ["unshare", "--mount", "sh", "-c", 'mount -t proc -o hidepid=2 proc /proc && exec "$@"', "sh",
                        "setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        agent.start()
        unreadable = os.path.join(agent.own_dir, "sleep")  # who runs it is not dumpable
        shutil.copy("/bin/sleep", unreadable)
        os.chmod(unreadable, 0o111)
        agent.create(guide("a", "sh", "-c", f"trap '' TERM; setsid {unreadable} 1000 & echo $!; wait",
                           terminationGracePeriodSeconds=0))
        hidden = int(eventually(lambda: agent.output("a"), 10, "its pid"))
        eventually(lambda: read(f"/proc/{hidden}/comm") == "sleep\n", 5, "it sleeps")
        agent.delete("a")
        agent.gone("a")
        self.assertFalse(alive(hidden))
        # The next agent finds the supervisors of the one before.
        out = os.path.join(self.scratch(), "out")
        agent.create(guide("b", "sh", "-c", f"trap 'echo term >{out}; exit' TERM; echo up; while :; do sleep 0.01; done"))
        eventually(lambda: agent.output("b") == "up\n", 5, "up")
        agent.restart()
        agent.wait_state("b", "running")
        agent.delete("b")
        agent.gone("b")
        self.assertEqual(read(out), "term\n")

    def test_stop_in_the_moment_of_the_exec(self):
        if why := no_tracer():
            self.skipTest(why)
        agent = self.agent(start=False)
        agent.prefix = slowed(agent, before={"execve": 0.2}, after={"poll": 0.5})
        agent.start()
        # Its supervisor looks away from 0.05 s to 0.55 s, and has been told to stop when it looks again.
        agent.create(guide("a", "sh", "-c", "trap 'echo term; exit 4' TERM; echo up; while :; do :; done"))
        eventually(lambda: agent.output("a") == "up\n", 5, "up")
        os.kill(agent.supervisor_of("a"), signal.SIGTERM)
        ended = agent.ended("a")
        self.assertEqual((ended["exitCode"], agent.output("a")), (4, "up\nterm\n"), ended)

    def test_directory_taken_away_by_hand(self):
        agent = self.agent()
        agent.run("a", "true")
        shutil.rmtree(os.path.join(agent.data_dir, "a"))
        self.assertEqual(agent.post("/setTasks", []).status, 200)
        agent.gone("a")

    def test_directory_of_a_running_one_taken_away(self):
        agent = self.agent()
        go = os.path.join(self.scratch(), "go")
        agent.create(guide("a", "sleep", "1000", lifecycle={"postStop": {"exec": {"command": ["true"]}}}))
        agent.create(guide("b", "sh", "-c", f"until [ -e {go} ]; do sleep 0.01; done"))
        supervisors = []
        for name in ("a", "b"):
            agent.wait_state(name, "running")
            supervisors.append(agent.supervisor_of(name))
            shutil.rmtree(os.path.join(agent.data_dir, name))
        agent.delete("a")
        agent.gone("a")
        # One that ends by itself leaves nobody behind who would go on trying to record it.
        with open(go, "w", encoding="utf-8"):
            pass
        eventually(lambda: not any(alive(pid) for pid in supervisors), 10, "no supervisor")
        self.assertEqual(agent.ended("b")["reason"], "Lost")
        agent.delete("b")
        agent.gone("b")

    def test_state_files_removed_by_hand(self):
        agent = self.agent()
        out = os.path.join(self.scratch(), "out")
        agent.create(guide("a", "sh", "-c", f"echo run >> {out}; sleep 1000"))
        eventually(lambda: os.path.exists(out), 10, "running")
        agent.wait_state("a", "running")
        supervisor = agent.supervisor_of("a")
        os.unlink(os.path.join(agent.data_dir, "a", "run.json"))
        kill_pid(supervisor)
        self.assertEqual(agent.ended("a")["reason"], "Lost")
        with open(out, encoding="utf-8") as f:
            self.assertEqual(f.read(), "run\n")
        agent.create(guide("b", "sleep", "1000"))
        os.unlink(os.path.join(agent.data_dir, "a", "task.json"))
        self.assertEqual(agent.post("/setTasks", []).status, 200)
        for name in ("a", "b"):
            agent.gone(name)

    def test_log_that_is_a_fifo_now(self):
        agent = self.agent()
        agent.run("a", "echo", "out")
        log = os.path.join(agent.data_dir, "a", "stdout.log")
        os.unlink(log)
        os.mkfifo(log)
        self.assertGreaterEqual(agent.get("/tasks/a/logs", timeout=5).status, 400)
        self.assertEqual(agent.get("/health", timeout=5).status, 200)


class Clients(AgentTest):
    def test_names_that_lead_to_loopback(self):
        agent = self.agent()
        for host in ("evil.example", "evil.example:5758", "localhost.evil.example", "127.0.0.1.evil.example"):
            self.assert_error(agent.get("/getTasks", headers={"Host": host}), 403)
        for host in ("localhost", "agent", "LOCALHOST:5758", "127.0.0.1", "10.1.2.3:80", "[::1]:5758", ""):
            self.assertEqual(agent.get("/getTasks", headers={"Host": host}).status, 200, host)

    def test_readyz_for_everybody_holds_nobody_up(self):
        agent = self.agent()
        request = b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n" * 400
        before = self.durable_writes(agent)
        sock = agent.raw(request)
        answers = threading.Thread(target=self.count_answers, args=(sock, 400))
        answers.start()
        answers.join(20 * SLOW)
        self.assertFalse(answers.is_alive())
        sock.close()
        self.assertLess(self.durable_writes(agent) - before, 20)

    @staticmethod
    def durable_writes(agent):
        for line in agent.get("/metrics").text.splitlines():
            if line.startswith("task_executor_store_write_seconds_count"):
                return int(float(line.split()[1]))
        raise AssertionError("no such figure in /metrics")

    @staticmethod
    def count_answers(sock, count):
        data = b""
        while data.count(b"HTTP/1.1 200") < count:
            data += sock.recv(65536)

    def test_long_lists_come_in_pieces(self):
        agent = self.agent("--max-concurrent-tasks=1")
        names = [f"t{n}" for n in range(600)]
        long = [{"name": "LONG", "value": 400 * "x"}]
        answer = agent.post("/setTasks", [guide(name, "sleep", "1000", env=long) for name in names])
        self.assertEqual([t["name"] for t in answer.json()], names)
        agent.wait_state("t0", "running")
        listed = agent.get("/getTasks")
        self.assertEqual([t["name"] for t in listed.json()], names)
        self.assertEqual(listed.headers.get("Transfer-Encoding"), "chunked")
        self.assertEqual(agent.get("/tasks").json(), listed.json())

    def test_half_closed_long_poll_gets_its_answer(self):
        agent = self.agent()
        agent.create(guide("a", "sleep", "1000"))
        agent.wait_state("a", "running")
        sock = agent.raw(b"GET /tasks/a?wait=terminated&timeout=60s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        eventually(lambda: "task_executor_http_connections" in agent.get("/metrics").text, 5)
        sock.shutdown(1)
        answer = read_all(sock)
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK"), answer)
        self.assertIn(b'"running"', answer)

"""kill -9 at any moment: of the agent, of supervisors, of main processes. Nothing is lost, nothing runs twice."""

import http.client
import os
import random
import signal
import threading
import time
import unittest

from agent import (Agent, AgentTest, IS_ROOT, SLOW, alive, controller, eventually, guide, kill_pid, parent_of,
                   processes, read, state_of)


NEEDS_ROOT = "NEEDS ROOT: a supervisor is not dumpable, nobody else sees what it has open"


def lines(path):
    return read(path).splitlines()


class AgentKilled(AgentTest):
    def test_twenty_tasks_keep_their_codes(self):
        agent = self.agent()
        folder = self.scratch()
        for n in range(20):
            # Some end before the kill, some after the restart, none while it is known which.
            agent.create(guide(f"t{n}", "sh", "-c", f"echo run >> {folder}/t{n}; sleep {n % 5 * 0.2}; exit {n + 1}"))
        eventually(lambda: len(os.listdir(folder)) >= 10, 10, "half of them have begun")
        agent.kill9()
        agent.restart()
        for n in range(20):
            ended = agent.ended(f"t{n}", 20)
            self.assertEqual((ended["exitCode"], ended["reason"], ended.get("signal")), (n + 1, "Failed", None))
            self.assertEqual(lines(f"{folder}/t{n}"), ["run"])

    def test_ends_while_the_agent_is_down(self):
        agent = self.agent()
        fifo = os.path.join(self.scratch(), "fifo")
        os.mkfifo(fifo)
        agent.create(guide("a", "sh", "-c", f"read x < {fifo}; exit 42"))
        agent.create(guide("b", "sleep", "1000"))
        for name in ("a", "b"):
            agent.wait_state(name, "running")
        pids = {n: agent.task(n)["status"]["pid"] for n in ("a", "b")}
        agent.kill9()
        with open(fifo, "w", encoding="utf-8") as f:
            f.write("go\n")
        os.kill(pids["b"], signal.SIGUSR2)
        eventually(lambda: not any(alive(p) for p in pids.values()), 5, "both have ended")
        agent.restart()
        self.assertEqual(agent.ended("a")["exitCode"], 42)
        ended = agent.ended("b")
        self.assertEqual((ended["exitCode"], ended["signal"]), (128 + signal.SIGUSR2, signal.SIGUSR2))

    def test_running_tasks_are_taken_up_again(self):
        agent = self.agent()
        fifo = os.path.join(self.scratch(), "fifo")
        os.mkfifo(fifo)
        agent.create(guide("a", "sh", "-c", f"read x < {fifo}; exit 7"))
        agent.wait_state("a", "running")
        pid, started = agent.task("a")["status"]["pid"], agent.wait_state("a", "running")
        agent.restart()
        self.assertEqual(agent.wait_state("a", "running"), started)
        self.assertEqual(agent.task("a")["status"]["pid"], pid)
        with open(fifo, "w", encoding="utf-8") as f:
            f.write("go\n")
        self.assertEqual(agent.ended("a")["exitCode"], 7)

    def test_timeout_is_kept_while_the_agent_is_down(self):
        agent = self.agent()
        agent.create(guide("a", "sleep", "1000", timeoutSeconds=1))
        agent.wait_state("a", "running")
        pid = agent.task("a")["status"]["pid"]
        agent.kill9()
        eventually(lambda: not alive(pid), 5, "the time-out has struck")
        agent.restart()
        ended = agent.ended("a")
        self.assertEqual((ended["reason"], ended["exitCode"], ended["signal"]), ("TaskTimeout", 143, 15))

    def test_deletion_is_finished_off(self):
        agent = self.agent()
        agent.create(guide("a", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done",
                           terminationGracePeriodSeconds=2))
        eventually(lambda: agent.output("a"), 5, "up")
        uid = agent.uid("a")
        self.assertEqual(agent.delete("a").status, 204)
        agent.kill9()
        agent.restart()
        agent.gone("a")
        self.assert_no_trace(agent, uid)

    def test_queued_tasks_are_started_after_a_restart(self):
        agent = self.agent("--max-concurrent-tasks=1")
        out = os.path.join(self.scratch(), "out")
        fifo = os.path.join(os.path.dirname(out), "fifo")
        os.mkfifo(fifo)
        agent.create(guide("first", "sh", "-c", f"read x < {fifo}"))
        for n in range(3):
            agent.create(guide(f"t{n}", "sh", "-c", f"echo {n} >> {out}"))
        agent.wait_state("first", "running")
        agent.restart()
        self.assertEqual(read(out), "")
        with open(fifo, "w", encoding="utf-8") as f:
            f.write("go\n")
        for n in range(3):
            self.assertEqual(agent.ended(f"t{n}")["exitCode"], 0)
        self.assertEqual(lines(out), ["0", "1", "2"])

    def test_nothing_is_answered_before_recovery(self):
        agent = self.agent()
        self.assertEqual(agent.post("/setTasks", [guide(f"t{n}", "true") for n in range(150)]).status, 200)
        for _ in range(3):
            agent.kill9()
            offset = len(agent.log())
            agent.start(wait=False)
            agent.port = eventually(lambda offset=offset: agent._find_port(offset), 10, "the address")
            # The very first answer: an early empty list would mean "all deleted" to a controller.
            self.assertEqual(len(agent.get("/getTasks").json()), 150)


class RandomKills(AgentTest):
    ROUNDS = 25

    def test_kills_under_a_create_load(self):
        seed = int(os.environ.get("TASK_EXECUTOR_SEED", "20251"))
        dice = random.Random(seed)
        agent = self.agent()
        folder = self.scratch()
        acknowledged, deleted, unsure = set(), set(), set()
        lock = threading.Lock()
        for round_number in range(self.ROUNDS):
            stop = threading.Event()

            def load(worker, number=round_number, stop=stop, dice=random.Random(dice.random())):
                for n in range(10000):
                    if stop.is_set():
                        return
                    name = f"r{number}-{worker}-{n}"
                    task = guide(name, "sh", "-c", f"echo run >> {folder}/{name}; exit {n % 200 + 1}")
                    try:
                        status = agent.post("/tasks", task, timeout=10).status
                        assert status == 201, status
                        with lock:
                            acknowledged.add(name)
                        if dice.random() < 0.2:
                            with lock:
                                acknowledged.discard(name)
                                unsure.add(name)
                            if agent.delete(name, timeout=10).status == 204:
                                with lock:
                                    deleted.add(name)
                    except (OSError, http.client.HTTPException):
                        with lock:
                            unsure.add(name)
                        return
            workers = [threading.Thread(target=load, args=(w,)) for w in range(2)]
            for worker in workers:
                worker.start()
            # A random moment: seeded, and so is what is underway at it only by chance.
            stop.wait(dice.uniform(0.01, 0.15) * SLOW)
            agent.kill9()
            stop.set()
            for worker in workers:
                worker.join()
            agent.restart()
        listed = {t["name"]: t for t in agent.get("/getTasks").json()}
        self.assertEqual(acknowledged - set(listed), set(), f"acknowledged and lost (seed {seed})")
        self.assertGreater(len(acknowledged), self.ROUNDS)
        for name in sorted(acknowledged):
            ended = agent.ended(name, 30)
            code = int(name.rsplit("-", 1)[1]) % 200 + 1
            self.assertEqual((ended["exitCode"], ended["reason"]), (code, "Failed"), f"{name} (seed {seed})")
            self.assertEqual(lines(f"{folder}/{name}"), ["run"], f"{name} (seed {seed})")
        eventually(lambda: not deleted & {t["name"] for t in agent.get("/getTasks").json()}, 20, "deleted ones gone")
        for name in sorted(unsure):
            self.assertLessEqual(len(lines(f"{folder}/{name}")), 1, f"{name} ran twice (seed {seed})")
        self.assertEqual(agent.log().count("quarantine"), 0, "no half-written directory was ever seen")


@unittest.skipUnless(IS_ROOT, NEEDS_ROOT)
class SupervisorKilled(AgentTest):
    def start(self, agent, task):
        agent.create(task)
        name = task["name"]
        agent.wait_state(name, "running")
        return agent.uid(name), agent.supervisor_of(name)

    def test_task_is_lost_and_runs_once(self):
        agent = self.agent("--on-lost=fail")
        out = os.path.join(self.scratch(), "out")
        uid, supervisor = self.start(agent, guide("a", "sh", "-c", f"echo run >> {out}; sleep 1000"))
        eventually(lambda: lines(out), 5, "its first line")
        kill_pid(supervisor)
        ended = agent.ended("a")
        self.assertEqual((ended["exitCode"], ended["reason"]), (137, "Lost"))
        self.assertTrue(ended["message"])
        self.assert_no_trace(agent, uid)
        self.assertEqual(lines(out), ["run"])
        agent.restart()
        self.assertEqual(agent.ended("a"), ended)
        self.assertEqual(lines(out), ["run"])
        agent.delete("a")
        agent.gone("a")

    def test_killed_while_the_agent_is_down(self):
        agent = self.agent("--on-lost=fail")
        out = os.path.join(self.scratch(), "out")
        uid, supervisor = self.start(agent, guide("a", "sh", "-c", f"echo run >> {out}; setsid sleep 1000 & sleep 999"))
        eventually(lambda: lines(out), 5, "its first line")
        agent.kill9()
        kill_pid(supervisor)
        eventually(lambda: not alive(supervisor), 5)
        agent.restart()
        self.assertEqual(agent.ended("a")["reason"], "Lost")
        self.assertEqual(lines(out), ["run"])
        self.assert_no_trace(agent, uid)

    def test_both_killed_at_once(self):
        agent = self.agent("--on-lost=fail")
        out = os.path.join(self.scratch(), "out")
        uid, supervisor = self.start(agent, guide("a", "sh", "-c", f"echo run >> {out}; sleep 1000"))
        eventually(lambda: lines(out), 5, "its first line")
        kill_pid(supervisor)
        agent.kill9()
        agent.restart()
        self.assertEqual(agent.ended("a")["reason"], "Lost")
        self.assertEqual(lines(out), ["run"])
        agent.delete("a")
        agent.gone("a")
        self.assert_no_trace(agent, uid)

    def test_leftover_without_supervisor_dies_with_the_delete(self):
        agent = self.agent("--on-lost=fail")
        agent.create(guide("a", "sh", "-c", "setsid sleep 1000 & exit 5"))
        uid = agent.uid("a")
        self.assertEqual(agent.ended("a")["exitCode"], 5)
        # The shell may end before its child has come as far as setsid and exec.
        def leftover():
            return [p for p in agent.all_processes_with_mark(uid) if "sleep" in agent.describe([p]) and
                    os.getsid(p) == p]
        (left,) = eventually(leftover, 5, "the leftover")
        supervisor = agent.supervisor_of("a")
        kill_pid(supervisor)
        eventually(lambda: not alive(supervisor), 5)
        # The end was recorded: it stays what it was.
        ended = agent.ended("a")
        self.assertEqual((ended["exitCode"], ended["reason"]), (5, "Failed"))
        self.assertEqual(agent.delete("a").status, 204)
        agent.gone("a")
        self.assertFalse(alive(left))
        self.assert_no_trace(agent, uid)

    def test_killed_during_deletion(self):
        agent = self.agent()
        script = "trap '' TERM; echo up; while :; do sleep 0.05; done"
        uid, supervisor = self.start(agent, guide("a", "sh", "-c", script, terminationGracePeriodSeconds=60))
        eventually(lambda: agent.output("a"), 5, "up")
        agent.delete("a")
        kill_pid(supervisor)
        agent.gone("a")
        self.assert_no_trace(agent, uid)

    def test_many_at_random(self):
        dice = random.Random(77)
        agent = self.agent("--on-lost=fail")
        folder = self.scratch()
        known = set()
        data = os.path.realpath(agent.data_dir)
        for n in range(25):
            script = f"echo run >> {folder}/t{n}; sleep 0.0{dice.randrange(10)}; exit 3"
            agent.create(guide(f"t{n}", "sh", "-c", script))
            # Whoever stands between the agent and a task at this moment.
            for pid in processes(lambda p: parent_of(p) == agent.pid):
                if dice.random() < 0.7 and pid not in known and holds(pid, data):
                    known.add(pid)
                    kill_pid(pid)
        for n in range(25):
            ended = agent.ended(f"t{n}", 30)
            self.assertIn((ended["exitCode"], ended["reason"]), [(3, "Failed"), (137, "Lost")], f"t{n}")
            ran = len(lines(f"{folder}/t{n}"))
            self.assertLessEqual(ran, 1)
            if ended["reason"] == "Failed":
                self.assertEqual(ran, 1)


def holds(pid, folder):
    """One of the folder's tasks is open in that process, which may end while it is looked at."""
    try:
        return any(os.readlink(f"/proc/{pid}/fd/{fd}").startswith(folder + "/t") for fd in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False


@unittest.skipUnless(IS_ROOT, NEEDS_ROOT)
class OnLost(AgentTest):
    """--on-lost, for a supervisor that went while the agent was down and while it was up."""

    def lose(self, agent, task, agent_down):
        out = os.path.join(self.scratch(), "out")
        process = task["spec"]["process"] if "spec" in task else task["process"]
        process["command"] = ["sh", "-c", f"echo run >> {out}; sleep 1000"]
        agent.create(task)
        agent.wait_state(task["name"], "running")
        eventually(lambda: lines(out) == ["run"], 5, "it runs")
        uid = agent.uid(task["name"])
        supervisor = agent.supervisor_of(task["name"])
        if agent_down:
            agent.kill9()
        kill_pid(supervisor)
        if agent_down:
            eventually(lambda: not alive(supervisor), 5)
            agent.restart()
        return out, uid

    def each(self, policy, make):
        for down in (True, False):
            with self.subTest(agent_down=down):
                agent = self.agent(*([f"--on-lost={policy}"] if policy else []))
                task = make("t", "true")
                out, uid = self.lose(agent, task, down)
                yield agent, out, uid

    def test_fail(self):
        for make in (guide, controller):
            for agent, out, uid in self.each("fail", make):
                ended = agent.ended("t")
                self.assertEqual((ended["exitCode"], ended["reason"]), (137, "Lost"))
                self.assertEqual(lines(out), ["run"])
                self.assert_no_trace(agent, uid)

    def test_forget(self):
        for make in (guide, controller):
            for agent, out, uid in self.each("forget", make):
                eventually(lambda: agent.get("/getTasks").json() == [], 10, "forgotten")
                self.assertEqual(lines(out), ["run"])
                self.assert_no_trace(agent, uid)
                agent.create(make("t", "true"))  # the controller sends it again
                self.assertEqual(agent.ended("t")["exitCode"], 0)

    def test_restart(self):
        for agent, out, _uid in self.each("restart", guide):
            eventually(lambda: lines(out) == ["run", "run"], 10, "it runs again")
            eventually(lambda: state_of(agent.task("t"))[0] == "running", 5, "running")
            uid = agent.uid("t")
            # Running is the shell; it has told so and becomes the sleep in a moment.
            sleeps = eventually(lambda: [p for p in agent.all_processes_with_mark(uid)
                                         if agent.describe([p]).endswith("[sleep 1000]")], 5, "the second sleep")
            self.assertEqual(len(sleeps), 1, "the first one is dead")

    def test_auto(self):
        for agent, _out, uid in self.each(None, controller):
            eventually(lambda: agent.get("/getTasks").json() == [], 10, "controller form: forgotten")
            self.assert_no_trace(agent, uid)
        for agent, _out, _uid in self.each("auto", guide):
            self.assertEqual(agent.ended("t")["reason"], "Lost")


class Shutdown(AgentTest):
    def test_keep_is_the_default(self):
        agent = self.agent()
        agent.create(guide("a", "sleep", "1000"))
        agent.wait_state("a", "running")
        pid = agent.task("a")["status"]["pid"]
        agent.stop()
        self.assertTrue(alive(pid))
        agent.start()
        self.assertEqual(agent.task("a")["status"]["pid"], pid)

    def test_stop(self):
        agent = self.agent("--on-shutdown=stop")
        agent.create(guide("a", "sh", "-c", "trap 'exit 9' TERM; echo up; while :; do sleep 0.02; done"))
        agent.create(guide("b", "sh", "-c", "setsid sleep 1000 & exit 0"))
        eventually(lambda: agent.output("a"), 5, "up")
        agent.ended("b")
        agent.stop(20)
        eventually(lambda: not agent.all_processes(), 5, "nothing runs on")
        agent.start()
        self.assertEqual(agent.ended("a")["exitCode"], 9)
        self.assertEqual(agent.ended("b")["exitCode"], 0)

    def test_sigint_and_open_requests(self):
        agent = self.agent()
        agent.create(guide("a", "sleep", "1000"))
        results = []

        def poll():
            try:
                results.append(agent.get("/tasks/a?wait=terminated&timeout=100s", timeout=60).status)
            except (OSError, http.client.HTTPException) as error:
                results.append(error)
        waiter = threading.Thread(target=poll)
        waiter.start()
        eventually(lambda: state_of(agent.task("a"))[0] == "running", 5)
        idle = agent.raw(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        idle.recv(1000)
        agent.process.send_signal(signal.SIGINT)
        self.assertEqual(agent.process.wait(10 * SLOW), 0)
        waiter.join()
        idle.close()
        self.assertEqual(len(results), 1)
        agent.start()


class SecondAgent(AgentTest):
    def test_second_agent_on_the_same_directory(self):
        first = self.agent()
        second = Agent(data_dir=first.data_dir, start=False)
        try:
            second.start(wait=False)
            code = second.process.wait(10 * SLOW)
            self.assertNotEqual(code, 0)
            self.assertIn(first.data_dir, second.log())
            self.assertLessEqual(len(second.log().splitlines()), 2)
        finally:
            second.kill9()
            second.data_dir = second.own_dir
            second.close()
        self.assertEqual(first.run("a", "true")["exitCode"], 0)

    def test_children_do_not_hold_the_lock(self):
        agent = self.agent()
        agent.create(guide("a", "sleep", "1000"))
        agent.wait_state("a", "running")
        agent.kill9()
        begin = time.monotonic()
        agent.start()
        self.assertLess(time.monotonic() - begin, 5 * SLOW)

"""Supervisors come from a zygote. It is no more than a shorter way: whatever happens to it, tasks run as ever."""

import os
import signal
import subprocess
import threading
import time
import unittest

from agent import Agent, AgentTest, IS_ROOT, SLOW, eventually, guide, read, state_of
from test_load import Idle
from proc import kill_pid, parent_of, pids_cgroup, process_state

ROOT_ONLY = unittest.skipUnless(IS_ROOT, "NEEDS ROOT: supervisor and zygote are not dumpable")

USER = 54321  # nobody's


def command_line(pid):
    return read(f"/proc/{pid}/cmdline").rstrip("\0").split("\0")


class Zygote(AgentTest):
    def zygotes(self, agent):
        """The zygote and the children that nothing was given to yet."""
        return [pid for pid in agent.children() if command_line(pid) == ["task-zygote"]]

    def zygote(self, agent):
        """The zygote, just after a start, when nothing is in stock."""
        found = eventually(lambda: self.zygotes(agent), 5, "a zygote")
        return found[0]

    def ran_once(self, agent, name, code):
        ended = agent.ended(name, 30)
        self.assertEqual((ended["exitCode"], ended["reason"]), (code, "Failed" if code else "Succeeded"))
        self.assertEqual(read(os.path.join(agent.data_dir, name, "stdout.log")), "once\n")

    def once(self, name, code=0):
        return guide(name, "sh", "-c", f"echo once; exit {code}")

    def test_supervisors_are_named_and_the_zygote_goes(self):
        agent = self.agent()
        self.assertEqual(agent.children(), [])
        agent.create(guide("a.task", "sleep", "1000"))
        agent.wait_state("a.task", "running")
        supervisor = next(pid for pid in agent.children() if command_line(pid)[0] == "task-supervisor")
        self.assertEqual(command_line(supervisor), ["task-supervisor", "a.task"])
        self.assertEqual(read(f"/proc/{supervisor}/comm").strip(), "task-supervisor")
        eventually(lambda: agent.children() == [supervisor], 5, "zygote and stock have gone")
        # Another one comes with the next task.
        agent.run("b", "true")
        agent.delete("b")
        agent.gone("b")
        eventually(lambda: agent.children() == [supervisor], 5, "zygote and stock have gone again")

    @ROOT_ONLY
    def test_what_a_supervisor_has_open(self):
        agent = self.agent()
        agent.create(guide("a", "sleep", "1000"))
        agent.wait_state("a", "running")
        supervisor = agent.supervisor_of("a")
        folder = f"/proc/{supervisor}/fd"
        seen = {int(fd): os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)}
        self.assertEqual(seen, {0: "/dev/null", 1: "/dev/null", 2: "/dev/null",
                                3: os.path.join(os.path.realpath(agent.data_dir), "a")})
        self.assertEqual(read(f"/proc/{supervisor}/environ"), "")

    def test_killed_again_and_again(self):
        agent = self.agent()
        stop = threading.Event()

        def kill():
            while not stop.wait(0.003):
                for pid in self.zygotes(agent):
                    kill_pid(pid)
        killer = threading.Thread(target=kill)
        killer.start()
        try:
            for n in range(60):
                agent.create(self.once(f"one-{n}", n))
            self.assertEqual(agent.post("/setTasks", [self.once(f"one-{n}", n) for n in range(60)] +
                                        [self.once(f"all-{n}", n) for n in range(60)]).status, 200)
            for n in range(60):
                self.ran_once(agent, f"one-{n}", n)
                self.ran_once(agent, f"all-{n}", n)
        finally:
            stop.set()
            killer.join()
        # Those too that the zygote had made when it was killed, and had not told of.
        eventually(lambda: agent.children() == [], 10, "no child and no zombie is left")
        self.ran_once(agent.run("after", "sh", "-c", "echo once") and agent, "after", 0)

    def test_stopped(self):
        agent = self.agent()
        agent.run("first", "true")
        zygote = self.zygote(agent)
        os.kill(zygote, signal.SIGSTOP)
        began = time.monotonic()
        for n in range(12):
            agent.create(self.once(f"t{n}"))
        for n in range(12):
            self.ran_once(agent, f"t{n}", 0)
        self.assertLess(time.monotonic() - began, 5 * SLOW)
        # It was told to go on, and ends as ever.
        eventually(lambda: agent.children() == [], 10, "zygote and stock have gone")

    def test_stopped_while_nothing_is_to_be_started(self):
        agent = self.agent()
        agent.run("first", "true")
        for pid in self.zygotes(agent):
            os.kill(pid, signal.SIGSTOP)
        eventually(lambda: agent.children() == [], 10, "stopped ones go too")
        # With a wish open, that it does not answer.
        agent.run("second", "true")
        os.kill(self.zygote(agent), signal.SIGSTOP)
        agent.create(self.once("third"))
        self.ran_once(agent, "third", 0)
        eventually(lambda: agent.children() == [], 10, "zygote and stock have gone")

    def test_dead_ones_are_reaped_at_once(self):
        agent = self.agent()
        for n in range(5):
            agent.run(f"t{n}", "true")
            for pid in self.zygotes(agent):
                kill_pid(pid)
            # Not by the timer of a stock that nobody needs, which a start puts off.
            eventually(lambda: not any(process_state(pid) == "Z" for pid in agent.children()), 0.5, "no zombie")

    def test_stopped_ones_go_with_the_agent(self):
        agent = self.agent()
        agent.run("first", "true")
        known = self.zygotes(agent)
        for pid in known:
            os.kill(pid, signal.SIGSTOP)
        agent.kill9()
        eventually(lambda: all(process_state(pid) in (None, "Z") for pid in known), 5, "zygote and stock have gone")
        agent.start()

    def test_signal_of_a_stranger_in_the_way_of_a_stop(self):
        agent = self.agent("--on-shutdown=stop")
        agent.run("first", "true")
        zygote = self.zygote(agent)
        # What comes too late for the task that has asked for it is in stock.
        os.kill(zygote, signal.SIGSTOP)
        agent.run("second", "true")
        in_stock = eventually(lambda: [pid for pid in self.zygotes(agent) if pid != zygote], 5, "one in stock")
        for pid in in_stock:
            os.kill(pid, signal.SIGSTOP)
            os.kill(pid, signal.SIGTERM)
        agent.create(guide("a", "sh", "-c", "echo up; exec sleep 1000"))
        agent.process.send_signal(signal.SIGTERM)
        self.assertEqual(agent.process.wait(10 * SLOW), 0)

    @ROOT_ONLY
    def test_no_room_for_a_zygote_in_a_user_namespace(self):
        # Its root is under the limit of the user who has made it.
        if subprocess.run(["setpriv", f"--reuid={USER}", "--clear-groups", "unshare", "-Ur", "true"], check=False,
                          stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("NEEDS USER NAMESPACES FOR ANY USER")
        agent = self.agent_of_a_user("unshare", "-Ur", "prlimit", "--nproc=4:4")
        go = os.path.join(agent.own_dir, "go")
        agent.create(guide("a", "sh", "-c", f"/bin/true; echo up; until [ -e {go} ]; do :; done; "
                                            "i=0; while [ $i -lt 40 ]; do /bin/true; i=$((i+1)); done"))
        eventually(lambda: agent.output("a"), 10, "up")
        # Each would need two processes and finds room for one, which it must not keep.
        for n in range(5):
            agent.create(guide(f"t{n}", "true"))
            time.sleep(0.1)
        for n in range(5):
            agent.delete(f"t{n}")
            agent.gone(f"t{n}")
        with open(go, "w", encoding="utf-8"):
            pass
        self.assertEqual(agent.ended("a")["exitCode"], 0, agent.output("a", "stderr"))

    def agent_of_a_user(self, *inside):
        agent = Agent(start=False)
        self.addCleanup(agent.close)
        os.chmod(agent.own_dir, 0o755)
        os.mkdir(agent.data_dir, 0o700)
        os.chown(agent.data_dir, USER, USER)
        agent.prefix = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *inside]
        agent.start()
        return agent

    @ROOT_ONLY
    def test_no_room_for_a_zygote(self):
        # A user of his own may have so many processes: agent, supervisor and command of one task.
        agent = self.agent_of_a_user("prlimit", "--nproc=3:3")
        for n in range(3):
            agent.run(f"t{n}", "true", deadline=20)
            self.assertEqual(self.zygotes(agent), [])
        agent.create(guide("a", "sleep", "1000"))
        agent.wait_state("a", "running", 20)
        agent.create(guide("b", "sleep", "1000"))
        told = eventually(lambda: state_of(agent.task("b"))[1].get("message"), 10, "why it does not start")
        self.assertIn("EAGAIN", told)
        # It waits for the tick, and does nothing else about it.
        before = Idle.switches(agent.pid)
        threading.Event().wait(2)
        self.assertLess(Idle.switches(agent.pid) - before, 60)
        agent.delete("a")
        agent.wait_state("b", "running", 20)

    @ROOT_ONLY
    def test_zygote_that_may_not_fork(self):
        limit = pids_cgroup(self)
        agent = self.agent()
        limit("cgroup.procs", agent.pid)
        agent.run("first", "true")
        self.assertNotEqual(self.zygotes(agent), [])
        limit("pids.max", 1)  # what is above the limit already stays
        agent.create(self.once("b"))
        told = eventually(lambda: state_of(agent.task("b"))[1].get("message"), 10, "why it does not start")
        self.assertIn("EAGAIN", told)
        before = Idle.switches(agent.pid)
        threading.Event().wait(2)
        self.assertLess(Idle.switches(agent.pid) - before, 60)
        limit("pids.max", "max")
        self.ran_once(agent, "b", 0)

    @ROOT_ONLY
    def test_no_signal_of_strangers_reaches_a_task(self):
        agent = self.agent()
        agent.run("first", "true")
        for pid in self.zygotes(agent):
            os.kill(pid, signal.SIGTERM)
        for n in range(5):
            self.ran_once(agent.run(f"t{n}", "sh", "-c", "echo once") and agent, f"t{n}", 0)
        self.assertNotIn("before the start", agent.log())

    def test_a_burst_leaves_nothing(self):
        agent = self.agent()
        fds = len(os.listdir(f"/proc/{agent.pid}/fd"))
        for n in range(3):
            tasks = [self.once(f"t{n}-{i}") for i in range(24)]
            self.assertEqual(agent.post("/setTasks", tasks).status, 200)
            for i in range(24):
                self.ran_once(agent, f"t{n}-{i}", 0)
            eventually(lambda: agent.children() == [], 3, "zygote, stock and remover have gone")
        # Not the one that watches for orphans either, which nothing here has made.
        self.assertLessEqual(len(os.listdir(f"/proc/{agent.pid}/fd")), fds)

    def test_goes_with_the_agent_and_the_tasks_stay(self):
        agent = self.agent()
        agent.create(guide("a", "sleep", "1000"))
        agent.wait_state("a", "running")
        known = self.zygotes(agent)
        supervisor = next(pid for pid in agent.children() if command_line(pid)[0] == "task-supervisor")
        self.assertTrue(known)
        agent.kill9()
        eventually(lambda: all(process_state(pid) in (None, "Z") for pid in known), 5, "zygote and stock have gone")
        self.assertNotIn(process_state(supervisor), (None, "Z"))
        agent.start()
        agent.wait_state("a", "running")
        self.assertNotEqual(parent_of(supervisor), agent.pid)

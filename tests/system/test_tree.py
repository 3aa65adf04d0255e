"""What a task leaves behind lives on until the task is deleted, and then not one process of it does."""

import os
import sys
import time

from agent import AgentTest, SLOW, alive, eventually, guide

# A tree that tries to get away: its own sessions, double forks, TERM ignored, a closed environment of descriptors.
ESCAPERS = r"""
import os, signal, sys, time
def linger(ignore):
    if ignore:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    print('up', flush=True)
    while True: time.sleep(1000)
def child(fn):
    if os.fork() == 0:
        try: fn()
        finally: os._exit(0)
def setsid_one(): os.setsid(); linger(False)
def setsid_stubborn(): os.setsid(); linger(True)
def double():
    os.setsid()
    if os.fork(): os._exit(0)
    linger(True)
def daemon_closed():
    os.setsid()
    if os.fork(): os._exit(0)
    print('up', flush=True)
    os.closerange(0, 100)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True: time.sleep(1000)
def grandchildren():
    for _ in range(5): child(lambda: linger(True))
    linger(True)
for fn in (setsid_one, setsid_stubborn, double, daemon_closed, grandchildren, lambda: linger(True)): child(fn)
"""
MEMBERS = 11


class Tree(AgentTest):
    def test_background_process_lives_on_until_deleted(self):
        agent = self.agent()
        begin = time.monotonic()
        ended = agent.run("a", "/bin/sh", "-c", "sleep 1000 &")
        # It holds the output open; the end is the main process's all the same.
        self.assertLess(time.monotonic() - begin, 3 * SLOW)
        self.assertEqual((ended["exitCode"], ended["reason"]), (0, "Succeeded"))
        uid = agent.uid("a")
        eventually(lambda: agent.task("a")["status"].get("leftover") == 1, 5, "leftover counts it")
        (sleeper,) = [p for p in agent.all_processes_with_mark(uid) if "sleep" in agent.describe([p])]
        agent.restart()
        self.assertTrue(alive(sleeper))
        eventually(lambda: agent.task("a")["status"].get("leftover") == 1, 5, "leftover counts it after a restart")
        self.assertEqual(agent.ended("a")["reason"], "Succeeded")
        self.assertEqual(agent.delete("a").status, 204)
        agent.gone("a")
        self.assertFalse(alive(sleeper))
        self.assert_no_trace(agent, uid)

    def test_leftover_goes_down_when_it_ends_by_itself(self):
        agent = self.agent()
        fifo = os.path.join(self.scratch(), "fifo")
        os.mkfifo(fifo)
        agent.run("a", "sh", "-c", f"read x < {fifo} & exit 3")
        eventually(lambda: agent.task("a")["status"].get("leftover") == 1, 5, "leftover 1")
        with open(fifo, "w", encoding="utf-8") as f:
            f.write("go\n")
        eventually(lambda: not agent.task("a")["status"].get("leftover"), 5, "leftover 0")
        self.assertEqual(agent.ended("a")["exitCode"], 3)

    def test_nothing_escapes_a_delete(self):
        agent = self.agent()
        script = ESCAPERS + "\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nlinger(True)\n"
        agent.create(guide("a", sys.executable, "-c", script, terminationGracePeriodSeconds=1))
        uid = agent.uid("a")
        eventually(lambda: agent.output("a").count("up") == MEMBERS + 1, 10, "the whole tree is up")
        before = agent.all_processes_with_mark(uid)
        self.assertGreaterEqual(len(before), MEMBERS + 1)
        self.assertEqual(agent.delete("a").status, 204)
        agent.gone("a")
        self.assertEqual([p for p in before if alive(p)], [])
        self.assert_no_trace(agent, uid)

    def test_nothing_escapes_after_main_has_ended(self):
        agent = self.agent()
        agent.create(guide("a", sys.executable, "-c", ESCAPERS, terminationGracePeriodSeconds=1))
        uid = agent.uid("a")
        self.assertEqual(agent.ended("a")["exitCode"], 0)
        eventually(lambda: agent.output("a").count("up") == MEMBERS, 10, "all are up")
        eventually(lambda: agent.task("a")["status"].get("leftover", 0) >= MEMBERS, 5, "all are counted")
        before = agent.all_processes_with_mark(uid)
        agent.delete("a")
        agent.gone("a")
        self.assertEqual([p for p in before if alive(p)], [])
        self.assert_no_trace(agent, uid)

    def test_forking_faster_than_the_sweep(self):
        agent = self.agent()
        # Each process forks its heir and exits: never the same pid for long.
        script = ("import os, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.setsid() if os.fork() == 0 "
                  "else os._exit(0)\nwhile True:\n  if os.fork(): os._exit(0)\n")
        agent.create(guide("a", sys.executable, "-c", script, terminationGracePeriodSeconds=0))
        uid = agent.uid("a")
        agent.ended("a")
        agent.delete("a")
        agent.gone("a", 30)
        self.assert_no_trace(agent, uid)

    def test_grace_is_over_as_soon_as_nothing_is_left(self):
        agent = self.agent()
        for n in range(10):
            # One of them may be on its way out of the group, or losing its parent, just while TERM is sent around:
            # nobody may miss it and sit there for the whole grace.
            name = f"t{n}"
            agent.create(guide(name, "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do setsid sleep 1000 & done; "
                               "sleep 1000 & echo up; wait", terminationGracePeriodSeconds=60))
            eventually(lambda name=name: agent.output(name), 5, "up")
            begin = time.monotonic()
            agent.delete(name)
            agent.gone(name)
            self.assertLess(time.monotonic() - begin, 55, f"round {n}")

    def test_term_comes_before_kill(self):
        agent = self.agent()
        out = os.path.join(self.scratch(), "out")
        script = f"trap 'echo main >> {out}; exit 0' TERM; (trap 'echo kid >> {out}; exit 0' TERM; echo up; " \
                 "while :; do sleep 0.02; done) & echo up; while :; do sleep 0.02; done"
        agent.create(guide("a", "sh", "-c", script))
        eventually(lambda: agent.output("a").count("up") == 2, 5, "both are up")
        agent.delete("a")
        agent.gone("a")
        with open(out, encoding="utf-8") as f:
            self.assertEqual(sorted(f.read().split()), ["kid", "main"])

    def test_stopped_processes_are_killed_too(self):
        agent = self.agent()
        agent.create(guide("a", "sh", "-c", "echo up; kill -STOP $$", terminationGracePeriodSeconds=1))
        uid = agent.uid("a")
        eventually(lambda: agent.output("a"), 5, "up")
        agent.delete("a")
        agent.gone("a")
        self.assert_no_trace(agent, uid)

    def test_fast_delete_after_create(self):
        agent = self.agent()
        begin = time.monotonic()
        for n in range(30):
            agent.create(guide(f"t{n}", "sh", "-c", "setsid sleep 1000 & sleep 1000", terminationGracePeriodSeconds=60))
            self.assertEqual(agent.delete(f"t{n}").status, 204)
        eventually(lambda: agent.get("/getTasks").json() == [], 20, "all gone")
        # None ignores TERM, so none is waited for through its whole grace.
        self.assertLess(time.monotonic() - begin, 55)
        eventually(lambda: not agent.all_processes(), 5, "no process left")

    def test_delete_again_and_unknown(self):
        agent = self.agent()
        self.assertEqual(agent.delete("nobody").status, 204)
        agent.create(guide("a", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done",
                           terminationGracePeriodSeconds=1))
        eventually(lambda: agent.output("a"), 5, "up")
        for _ in range(3):
            response = agent.delete("a")
            self.assertEqual((response.status, response.body), (204, b""))
        agent.gone("a")
        self.assertEqual(agent.delete("a").status, 204)

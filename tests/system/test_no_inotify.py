"""An agent whose user has no inotify instance left: other programs, or many agents on one node, have taken them all."""

import subprocess

from agent import AgentTest, eventually, guide

LIMIT = "/proc/sys/user/max_inotify_instances"  # of a user namespace, so that nobody else misses them
PREFIX = ("unshare", "--user", "--map-root-user", "sh", "-c", f'echo 0 >{LIMIT} && exec "$@"', "sh")
TOLD = "records are looked at by the tick only"


class NoInotify(AgentTest):
    def setUp(self):
        tried = subprocess.run([*PREFIX, "true"], check=False, stderr=subprocess.PIPE, text=True)
        if tried.returncode != 0:
            self.skipTest(f"NO USER NAMESPACE CAN BE MADE HERE: {tried.stderr.strip()}")

    def watched(self, agent):
        lines = [line for line in agent.get("/metrics").text.splitlines() if "task_executor_records_watched " in line]
        return int(lines[-1].split()[1])

    def test_ends_come_at_once_all_the_same(self):
        agent = self.agent("--reconcile-interval=1h", prefix=PREFIX)
        self.assertEqual(agent.get("/readyz").status, 200)
        self.assertEqual(self.watched(agent), 0)
        for n in range(5):
            self.assertEqual(agent.run(f"t{n}", "sh", "-c", f"exit {n}")["exitCode"], n)
        self.assertEqual(agent.run("late", "sleep", "1000", timeoutSeconds=1)["reason"], "TaskTimeout")
        self.assertEqual(agent.log().count(TOLD), 1, "told once, not for each task")

    def test_the_rest_comes_with_the_tick(self):
        agent = self.agent("--reconcile-interval=50ms", prefix=PREFIX)
        agent.create(guide("long", "sh", "-c", "echo here; sleep 1000"))
        self.assertIn("startedAt", agent.wait_state("long", "running"))
        agent.create(guide("left", "sh", "-c", "sleep 1000 >/dev/null 2>&1 & exit 3"))
        self.assertEqual(agent.ended("left")["exitCode"], 3)
        eventually(lambda: agent.task("left")["status"].get("leftover") == 1, 5, "the leftover")
        agent.create(guide("hooked", "true", lifecycle={"preStart": {"exec": {"command": ["sleep", "1000"]}}}))
        eventually(lambda: "PreStartHook" in agent.get("/tasks/hooked").text, 5, "the hook's state")
        follower = agent.raw(b"GET /tasks/long/logs?follow=true HTTP/1.1\r\nHost: a\r\n\r\n")
        with follower, follower.makefile("rb") as lines:
            self.assertTrue(any(b"here" in line for line in lines))
        agent.restart()
        self.assertIn("startedAt", agent.wait_state("long", "running"))
        self.assertEqual(agent.task("left")["status"]["state"]["terminated"]["exitCode"], 3)
        self.assertEqual(agent.delete("left").status, 204)
        agent.gone("left")

    def test_it_is_taken_up_again(self):
        agent = self.agent(prefix=PREFIX)
        self.assertEqual(agent.run("before", "true")["exitCode"], 0)
        self.assertEqual(self.watched(agent), 0)
        subprocess.run(["nsenter", "--user", "--preserve-credentials", f"--target={agent.pid}",
                        "sh", "-c", f"echo 10 >{LIMIT}"], check=True)
        agent.create(guide("after", "sleep", "1000"))
        agent.wait_state("after", "running")
        self.assertEqual(self.watched(agent), 1)
        self.assertIn("records are watched again", agent.log())

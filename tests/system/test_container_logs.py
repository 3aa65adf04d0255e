"""Logs of containers under --task-log-max-bytes: bounded on disk, whole in what is served."""

import concurrent.futures
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from agent import eventually
from containers import ContainerCase, container
from proc import processes, read

BOUND = 100_000
# All on one stream, as a runtime reads two of them in no order; at its end a line that makes three entries.
SCRIPT = "echo first; seq 1 60000; dd if=/dev/zero bs=40000 count=1 2>/dev/null | tr '\\0' x; echo; "
MARKER = re.compile(r"^\[\.\.\. (\d+) bytes left out \.\.\.\]$", re.M)


class BoundedLogTest(ContainerCase):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.mkdtemp(prefix="te-bounded-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.fifo = os.path.join(self.folder, "fifo")
        os.mkfifo(self.fifo)

    def start(self, **kwargs):
        agent = self.agent(f"--task-log-max-bytes={BOUND}", "--reconcile-interval=50ms", f"--volume=v={self.folder}", **kwargs)
        agent.create(container("a", SCRIPT + "read x </v/fifo; seq 60001 90000; echo last; read x </v/fifo",
                               volumeMounts=[{"name": "v", "mountPath": "/v"}]))
        return agent, os.path.join(agent.data_dir, "a", "logs", "main.log")

    def go_on(self, agent):
        with open(self.fifo, "w", encoding="utf-8") as file:
            file.write("go\n")
        # Only then may it end: containerd 1.6 loses what it has not read yet when a container ends.
        eventually(lambda: agent.get("/tasks/a/logs?tail=1").text == "last\n", 30, "the last line")
        with open(self.fifo, "w", encoding="utf-8") as file:
            file.write("end\n")

    def check(self, text, last):
        """One marker on a line of its own, and nothing but whole lines of the container around it."""
        self.assertNotIn("\0", text)
        marks = MARKER.findall(text)
        self.assertEqual(len(marks), 1, text[:200])
        head, tail = MARKER.split(text)[::2]
        lines = head.rstrip("\n").split("\n")
        self.assertEqual(lines[:3], ["first", "1", "2"])
        for i, line in enumerate(lines[:-1]):  # the last one may be cut
            self.assertIn(line, ("first", str(i)))
        self.assertTrue(str(len(lines) - 1).startswith(lines[-1]), lines[-1])
        self.assertTrue(all(re.fullmatch(r"\d+|x*|last", line) for line in tail.split("\n")), tail[:300])
        self.assertTrue(tail.endswith(last), tail[-100:])
        return int(marks[0])

    def check_followed(self, text):
        """Nothing is missing but where a marker stands: what is written faster than a follower reads may be cut too."""
        self.assertTrue(text.endswith("90000\nlast\n"), text[-100:])
        self.assertNotIn("\0", text)
        before = 0
        for piece in MARKER.split(text)[::2]:
            # Lines beside a marker may be cut.
            numbers = [int(line) for line in piece.strip("\n").split("\n")[1:-1] if line.isdigit()]
            if numbers:
                self.assertEqual(numbers, list(range(numbers[0], numbers[0] + len(numbers))))
                self.assertGreater(numbers[0], before)
                before = numbers[-1]

    def test_bounded_by_holes(self):
        agent, path = self.start()
        eventually(lambda: os.path.exists(path) and "x\n" in agent.get("/tasks/a/logs?tail=1").text, 30, "all written")
        eventually(lambda: os.stat(path).st_blocks * 512 <= BOUND + 30_000, 10, "bounded on disk")
        # What lets a log be bounded in place: the runtime appends (open(2), O_APPEND).
        modes = [line.split()[1] for pid in processes(lambda pid: "containerd" in read(f"/proc/{pid}/comm"))
                 for fd in os.listdir(f"/proc/{pid}/fd") if self.points_to(pid, fd, path)
                 for line in read(f"/proc/{pid}/fdinfo/{fd}").splitlines() if line.startswith("flags:")]
        self.assertTrue(modes)
        self.assertTrue(all(int(mode, 8) & os.O_APPEND for mode in modes), modes)
        left_out = self.check(agent.get("/tasks/a/logs").text, "x\n")
        size = os.path.getsize(path)
        self.assertLess(abs(size - left_out - BOUND), 30_000)
        self.assertNotIn("left out", agent.get("/tasks/a/logs?tail=3").text)
        self.check(agent.get("/tasks/a/logs?stream=stdout").text, "x\n")
        self.assertEqual(agent.get("/tasks/a/logs?stream=stderr").text, f"[... {left_out} bytes left out ...]\n")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            following = pool.submit(agent.get, "/tasks/a/logs?follow=true", timeout=60)
            since = pool.submit(agent.get, f"/tasks/a/logs?follow=true&since={size}", timeout=60)
            eventually(lambda: "task_executor_log_followers 2\n" in agent.get("/metrics").text, 10, "two followers")
            self.go_on(agent)
            text = following.result().text
            self.assertEqual(text.split("\n")[:3], ["first", "1", "2"])
            self.assertGreaterEqual(len(MARKER.findall(text)), 1)
            self.check_followed(text)
            new = since.result().text
            self.assertTrue(new.startswith(("60001\n", "[... ")), new[:100])
            self.check_followed(new)
        eventually(lambda: os.stat(path).st_blocks * 512 <= BOUND + 30_000, 10, "bounded at the end")
        self.check(agent.get("/tasks/a/logs").text, "90000\nlast\n")

    @staticmethod
    def points_to(pid, fd, path):
        try:
            return os.readlink(f"/proc/{pid}/fd/{fd}") == path
        except OSError:
            return False

    def test_bounded_where_holes_cannot_be_punched(self):
        ramfs = os.path.join(self.folder, "ramfs")
        os.mkdir(ramfs)
        if subprocess.run(["mount", "-t", "ramfs", "none", ramfs], stderr=subprocess.DEVNULL, check=False).returncode:
            self.skipTest("NEEDS A MOUNT: a ramfs, which knows no holes, can't be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", ramfs], check=True)
        agent, path = self.start(data_dir=os.path.join(ramfs, "data"))
        eventually(lambda: os.path.exists(path) and "x\n" in agent.get("/tasks/a/logs?tail=1").text, 30, "all written")
        eventually(lambda: os.path.getsize(path) <= BOUND, 10, "bounded")
        self.check(agent.get("/tasks/a/logs").text, "x\n")
        self.go_on(agent)
        self.assertEqual(self.ended(agent, "a")["exitCode"], 0)
        eventually(lambda: os.path.getsize(path) <= BOUND, 10, "bounded again")
        self.check(agent.get("/tasks/a/logs").text, "90000\nlast\n")


if __name__ == "__main__":
    unittest.main()

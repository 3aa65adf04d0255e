"""Heavy things while the loop goes on turning; what an idle agent costs. Alone on the machine, at the end."""

import http.client
import os
import re
import shutil
import threading
import time

from agent import AgentTest, SLOW, eventually, guide, processes, read, state_of, status_fields
from proc import cpu_seconds, parent_of


class Health(threading.Thread):
    """Asks /health again and again over one connection and keeps the longest time."""

    def __init__(self, agent):
        super().__init__()
        self.agent, self.stop = agent, threading.Event()
        self.worst, self.count, self.failure = 0.0, 0, None

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.agent.port, timeout=30 * SLOW)
        try:
            while not self.stop.wait(0.002):
                begin = time.monotonic()
                connection.request("GET", "/health")
                response = connection.getresponse()
                response.read()
                self.worst = max(self.worst, time.monotonic() - begin)
                self.count += 1
                if response.status != 200:
                    raise AssertionError(f"/health: {response.status}")
        except Exception as error:  # noqa: BLE001 - told by finish()
            self.failure = error
        finally:
            connection.close()

    def finish(self, test, bound):
        self.stop.set()
        self.join()
        test.assertIsNone(self.failure)
        test.assertGreater(self.count, 10)
        test.assertLess(self.worst, bound * SLOW, f"the longest of {self.count} answers of /health")

    def finish_quick(self, test):
        """By the clock a durable write of a busy disk may be most of an answer; turns are measured without."""
        self.finish(test, 0.25)
        turns = {le: int(count) for le, count in re.findall(
            r'^task_executor_loop_turn_seconds_bucket\{le="([^"]+)"\} (\d+)$', self.agent.get("/metrics").text, re.M)}
        test.assertGreaterEqual(turns["0.005000" if SLOW == 1 else "0.025000"], 0.98 * turns["+Inf"], turns)


class Load(AgentTest):
    serial = True

    def test_deleting_three_gigabytes(self):
        agent = self.agent()
        if shutil.disk_usage(agent.own_dir).free < 6 << 30:
            self.skipTest("NEEDS 6 GB FREE DISK")
        agent.create(guide("big", "head", "-c", "3G", "/dev/zero"))
        agent.ended("big", 120)
        self.assertGreater(os.stat(os.path.join(agent.data_dir, "big", "stdout.log")).st_blocks * 512, (3 << 30) - 1)
        health = Health(agent)
        health.start()
        begin = time.monotonic()
        self.assertEqual(agent.delete("big").status, 204)
        agent.gone("big")
        self.assertLess(time.monotonic() - begin, 1 * SLOW, "gone is said before the bytes are")
        trash = os.path.join(agent.data_dir, ".trash")
        eventually(lambda: not os.path.exists(trash) or not os.listdir(trash), 60, "the bytes are gone too")
        health.finish_quick(self)

    def test_a_thousand_tasks_at_once(self):
        agent = self.agent()
        health = Health(agent)
        health.start()
        tasks = [guide(f"t{n}", "sh", "-c", f"exit {n % 256}") for n in range(1000)]
        response = agent.post("/setTasks", tasks, timeout=60)
        self.assertEqual((response.status, len(response.json())), (200, 1000))
        eventually(lambda: b'"running"' not in (b := agent.get("/getTasks").body) and b'"waiting"' not in b, 60,
                   "all have ended", poll=0.2)
        for n, task in enumerate(agent.get("/getTasks").json()):
            self.assertEqual((task["name"], state_of(task)[1]["exitCode"]), (f"t{n}", n % 256))
        self.assertEqual(agent.post("/setTasks", []).status, 200)
        eventually(lambda: agent.get("/getTasks").body.strip() == b"[]", 60, "all are gone", poll=0.1)
        health.finish_quick(self)

    def test_a_backlog_of_what_is_to_be_removed(self):
        agent = self.agent()
        nice = lambda pid: read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[16]  # noqa: E731
        for entries, wanted in ((20, "10"), (3000, "0")):
            trash = os.path.join(agent.data_dir, ".trash")
            for n in range(entries):
                os.mkdir(os.path.join(trash, f"{n}"))
                for file in range(100 if entries == 20 else 2):
                    with open(os.path.join(trash, f"{n}", f"{file}"), "w", encoding="utf-8"):
                        pass
            agent.run(f"t{entries}", "true")
            agent.delete(f"t{entries}")

            def seen_at_work():
                """By then it has made up its mind."""
                found = processes(lambda pid: read(f"/proc/{pid}/cmdline").startswith("task-unlinker\0") and
                                  parent_of(pid) == agent.pid)
                return found and len(os.listdir(trash)) < entries and nice(found[0])
            self.assertEqual(eventually(seen_at_work, 10, "it removes", poll=0.0005), wanted)
            eventually(lambda: not os.listdir(trash), 20, "all is removed")

    def test_memory_of_a_crowd_goes_back(self):
        if SLOW > 1:
            self.skipTest("A SANITIZER BUILD HAS NO FIGURE FOR MEMORY")
        agent = self.agent()

        def held():  # without the pages of the program, which come as it does this or that
            return int(status_fields(agent.pid)["RssAnon"].split()[0])

        before = held()
        crowd = [guide(f"t{n}", "true", args=["x" * 6000]) for n in range(600)]
        last = guide("last", "true")  # above them in the heap, so that it can't just be cut
        self.assertEqual(agent.post("/setTasks", [*crowd, last]).status, 200)
        self.assertGreater(held(), before + 3500)
        self.assertEqual(agent.post("/setTasks", [last]).status, 200)
        eventually(lambda: len(agent.get("/getTasks").json()) == 1, 60, "the crowd is gone", poll=0.1)
        self.assertLess(held(), before + 1500, "RssAnon in KiB")

    def test_hundreds_run_and_are_adopted(self):
        agent = self.agent()
        self.assertEqual(agent.post("/setTasks", [guide(f"t{n}", "sleep", "1000") for n in range(300)]).status, 200)
        eventually(lambda: agent.get("/getTasks").body.count(b'"running"') == 300, 60, "all run", poll=0.1)
        pids = {t["name"]: t["status"]["pid"] for t in agent.get("/getTasks").json()}
        agent.kill9()
        begin = time.monotonic()
        agent.start()
        self.assertEqual({t["name"]: t["status"].get("pid") for t in agent.get("/getTasks").json()}, pids)
        self.assertLess(cpu_seconds(agent.pid), 0.3 * SLOW)
        self.assertLess(time.monotonic() - begin, 3 * SLOW)
        health = Health(agent)
        health.start()
        self.assertEqual(agent.post("/setTasks", []).status, 200)
        eventually(lambda: agent.get("/getTasks").body.strip() == b"[]", 60, "all are gone", poll=0.1)
        health.finish_quick(self)
        self.assertEqual(agent.all_processes(), [])

    def test_noisy_task(self):
        agent = self.agent("--task-log-max-bytes=1000000", "--reconcile-interval=50ms")
        agent.create(guide("noisy", "sh", "-c", "yes noise", timeoutSeconds=3, terminationGracePeriodSeconds=1))
        health = Health(agent)
        health.start()
        self.assertEqual(agent.ended("noisy", 30)["reason"], "TaskTimeout")
        health.finish(self, 0.2)


class Idle(AgentTest):
    serial = True

    @staticmethod
    def switches(pid):
        total = 0
        for thread in os.listdir(f"/proc/{pid}/task"):
            for line in read(f"/proc/{pid}/task/{thread}/status").splitlines():
                if "ctxt_switches" in line:
                    total += int(line.split(":")[1])
        return total

    def assert_asleep(self, agent, seconds):
        """No context switch within so long a time: the one thing that has to be waited for by the clock."""
        def settled():
            first = self.switches(agent.pid)
            threading.Event().wait(0.3)
            return self.switches(agent.pid) == first
        # Time-outs of the connections before it (idle keep-alive ones are closed already) may still run.
        eventually(settled, 15, "the agent settles")
        before = self.switches(agent.pid)
        threading.Event().wait(seconds)
        self.assertEqual(self.switches(agent.pid) - before, 0, f"wake-ups in {seconds} s")

    def test_no_wake_ups(self):
        agent = self.agent()
        self.assert_asleep(agent, 10)

    def test_no_wake_ups_after_a_task(self):
        agent = self.agent()
        agent.run("a", "true")
        agent.create(guide("b", "sleep", "1000"))
        agent.wait_state("b", "running")
        agent.delete("b")
        agent.gone("b")
        eventually(lambda: not agent.children(), 10, "remover, supervisors and zygote have gone")
        self.assert_asleep(agent, 10)

    def test_memory(self):
        if SLOW > 1:
            self.skipTest("A SANITIZER BUILD HAS NO FIGURE FOR MEMORY")
        agent = self.agent()
        rss = int(status_fields(agent.pid)["VmRSS"].split()[0])
        self.assertLessEqual(rss, 1536, "RSS of the idle agent in KiB")

    def test_no_descriptor_and_no_memory_leaks(self):
        agent = self.agent()

        def round_trip(n):
            agent.run(f"t{n}", "true")
            agent.get("/getTasks")
            agent.delete(f"t{n}")
            agent.gone(f"t{n}")
        for n in range(50):
            round_trip(n)
        fds, rss = len(os.listdir(f"/proc/{agent.pid}/fd")), int(status_fields(agent.pid)["VmRSS"].split()[0])
        for n in range(300):
            round_trip(n)
        eventually(lambda: len(os.listdir(f"/proc/{agent.pid}/fd")) <= fds, 5, "the same descriptors")
        if SLOW == 1:  # a sanitizer keeps freed memory for a while
            self.assertLess(int(status_fields(agent.pid)["VmRSS"].split()[0]) - rss, 300)
        zombies = [p for p in os.listdir("/proc") if p.isdigit() and
                   read(f"/proc/{p}/stat").rsplit(")", 1)[-1].split()[:2] == ["Z", str(agent.pid)]]
        self.assertEqual(zombies, [])
        eventually(lambda: not agent.children(), 5, "no child left, the remover of deleted files and the zygote included")

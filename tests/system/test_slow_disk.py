"""A disk on which every sync takes long, as beside a task that writes gigabytes: the agent waits for it and for nothing
else, so that all it says stays true, and what reads must wait for one write at most."""

import http.client
import itertools
import os
import re
import threading

from agent import AgentTest, IS_ROOT, SLOW, eventually, guide, processes, read, state_of
from test_load import Health
from tracer import no_tracer, slowed

SYNCS_OF_A_WRITE = 3  # a create: its file, its directory, the data directory
DELAY = 0.05
# On a kept connection a request waits for the rest of one write. The rest is the tracer's, and a machine's with other
# tests on it.
HEALTH_BOUND = SYNCS_OF_A_WRITE * DELAY + 0.35


class Client(threading.Thread):
    """Creates, waits, and deletes every second task; keeps account of what was acknowledged."""

    def __init__(self, agent, number, scratch, killed):
        super().__init__(daemon=True)
        self.agent, self.number, self.scratch, self.killed = agent, number, scratch, killed
        self.created, self.deleted, self.asked, self.failure = {}, set(), set(), None

    def run(self):
        try:
            for serial in itertools.count():
                name, code = f"c{self.number}-{serial}", serial % 4
                self.agent.create(guide(name, "sh", "-c", f"echo ran >>{self.scratch}/{name}; exit {code}"))
                self.created[name] = code
                if (told := self.agent.ended(name)["exitCode"]) != code:
                    raise AssertionError(f"{name}: {told}, not {code}")
                if serial % 2:
                    self.asked.add(name)
                    if (status := self.agent.delete(name).status) != 204:
                        raise AssertionError(f"{name}: deleted with {status}")
                    self.deleted.add(name)
        except (OSError, http.client.HTTPException) as error:
            self.failure = None if self.killed.is_set() else error
        except Exception as error:  # noqa: BLE001 - told by the test
            self.failure = error


class SlowDisk(AgentTest):
    serial = True

    def setUp(self):
        if not IS_ROOT:
            self.skipTest("NEEDS ROOT: supervisors are not dumpable, only root traces them")
        if why := no_tracer():
            self.skipTest(why)

    def slow_agent(self, *flags):
        agent = self.agent(*flags, start=False)
        agent.prefix = slowed(agent, before={"fsync,fdatasync,syncfs": DELAY})
        return agent.start()

    def assert_slow(self, agent):
        """The delays are there, they are in the writes, and beside them a turn is as short as ever."""
        text = agent.get("/metrics").text
        sums = {name: float(value) for name, value in
                re.findall(r"^task_executor_(\w+_seconds_(?:sum|count)) (\S+)$", text, re.M)}
        self.assertGreater(sums["store_write_seconds_sum"] / sums["store_write_seconds_count"], DELAY)
        self.assertLess(sums["loop_turn_seconds_sum"] / sums["loop_turn_seconds_count"], 0.005 * SLOW)

    def check(self, *flags):
        agent, scratch = self.slow_agent(*flags), self.scratch()
        health, killed = Health(agent), threading.Event()
        health.start()
        clients = [Client(agent, number, scratch, killed) for number in range(5)]
        for client in clients:
            client.start()
        eventually(lambda: sum(len(c.deleted) for c in clients) >= 5 or any(c.failure for c in clients), 60,
                   "some tasks deleted", poll=0.05)
        health.finish(self, HEALTH_BOUND)
        self.assert_slow(agent)
        killed.set()
        agent.kill9()  # amid creates, runs, waits and deletes
        for client in clients:
            client.join(60)
            self.assertFalse(client.is_alive())
            self.assertIsNone(client.failure)
        eventually(lambda: not processes(lambda pid: agent.data_dir in read(f"/proc/{pid}/cmdline")), 30,
                   "the tracer gone with the last supervisor")
        agent.prefix = []
        agent.start()
        listed = {task["name"]: task for task in agent.get("/getTasks?wait=all-terminated").json()}
        for client in clients:
            for name, code in client.created.items():
                if name in client.deleted:
                    eventually(lambda: agent.get(f"/tasks/{name}").status == 404, 10, f"{name} is gone")
                elif name in listed or name not in client.asked:  # asked, and not answered: either is right
                    self.assertEqual(state_of(listed[name])[1]["exitCode"], code, name)
                self.assertEqual(read(f"{scratch}/{name}"), "ran\n", name)
        for name in os.listdir(scratch):
            self.assertEqual(read(f"{scratch}/{name}"), "ran\n", name)

    def test_nothing_is_lost_and_health_waits_for_one_write(self):
        self.check()

    def test_ticks_that_come_before_a_supervisor_has_synced(self):
        self.check("--reconcile-interval=20ms")  # the agent then makes ends durable itself

"""A container runtime that does wrong: the state stays true, nothing runs twice or stays behind, the loop goes on."""

import concurrent.futures
import os
import re
import shutil
import threading
import time
import unittest

import frame_proxy
from agent import SLOW, Agent, eventually
from containers import container
from cri import FakePods

METHODS = ("ImageStatus", "PullImage", "RunPodSandbox", "CreateContainer", "StartContainer", "ContainerStatus",
           "ListContainers", "RemoveContainer", "ListPodSandbox", "StopPodSandbox", "RemovePodSandbox")
STALL = 0.25  # seconds; whatever waited for the runtime would wait longer


class Visitor(threading.Thread):
    """Asks all agents for /health in turn, again and again."""

    def __init__(self, agents):
        super().__init__(daemon=True)
        self.agents, self.worst, self.visits, self.trouble = agents, 0.0, 0, None
        self.over = threading.Event()
        self.start()

    def run(self):
        try:
            while not self.over.wait(0.01):
                begin = time.monotonic()
                agent = self.agents[self.visits % len(self.agents)]
                assert agent.get("/health").status == 200
                self.worst = max(self.worst, time.monotonic() - begin)
                self.visits += 1
        except (OSError, AssertionError) as error:
            self.trouble = error

    def stop(self):
        self.over.set()
        self.join()


class FakeCase(unittest.TestCase):
    """A runtime in grpcio, and an agent that may have a proxy of frames before it."""

    def setUp(self):
        if why := FakePods.missing():
            self.skipTest(why)
        self.fake = FakePods()
        self.addCleanup(self.fake.close)

    def agent(self, *flags, socket=None):
        agent = Agent("--enable-container-mode", f"--cri-socket={socket or self.fake.socket}", "--reconcile-interval=20ms",
                      *flags)
        self.addCleanup(agent.close)
        return agent

    def ended(self, agent, name):
        answer = agent.get(f"/tasks/{name}?wait=terminated&timeout={20 * SLOW}s", timeout=20 * SLOW + 10)
        state = answer.json()["status"]["state"]
        self.assertIn("terminated", state, answer)
        return state["terminated"]

    def delete(self, agent, name):
        self.assertEqual(agent.delete(name).status, 204)
        agent.gone(name, 20)

    def run_one(self, agent, name, fatal=False):
        """A task of code 3, from its POST to its going; `fatal`: it is truly told that it could not be started."""
        agent.create(container(name, "", image=f"box:{name}"))
        end = self.ended(agent, name)
        if fatal:
            self.assertEqual((end["exitCode"], end["reason"]), (128, "StartError"), end)
            self.assertTrue(end["message"])
        else:
            self.assertEqual((end["exitCode"], end["reason"]), (3, "Failed"), (name, end))
        self.delete(agent, name)

    def assert_never_stalled(self, visitor):
        visitor.stop()
        self.assertIsNone(visitor.trouble)
        self.assertGreater(visitor.visits, 10)
        self.assertLess(visitor.worst, 0.5 * SLOW)
        for agent in visitor.agents:
            metrics = agent.get("/metrics").text
            buckets = {float(le): int(count) for le, count in re.findall(
                r'^task_executor_loop_turn_seconds_bucket\{le="([\d.]+)"\} (\d+)$', metrics, re.M)}
            turns = buckets[max(buckets)]
            self.assertEqual(turns - buckets[STALL * (1 if SLOW == 1 else 4)], 0, "turns of the loop that took too long")
            # By the clock a turn is also what other processes take of the machine, so the work is judged by its own time.
            used = float(re.search(r"^process_cpu_seconds_total ([\d.]+)$", metrics, re.M)[1])
            self.assertLess(used / turns, 0.001 * SLOW)


class AnswerTest(FakeCase):
    FATAL = {("PullImage", "garbage"), ("RunPodSandbox", "garbage"), ("CreateContainer", "garbage"),
             ("CreateContainer", "long"), ("StartContainer", "long")}

    def test_every_call_is_answered_wrongly_once(self):
        agent = self.agent()
        cases = [(method, fault) for method in METHODS for fault in ("unavailable", "lost", "long", "garbage")]
        cases += [(method, "slow") for method in ("RunPodSandbox", "StartContainer")]
        visitor = Visitor([agent])
        for number, (method, fault) in enumerate(cases):
            with self.subTest(method=method, fault=fault):
                self.fake.fault(method, fault)
                fatal = (method, fault) in self.FATAL
                self.run_one(agent, f"f{number}", fatal)
                self.assertEqual(self.fake.left(), 0, "something is left in the runtime")
                starts = self.fake.starts.count(f"f{number}")
                self.assertIn(starts, (0, 1) if fatal else (1,), "started")
        self.assert_never_stalled(visitor)

    def test_out_of_memory_is_the_runtimes_word(self):
        agent = self.agent()
        for name, image, code, reason in (("killed", "oom:1", 137, "OOMKilled"), ("child", "oom-child:1", 0, "Succeeded"),
                                          ("code", "box:1", 3, "Failed")):
            agent.create(container(name, "", image=image))
            end = self.ended(agent, name)
            self.assertEqual((end["exitCode"], end["reason"]), (code, reason), end)
            self.delete(agent, name)

    def test_a_task_whose_directory_was_taken_away(self):
        agent = self.agent()
        for name, told in (("waits", True), ("goes", False)):
            self.fake.fault("RunPodSandbox", "slow")
            agent.create(container(name, "", image="box:1"))
            directory = os.path.join(agent.data_dir, name)
            eventually(lambda: os.path.exists(os.path.join(directory, "run.json")), 20, "the run's record")
            shutil.rmtree(directory)
            if told:
                eventually(lambda: "No such file" in agent.get(f"/tasks/{name}").text, 20, "its being told why it waits")
                self.assertEqual(self.fake.left(), 0, "something is left in the runtime")
            self.delete(agent, name)
        self.assertEqual(self.fake.left(), 0, "something is left in the runtime")
        self.assertEqual(self.fake.starts, [])


class WireTest(FakeCase):
    """Faults of the connection and of its frames, between agents and a runtime that does right.

    An agent and a proxy for each fault, all at once: after most of them the agent waits before it connects again.
    """

    first = True
    # The runtime's own word that something inside it has failed: what it was asked to make is given up.
    FATAL = {(method, "reset") for method in ("PullImage", "RunPodSandbox", "CreateContainer")}

    def setUp(self):
        super().setUp()
        self.proxies = {fault: self.proxy(fault) for fault in frame_proxy.FAULTS}
        # Nobody waits two minutes here for what is never answered.
        self.agents = {fault: self.agent(*(("--cri-timeout=1200ms",) if fault == "silence" else ()), socket=proxy.path)
                       for fault, proxy in self.proxies.items()}

    def proxy(self, fault):
        proxy = frame_proxy.FrameProxy(self.fake.socket, os.path.join(self.fake.dir, fault.replace(" ", "-")))
        self.addCleanup(proxy.close)
        return proxy

    def with_each_fault(self, run):
        """run(fault) for each, side by side; then that nothing stalled and nothing is left."""
        visitor = Visitor(list(self.agents.values()))
        with concurrent.futures.ThreadPoolExecutor(len(self.agents)) as pool:
            runs = {fault: pool.submit(run, fault) for fault in self.agents}
        for fault, one in runs.items():
            with self.subTest(fault=fault):
                one.result()
        self.assert_never_stalled(visitor)
        self.assertEqual(self.fake.left(), 0, "something is left in the runtime")
        self.assertEqual(sorted(set(self.fake.starts)), sorted(self.fake.starts), "something ran twice")

    def test_every_call_goes_wrong_once(self):
        def run(fault):
            for method in METHODS:
                if (method, fault) == ("PullImage", "silence"):
                    continue  # it may take an hour
                self.proxies[fault].arm(method, fault)
                self.run_one(self.agents[fault], f"{method}-{fault}".replace(" ", "-"), (method, fault) in self.FATAL)
                self.assertIsNone(self.proxies[fault].take(method), f"{method} was not called")
        self.with_each_fault(run)
        self.assertEqual(len(self.fake.starts), len(METHODS) * len(frame_proxy.FAULTS) - 1 - len(self.FATAL))

    def test_a_running_one_is_measured_and_stopped(self):
        def run(fault):
            agent, proxy, name = self.agents[fault], self.proxies[fault], fault.replace(" ", "-")
            proxy.arm("ContainerStats", fault)
            proxy.arm("StopContainer", fault)
            agent.create(container(name, "", image="run:1", spec={"terminationGracePeriodSeconds": 0}))
            agent.wait_state(name, "running", 20)
            eventually(lambda: "ContainerStats" not in proxy.armed, 20, "its usage being asked for")
            self.assertEqual(agent.wait_state(name, "running", 20).get("startedAt"), "2023-11-14T22:13:20Z")
            self.delete(agent, name)
            self.assertIsNone(proxy.take("StopContainer"), "StopContainer was not called")
        self.with_each_fault(run)
        self.assertEqual(len(self.fake.starts), len(frame_proxy.FAULTS))


if __name__ == "__main__":
    unittest.main()

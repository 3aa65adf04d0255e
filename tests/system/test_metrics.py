"""GET /metrics: what Prometheus' own tool says of it, and whether the figures are true."""

import os
import re
import subprocess
import time

from agent import AgentTest, REPOSITORY, controller, eventually, guide, status_fields
from containers import container
from cri import FakePods

SAMPLE = re.compile(r'^([a-z_]+)(\{.*\})? (\S+)$')


class Metrics(AgentTest):
    def figures(self, agent):
        """name{labels} to number; every line must be a sample or a comment."""
        found = {}
        for line in agent.get("/metrics").text.splitlines():
            if line.startswith("#"):
                continue
            match = SAMPLE.match(line)
            self.assertTrue(match, line)
            self.assertNotIn(match.group(1) + (match.group(2) or ""), found)
            found[match.group(1) + (match.group(2) or "")] = float(match.group(3))
        return found

    def exercise(self, agent):
        agent.run("good", "true")
        agent.run("bad", "sh", "-c", "exit 3")
        agent.run("missing", "/nowhere/command")
        agent.run("slow", "sleep", "1000", timeoutSeconds=1, terminationGracePeriodSeconds=0, deadline=20)
        agent.create(guide("running", "sh", "-c", "sleep 1000"))
        agent.wait_state("running", "running")
        agent.run("left", "sh", "-c", "sleep 1000 >/dev/null 2>&1 &")
        agent.get("/nowhere")
        agent.post("/tasks", b"{")

    def test_promtool(self):
        tool = subprocess.run([os.path.join(REPOSITORY, "tools", "promtool")], capture_output=True, text=True,
                              check=False)
        if tool.returncode != 0:
            self.skipTest(f"NO PROMTOOL: {tool.stderr.strip()}")
        agent = self.agent()
        for step in (lambda: None, lambda: self.exercise(agent)):  # a new agent, and one that has seen something
            step()
            checked = subprocess.run([tool.stdout.strip(), "check", "metrics"], input=agent.get("/metrics").text,
                                     capture_output=True, text=True, check=False)
            self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, ""))

    def test_figures_of_a_container_runtime(self):
        if why := FakePods.missing():
            self.skipTest(why)
        fake = FakePods()
        self.addCleanup(fake.close)
        agent = self.agent("--enable-container-mode", f"--cri-socket={fake.socket}")
        before = self.figures(agent)
        self.assertEqual({k: v for k, v in before.items() if k.startswith("task_executor_cri_")}, {
            'task_executor_cri_calls_total{method="Version",code="OK"}': 0, "task_executor_cri_calls": 0,
            "task_executor_cri_connected": 0, "task_executor_cri_connects_total": 0,
            "task_executor_cri_disconnects_total": 0})
        fake.fault("PullImage", "unavailable")
        agent.create(container("a", "", image="run:1"))
        agent.wait_state("a", "running")
        tool = subprocess.run([os.path.join(REPOSITORY, "tools", "promtool")], capture_output=True, text=True, check=False)
        if tool.returncode == 0:
            checked = subprocess.run([tool.stdout.strip(), "check", "metrics"], input=agent.get("/metrics").text,
                                     capture_output=True, text=True, check=False)
            self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, ""))
        agent.delete("a")
        agent.gone("a")
        figures = self.figures(agent)
        for method, code, count in (("Version", "OK", 1), ("PullImage", "UNAVAILABLE", 1), ("PullImage", "OK", 1),
                                    ("RunPodSandbox", "OK", 1), ("CreateContainer", "OK", 1), ("StartContainer", "OK", 1),
                                    ("StopContainer", "OK", 1), ("RemoveContainer", "OK", 1), ("RemovePodSandbox", "OK", 1)):
            self.assertEqual(figures[f'task_executor_cri_calls_total{{method="{method}",code="{code}"}}'], count, method)
        self.assertEqual((figures["task_executor_cri_connected"], figures["task_executor_cri_connects_total"],
                          figures["task_executor_cri_disconnects_total"]), (1, 1, 0))

    def test_ends_that_an_earlier_agent_has_told_are_not_seen_again(self):
        agent = self.agent()
        agent.create(guide("a", "false"))
        agent.ended("a")
        agent.create(guide("b", "sleep", "100"))
        agent.wait_state("b", "running")
        self.assertEqual(self.figures(agent)['task_executor_tasks_ended_total{reason="Failed"}'], 1)
        agent.kill9()
        before = len(agent.log())
        agent.restart()
        figures = self.figures(agent)
        self.assertEqual(figures['task_executor_tasks_ended_total{reason="Failed"}'], 0)
        self.assertEqual(figures['task_executor_tasks{state="terminated",reason="Failed"}'], 1)
        log = agent.log()[before:]
        self.assertIn("tasks taken up tasks=2 ended=1", log)
        self.assertNotIn("task ended", log)

    def test_figures_are_true(self):
        agent = self.agent()
        begin = time.time()
        self.exercise(agent)
        agent.create(controller("gone", "true"))
        agent.ended("gone")
        agent.delete("gone")
        agent.gone("gone")
        expected = {
            'task_executor_tasks{state="running",reason=""}': 1,
            'task_executor_tasks{state="waiting",reason="Initialized"}': 0,
            'task_executor_tasks{state="terminated",reason="Succeeded"}': 2,
            'task_executor_tasks{state="terminated",reason="Failed"}': 1,
            'task_executor_tasks{state="terminated",reason="StartError"}': 1,
            'task_executor_tasks{state="terminated",reason="TaskTimeout"}': 1,
            'task_executor_tasks_ended_total{reason="Succeeded"}': 3,
            'task_executor_tasks_ended_total{reason="TaskTimeout"}': 1,
            "task_executor_tasks_created_total": 7,
            "task_executor_tasks_started_total": 7,
            "task_executor_tasks_deleted_total": 1,
            "task_executor_tasks_deleting": 0,
            "task_executor_supervisors": 2,
            "task_executor_records_watched": 1,
            "task_executor_leftover_processes": 1,
            "task_executor_create_to_durable_seconds_count": 7,
            "task_executor_create_to_exec_seconds_count": 6,
            "task_executor_exit_to_recorded_seconds_count": 6,
            "task_executor_store_errors_total": 0,
            'task_executor_http_requests_total{route="other",code="404"}': 1,
            'task_executor_http_requests_total{route="/tasks",code="400"}': 1,
            'task_executor_http_requests_total{route="/tasks",code="201"}': 7,
            "task_executor_http_connections": 1,
            "task_executor_watchers": 0,
        }
        # The leftover is counted when main ends, and again by the tick.
        eventually(lambda: self.figures(agent)["task_executor_leftover_processes"] == 1, 5, "the leftover")
        figures = self.figures(agent)
        self.assertEqual({key: figures.get(key) for key in expected}, expected)
        self.assertEqual([v for k, v in figures.items() if k.startswith("task_executor_build_info{version=")], [1])
        self.assertLess(abs(figures["process_start_time_seconds"] - begin), 5)
        self.assertLess(abs(figures["process_resident_memory_bytes"] -
                            1024 * int(status_fields(agent.pid)["VmRSS"].split()[0])), 1 << 20)
        self.assertLess(abs(figures["process_open_fds"] - len(os.listdir(f"/proc/{agent.pid}/fd"))), 3)
        # Of histograms: cumulative, the last bucket holds all.
        for name in ("create_to_durable", "create_to_exec", "exit_to_recorded", "store_write", "loop_turn"):
            buckets = [v for k, v in figures.items() if k.startswith(f"task_executor_{name}_seconds_bucket")]
            self.assertEqual(buckets, sorted(buckets))
            self.assertEqual(buckets[-1], figures[f"task_executor_{name}_seconds_count"])
        # Requests that are refused before their route is known; streams while they last.
        with agent.raw(b"GARBAGE\r\n\r\n") as sock:
            self.assertIn(b" 400 ", sock.recv(4096))
        with agent.raw(b"GET /tasks?watch=true HTTP/1.1\r\nHost: x\r\n\r\n") as sock:
            sock.recv(4096)
            with agent.raw(b"GET /tasks/running/logs?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n") as other:
                other.recv(4096)
                figures = self.figures(agent)
        self.assertEqual(figures['task_executor_http_requests_total{route="",code="400"}'], 1)
        self.assertEqual((figures["task_executor_watchers"], figures["task_executor_log_followers"]), (1, 1))
        eventually(lambda: self.figures(agent)["task_executor_watchers"] == 0, 5, "the watcher gone")

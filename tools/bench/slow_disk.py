"""The soak on a slow disk: clients create, wait and delete, the agent is killed amid all that and started again."""

import itertools
import os
import shutil
import signal
import threading
import time

from agents import Agent, longest_turn, percentile, task
from probes import Health, Looker
from report import HEALTH, HEALTH_BOUND, fail, header, row, watch_health

SYNCS_OF_A_WRITE = 3  # a create: its file, its directory, the data directory

# The disk as an agent sees it when each sync takes so long: all that makes something durable waits, nothing else. The
# tracer is no child of the agent's, and the agent is the process that was started.
SLOW_DISK = ("strace", "-DDD", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fsync,fdatasync,syncfs")


def slow_disk(seconds):
    return (*SLOW_DISK, "-e", f"inject=fsync,fdatasync,syncfs:delay_enter={seconds * 1e6:.0f}us")


class Patient(threading.Thread):
    """Creates, waits for the end, deletes every second task, and keeps account of what was acknowledged."""

    def __init__(self, agent, number, scratch):
        super().__init__(daemon=True)
        self.agent, self.number, self.scratch = agent, number, scratch
        self.created, self.deleted, self.asked, self.wrong = {}, set(), set(), []
        self.times = {"create": [], "end": [], "delete": []}

    def ask(self, client, what, expected, *request):
        began = time.perf_counter()
        status, body = client.ask(*request)
        self.times[what].append(time.perf_counter() - began)
        if status != expected:
            self.wrong.append(f"{request[:2]}: {status} {body[:100]}")
        return body

    def run(self):
        try:
            client = self.agent.client()
            for serial in itertools.count():
                name, code = f"p{self.number}-{serial}", serial % 5
                path = f"/tasks/{name}".encode()
                script = f"echo ran >>{self.scratch}/{name}; exit {code}"
                self.ask(client, "create", 201, b"POST", b"/tasks", task(name, "/bin/sh", "-c", script))
                self.created[name] = code
                body = self.ask(client, "end", 200, b"GET", path + b"?wait=terminated")
                if b'"exitCode":%d,' % code not in body:
                    self.wrong.append(f"{name}: not {code}: {body[-200:]}")
                if serial % 2:
                    self.asked.add(name)
                    self.ask(client, "delete", 204, b"DELETE", path)
                    self.deleted.add(name)
        except OSError:  # the agent was killed
            pass


def runs_of(scratch, name):
    try:
        with open(f"{scratch}/{name}", encoding="utf-8") as file:
            return file.read().count("ran")
    except FileNotFoundError:
        return 0


def after_the_kill(agent, people, scratch):
    """Waits until the restarted agent has nothing under way, and holds it against what was acknowledged."""
    looker = Looker(agent)
    created, deleted, asked = {}, set(), set()
    for one in people:
        created.update(one.created)
        deleted |= one.deleted
        asked |= one.asked
    looker.ask(b"GET", b"/getTasks?wait=all-terminated")
    looker.settled()
    lost = 0
    for name, code in created.items():
        status, body = looker.client.ask(b"GET", b"/tasks/" + name.encode())
        if name in deleted or (name in asked and status == 404):
            lost += status != 404
        else:
            lost += status != 200 or b'"exitCode":%d,' % code not in body
        lost += runs_of(scratch, name) != 1
    twice = sum(runs_of(scratch, name) > 1 for name in os.listdir(scratch))
    print(f"\nKilled after {len(created)} creates and {len(deleted)} deletes were acknowledged, and started again: "
          f"{lost} lost or untrue, {twice} run twice")
    if lost or twice:
        fail("acknowledged, and lost or untrue, or run twice")
    looker.ask(b"POST", b"/setTasks", b"[]")
    looker.settled()


def slow(options, binary, work):
    print("\n## A slow disk: each fsync is delayed")
    if shutil.which("strace") is None:
        fail("there is no strace, so no slow disk (make soak installs it)")
        return
    rows = []
    for delay in (float(one) for one in options.slow_disk.split(",")):
        bound = SYNCS_OF_A_WRITE * delay + HEALTH_BOUND
        scratch = os.path.join(work, f"scratch-{delay}")
        os.mkdir(scratch)
        agent = Agent(binary, work, "slow", prefix=slow_disk(delay))
        health = Health(agent)
        try:
            # Where a sync takes seconds a few are enough: one waits for the writes of all before it.
            people = [Patient(agent, n, scratch) for n in range(max(2, min(options.clients, round(1 / delay))))]
            for one in people:
                one.start()
            began = time.perf_counter()
            time.sleep(max(40, 45 * delay))  # a load has no event to wait for
            shares = watch_health(health, bound)
            loop = longest_turn(agent)[0]
        finally:
            health.close()
            agent.stop(signal.SIGKILL)
        spent = time.perf_counter() - began
        for one in people:
            one.join(60)
            for wrong in one.wrong:
                fail(wrong)
        times = {what: sum((one.times[what] for one in people), []) for what in ("create", "end", "delete")}
        rows.append((f"{1e3 * delay:.0f} ms", f"{sum(len(one.created) for one in people) / spent:.1f}",
                     *(f"{percentile(values, 0.5):.2f} / {max(values):.2f} s" if values else "-"
                       for values in times.values()), shares, f"{1e3 * bound:.0f}", f"{1e3 * loop:g}"))
        agent = Agent(binary, work, "slow", keep=True)
        try:
            after_the_kill(agent, people, scratch)
        finally:
            agent.stop()
    header("a sync takes", "tasks a second", "create, p50 / longest", "end", "delete", HEALTH, "its bound, ms",
           "99.9 % of turns without syncs, ms at most")
    for one in rows:
        row(*one)

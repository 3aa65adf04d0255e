"""The agent as benchmarks see it: a process, raw HTTP, and what /proc says."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time


class Client:
    """HTTP over one raw connection: what it adds is small beside what is measured."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    @staticmethod
    def request_bytes(method, path, body=b""):
        return b"%s %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (method, path, len(body), body)

    def take(self):
        """One answer out of the buffer, or None."""
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self.buffer[:end]
        status = int(head[9:12])
        if b"Transfer-Encoding: chunked" in head:
            return self.take_chunks(status, end + 4)
        found = re.search(rb"Content-Length: (\d+)", head)
        size = end + 4 + (int(found.group(1)) if found else 0)
        if len(self.buffer) < size:
            return None
        body, self.buffer = self.buffer[end + 4:size], self.buffer[size:]
        return status, body

    def take_chunks(self, status, at):
        if not self.buffer.endswith(b"\r\n0\r\n\r\n"):  # one answer at a time: its end is the buffer's
            return None
        parts = []
        while True:
            line = self.buffer.index(b"\r\n", at)
            size = int(self.buffer[at:line], 16)
            if size == 0:
                break
            parts.append(self.buffer[line + 2:line + 2 + size])
            at = line + size + 4
        self.buffer = b""
        return status, b"".join(parts)

    def ask(self, method, path, body=b""):
        self.socket.sendall(self.request_bytes(method, path, body))
        while True:
            answer = self.take()
            if answer:
                return answer
            data = self.socket.recv(1 << 18)
            if not data:
                raise ConnectionError("the agent closed the connection")
            self.buffer += data

    def close(self):
        self.socket.close()


class Agent:
    """One agent process, with a directory below `work` that is new unless it is kept. `prefix` is what execs it."""

    def __init__(self, binary, work, name, *flags, keep=False, prefix=()):
        self.data = os.path.join(work, name)
        self.log = os.path.join(work, name + ".log")
        if not keep:
            shutil.rmtree(self.data, ignore_errors=True)
        self.started = time.perf_counter()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([*prefix, binary, f"--data-dir={self.data}", "--listen-addr=127.0.0.1:0",
                                             "--log-level=info", *flags], stderr=log)
        self.pid = self.process.pid
        self.port = 0
        while not self.port:
            with open(self.log, encoding="utf-8") as log:
                found = re.search(r"listening address=127\.0\.0\.1:(\d+)", log.read())
            self.port = int(found.group(1)) if found else 0
            if not self.port and self.process.poll() is not None:
                raise RuntimeError("the agent does not start: see " + self.log)

    def client(self):
        return Client(self.port)

    def status(self, field):
        with open(f"/proc/{self.pid}/status", encoding="utf-8") as file:
            return sum(int(line.split()[1]) for line in file if re.match(field, line))

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/schedstat", encoding="utf-8") as file:
            return int(file.read().split()[0]) / 1e9

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait()

    def clear(self):
        client = self.client()
        client.ask(b"POST", b"/setTasks", b"[]")
        while client.ask(b"GET", b"/getTasks")[1] != b"[]":
            time.sleep(0.002)
        client.close()


def task(name, *command):
    return json.dumps({"name": name, "spec": {"process": {"command": command}}}).encode()


def json_tasks(named):
    """A list for setTasks, of (name, command)."""
    return json.dumps([{"name": name, "spec": {"process": {"command": command}}} for name, command in named]).encode()


def supervisors(agent):
    """Pids, once the zygote and what it has in stock are gone: a second after the last start."""
    for _ in range(100):
        with open(f"/proc/{agent.process.pid}/task/{agent.process.pid}/children", encoding="utf-8") as file:
            pids = file.read().split()
        names = set()
        for pid in pids:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
                names.add(file.read().strip())
        if names <= {"task-supervisor"}:
            return pids
        time.sleep(0.1)
    raise RuntimeError(f"children of the agent: {names}")


def longest_turn(agent, share=0.999):
    """The bound in seconds under which that share of the loop's turns stays, syncs not counted, and their number."""
    client = agent.client()
    text = client.ask(b"GET", b"/metrics")[1].decode()
    client.close()
    buckets = [(float(bound.replace("+Inf", "inf")), int(count)) for bound, count in
               re.findall(r'task_executor_loop_turn_seconds_bucket\{le="([^"]+)"\} (\d+)', text)]
    total = buckets[-1][1]
    return next(bound for bound, count in buckets if count >= share * total), total


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p))]

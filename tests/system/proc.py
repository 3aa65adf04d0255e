"""Processes as /proc shows them."""

import os
import signal
import subprocess
import time
import uuid


def no_namespaces():
    """Why no mount and PID namespaces can be made here (no rights, or a root that is no mount), or None."""
    if os.geteuid() != 0:
        return "NEEDS ROOT: namespaces"
    tried = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], check=False, stderr=subprocess.PIPE, text=True)
    return f"NO NAMESPACES CAN BE MADE HERE: {tried.stderr.strip()}" if tried.returncode != 0 else None


def processes(match):
    """Pids of all processes for which match(pid) holds; vanishing ones and zombies are none."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            if match(int(entry)) and process_state(int(entry)) not in ("Z", "X", None):
                found.append(int(entry))
        except OSError:
            pass
    return found


def process_state(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            return f.read().rsplit(b")", 1)[1].split()[0].decode()
    except OSError:
        return None


def alive(pid):
    return process_state(pid) not in (None, "Z", "X")


def parent_of(pid):
    return int(status_fields(pid)["PPid"])


def status_fields(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as f:
        return {k: v.strip() for k, _, v in (line.partition(":") for line in f)}


def cpu_seconds(pid):
    """What it has used itself, whatever else the machine has to do."""
    fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def environ_has(pid, assignment):
    with open(f"/proc/{pid}/environ", "rb") as f:
        return assignment.encode() in f.read().split(b"\0")


def has_file_below(pid, folder):
    """Whether the process has an open file or its cwd in that folder: how a supervisor is seen."""
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{fd}").startswith(folder + "/"):
                return True
        except OSError:
            pass
    return False


def kill_pid(pid, sig=signal.SIGKILL):
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except (FileNotFoundError, ProcessLookupError):  # the latter of one in /proc that has just gone
        return ""


def pids_cgroup(test):
    """A cgroup of the test's own, as write(file, text); it goes when nobody is left in it."""
    group = f"/sys/fs/cgroup/pids/task-executor-system-{uuid.uuid4().hex[:8]}"
    try:
        os.mkdir(group)
    except OSError as problem:
        test.skipTest(f"NEEDS A pids CGROUP (v1) TO WRITE TO: {problem}")

    def remove():
        for _ in range(1000):
            try:
                return os.rmdir(group)
            except OSError:
                time.sleep(0.01)
        raise AssertionError(f"{group} is not empty")
    test.addCleanup(remove)

    def write(file, text):
        with open(f"{group}/{file}", "w", encoding="utf-8") as f:
            f.write(str(text))
    return write

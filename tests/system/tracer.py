"""An agent some of whose system calls take long, and those of all its descendants: strace as the tracer."""

import shutil
import subprocess

from agent import MARK


def slowed(agent, before=None, after=None, errors=None):
    """A prefix: before or after system calls so many seconds pass, or they fail. The agent is the process that is
    started; the tracer is nobody's child, and does not carry the test's mark. LeakSanitizer is off, which is a tracer
    itself."""
    return ["env", "-u", MARK, "strace", "-DDD", "-f", "--seccomp-bpf", "-E", f"{MARK}={agent.mark}",
            "-E", "LSAN_OPTIONS=detect_leaks=0", "-o", "/dev/null", *injected(before, after, errors)]


def slow_process(pid, before):
    """From when this returns, a process without its children: it is slow until the tracer, the answer, is killed."""
    tracer = subprocess.Popen(["strace", "-p", str(pid), "-o", "/dev/null", *injected(before)],
                              stderr=subprocess.PIPE, text=True)
    told = tracer.stderr.readline()
    if "attached" not in told:
        tracer.kill()
        raise AssertionError(told + tracer.communicate()[1])
    return tracer


def injected(before=None, after=None, errors=None):
    delays = [(calls, f"delay_{where}={seconds * 1e6:.0f}us")
              for where, some in (("enter", before), ("exit", after)) for calls, seconds in (some or {}).items()]
    delays += [(calls, f"error={error}") for calls, error in (errors or {}).items()]
    return ["-e", "trace=" + ",".join(calls for calls, _ in delays),
            *(word for calls, delay in delays for word in ("-e", f"inject={calls}:{delay}"))]


def no_tracer():
    if shutil.which("strace") is None:
        return "NO STRACE: package strace"
    tried = subprocess.run(["strace", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fsync", "true"],
                           check=False, stderr=subprocess.PIPE, text=True)
    return f"STRACE CAN'T TRACE HERE: {tried.stderr.strip()}" if tried.returncode else None

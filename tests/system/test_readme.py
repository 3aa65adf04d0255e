"""The session in README.md, typed into a shell: what it prints is what the README says."""

import os
import re
import shutil
import subprocess
import threading
import time

from agent import AgentTest, BINARY, REPOSITORY, SLOW, eventually
from proc import alive, kill_pid, read

TIMES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
LISTENS = re.compile(r"listening address=127\.0\.0\.1:(\d+)")
KILLED = re.compile(r"^.*line \d+: +\d+ Killed .*\n", re.MULTILINE)  # what bash says of a job, in words of its own


def session():
    """[(command, what the README says that it prints)], in order."""
    with open(os.path.join(REPOSITORY, "README.md"), encoding="utf-8") as f:
        section = re.search(r"^## A session\n(.*?)^## ", f.read(), re.MULTILINE | re.DOTALL).group(1)
    steps = []
    continued = False
    for line in section.splitlines():
        if not line.startswith("    "):
            continue
        line = line[4:]
        if continued:
            steps[-1][0] += "\n" + line
        elif line.startswith("$ "):
            steps.append([line[2:], ""])
        else:
            steps[-1][1] += line + "\n"
        continued = (continued or line.startswith("$ ")) and line.endswith("\\")
    return steps


def pattern(text):
    """A regular expression for a printed text: "…" is anything within a line, a time is any time."""
    return "".join(r"[^\n]*" if part == "…" else TIMES.pattern if TIMES.fullmatch(part) else re.escape(part)
                   for part in re.split(f"(…|{TIMES.pattern})", text))


class Shell:
    """bash, typed into line by line."""

    def __init__(self, folder, **env):
        self.process = subprocess.Popen(["bash", "--norc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, cwd=folder, text=True, env={**os.environ, **env})

    def type(self, command):
        """What the command prints."""
        mark = "--typed--"
        self.process.stdin.write(f"{command}\nprintf '\\n{mark}\\n'\n")
        self.process.stdin.flush()
        printed = ""
        while not printed.endswith(f"\n{mark}\n"):
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError(f"the shell has gone after {command}: {printed}")
            printed += line
        return KILLED.sub("", printed[:-len(mark) - 2])

    def close(self):
        self.process.stdin.close()
        self.process.wait(10 * SLOW)
        self.process.stdout.close()


class Readme(AgentTest):
    def test_session(self):
        home = self.scratch()
        os.mkdir(f"{home}/build")
        shutil.copy(BINARY, f"{home}/build/task-executor")
        os.symlink("task-executor", f"{home}/build/taskctl")
        with open(f"{home}/.curlrc", "w", encoding="utf-8") as f:
            f.write("silent\nshow-error\n")  # curl shows its progress where its output is no terminal
        shell = Shell(home, CURL_HOME=home)
        self.addCleanup(shell.close)
        watchdog = threading.Timer(60 * SLOW, shell.process.kill)
        watchdog.start()
        self.addCleanup(watchdog.cancel)
        port = "0"
        steps = session()
        self.assertGreater(len(steps), 10)
        for command, told in steps:
            logged = len(read(f"{home}/agent.log"))
            typed = command.replace(":5758", f":{port}").replace("/tmp/", f"{home}/")
            # A body without a newline at its end stands before the next prompt.
            expected = re.compile("^" + pattern(told.strip("\n")) + "$")
            printed = shell.type(typed).strip("\n")
            # Who types takes some time, in which a deletion comes to its end; a look may be repeated.
            deadline = time.monotonic() + 10 * SLOW
            while command.startswith("curl http") and not expected.match(printed) and time.monotonic() < deadline:
                printed = shell.type(typed).strip("\n")
            if command.endswith("&"):
                pid = int(shell.type("echo $!"))
                self.addCleanup(kill_pid, pid)
                port = eventually(lambda: LISTENS.search(read(f"{home}/agent.log"), logged), 10,
                                  "the agent's line with its port").group(1)
                shell.type(f"export TASKCTL_SERVER=127.0.0.1:{port}")
            self.assertRegex(printed, expected, command)
            if command.startswith("kill "):  # nor is who types so quick that the killed one still holds its lock
                eventually(lambda: not alive(pid), 10, "the killed agent has gone")

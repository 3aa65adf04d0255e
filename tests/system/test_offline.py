"""task-executor fsck and dump: what they say of a data directory, and that they leave it alone."""

import hashlib
import json
import os
import shutil
import subprocess

import openapi
from agent import AgentTest, BINARY, controller, eventually, guide, kill_pid, read, state_of


def tree(folder):
    """Everything below a folder: names, inodes, times of change and contents."""
    found = {}
    for path, folders, files in os.walk(folder):
        for name in folders + files:
            full = os.path.join(path, name)
            info = os.lstat(full)
            content = ""
            if name in files:
                with open(full, "rb") as f:
                    content = hashlib.sha256(f.read()).hexdigest()
            found[os.path.relpath(full, folder)] = (info.st_ino, info.st_mode, info.st_mtime_ns, info.st_ctime_ns, content)
    return found


def command_of(pid):
    try:
        return read(f"/proc/{pid}/cmdline")
    except OSError:  # it has just gone
        return ""


class Offline(AgentTest):
    def run_command(self, command, agent, *flags):
        return subprocess.run([BINARY, command, f"--data-dir={agent.data_dir}", *flags], capture_output=True, text=True,
                              check=False)

    def dead_agent(self):
        """A directory with a task in every state, its agent killed."""
        agent = self.agent("--max-concurrent-tasks=4")
        agent.run("ended", "sh", "-c", "exit 3")
        agent.run("left", "sh", "-c", "sleep 1000 >/dev/null 2>&1 &")
        agent.create(guide("running", "sleep", "1000"))
        agent.create(guide("lost", "sleep", "1000"))
        agent.create(controller("lost-of-controller", "sleep", "1000"))
        agent.create(guide("stubborn", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.01; done",
                           terminationGracePeriodSeconds=600))
        eventually(lambda: agent.output("stubborn"), 10, "its trap is set")
        for name in ("running", "lost", "lost-of-controller", "stubborn"):
            agent.wait_state(name, "running")
        agent.create(guide("queued", "true"))
        agent.delete("stubborn")
        agent.create(guide("stubborn", "true"))
        lost = [agent.supervisor_of("lost"), agent.supervisor_of("lost-of-controller")]
        agent.kill9()
        for pid in lost:
            kill_pid(pid)
        eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in lost), 5, "the supervisors gone")
        return agent

    def test_every_state(self):
        agent = self.dead_agent()
        before = tree(agent.data_dir)
        checked = self.run_command("fsck", agent)
        self.assertEqual(checked.stderr, "")
        self.assertEqual(checked.stdout.splitlines(), [
            "ended: ended, Failed with 3; kept as it ended",
            "left: ended, Succeeded with 0; kept, and what it has left running",
            "running: running when last seen; taken up as it runs",
            "lost: running when last seen; lost: what is left of it is killed, then it ends as Lost",
            "lost-of-controller: running when last seen; lost: what is left of it is killed, then it is removed",
            "stubborn: running when last seen; stopped and removed",
            "queued: not started; started",
            "stubborn (successor): not started; started when its predecessor is gone",
            "8 tasks, 0 problems",
        ])
        self.assertEqual(checked.returncode, 0)
        self.assertIn("it is run again", self.run_command("fsck", agent, "--on-lost=restart").stdout)
        dumped = self.run_command("dump", agent)
        self.assertEqual((dumped.returncode, dumped.stderr), (0, ""))
        tasks = json.loads(dumped.stdout)
        self.assertEqual([t["name"] for t in tasks], ["ended", "left", "running", "lost", "lost-of-controller",
                                                      "stubborn", "queued", "stubborn"])
        for one in tasks:
            if openapi.jsonschema:
                openapi.validate(one["task"], {"$ref": "#/components/schemas/Task"})
        self.assertEqual(state_of(tasks[0]["task"])[1]["exitCode"], 3)
        self.assertEqual([t["supervised"] for t in tasks], [False, True, True, False, False, True, False, False])
        self.assertEqual(tree(agent.data_dir), before)
        # It comes true.
        agent.flags = ["--max-concurrent-tasks=0"]
        agent.start()
        self.assertEqual(agent.ended("lost")["reason"], "Lost")
        self.assertEqual(agent.get("/tasks/lost-of-controller").status, 404)
        self.assertEqual(state_of(agent.task("running"))[0], "running")
        self.assertEqual(agent.ended("queued")["exitCode"], 0)
        for pid in agent.all_processes():
            if "trap" in command_of(pid):
                kill_pid(pid)
        self.assertEqual(agent.ended("stubborn")["exitCode"], 0)

    def test_problems(self):
        agent = self.agent()
        for name in ("good", "copied", "torn", "renamed", "bad-exit", "no-room"):
            agent.run(name, "true")
        agent.stop()
        data = agent.data_dir
        shutil.copytree(f"{data}/copied", f"{data}/copy")
        shutil.copytree(f"{data}/copied", f"{data}/.next/copied")
        with open(f"{data}/torn/task.json", "r+b") as f:
            f.seek(10)
            f.write(b"X")
        os.rename(f"{data}/renamed", f"{data}/other")
        os.truncate(f"{data}/bad-exit/exit.json", 50)
        os.unlink(f"{data}/no-room/exit.json")
        os.mkdir(f"{data}/foreign")
        with open(f"{data}/file", "w", encoding="utf-8"):
            pass
        os.mkdir(f"{data}/.new/abc")
        before = tree(data)
        checked = self.run_command("fsck", agent)
        self.assertEqual(checked.returncode, 1)
        text = checked.stdout
        self.assertIn("good: ended, Succeeded with 0; kept as it ended\n", text)
        for line in ("copied (successor): ended, Succeeded with 0; put into quarantine\n    a copy of \"copied\"\n",
                     "copy: unreadable; put into quarantine\n    task.json: it is the task \"copied\"'s\n",
                     "torn: unreadable; put into quarantine\n    task.json: ",
                     "other: unreadable; put into quarantine\n    task.json: it is the task \"renamed\"'s\n",
                     "bad-exit: running when last seen; lost: what is left of it is killed, then it ends as Lost\n"
                     "    exit.json: ",
                     "no-room: running when last seen; lost: ",
                     "    exit.tmp: the space for the end is not there\n",
                     "foreign: unreadable; put into quarantine\n    task.json: it is not there\n",
                     "file: unreadable; put into quarantine\n    not a directory\n",
                     "1 creations that were never answered; thrown away\n",
                     "10 tasks, 8 problems\n"):
            self.assertIn(line, text)
        self.assertEqual(self.run_command("dump", agent).returncode, 1)
        self.assertEqual(tree(data), before)
        agent.start()
        self.assertEqual(agent.ended("bad-exit")["reason"], "Lost")
        self.assertEqual(sorted(os.listdir(f"{data}/.quarantine")),
                         ["copied", "copy", "file", "foreign", "other", "torn"])

    def test_beside_a_running_agent(self):
        agent = self.agent()
        agent.create(guide("a", "sleep", "1000"))
        agent.wait_state("a", "running")
        checked = self.run_command("fsck", agent)
        self.assertIn("an agent uses this directory", checked.stderr)
        self.assertEqual(checked.stdout, "a: running when last seen; taken up, if its supervisor lives\n1 tasks, 0 problems\n")
        self.assertEqual(state_of(agent.task("a"))[0], "running")

    def test_usage(self):
        agent = self.agent()
        for command in ("fsck", "dump"):
            missing = subprocess.run([BINARY, command, "--data-dir=/nowhere"], capture_output=True, text=True, check=False)
            self.assertEqual((missing.returncode, missing.stdout), (1, ""))
            self.assertIn("/nowhere", missing.stderr)
            self.assertEqual(self.run_command(command, agent, "--nothing").returncode, 2)
        self.assertEqual(self.run_command("dump", agent).stdout, "[]\n")
        self.assertEqual(self.run_command("fsck", agent).stdout, "0 tasks, 0 problems\n")

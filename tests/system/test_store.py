"""What stands on disk: broken and foreign directories, full disks."""

import json
import os
import shutil
import subprocess
import unittest

from agent import AgentTest, IS_ROOT, alive, eventually, guide, kill_pid, read, state_of


class Quarantine(AgentTest):
    def stopped_with(self, *names):
        agent = self.agent()
        for name in names:
            agent.run(name, "sh", "-c", "exit 3")
        agent.kill9()
        return agent

    def test_broken_state_is_moved_away(self):
        breaks = {"garbage": b"\0\1garbage", "empty": b"", "not-json": b"{", "null": b"null", "zeros": b"\0" * 4096}
        agent = self.stopped_with("good", *breaks)
        for name, content in breaks.items():
            with open(os.path.join(agent.data_dir, name, "task.json"), "wb") as f:
                f.write(content)
        agent.start()
        self.assertEqual([t["name"] for t in agent.get("/getTasks").json()], ["good"])
        self.assertEqual(agent.ended("good")["exitCode"], 3)
        moved = os.listdir(os.path.join(agent.data_dir, ".quarantine"))
        self.assertEqual(len(moved), len(breaks))
        for name in breaks:
            self.assertTrue(any(name in m for m in moved), moved)
            self.assertIn(name, agent.log())
            self.assertEqual(agent.run(name, "sh", "-c", "exit 4")["exitCode"], 4)  # the name is free
        agent.restart()
        self.assertEqual(len(agent.get("/getTasks").json()), 1 + len(breaks))

    def test_a_flipped_bit_is_seen(self):
        agent = self.stopped_with("good", "bad")
        path = os.path.join(agent.data_dir, "bad", "task.json")
        data = bytearray(open(path, "rb").read())  # noqa: SIM115
        at = data.index(b"exit 3") + 5
        data[at] ^= 1  # another exit code: only a checksum tells
        with open(path, "wb") as f:
            f.write(data)
        agent.start()
        self.assertEqual([t["name"] for t in agent.get("/getTasks").json()], ["good"])

    def test_a_task_that_can_not_be_read_and_still_runs(self):
        """Nothing tells any more how to list or delete it, so it is stopped; until then its name is taken."""
        agent = self.agent()
        agent.create(guide("a", "sh", "-c", "trap 'sleep 2; exit' TERM; setsid sleep 300 & wait; wait"))
        agent.wait_state("a", "running")
        uid = agent.uid("a")
        eventually(lambda: len(agent.all_processes_with_mark(uid)) == 2, what="the task's child")
        tree = agent.all_processes_with_mark(uid)
        agent.kill9()
        with open(os.path.join(agent.data_dir, "a", "task.json"), "wb") as f:
            f.write(b"{")
        agent.start()
        self.assertEqual(agent.get("/getTasks").json(), [])
        self.assertEqual(agent.delete("a").status, 507)
        self.assertEqual(agent.post("/setTasks", []).status, 507)
        self.assertEqual(agent.post("/tasks", guide("a", "true")).status, 507)
        eventually(lambda: agent.delete("a").status == 204, 20, "the name is free")
        self.assertFalse([p for p in tree if alive(p)])
        self.assertEqual(agent.run("a", "true")["exitCode"], 0)
        self.assertEqual(os.listdir(os.path.join(agent.data_dir, ".quarantine")), ["a"])

    def test_foreign_things(self):
        agent = self.stopped_with("good")
        foreign = os.path.join(agent.data_dir, "lost+found")
        os.mkdir(foreign)
        os.mkdir(os.path.join(agent.data_dir, "foreign"))
        with open(os.path.join(agent.data_dir, "foreign", "precious.txt"), "w", encoding="utf-8") as f:
            f.write("data")
        with open(os.path.join(agent.data_dir, "plain-file"), "w", encoding="utf-8") as f:
            f.write("data")
        os.symlink("/etc", os.path.join(agent.data_dir, "link"))
        agent.start()
        self.assertEqual([t["name"] for t in agent.get("/getTasks").json()], ["good"])
        self.assertTrue(os.path.isdir("/etc"))
        self.assertTrue(os.path.exists("/etc/passwd"))
        for name in ("foreign", "plain-file", "link"):
            with self.subTest(name=name):
                self.assertEqual(agent.run(name, "true")["exitCode"], 0)  # it blocks no name
        everything = subprocess.run(["find", agent.data_dir, "-name", "precious.txt"], capture_output=True, text=True,
                                    check=True).stdout
        self.assertIn("precious.txt", everything, "moved, not destroyed")

    def test_symlink_as_a_task_directory_is_not_followed(self):
        agent = self.stopped_with("a")
        outside = self.scratch()
        real = os.path.join(agent.data_dir, "a")
        shutil.move(real, os.path.join(outside, "a"))
        os.symlink(os.path.join(outside, "a"), real)
        agent.start()
        agent.delete("a")
        agent.gone("a")
        self.assertTrue(os.path.exists(os.path.join(outside, "a", "task.json")))

    def test_broken_end_record(self):
        agent = self.agent("--on-lost=fail")
        out = os.path.join(self.scratch(), "out")
        agent.run("a", "sh", "-c", f"echo run >> {out}; exit 3")
        agent.kill9()
        with open(os.path.join(agent.data_dir, "a", "exit.json"), "wb") as f:
            f.write(b"garbage")
        agent.start()
        tasks = agent.get("/getTasks").json()
        # No code is known any more: none may be invented, and it must not run again.
        for task in tasks:
            self.assertEqual(state_of(task)[0], "terminated")
            self.assertEqual(state_of(task)[1]["reason"], "Lost")
        self.assertEqual(read(out), "run\n")

    def test_what_is_no_file_where_a_record_should_be(self):
        """It makes that one task a lost one, and keeps nobody from being answered."""
        agent = self.agent("--on-lost=fail")
        breaks = {"directory": os.mkdir, "pipe": os.mkfifo, "loop": lambda path: os.symlink("exit.json", path)}
        for name in breaks:
            agent.run(name, "sh", "-c", "exit 3")
        agent.kill9()
        for name, put in breaks.items():
            path = os.path.join(agent.data_dir, name, "exit.json")
            os.unlink(path)
            put(path)
        agent.start()
        for name in breaks:
            self.assertEqual(agent.ended(name)["reason"], "Lost", name)
            self.assertEqual(agent.delete(name).status, 204)
            agent.gone(name)

    def test_state_files_carry_version_and_checksum(self):
        agent = self.agent()
        agent.run("a", "true")
        folder = os.path.join(agent.data_dir, "a")
        for file in ("task.json", "run.json", "exit.json"):
            content = json.loads(read(os.path.join(folder, file)))
            self.assertIn("format", content)
            self.assertTrue(any("crc" in key for key in content), content)
        self.assertEqual([f for f in os.listdir(folder) if f.endswith(".json")].__len__(), 3)

    def test_nothing_is_left_of_a_deleted_task(self):
        agent = self.agent()
        agent.run("a", "sh", "-c", "seq 1 1000")
        agent.delete("a")
        agent.gone("a")
        def files():
            return [f for _d, _s, fs in os.walk(agent.data_dir) for f in fs if f != ".lock"]
        eventually(lambda: not files(), 10, "an empty data directory")


class TakenAway(AgentTest):
    """What somebody removes or puts into the data directory while the agent runs."""

    def remove(self, agent, *folders):
        # rm, not rmtree: the agent may be emptying it.
        subprocess.run(["rm", "-rf", *(os.path.join(agent.data_dir, folder) for folder in folders)], check=True)

    def test_the_trash(self):
        agent = self.agent()
        agent.create(guide("a", "sleep", "1000"))
        agent.wait_state("a", "running")
        self.remove(agent, ".trash")
        self.assertEqual(agent.delete("a").status, 204)
        agent.gone("a")
        self.assertFalse(os.path.exists(os.path.join(agent.data_dir, "a")))
        self.assertEqual(agent.run("a", "sh", "-c", "exit 3")["exitCode"], 3)
        # A replaced one is followed by the other, and by nobody's end but its own.
        self.remove(agent, ".trash")
        replaced = agent.post("/setTasks?onSpecChange=replace", [guide("a", "sh", "-c", "exit 4")])
        self.assertEqual(replaced.status, 200, replaced)
        eventually(lambda: (t := agent.get("/tasks/a").json())["spec"]["process"]["command"][-1] == "exit 4" and
                   state_of(t)[0] == "terminated", 10, "the successor's end")
        self.assertEqual(agent.ended("a")["exitCode"], 4)
        eventually(lambda: not os.listdir(os.path.join(agent.data_dir, ".trash")), 10, "an empty trash")
        self.assertEqual(agent.delete("a").status, 204)
        agent.gone("a")
        agent.restart()
        self.assertEqual(agent.get("/getTasks").json(), [])

    def test_all_folders(self):
        agent = self.agent()
        self.remove(agent, ".new", ".next", ".trash", ".quarantine")
        self.assertEqual(agent.run("a", "sh", "-c", "exit 3")["exitCode"], 3)
        self.assertEqual(agent.delete("a").status, 204)
        agent.gone("a")
        self.assertEqual(agent.get("/readyz").status, 200)

    def test_a_foreign_directory_blocks_no_name(self):
        agent = self.agent()
        os.mkdir(os.path.join(agent.data_dir, "a"))
        with open(os.path.join(agent.data_dir, "a", "precious"), "w", encoding="utf-8") as f:
            f.write("data")
        self.assertEqual(agent.run("a", "sh", "-c", "exit 3")["exitCode"], 3)
        self.assertEqual(read(os.path.join(agent.data_dir, ".quarantine", "a", "precious")), "data")

    def test_a_pipe_or_a_directory_where_the_end_is_to_be(self):
        agent = self.agent()
        release = os.path.join(self.scratch(), "release")
        os.mkfifo(release)
        for name, put in {"pipe": os.mkfifo, "directory": os.mkdir}.items():
            agent.create(guide(name, "sh", "-c", f"read x < {release}; exit 3"))
            agent.wait_state(name, "running")
            path = os.path.join(agent.data_dir, name, "exit.tmp")
            os.unlink(path)
            put(path)
            with open(release, "w", encoding="utf-8") as f:
                f.write("go\n")
            self.assertEqual(agent.ended(name)["exitCode"], 3)
            self.assertEqual(agent.delete(name).status, 204)
            agent.gone(name)

    def test_an_agent_that_finds_a_pipe_where_space_is_reserved(self):
        agent = self.agent()
        agent.create(guide("a", "sleep", "1000"))
        agent.wait_state("a", "running")
        agent.kill9()
        kill_pid(agent.supervisor_of("a"))
        path = os.path.join(agent.data_dir, "a", "exit.tmp")
        os.unlink(path)
        os.mkfifo(path)
        os.mkfifo(os.path.join(agent.data_dir, ".probe"))
        agent.start()
        self.assertEqual(agent.ended("a")["reason"], "Lost")
        self.assertEqual(agent.get("/readyz").status, 200)

    def test_deletion_does_not_wait_for_an_end_that_can_not_be_recorded(self):
        agent = self.agent()
        agent.create(guide("a", "sleep", "1000"))
        agent.wait_state("a", "running")
        folder = os.path.join(agent.data_dir, "a")
        os.unlink(os.path.join(folder, "exit.tmp"))
        for name in ("exit.tmp", "in_the_way"):  # and there is no other place for it
            os.mkdir(os.path.join(folder, name))
            with open(os.path.join(folder, name, "precious"), "w", encoding="utf-8") as f:
                f.write("data")
        self.assertEqual(agent.delete("a").status, 204)
        agent.gone("a")

    def test_a_broken_end_is_no_obstacle_to_run_again(self):
        agent = self.agent("--on-lost=restart", "--reconcile-interval=50ms")
        out = os.path.join(self.scratch(), "out")
        agent.run("a", "sh", "-c", f"echo run >> {out}; exit 3")
        agent.kill9()
        with open(os.path.join(agent.data_dir, "a", "exit.json"), "wb") as f:
            f.write(b"garbage")
        agent.start()
        self.assertEqual(agent.ended("a")["exitCode"], 3)
        self.assertEqual(read(out), "run\nrun\n")

    def test_a_number_that_two_tasks_have(self):
        """As after a restore from another data directory: both are tasks, and a running one is no copy."""
        agent, other = self.agent(), self.agent()
        agent.create(guide("running", "sleep", "1000"))
        agent.wait_state("running", "running")
        other.run("foreign", "sh", "-c", "exit 4")
        agent.kill9()
        other.kill9()
        shutil.copytree(os.path.join(other.data_dir, "foreign"), os.path.join(agent.data_dir, "foreign"))
        agent.start()
        self.assertEqual(agent.ended("foreign")["exitCode"], 4)
        agent.wait_state("running", "running")
        self.assertEqual(len(agent.get("/getTasks").json()), 2)
        self.assertEqual(os.listdir(os.path.join(agent.data_dir, ".quarantine")), [])


def mount_tmpfs(test, size, inodes=None):
    """A small tmpfs, or a loud skip where mounting is not allowed."""
    if not IS_ROOT:
        test.skipTest("NEEDS ROOT: a small tmpfs to fill")
    path = test.scratch()
    options = f"size={size}" + (f",nr_inodes={inodes}" if inodes else "")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        test.skipTest(f"MOUNT NOT ALLOWED HERE: {done.stderr.strip()}")
    test.addCleanup(subprocess.run, ["umount", "-l", path], check=False)
    return path


def mount_ext4(test, megabytes):
    """The same with a real disk's file system, which puts off where blocks go until they are written out."""
    if not IS_ROOT:
        test.skipTest("NEEDS ROOT: a small disk to fill")
    image = os.path.join(test.scratch(), "image")
    with open(image, "wb") as f:
        f.truncate(megabytes << 20)
    path = test.scratch()
    for command in (["mkfs.ext4", "-q", "-F", "-m", "0", image], ["mount", "-o", "loop", image, path]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            test.skipTest(f"{command[0]} NOT POSSIBLE HERE: {done.stderr.strip()}")
    test.addCleanup(subprocess.run, ["umount", path], check=False)
    return path


def fill(path):
    """Takes the last byte."""
    with open(path, "wb", buffering=0) as f:
        size = 65536
        while size:
            try:
                f.write(b"x" * size)
            except OSError:
                size //= 2


class FullDisk(AgentTest):
    def mount(self):
        return mount_tmpfs(self, "4m")

    def full(self, fifo):
        mounted = self.mount()
        agent = self.agent("--reconcile-interval=100ms", data_dir=os.path.join(mounted, "data"))
        agent.create(guide("running", "sh", "-c", f"read x < {fifo}; exit 21"))
        agent.create(guide("deleted", "sleep", "1000"))
        agent.run("done", "sh", "-c", "exit 22")
        for name in ("running", "deleted"):
            agent.wait_state(name, "running")
        filler = os.path.join(mounted, "filler")
        fill(filler)
        return agent, filler

    def test_full_disk(self):
        fifo = os.path.join(self.scratch(), "fifo")
        os.mkfifo(fifo)
        agent, filler = self.full(fifo)
        before = sorted(os.listdir(agent.data_dir))
        for n in range(3):
            self.assert_error(agent.post("/tasks", guide(f"new{n}", "true")), 507, "Insufficient Storage")
        keep = [t for t in agent.get("/getTasks").json()]
        wanted = [{"name": t["name"], "spec": t["spec"]} for t in keep]
        self.assert_error(agent.post("/setTasks", [*wanted[:1], guide("new", "true")]), 507, "Insufficient Storage")
        self.assertEqual([t["name"] for t in agent.get("/getTasks").json() if "deletionTimestamp" not in t],
                         ["running", "deleted", "done"])
        self.assertEqual(sorted(os.listdir(agent.data_dir)), before, "a failed create leaves nothing behind")
        self.assertEqual(os.listdir(os.path.join(agent.data_dir, ".new")), [])
        ready = eventually(lambda: (r := agent.get("/readyz")).status == 503 and r, 5, "/readyz says so")
        self.assertTrue(ready.body)
        self.assertEqual(agent.get("/health").status, 200)
        # A running task ends with its true code …
        with open(fifo, "w", encoding="utf-8") as f:
            f.write("go\n")
        self.assertEqual(agent.ended("running")["exitCode"], 21)
        # … a deletion works …
        uid = agent.uid("deleted")
        self.assertEqual(agent.delete("deleted").status, 204)
        agent.gone("deleted")
        self.assert_no_trace(agent, uid)
        fill(filler + "2")
        # … and after a restart on the disk that is still full both codes are what they were.
        agent.restart()
        self.assertEqual(agent.ended("running")["exitCode"], 21)
        self.assertEqual(agent.ended("done")["exitCode"], 22)
        self.assertEqual(agent.post("/setTasks", []).status, 200)
        eventually(lambda: agent.get("/getTasks").json() == [], 10, "[] empties the list")
        os.unlink(filler)
        os.unlink(filler + "2")
        self.assertEqual(agent.run("again", "sh", "-c", "exit 5")["exitCode"], 5)
        eventually(lambda: agent.get("/readyz").status == 200, 5, "ready again")

    def test_end_while_the_agent_is_down(self):
        fifo = os.path.join(self.scratch(), "fifo")
        os.mkfifo(fifo)
        agent, _filler = self.full(fifo)
        pid = agent.task("running")["status"]["pid"]
        agent.kill9()
        with open(fifo, "w", encoding="utf-8") as f:
            f.write("go\n")
        eventually(lambda: not alive(pid), 5)
        agent.start()
        self.assertEqual(agent.ended("running")["exitCode"], 21)



class FullDiskOfExt4(FullDisk):
    def mount(self):
        return mount_ext4(self, 12)


class NoInodes(AgentTest):
    def test_no_inodes_left(self):
        mounted = mount_tmpfs(self, "8m", 60)
        agent = self.agent("--reconcile-interval=100ms", data_dir=os.path.join(mounted, "data"))
        made = 0
        while True:
            response = agent.post("/tasks", guide(f"t{made}", "sh", "-c", f"exit {made}"))
            if response.status != 201:
                break
            made += 1
        self.assert_error(response, 507, "Insufficient Storage")
        self.assertGreater(made, 0)
        self.assertEqual(len(agent.get("/getTasks").json()), made)
        # Those that can't have their own files yet wait, and say so; the room that others leave is theirs.
        left = set(range(made))
        while left:
            states = {n: state_of(agent.task(f"t{n}")) for n in left}
            done = {n for n in left if states[n][0] == "terminated"}
            for n in done:
                self.assertIn((states[n][1]["exitCode"], states[n][1]["reason"]),
                              [(n, "Failed" if n else "Succeeded"), (128, "StartError")])
                self.assertEqual(agent.delete(f"t{n}").status, 204)
            left -= done
            eventually(lambda: not left or any(state_of(agent.task(f"t{n}"))[0] == "terminated" for n in left), 10,
                       f"one of {left} told, in the room that others have left")
        eventually(lambda: agent.get("/getTasks").json() == [], 10, "all gone")
        # What was deleted is removed by another process: the inodes come back in a moment.
        eventually(lambda: agent.get("/readyz").status == 200, 10, "ready again")
        eventually(lambda: not os.listdir(os.path.join(agent.data_dir, ".trash")), 10, "the trash is empty")
        self.assertEqual(agent.run("again", "true")["exitCode"], 0)


class Unwritable(AgentTest):
    @unittest.skipUnless(IS_ROOT, "NEEDS ROOT: chattr +i")
    def test_directory_that_takes_nothing_new(self):
        agent = self.agent("--reconcile-interval=100ms")
        agent.run("done", "sh", "-c", "exit 22")
        # (A remount read-only is refused by the kernel while the lock file is open for writing.)
        folders = [agent.data_dir, os.path.join(agent.data_dir, ".new")]
        done = subprocess.run(["chattr", "+i", *folders], capture_output=True, text=True, check=False)
        try:
            if done.returncode != 0:
                self.skipTest(f"CHATTR +i NOT ALLOWED HERE: {done.stderr.strip()}")
            self.assert_error(agent.post("/tasks", guide("new", "true")), 507, "Insufficient Storage")
            eventually(lambda: agent.get("/readyz").status == 503, 5, "/readyz says so")
            self.assertEqual(agent.get("/health").status, 200)
            self.assertEqual(agent.ended("done")["exitCode"], 22)
        finally:
            subprocess.run(["chattr", "-i", *folders], capture_output=True, check=False)
        self.assertEqual(agent.run("new", "true")["exitCode"], 0)

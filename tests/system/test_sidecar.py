"""Tasks in another container (contract §1, §3, §6): a real one, with its own namespaces and root and no shell in it."""

import os
import shutil
import subprocess
import sys
import time
import uuid

from agent import BINARY, AgentTest, SLOW, alive, controller, eventually, guide, kill_pid, processes, read, state_of
from proc import environ_has, no_namespaces, parent_of, pids_cgroup, process_state, status_fields
from target import Target, busybox
from test_stubborn import LEADERLESS
from tracer import no_tracer, slowed

ASH = ("/tools/busybox", "ash", "-c")
KINDS = ("mnt", "pid", "uts", "ipc", "net", "cgroup", "user")
CAPABILITIES = ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")


class SidecarTest(AgentTest):
    def setUp(self):
        if why := no_namespaces():
            self.skipTest(why)
        if busybox() is None:
            self.skipTest("NEEDS busybox-static")

        # Other tests run at the same time, and each sees the others' targets.
        self.name = f"main-{uuid.uuid4().hex[:8]}"

    def target(self, **options):
        return Target(self, options.pop("name", self.name), **options)

    def sidecar(self, *flags, **kwargs):
        flags = (f"--main-container-name={self.name}", *flags)
        return self.agent("--enable-sidecar-mode", *flags, env={"AGENT_VAR": "of-the-agent", **kwargs.pop("env", {})},
                          **kwargs)

    def pid_of(self, agent, name):
        agent.wait_state(name, "running")
        return agent.task(name)["status"]["pid"]

    def assert_inside(self, target, pid, kinds=KINDS):
        for kind in kinds:
            self.assertEqual(os.readlink(f"/proc/{pid}/ns/{kind}"), target.ns(kind), kind)
        self.assertEqual(os.stat(f"/proc/{pid}/root").st_ino, os.stat(f"/proc/{target.pid}/root").st_ino)


class Entering(SidecarTest):
    def test_the_guides_example(self):
        self.target(name="my-main-app")
        agent = self.sidecar("--main-container-name=my-main-app")
        ended = agent.run("sidecar-namespace-check", "ls", "/proc/self/ns")
        self.assertEqual((ended["exitCode"], ended["reason"]), (0, "Succeeded"), ended)
        self.assertLessEqual({"mnt", "pid", "net"}, set(agent.output("sidecar-namespace-check").split()))

    def test_processes_that_show_no_environment(self):
        # Their leader has ended, and they have none: as if they were between two programs, but for ever.
        lonely = subprocess.Popen([sys.executable, "-c", LEADERLESS], stdout=subprocess.PIPE, text=True, env={})
        self.addCleanup(lonely.stdout.close)
        pid = int(lonely.stdout.readline().split()[1])
        self.addCleanup(kill_pid, pid)
        lonely.wait()
        eventually(lambda: process_state(pid) == "Z", 5, "its leader has ended")
        agent = self.sidecar()
        began = time.monotonic()
        self.assertEqual(agent.get("/readyz").status, 503)
        self.assertLess(time.monotonic() - began, 0.5 * SLOW)
        self.target()
        eventually(lambda: agent.get("/readyz").status == 200, 5, "ready")
        began = time.monotonic()
        agent.run("a", "true")
        self.assertLess(time.monotonic() - began, 0.8 * SLOW)

    def test_what_a_task_sees_is_the_targets(self):
        target = self.target()
        agent = self.sidecar()
        script = ("hostname; pwd; cat /in-the-target; ls -d /data* 2>/dev/null; "
                  "for n in mnt pid uts ipc net; do readlink /proc/self/ns/$n; done; ls /proc/self/fd; ls -l /proc/1/exe")
        ended = agent.run("a", *ASH, script)
        self.assertEqual(ended["exitCode"], 0, agent.output("a", "stderr"))
        lines = agent.output("a").splitlines()
        self.assertEqual(lines[:3], ["target-host", "/home/app", "a file of the target"])
        self.assertEqual(lines[3:8], [target.ns(kind) for kind in ("mnt", "pid", "uts", "ipc", "net")])
        self.assertEqual(lines[8:12], ["0", "1", "2", "3"])  # 3 is the folder that ls has open
        agent.run("b", "cat", os.path.join(agent.data_dir, "b/task.json"))
        self.assertIn("No such file", agent.output("b", "stderr"))
        agent.run("c", "pwd", workingDir="/tmp")
        self.assertEqual(agent.output("c"), "/tmp\n")

    def test_environment(self):
        self.target(env={"BOTH": "target"})
        agent = self.sidecar(env={"BOTH": "agent"})
        ended = agent.run("a", "env", env=[{"name": "BOTH", "value": "task"}, {"name": "MORE", "value": "1"}])
        self.assertEqual(ended["exitCode"], 0)
        env = dict(line.split("=", 1) for line in agent.output("a").splitlines())
        self.assertEqual((env["TARGET_VAR"], env["BOTH"], env["MORE"]), ("from-the-target", "task", "1"))
        self.assertEqual(env["PATH"], "/tools")
        self.assertNotIn("AGENT_VAR", env)
        self.assertEqual(agent.output("a").count("BOTH="), 1)
        self.assertEqual(env["TASK_EXECUTOR_RUN"], agent.uid("a"))

    def test_exit_codes_and_start_errors(self):
        self.target()
        agent = self.sidecar()
        self.assertEqual(agent.run("three", *ASH, "exit 3")["exitCode"], 3)
        ended = agent.run("term", *ASH, "kill -TERM $$")
        self.assertEqual((ended["exitCode"], ended["signal"]), (143, 15))
        ended = agent.run("sh", "/bin/sh", "-c", "true")
        self.assertEqual((ended["exitCode"], ended["reason"]), (127, "StartError"), ended)
        self.assertIn("/bin/sh", ended["message"])
        self.assertEqual(agent.run("path", "sh")["exitCode"], 127)
        self.assertEqual(agent.run("file", "/in-the-target")["exitCode"], 126)
        ended = agent.run("dir", "true", workingDir="/no/such/dir")
        self.assertEqual((ended["exitCode"], ended["reason"]), (128, "StartError"))
        self.assertIn("/no/such/dir", ended["message"])
        ended = agent.run("slow", "sleep", "1000", timeoutSeconds=1)
        self.assertEqual((ended["exitCode"], ended["reason"]), (143, "TaskTimeout"))
        ended = agent.run("big", *ASH, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")
        self.assertEqual(ended["exitCode"], 0)
        self.assertGreater(agent.task("big")["status"]["usage"]["maxRssKiB"], 0)

    def test_a_start_error_that_is_over_before_the_process_is_looked_for(self):
        if why := no_tracer():
            self.skipTest(why)
        self.target()
        agent = self.sidecar(start=False)
        agent.prefix = slowed(agent, before={"getdents64": 0.2})  # how a supervisor finds its process in the target
        agent.start()
        ended = agent.run("dir", "true", workingDir="/no/such/dir")
        self.assertEqual((ended["exitCode"], ended["reason"]), (128, "StartError"))
        self.assertIn("/no/such/dir", ended["message"])

    def test_a_stop_while_the_main_container_is_entered(self):
        if why := no_tracer():
            self.skipTest(why)
        self.target()
        agent = self.sidecar("--on-shutdown=stop", start=False)
        agent.prefix = slowed(agent, before={"setns": 0.3})
        agent.start()
        agent.create(guide("a", *ASH, "exit 3"))
        eventually(lambda: processes(lambda pid: read(f"/proc/{pid}/cmdline").startswith("task-supervisor\0a\0")), 5,
                   "a supervisor")
        agent.stop()
        agent.prefix = []
        agent.start()
        self.assertEqual(agent.ended("a")["exitCode"], 3)  # nothing had been begun

    def test_a_main_container_that_execs_and_execs(self):
        root = Target.make_root()
        self.addCleanup(shutil.rmtree, root, True)
        with open(os.path.join(root, "again"), "w", encoding="utf-8") as f:
            f.write("exec /tools/busybox ash /again\n")
        self.target(root=root, command=["ash", "/again"])
        agent = self.sidecar()
        self.assertEqual(agent.post("/setTasks", [guide(f"t{n}", "true") for n in range(60)]).status, 200)
        for n in range(60):
            ended = agent.ended(f"t{n}", 30)
            self.assertEqual((ended["exitCode"], ended["reason"]), (0, "Succeeded"), ended)

    def test_a_task_that_stops_its_subreaper(self):
        self.target()
        agent = self.sidecar()
        self.assertEqual(agent.run("a", *ASH, "kill -STOP $PPID; exit 5")["exitCode"], 5)
        ended = agent.run("b", *ASH, "kill -STOP $PPID; exec sleep 1000", timeoutSeconds=1)
        self.assertEqual((ended["exitCode"], ended["reason"]), (143, "TaskTimeout"))
        agent.create(guide("c", *ASH, "kill -STOP $PPID; exec sleep 1000"))
        agent.wait_state("c", "running")
        agent.delete("c")
        agent.gone("c")

    def test_ends_are_true_when_the_agent_was_killed_meanwhile(self):
        target = self.target()
        agent = self.sidecar()
        for name, code in (("before", 7), ("during", 8)):
            agent.create(guide(name, *ASH, f"until [ -e /tmp/{name} ]; do usleep 5000; done; exit {code}"))
            agent.wait_state(name, "running")
        agent.kill9()
        open(target.path("/tmp/before"), "w", encoding="utf-8").close()
        end = os.path.join(agent.data_dir, "before", "exit.json")
        eventually(lambda: os.path.exists(end), 5, "the end recorded without an agent")
        agent.start()
        self.assertEqual(agent.ended("before")["exitCode"], 7)
        open(target.path("/tmp/during"), "w", encoding="utf-8").close()
        self.assertEqual(agent.ended("during")["exitCode"], 8)

    def test_a_fourth_task_still_finds_the_main_container(self):
        target = self.target()
        agent = self.sidecar()
        for name in ("a", "b", "c"):
            # Without the mark that tasks are known by, too.
            agent.create(guide(name, "env", "-u", "TASK_EXECUTOR_RUN", "sleep", "1000"))
            self.pid_of(agent, name)
        agent.create(guide("d", "sleep", "1000"))
        self.assert_inside(target, self.pid_of(agent, "d"))
        # Nor is one of them taken for it when it has gone.
        target.kill()
        ended = agent.run("e", "true")
        self.assertEqual((ended["reason"], ended["exitCode"]), ("StartError", 128), ended)
        self.assertIn(self.name, ended["message"])

    def test_neither_the_agent_nor_a_task_beside_it_is_the_main_container(self):
        agent = self.sidecar(env={"SANDBOX_MAIN_CONTAINER": self.name})
        agent.create(guide("local", "sleep", "1000", execMode="Local"))
        self.assertTrue(environ_has(self.pid_of(agent, "local"), f"SANDBOX_MAIN_CONTAINER={self.name}"))
        self.assertEqual(agent.run("a", "true")["reason"], "StartError")
        self.assertEqual(agent.get("/readyz").status, 503)
        target = self.target()  # younger than both
        agent.create(guide("b", "sleep", "1000"))
        self.assert_inside(target, self.pid_of(agent, "b"))
        eventually(lambda: agent.get("/readyz").status == 200, 2, "it is looked for again after a second")

    def test_a_restarted_main_container_is_found(self):
        target = self.target()
        agent = self.sidecar()
        agent.run("a", "true")
        target.restart()
        agent.create(guide("b", "sleep", "1000"))
        self.assert_inside(target, self.pid_of(agent, "b"))
        self.assertEqual(agent.get("/readyz").status, 200)

    def test_no_main_container(self):
        self.target(name="other")
        agent = self.sidecar("--main-container-name=absent-one")
        ended = agent.run("a", "true")
        self.assertEqual((ended["reason"], ended["exitCode"]), ("StartError", 128), ended)
        self.assertIn("absent-one", ended["message"])
        ready = agent.get("/readyz")
        self.assertEqual(ready.status, 503)
        self.assertIn("absent-one", ready.text)
        self.assertEqual(agent.get("/health").status, 200)
        self.assertIn("absent-one", agent.log())

    def test_exact_name(self):
        for name in (self.name + "x", "x" + self.name):
            self.target(name=name)
        agent = self.sidecar()
        self.assertEqual(agent.run("a", "true")["reason"], "StartError")

    def test_other_sets_of_namespaces(self):
        for namespaces in (("mnt",), ("mnt", "uts", "ipc", "net"), ("mnt", "pid"), (),
                           ("mnt", "pid", "uts", "ipc", "net", "cgroup", "user")):
            with self.subTest(namespaces=namespaces):
                target = self.target(namespaces=namespaces)
                agent = self.sidecar()
                agent.create(guide("a", *ASH, "pwd; sleep 1000"))
                pid = self.pid_of(agent, "a")
                self.assert_inside(target, pid)
                eventually(lambda: agent.output("a") == "/home/app\n", 5, "its output")
                agent.delete("a")
                agent.gone("a")
                self.assertFalse(alive(pid))
                target.kill()

    def test_nothing_of_ours_is_to_be_reached(self):
        self.target()
        agent = self.sidecar()
        for name, folder in (("a", "/proc/self/fd/3"), ("b", "/proc/self/fd/4"), ("c", "/proc/self/fd/5"),
                             ("d", "/proc/self/fd/6"), ("e", "/proc/self/fd/7"), ("f", "/proc/self/fd/8")):
            agent.run(name, "ls", ".", workingDir=folder)
            self.assertNotIn("task.json", agent.output(name))
        with open(BINARY, "rb") as f:
            if b"/ld-linux" in f.read(4096):
                return  # a sanitizer's build needs a loader that the target does not have
        # A command that is our own program by the kernel's link: what runs then can't be written to.
        agent.create(guide("exe", "/proc/self/exe", "--listen-addr=127.0.0.1:0", "--data-dir=/tmp/d"))
        pid = self.pid_of(agent, "exe")
        self.assertIn("memfd", os.readlink(f"/proc/{pid}/exe"))
        with self.assertRaises(OSError):
            open(f"/proc/{pid}/exe", "r+b").close()
        for ours in (parent_of(pid), agent.supervisor_of("exe")):
            with self.assertRaises(OSError):
                open(f"/proc/{ours}/exe", "r+b").close()

    def test_exec_mode(self):
        target = self.target()
        agent = self.sidecar()
        agent.create(guide("remote", "sleep", "1000", execMode="Remote"))
        self.assert_inside(target, self.pid_of(agent, "remote"))
        agent.create(guide("local", "sleep", "1000", execMode="Local"))
        pid = self.pid_of(agent, "local")
        self.assertEqual(os.readlink(f"/proc/{pid}/ns/mnt"), os.readlink("/proc/self/ns/mnt"))
        self.assertTrue(environ_has(pid, "AGENT_VAR=of-the-agent"))
        self.assertEqual(agent.task("local")["spec"]["process"]["execMode"], "Local")

    def test_remote_needs_sidecar_mode(self):
        agent = self.agent()
        hook = {"exec": {"command": ["true"]}, "execMode": "Remote"}
        for task in (guide("a", "true", execMode="Remote"), controller("a", "true", execMode="Remote"),
                     guide("a", "true", lifecycle={"preStart": hook}), guide("a", "true", lifecycle={"postStop": hook})):
            self.assertIn("execMode", self.assert_error(agent.post("/tasks", task), 400))
        self.assertEqual(agent.run("a", "true", execMode="Local")["exitCode"], 0)


class Tree(SidecarTest):
    def test_delete_leaves_none(self):
        for namespaces in (("mnt", "pid", "uts", "ipc", "net"), ("mnt",)):
            with self.subTest(namespaces=namespaces):
                target = self.target(namespaces=namespaces)
                agent = self.sidecar()
                script = ("trap '' TERM; setsid sleep 1000 & setsid busybox ash -c \"trap '' TERM; while :; do usleep 9000; "
                          "done\" & (setsid busybox ash -c 'sleep 1000 & sleep 1000' &) ; echo up; while :; do usleep 9000; done")
                agent.create(guide("a", *ASH, script, terminationGracePeriodSeconds=1))
                uid = agent.uid("a")
                eventually(lambda: len(agent.all_processes_with_mark(uid)) >= 6, 5, "the whole tree")
                pids = agent.all_processes_with_mark(uid)
                for pid in pids:
                    try:
                        self.assert_inside(target, pid, ("mnt", "pid"))
                    except FileNotFoundError:
                        pass  # a usleep that has ended
                agent.delete("a")
                agent.gone("a")
                self.assertEqual([p for p in pids if alive(p)], [])
                self.assert_no_trace(agent, uid)
                self.assertTrue(alive(target.pid))
                target.kill()

    def test_leftovers_stay_in_the_tree(self):
        self.target()
        agent = self.sidecar()
        ended = agent.run("a", *ASH, "(setsid sleep 1000 &); sleep 1000 & exit 4")
        self.assertEqual(ended["exitCode"], 4)
        uid = agent.uid("a")
        eventually(lambda: agent.task("a")["status"].get("leftover") == 2, 5, "two are left, ours is not counted")
        agent.restart()
        eventually(lambda: agent.task("a")["status"].get("leftover") == 2, 5, "still two")
        self.assertEqual(len(agent.all_processes_with_mark(uid)), 2)
        agent.delete("a")
        agent.gone("a")
        self.assert_no_trace(agent, uid)

    def test_the_target_dies(self):
        target = self.target()
        agent = self.sidecar()
        agent.create(guide("a", *ASH, "trap '' TERM; while :; do usleep 9000; done"))
        agent.create(controller("b", "sleep", "1000"))
        self.pid_of(agent, "a")
        agent.wait_state("b", "running")
        target.kill()
        if self.kernel_tells():
            for name in ("a", "b"):
                ended = agent.ended(name)
                self.assertEqual((ended["exitCode"], ended["signal"], ended["reason"]), (137, 9, "Failed"), ended)
        else:
            self.assertEqual(agent.ended("a")["reason"], "Lost")
            agent.gone("b")  # the controller form: sent again by its controller

    @staticmethod
    def kernel_tells():
        """PIDFD_GET_INFO tells how a process ended that somebody else has reaped: Linux 6.15."""
        return tuple(int(n) for n in os.uname().release.split(".")[:2]) >= (6, 15)

    def test_a_killed_inner_subreaper_takes_its_task_with_it(self):
        self.target()
        agent = self.sidecar()
        agent.create(guide("a", *ASH, "(setsid sleep 1000 &); while :; do usleep 9000; done",
                           lifecycle={"postStop": {"exec": {"command": ["true"]}}}))
        pid = self.pid_of(agent, "a")
        uid = agent.uid("a")
        eventually(lambda: len(agent.all_processes_with_mark(uid)) >= 2, 5, "both")
        inner = parent_of(pid)
        self.assertEqual(read(f"/proc/{inner}/comm"), "task-subreaper\n")
        self.assertEqual(parent_of(inner), agent.supervisor_of("a"))
        kill_pid(inner)
        ended = agent.ended("a")
        # The target's init, a sleep, never reaps it: how it ended is there to be read on every kernel.
        self.assertEqual((ended["exitCode"], ended["signal"], ended["reason"]), (137, 9, "Failed"), ended)
        self.assert_no_trace(agent, uid)

    def test_a_killed_supervisor_takes_everything_with_it(self):
        self.target()
        agent = self.sidecar("--on-lost=fail")
        agent.create(guide("a", *ASH, "(setsid sleep 1000 &); while :; do usleep 9000; done"))
        pid = self.pid_of(agent, "a")
        uid = agent.uid("a")
        eventually(lambda: len(agent.all_processes_with_mark(uid)) >= 2, 5, "both")
        inner = parent_of(pid)
        kill_pid(agent.supervisor_of("a"))
        self.assertEqual(agent.ended("a")["reason"], "Lost")
        self.assert_no_trace(agent, uid)
        eventually(lambda: not alive(inner), 5, "the inner subreaper has gone")


class LeastPrivilege(SidecarTest):
    def sets(self, pid):
        fields = status_fields(pid)
        return {name: int(fields[name], 16) for name in CAPABILITIES}, fields

    def look(self, agent, name, **process):
        agent.create(guide(name, "sleep", "1000", **process))
        return self.sets(self.pid_of(agent, name))

    def assert_cut(self, mine, targets):
        for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"):
            self.assertEqual(mine[name] & ~targets[name], 0, f"{name}: {mine[name]:x} is more than {targets[name]:x}")

    def test_root_with_few_capabilities(self):
        target = self.target(bounding=[0, 5, 10])  # CHOWN, KILL, NET_BIND_SERVICE
        agent = self.sidecar()
        targets, _ = self.sets(target.pid)
        self.assertEqual(targets["CapEff"], 0x421)
        mine, fields = self.look(agent, "a")
        self.assert_cut(mine, targets)
        self.assertEqual((mine["CapEff"], fields["Uid"].split()), (0x421, ["0"] * 4))
        mine, _ = self.look(agent, "b", securityContext={"capabilities": {"drop": ["KILL"]}})
        self.assertEqual(mine["CapEff"], 0x401)

    def test_root_without_capabilities(self):
        target = self.target(bounding=[])
        agent = self.sidecar()
        targets, _ = self.sets(target.pid)
        mine, _ = self.look(agent, "a")
        self.assert_cut(mine, targets)
        self.assertEqual(mine["CapEff"], 0)
        self.assertEqual(agent.run("b", *ASH, "hostname other")["exitCode"], 1)

    def test_another_user(self):
        target = self.target(uid=1000, gid=1001, groups=[1001, 2000], no_new_privs=True)
        agent = self.sidecar()
        targets, targets_fields = self.sets(target.pid)
        mine, fields = self.look(agent, "a")
        self.assert_cut(mine, targets)
        self.assertEqual(mine["CapEff"], 0)
        for name in ("Uid", "Gid", "Groups", "NoNewPrivs"):
            self.assertEqual(fields[name], targets_fields[name], name)
        self.assertEqual(fields["NoNewPrivs"], "1")
        log = os.stat(os.path.join(agent.data_dir, "a", "stdout.log"))
        self.assertEqual((log.st_uid, log.st_gid), (1000, 1001))
        # One that asks for root gets root without what the main container does not have.
        mine, fields = self.look(agent, "b", securityContext={"runAsUser": 0})
        self.assertEqual(fields["Uid"].split()[0], "0")
        self.assertEqual((mine["CapEff"], mine["CapPrm"], mine["CapBnd"] & ~targets["CapBnd"]), (0, 0, 0))
        ended = agent.run("c", "true", securityContext={"capabilities": {"add": ["NET_ADMIN"]}})
        self.assertEqual((ended["reason"], ended["exitCode"]), ("StartError", 128), ended)

    def test_the_tasks_own_security_context(self):
        self.target()
        agent = self.sidecar()
        mine, fields = self.look(agent, "a", securityContext={"runAsUser": 1234, "runAsGroup": 99,
                                                              "capabilities": {"add": ["NET_BIND_SERVICE"]}})
        self.assertEqual((fields["Uid"].split()[0], fields["Gid"].split()[0], fields["Groups"].split()),
                         ("1234", "99", []))
        self.assertEqual(mine["CapEff"], 1 << 10)

    def test_sidecar_user_agent(self):
        target = self.target(uid=1000, gid=1000, groups=[1000], bounding=[0])
        agent = self.sidecar("--sidecar-user=agent")
        targets, _ = self.sets(target.pid)
        mine, fields = self.look(agent, "a")
        self.assertEqual(fields["Uid"].split()[0], "0")
        self.assert_cut(mine, targets)

    def test_the_inner_subreaper_has_no_capability(self):
        self.target()
        agent = self.sidecar()
        agent.create(guide("a", "sleep", "1000"))
        inner = parent_of(self.pid_of(agent, "a"))
        files = {int(fd): os.readlink(f"/proc/{inner}/fd/{fd}") for fd in os.listdir(f"/proc/{inner}/fd")}
        self.assertEqual([files.pop(fd) for fd in (0, 1, 2)], ["/dev/null"] * 3)
        self.assertEqual([target.split(":")[0] for target in files.values()], ["socket"])
        mine, _ = self.sets(inner)
        self.assertEqual((mine["CapEff"], mine["CapPrm"]), (0, 0))

    def test_a_working_directory_that_only_the_user_may_enter(self):
        target = self.target(uid=1000, gid=1000, groups=[], cwd="/locked")
        os.chown(target.path("/locked"), 1000, 1000)
        agent = self.sidecar()
        ended = agent.run("a", "pwd")
        self.assertEqual((ended["exitCode"], agent.output("a")), (0, "/locked\n"))


class Hooks(SidecarTest):
    def test_where_hooks_run(self):
        self.target()
        agent = self.sidecar()
        hook = lambda *command, **more: {"exec": {"command": list(command)}, **more}  # noqa: E731
        out = os.path.join(self.scratch(), "out")
        agent.create(guide("a", "cat", "/tmp/made", lifecycle={
            "preStart": hook(*ASH, "hostname; echo made > /tmp/made; echo said >&2", execMode="Remote"),
            "postStop": hook("sh", "-c", f"hostname > {out}; echo $AGENT_VAR >> {out}")}))
        self.assertEqual(agent.ended("a")["exitCode"], 0)
        self.assertEqual(agent.output("a"), "made\n")
        self.assertEqual(sorted(agent.output("a", "prestart").split()), ["said", "target-host"])
        eventually(lambda: read(out).splitlines() == [os.uname().nodename, "of-the-agent"], 5, "a local one by default")

    def test_what_a_hook_leaves_behind_stays_in_the_tree(self):
        target = self.target()
        agent = self.sidecar()
        hook = {"exec": {"command": [*ASH, "(setsid sleep 1000 &); setsid sleep 1000 &"]}, "execMode": "Remote"}
        out = os.path.join(self.scratch(), "out")
        agent.create(guide("a", *ASH, "(setsid sleep 1000 &); while :; do usleep 9000; done",
                           lifecycle={"preStart": hook, "postStop": {"exec": {"command": ["touch", out]}}},
                           terminationGracePeriodSeconds=1))
        self.pid_of(agent, "a")
        uid = agent.uid("a")
        eventually(lambda: len(agent.all_processes_with_mark(uid)) >= 4, 5, "main and three sleeps")
        pids = agent.all_processes_with_mark(uid)
        agent.delete("a")
        agent.gone("a")
        self.assertEqual([p for p in pids if alive(p)], [])
        self.assertTrue(os.path.exists(out) and alive(target.pid))

    def test_the_number_of_a_hook_is_given_to_another_process(self):
        target = self.target()
        agent = self.sidecar()
        wait = ("until [ -e /tmp/go ]; do usleep 5000; done; read pid </tmp/pid; "
                "echo $((pid - 1)) >/proc/sys/kernel/ns_last_pid; usleep 100000 & echo $! >/tmp/other")
        hook = {"exec": {"command": [*ASH, f"echo $$ >/tmp/pid; setsid /tools/busybox ash -c '{wait}' &"]}, "execMode": "Remote"}
        agent.run("a", "true", lifecycle={"preStart": hook})
        with open(target.path("/tmp/go"), "w", encoding="utf-8"):
            pass
        other = eventually(lambda: read(target.path("/tmp/other")), 5, "another process")
        self.assertEqual(other, read(target.path("/tmp/pid")))
        agent.delete("a")
        agent.gone("a")

    def test_post_stop_waits_until_there_is_room(self):
        limit = pids_cgroup(self)
        self.target()
        agent = self.sidecar()
        limit("cgroup.procs", agent.pid)
        out = os.path.join(self.scratch(), "out")
        agent.create(guide("a", "sleep", "1", lifecycle={
            "postStop": {"exec": {"command": ["sh", "-c", f"echo post >>{out}"]}}}))
        self.pid_of(agent, "a")
        limit("pids.max", 1)
        self.assertEqual(agent.ended("a")["exitCode"], 0)
        time.sleep(0.5)
        self.assertFalse(os.path.exists(out))
        limit("pids.max", "max")
        eventually(lambda: read(out) == "post\n", 5, "the hook")

    def test_remote_hooks_fail_truly(self):
        target = self.target()
        agent = self.sidecar()
        hook = lambda *command, **more: {"exec": {"command": list(command)}, "execMode": "Remote", **more}  # noqa: E731
        agent.create(guide("a", "touch", "/tmp/ran", lifecycle={"preStart": hook("/bin/sh", "-c", "true")}))
        ended = agent.ended("a")
        self.assertEqual((ended["reason"], ended["exitCode"]), ("PreStartHookError", 127), ended)
        agent.create(guide("b", "touch", "/tmp/ran", lifecycle={"preStart": hook(*ASH, "echo broken >&2; exit 9")}))
        ended = agent.ended("b")
        self.assertEqual((ended["reason"], ended["exitCode"]), ("PreStartHookError", 9), ended)
        self.assertIn("broken", ended["message"])
        agent.create(guide("c", "touch", "/tmp/ran", lifecycle={"preStart": hook("sleep", "1000", timeoutSeconds=1)}))
        ended = agent.ended("c")
        self.assertEqual((ended["reason"], ended["exitCode"]), ("PreStartHookError", 143), ended)
        self.assertFalse(os.path.exists(target.path("/tmp/ran")))

    def test_post_stop_in_a_target_that_has_died(self):
        target = self.target()
        agent = self.sidecar()
        out = os.path.join(self.scratch(), "out")
        agent.create(guide("a", "sleep", "1000", lifecycle={
            "postStop": {"exec": {"command": ["sh", "-c", f"echo post >> {out}"]}}}))
        agent.create(guide("b", "sleep", "1000", lifecycle={
            "postStop": {"exec": {"command": ["true"]}, "execMode": "Remote"}}))
        self.pid_of(agent, "a"), self.pid_of(agent, "b")
        target.kill()
        agent.ended("a")
        eventually(lambda: read(out) == "post\n", 5, "the local hook")
        eventually(lambda: "postStop" in agent.ended("b")["message"], 5, "the failure of the remote one")
        self.assertIn("main container", agent.ended("b")["message"])


class Preflight(SidecarTest):
    NEEDED = ("SYS_ADMIN", "SYS_CHROOT", "SYS_PTRACE", "SETPCAP", "KILL", "SETUID", "SETGID", "CHOWN", "DAC_OVERRIDE")

    def with_capabilities(self, names):
        """An agent with no capability but those."""
        listed = ",".join(f"+{name.lower()}" for name in names)
        agent = self.agent("--enable-sidecar-mode", f"--main-container-name={self.name}", prefix=(
            "setpriv", f"--bounding-set=-all,{listed}", "--inh-caps=-all"))
        return agent

    def test_missing_ones_are_named(self):
        self.target()
        agent = self.with_capabilities([n for n in self.NEEDED if n not in ("SYS_ADMIN", "SYS_PTRACE")])
        ready = agent.get("/readyz")
        self.assertEqual(ready.status, 503)
        for text in (ready.text, agent.log()):
            self.assertIn("SYS_ADMIN, SYS_PTRACE", text)
            self.assertNotIn("SETPCAP", text)
        self.assertEqual(agent.run("a", "true")["reason"], "StartError")
        self.assertEqual(agent.run("b", "true", execMode="Local")["exitCode"], 0)

    def test_the_smallest_set_does(self):
        self.target(uid=1000, gid=1000, groups=[1000], bounding=[0, 10])
        agent = self.with_capabilities(self.NEEDED)
        self.assertEqual(agent.get("/readyz").status, 200, agent.get("/readyz").text)
        ended = agent.run("a", *ASH, "id; (setsid sleep 1000 &); exit 5")
        self.assertEqual(ended["exitCode"], 5, (ended, agent.output("a", "stderr")))
        self.assertIn("uid=1000", agent.output("a"))
        uid = agent.uid("a")
        agent.delete("a")
        agent.gone("a")
        self.assert_no_trace(agent, uid)

    def test_what_cant_be_taken_over_is_said_once(self):
        self.target()
        agent = self.sidecar()
        agent.run("a", "true")
        agent.run("b", "true")
        self.assertEqual(agent.log().count("seccomp"), 1)


del SidecarTest  # no class of tests by itself

"""What a task sees when it starts, and what is told when it ends."""

import ctypes
import json
import os
import platform
import shutil
import signal
import stat
import sys
import time
import unittest

from agent import AgentTest, IS_ROOT, RFC3339, SLOW, eventually, guide, parent_of, processes, read, status_fields

# Run by tasks: prints what the process is made of, as JSON.
PROBE = r"""
import json, os, signal, resource
status = dict(l.rstrip('\n').split(':', 1) for l in open('/proc/self/status') if ':' in l)
mask = os.umask(0); os.umask(mask)
print(json.dumps({
  'env': dict(os.environ), 'cwd': os.getcwd(), 'umask': mask, 'sid': os.getsid(0), 'pgid': os.getpgid(0),
  'pid': os.getpid(),
  'fds': sorted(int(f) for f in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + f)),
  'links': [os.readlink('/proc/self/fd/%d' % n) for n in (0, 1, 2)],
  'nofile': resource.getrlimit(resource.RLIMIT_NOFILE), 'groups': os.getgroups(),
  'status': {k: status[k].strip() for k in ('SigBlk', 'SigIgn', 'SigCgt', 'CapPrm', 'CapEff', 'CapBnd', 'NoNewPrivs',
                                           'Uid', 'Gid')}}))
"""
# -S -I and a dup-free listing: the directory handle of listdir itself is gone when its entries are looked at.
PYTHON = [sys.executable, "-I", "-S", "-c"]
ROOT_ONLY = unittest.skipUnless(IS_ROOT, "NEEDS ROOT: changing users, groups and capabilities")


class ExitCodes(AgentTest):
    def test_every_exit_code(self):
        agent = self.agent()
        tasks = [guide(f"code-{n}", "sh", "-c", f"exit {n}") for n in range(256)]
        self.assertEqual(agent.post("/setTasks", tasks).status, 200)
        eventually(lambda: all("terminated" in t["status"]["state"] for t in agent.get("/getTasks").json()), 60)

        def check():
            for n, task in enumerate(agent.get("/getTasks").json()):
                ended = task["status"]["state"]["terminated"]
                self.assertEqual((task["name"], ended["exitCode"], ended["reason"], ended.get("signal")),
                                 (f"code-{n}", n, "Failed" if n else "Succeeded", None))
                self.assertRegex(ended["startedAt"], RFC3339)
                self.assertRegex(ended["finishedAt"], RFC3339)
        check()
        agent.restart()
        check()

    def test_signals(self):
        agent = self.agent()
        numbers = [n for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 31, 34, 40, 64)]
        for n in numbers:
            # ulimit: no core files in the working directory.
            agent.create(guide(f"sig-{n}", *PYTHON, f"import os, resource, signal as s\n"
                               f"resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
                               f"if {n} not in (9,): s.signal({n}, s.SIG_DFL)\n"
                               f"os.kill(os.getpid(), {n})\nimport time\ntime.sleep(9)"))
        for n in numbers:
            with self.subTest(signal=n):
                ended = agent.ended(f"sig-{n}", 30)
                self.assertEqual((ended["exitCode"], ended.get("signal"), ended["reason"]), (128 + n, n, "Failed"))

    def test_exit_137_is_no_signal_and_no_oom(self):
        ended = self.agent().run("a", "sh", "-c", "exit 137")
        self.assertEqual((ended["exitCode"], ended.get("signal"), ended["reason"]), (137, None, "Failed"))
        # Nobody guesses OOMKilled from a KILL either.
        ended = self.agent().run("a", "sh", "-c", "kill -9 $$")
        self.assertEqual((ended["exitCode"], ended.get("signal"), ended["reason"]), (137, 9, "Failed"))

    def test_not_found(self):
        agent = self.agent()
        for name, command in (("bare", "no-such-program"), ("path", "/no/such/program")):
            ended = agent.run(name, command)
            self.assertEqual((ended["exitCode"], ended["reason"]), (127, "StartError"))
            self.assertIn(command, ended["message"])
            self.assertIn("No such file or directory", ended["message"])

    def test_not_executable(self):
        folder = self.scratch()
        path = os.path.join(folder, "plain")
        with open(path, "w", encoding="utf-8") as f:
            f.write("hello\n")
        os.chmod(path, 0o644)
        agent = self.agent()
        ended = agent.run("a", path)
        self.assertEqual((ended["exitCode"], ended["reason"]), (126, "StartError"))
        self.assertIn(path, ended["message"])
        self.assertIn("Permission denied", ended["message"])
        self.assertEqual(agent.run("dir", folder)["exitCode"], 126)
        os.chmod(path, 0o755)
        # No shebang: no shell is tried behind the user's back.
        self.assertEqual((agent.run("b", path)["exitCode"], agent.ended("b")["reason"]), (126, "StartError"))

    def test_missing_working_dir(self):
        agent = self.agent()
        ended = agent.run("a", "true", workingDir="/no/such/dir")
        self.assertEqual((ended["exitCode"], ended["reason"]), (128, "StartError"))
        self.assertIn("/no/such/dir", ended["message"])
        self.assertIn("No such file or directory", ended["message"])
        agent.restart()
        self.assertEqual(agent.ended("a"), ended)

    def test_bad_specs(self):
        agent = self.agent()
        bad = [({"command": []}, "command"), ({"command": "sleep 1"}, "command"), ({}, "command"),
               ({"command": [1]}, "command"), ({"command": ["true"], "args": "x"}, "args"),
               ({"command": ["true"], "timeoutSeconds": -1}, "timeoutSeconds"),
               ({"command": ["true"], "timeoutSeconds": 1.5}, "timeoutSeconds"),
               ({"command": ["true"], "timeoutSeconds": "1"}, "timeoutSeconds"),
               ({"command": ["true"], "timeoutSeconds": 10**30}, "timeoutSeconds"),
               ({"command": ["true"], "terminationGracePeriodSeconds": -1}, "terminationGracePeriodSeconds"),
               ({"command": ["true"], "env": [{"name": "A", "valueFrom": {"fieldRef": {}}}]}, "valueFrom"),
               ({"command": ["true"], "env": [{"value": "x"}]}, "env"),
               ({"command": ["true"], "env": [{"name": "A=B", "value": "x"}]}, "env"),
               ({"command": ["true"], "env": [{"name": "", "value": "x"}]}, "env"),
               ({"command": ["true"], "resources": {"limits": {"memory": "1Gi"}}}, "resources"),
               ({"command": ["true"], "restartPolicy": "Always"}, "restartPolicy"),
               ({"command": ["tr\0ue"]}, "command"), ({"command": ["true"], "args": ["a\0b"]}, "args"),
               ({"command": ["true"], "workingDir": "/a\0b"}, "workingDir"),
               ({"command": ["true"], "execMode": "Sideways"}, "execMode"),
               ({"command": ["true"], "securityContext": {"runAsUser": "root"}}, "runAsUser"),
               ({"command": ["true"], "securityContext": {"runAsUser": -1}}, "runAsUser"),
               ({"command": ["true"], "securityContext": {"capabilities": {"drop": ["CAP_NO_SUCH"]}}}, "capabilities")]
        for process, field in bad:
            with self.subTest(process=process):
                message = self.assert_error(agent.post("/tasks", {"name": "a", "spec": {"process": process}}), 400)
                self.assertIn(field, message)
        twice = {"name": "a", "spec": {"process": {"command": ["true"], "timeoutSeconds": 1}, "timeoutSeconds": 2}}
        self.assertIn("timeoutSeconds", self.assert_error(agent.post("/tasks", twice), 400))
        self.assertEqual(agent.get("/getTasks").json(), [])
        self.assertEqual(agent.run("a", "true", restartPolicy="Never")["exitCode"], 0)


class Timeouts(AgentTest):
    def test_killed_after_timeout_and_grace(self):
        agent = self.agent()
        begin = time.monotonic()
        ended = agent.run("a", "sh", "-c", "trap '' TERM; while :; do sleep 0.05; done", timeoutSeconds=1,
                          terminationGracePeriodSeconds=1)
        took = time.monotonic() - begin
        self.assertEqual((ended["reason"], ended["exitCode"], ended["signal"]), ("TaskTimeout", 137, 9))
        self.assertGreaterEqual(took, 1.9)
        self.assertLess(took, 3.5 * SLOW)

    def test_term_is_enough(self):
        agent = self.agent()
        begin = time.monotonic()
        ended = agent.run("a", "sleep", "1000", timeoutSeconds=1)
        self.assertEqual((ended["reason"], ended["exitCode"], ended["signal"]), ("TaskTimeout", 143, 15))
        self.assertLess(time.monotonic() - begin, 3 * SLOW)

    def test_graceful_code_is_kept(self):
        agent = self.agent()
        for code in (0, 3):
            ended = agent.run(f"a{code}", "sh", "-c", f"trap 'exit {code}' TERM; while :; do sleep 0.02; done",
                              timeoutSeconds=1)
            self.assertEqual((ended["reason"], ended["exitCode"]), ("TaskTimeout", code))

    def test_timeout_at_spec_level(self):
        agent = self.agent()
        task = guide("a", "sleep", "1000", spec={"timeoutSeconds": 1, "terminationGracePeriodSeconds": 2})
        created = agent.create(task)
        self.assertEqual(created["spec"], task["spec"])
        self.assertEqual(agent.ended("a")["reason"], "TaskTimeout")

    def test_in_time_is_no_timeout(self):
        ended = self.agent().run("a", "sh", "-c", "exit 4", timeoutSeconds=5)
        self.assertEqual((ended["reason"], ended["exitCode"]), ("Failed", 4))

    def test_timeout_takes_the_group_along(self):
        agent = self.agent()
        agent.create(guide("a", "sh", "-c", "sleep 1000; exit 1", timeoutSeconds=1))
        self.assertEqual(agent.ended("a")["reason"], "TaskTimeout")
        uid = agent.uid("a")
        self.assertEqual(agent.delete("a").status, 204)
        agent.gone("a")
        self.assert_no_trace(agent, uid)


class Environment(AgentTest):
    def probe(self, agent, name="probe", **process):
        ended = agent.run(name, *PYTHON, PROBE, **process)
        self.assertEqual(ended["exitCode"], 0, agent.output(name, "stderr"))
        return json.loads(agent.output(name))

    def test_environment(self):
        agent = self.agent(env={"NOTIFY_SOCKET": "/none", "LISTEN_FDNAMES": "x", "WATCHDOG_USEC": "1000000000",
                                "WATCHDOG_PID": "1", "INHERITED": "yes", "EMPTY": ""})
        seen = self.probe(agent, env=[{"name": "A", "value": "1"}, {"name": "B"}, {"name": "A", "value": "2"},
                                      {"name": "INHERITED", "value": "over"}, {"name": "U", "value": "ä=b\n"}])["env"]
        self.assertEqual((seen["A"], seen["B"], seen["INHERITED"], seen["EMPTY"], seen["U"]),
                         ("2", "", "over", "", "ä=b\n"))
        self.assertEqual(seen["TASK_EXECUTOR_RUN"], agent.uid("probe"))
        for name in seen:
            self.assertFalse(name.startswith(("NOTIFY_SOCKET", "LISTEN_", "WATCHDOG_")), name)

    def test_mark_can_not_be_forged(self):
        agent = self.agent()
        # Silent in the contract: the mark is what finds a run's processes, so the spec can't set it to another's.
        response = agent.post("/tasks", guide("probe", *PYTHON, PROBE, env=[{"name": "TASK_EXECUTOR_RUN",
                                                                            "value": "me"}]))
        if response.status == 201:
            agent.ended("probe")
            self.assertEqual(json.loads(agent.output("probe"))["env"]["TASK_EXECUTOR_RUN"], agent.uid("probe"))
        else:
            self.assert_error(response, 400)

    def test_path_of_the_task_decides(self):
        folder = self.scratch()
        path = os.path.join(folder, "only-here")
        with open(path, "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\necho found\nexit 9\n")
        os.chmod(path, 0o755)
        agent = self.agent()
        self.assertEqual(agent.run("no", "only-here")["exitCode"], 127)
        ended = agent.run("yes", "only-here", env=[{"name": "PATH", "value": f"/nowhere:{folder}:/usr/bin:/bin"}])
        self.assertEqual((ended["exitCode"], agent.output("yes")), (9, "found\n"))
        # A PATH without the directories of sh: not found although the agent would find it.
        self.assertEqual(agent.run("no2", "sh", env=[{"name": "PATH", "value": folder}])["exitCode"], 127)
        # Relative commands are looked up from the working directory.
        self.assertEqual(agent.run("rel", "./only-here", workingDir=folder)["exitCode"], 9)

    def test_no_shell(self):
        agent = self.agent()
        agent.run("a", "echo", "$HOME", "a  b", "*", args=["; exit 3", "", "'"])
        self.assertEqual(agent.output("a"), "$HOME a  b * ; exit 3  '\n")

    def test_what_a_process_starts_with(self):
        agent = self.agent()
        seen = self.probe(agent)
        self.assertEqual(seen["umask"], 0o022)
        self.assertEqual(seen["fds"], [0, 1, 2])
        self.assertEqual(seen["links"][0], "/dev/null")
        folder = os.path.realpath(agent.data_dir)
        self.assertEqual(seen["links"][1:], [f"{folder}/probe/stdout.log", f"{folder}/probe/stderr.log"])
        self.assertEqual(int(seen["status"]["SigBlk"], 16), 0)
        # Python itself ignores SIGPIPE and SIGXFSZ: looked at in a program that changes nothing.
        agent.run("status", "cat", "/proc/self/status")
        status = dict(line.split(":", 1) for line in agent.output("status").splitlines())
        self.assertEqual((int(status["SigBlk"], 16), int(status["SigIgn"], 16)), (0, 0))
        self.assertEqual(seen["cwd"], "/")  # the agent's own

    def test_umask_whatever_the_agents_is(self):
        old = os.umask(0o077)
        try:
            agent = self.agent()
        finally:
            os.umask(old)
        self.assertEqual(self.probe(agent)["umask"], 0o022)

    def test_signals_ignored_by_the_agents_parent(self):
        # 32 is one that the C library keeps for itself: only the bare system call (rt_sigaction) reaches it.
        def dispose_of_32(handler):
            action = (ctypes.c_ulong * 4)(handler, 0, 0, 0)
            number = {"x86_64": 13, "aarch64": 134}[platform.machine()]
            self.assertEqual(ctypes.CDLL(None).syscall(number, 32, action, None, 8), 0)
        old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        dispose_of_32(1)
        try:
            agent = self.agent()
        finally:
            dispose_of_32(0)
            signal.signal(signal.SIGHUP, old)
        agent.run("status", "cat", "/proc/self/status")
        status = dict(line.split(":", 1) for line in agent.output("status").splitlines())
        self.assertEqual(int(status["SigIgn"], 16), 0)

    @unittest.skipUnless(shutil.which("prlimit"), "needs prlimit")
    def test_open_files_limit_is_the_agents_original(self):
        agent = self.agent(rlimit_nofile=(555, 4000))
        limits = read(f"/proc/{agent.pid}/limits")
        own = next(line for line in limits.splitlines() if line.startswith("Max open files")).split()
        self.assertEqual(own[3:5], ["4000", "4000"])  # the agent raises its own
        self.assertEqual(self.probe(agent)["nofile"], [555, 4000])

    def test_log_files(self):
        agent = self.agent()
        agent.run("a", "sh", "-c", "echo out; echo err >&2; echo out2")
        folder = os.path.join(agent.data_dir, "a")
        self.assertEqual((agent.output("a"), agent.output("a", "stderr")), ("out\nout2\n", "err\n"))
        self.assertEqual(stat.S_IMODE(os.stat(folder).st_mode), 0o700)
        for file in os.listdir(folder):
            self.assertEqual(stat.S_IMODE(os.stat(os.path.join(folder, file)).st_mode), 0o600, file)
        self.assertTrue(os.path.exists(os.path.join(folder, "task.json")))

    def test_logs_are_appended_to(self):
        agent = self.agent()
        # Two writers with descriptors of their own, and one that truncates: O_APPEND writes at the end all the same.
        agent.run("a", "sh", "-c", "echo one; : > /dev/stdout; echo two; (echo three) ; echo four")
        self.assertEqual(agent.output("a"), "two\nthree\nfour\n")

    def test_status_extras(self):
        agent = self.agent()
        agent.create(guide("a", "sleep", "1000"))
        agent.wait_state("a", "running")
        status = agent.task("a")["status"]
        self.assertEqual(read(f"/proc/{status['pid']}/cmdline"), "sleep\x001000\0")
        self.assertEqual(list(status["state"]["running"]), ["startedAt"])
        agent.run("b", *PYTHON, "sum(range(3000000))")
        status = agent.task("b")["status"]
        self.assertGreater(status["usage"]["userCpuMs"], 0)
        self.assertGreater(status["usage"]["maxRssKiB"], 1000)
        times = status["timings"]
        self.assertEqual(set(times), {"persisted", "spawned", "execed", "reaped", "recorded"})
        order = [times[k] for k in ("persisted", "spawned", "execed", "reaped", "recorded")]
        self.assertEqual(order, sorted(order))
        self.assertFalse({"pid", "usage", "timings", "leftover"} & set(status["state"]["terminated"]))

    def test_no_zombies(self):
        agent = self.agent()
        for n in range(10):
            agent.run(f"t{n}", "true")
        def zombies():
            return [p for p in os.listdir("/proc") if p.isdigit() and read(f"/proc/{p}/stat") and
                    read(f"/proc/{p}/stat").rsplit(")", 1)[-1].split()[:2] == ["Z", str(agent.pid)]]
        eventually(lambda: not zombies(), 5, "no zombie children of the agent")


@ROOT_ONLY
class Security(AgentTest):
    def probe(self, agent, name, **process):
        ended = agent.run(name, *PYTHON, PROBE, **process)
        self.assertEqual(ended["exitCode"], 0, (ended, agent.output(name, "stderr")))
        return json.loads(agent.output(name))

    def run_status(self, agent, name, **process):
        ended = agent.run(name, "cat", "/proc/self/status", **process)
        self.assertEqual(ended["exitCode"], 0, ended)
        return {k: v.strip() for k, _, v in (line.partition(":") for line in agent.output(name).splitlines())}

    def test_user_and_groups(self):
        agent = self.agent()
        status = self.run_status(agent, "a", securityContext={"runAsUser": 12345, "runAsGroup": 23456,
                                                             "supplementalGroups": [7, 34567]})
        self.assertEqual(status["Uid"].split(), ["12345"] * 4)
        self.assertEqual(status["Gid"].split(), ["23456"] * 4)
        self.assertEqual(sorted(status["Groups"].split()), ["34567", "7"])
        self.assertEqual((int(status["CapEff"], 16), int(status["CapPrm"], 16)), (0, 0))
        for stream in ("stdout", "stderr"):
            info = os.stat(os.path.join(agent.data_dir, "a", f"{stream}.log"))
            self.assertEqual((info.st_uid, stat.S_IMODE(info.st_mode)), (12345, 0o600))

    def test_no_groups_of_root_left(self):
        agent = self.agent()
        status = self.run_status(agent, "a", securityContext={"runAsUser": 12345, "runAsGroup": 23456})
        self.assertEqual(status["Groups"].split(), [])

    def test_no_new_privileges(self):
        agent = self.agent()
        self.assertEqual(self.run_status(agent, "a", securityContext={"noNewPrivileges": True})["NoNewPrivs"], "1")
        self.assertEqual(self.run_status(agent, "b", securityContext={"noNewPrivileges": False})["NoNewPrivs"], "0")
        # The name in core/v1 is allowPrivilegeEscalation; this one is the contract's.

    def test_capabilities(self):
        agent = self.agent()
        own = int(status_fields(agent.pid)["CapBnd"], 16)
        dropped = self.run_status(agent, "all", securityContext={"capabilities": {"drop": ["ALL"]}})
        for key in ("CapPrm", "CapEff", "CapBnd"):
            self.assertEqual(int(dropped[key], 16), 0, key)
        one = self.run_status(agent, "one", securityContext={"capabilities": {"drop": ["ALL"], "add": ["KILL"]}})
        self.assertEqual(int(one["CapEff"], 16), 1 << 5)
        less = self.run_status(agent, "less", securityContext={"capabilities": {"drop": ["NET_RAW", "CAP_CHOWN"]}})
        self.assertEqual(int(less["CapBnd"], 16), own & ~(1 << 13) & ~(1 << 0))
        user = self.run_status(agent, "user", securityContext={
            "runAsUser": 12345, "runAsGroup": 12345,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}})
        self.assertEqual(int(user["CapEff"], 16), 1 << 10)  # ambient: it survives exec by another user

    def test_a_users_task_is_swept_too(self):
        agent = self.agent()
        agent.create(guide("a", "sh", "-c", "setsid sleep 1000 & sleep 1000",
                           securityContext={"runAsUser": 12345, "runAsGroup": 12345}))
        uid = agent.uid("a")
        eventually(lambda: len(processes(lambda p: read(f"/proc/{p}/cmdline") == "sleep\x001000\0" and
                                         p in agent.all_processes_with_mark(uid))) == 2, 5, "both sleeps")
        agent.delete("a")
        agent.gone("a")
        self.assert_no_trace(agent, uid)

    @ROOT_ONLY
    def test_a_user_without_rights_does_no_harm(self):
        """task-executor-security(7), WHAT A TASK MAY DO."""
        agent = self.agent()
        agent.create(guide("other", "sleep", "1000"))
        agent.wait_state("other", "running")
        supervisor = parent_of(agent.task("other")["status"]["pid"])
        tried = (f"for pid in {agent.pid} {supervisor} $PPID; do kill -0 $pid && echo signalled $pid; "
                 "head -c1 /proc/$pid/environ >/dev/null && echo read $pid; ls /proc/$pid/fd >/dev/null && echo seen $pid; "
                 f"done; ls {agent.data_dir} && echo entered; cat {agent.data_dir}/other/task.json && echo opened; "
                 "ls /proc/self/fd | wc -l; exit 0")
        ended = agent.run("a", "sh", "-c", tried, securityContext={
            "runAsUser": 12345, "runAsGroup": 12345, "noNewPrivileges": True, "capabilities": {"drop": ["ALL"]}})
        self.assertEqual(ended["exitCode"], 0)
        self.assertEqual(agent.output("a"), "4\n")  # 0, 1, 2 and that of ls itself

    def test_supervisor_inherits_nothing_and_has_its_own_session(self):
        agent = self.agent()
        agent.create(guide("a", "sleep", "1000"))
        agent.wait_state("a", "running")
        supervisor = agent.supervisor_of("a")
        self.assertEqual(os.getsid(supervisor), supervisor)
        for fd in os.listdir(f"/proc/{supervisor}/fd"):
            link = os.readlink(f"/proc/{supervisor}/fd/{fd}")
            self.assertNotIn("socket:", link)
            self.assertNotIn(os.path.realpath(agent.stderr_path), link)
            self.assertNotIn("epoll", link)

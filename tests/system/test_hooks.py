"""lifecycle.preStart and lifecycle.postStop (contract §1)."""

import os
import signal

from agent import AgentTest, alive, controller, eventually, guide, kill_pid, read, state_of
from proc import status_fields
from test_store import fill, mount_tmpfs


def hook(*command, **more):
    return {"exec": {"command": list(command)}, **more}


class Hooks(AgentTest):
    def agent(self, *flags, **kwargs):
        agent = super().agent(*flags, **kwargs)
        self.skip_if_unsupported(agent.post("/tasks", guide("probe", "true", lifecycle={"preStart": hook("true")})))
        agent.ended("probe")
        agent.delete("probe")
        agent.gone("probe")
        return agent

    def test_order(self):
        agent = self.agent()
        out = os.path.join(self.scratch(), "out")
        say = lambda word: ("sh", "-c", f"echo {word} >> {out}")  # noqa: E731
        ended = agent.run("a", *say("main"), lifecycle={"preStart": hook(*say("pre")), "postStop": hook(*say("post"))})
        self.assertEqual((ended["exitCode"], ended["reason"]), (0, "Succeeded"))
        eventually(lambda: read(out) == "pre\nmain\npost\n", 5, "all three, in order")
        agent.restart()
        self.assertEqual(agent.ended("a")["exitCode"], 0)
        self.assertEqual(read(out), "pre\nmain\npost\n")

    def test_failing_pre_start_keeps_main_from_running(self):
        agent = self.agent()
        out = os.path.join(self.scratch(), "out")
        for make in (guide, controller):
            name = make.__name__
            agent.create(make(name, "touch", out, lifecycle={"preStart": hook("sh", "-c", "exit 3")}))
            ended = agent.ended(name)
            self.assertEqual(ended["reason"], "PreStartHookError")
            self.assertNotEqual(ended["exitCode"], 0)
            self.assertIn("3", ended["message"])
        agent.create(guide("none", "touch", out, lifecycle={"preStart": hook("/no/such/hook")}))
        ended = agent.ended("none")
        self.assertEqual(ended["reason"], "PreStartHookError")
        self.assertIn("/no/such/hook", ended["message"])
        self.assertFalse(os.path.exists(out))

    def test_a_pre_start_that_failed_is_no_zero_to_a_controller(self):
        agent = self.agent()
        for make, code in ((guide, 0), (controller, 143)):
            agent.create(make(make.__name__, "true", lifecycle={"preStart": hook(
                "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.01; done", timeoutSeconds=1)}))
        for make, code in ((guide, 0), (controller, 143)):
            ended = agent.ended(make.__name__)
            self.assertEqual((ended["reason"], ended["exitCode"]), ("PreStartHookError", code), ended)
            self.assertIn("timed out after 1 s and exited with code 0", ended["message"])

    def test_pre_start_is_shown_and_timed(self):
        agent = self.agent()
        out = os.path.join(self.scratch(), "out")
        agent.create(guide("a", "touch", out, lifecycle={"preStart": hook("sleep", "1000", timeoutSeconds=1)}))
        eventually(lambda: state_of(agent.task("a"))[1].get("reason") == "PreStartHook", 5, "waiting in PreStartHook")
        self.assertEqual(agent.ended("a")["reason"], "PreStartHookError")
        self.assertFalse(os.path.exists(out))

    def test_timeout_counts_from_mains_exec(self):
        agent = self.agent()
        ended = agent.run("a", "true", timeoutSeconds=1, lifecycle={"preStart": hook("sleep", "1.3")})
        self.assertEqual((ended["exitCode"], ended["reason"]), (0, "Succeeded"))

    def test_post_stop_runs_after_the_tree_is_gone(self):
        agent = self.agent()
        folder = self.scratch()
        script = f"setsid sleep 1000 & echo $! > {folder}/pid; echo up; wait"
        # Deleted while running: the tree goes first, then the hook, then the task.
        agent.create(guide("a", "sh", "-c", script, lifecycle={"postStop": hook(
            "sh", "-c", f"if kill -0 $(cat {folder}/pid); then echo alive; else echo dead; fi > {folder}/seen 2>&-")}))
        eventually(lambda: agent.output("a"), 5, "up")
        agent.delete("a")
        agent.gone("a")
        self.assertEqual(read(f"{folder}/seen"), "dead\n")

    def test_failing_post_stop_is_told_and_changes_no_code(self):
        agent = self.agent()
        agent.create(guide("a", "sh", "-c", "exit 5", lifecycle={"postStop": hook("sh", "-c", "exit 9")}))
        agent.ended("a")
        eventually(lambda: "9" in agent.ended("a").get("message", ""), 5, "the failure in the message")
        ended = agent.ended("a")
        self.assertEqual((ended["exitCode"], ended["reason"]), (5, "Failed"))

    def test_a_failed_post_stop_is_told_while_what_it_left_lives(self):
        agent = self.agent("--reconcile-interval=1h")
        leave = "trap '' TERM; (while :; do sleep 0.05; done) & exit 3"
        agent.create(guide("a", "true", terminationGracePeriodSeconds=30,
                           lifecycle={"postStop": hook("sh", "-c", leave)}))
        agent.ended("a")
        eventually(lambda: "exited with code 3" in agent.ended("a").get("message", ""), 5, "the failure in the message")
        # It would have its whole grace period, the half minute that the end of a test has.
        for pid in agent.all_processes_with_mark(agent.uid("a")):
            kill_pid(pid)

    def test_bad_hooks(self):
        agent = self.agent()
        for lifecycle in ({"preStart": {}}, {"preStart": {"exec": {}}}, {"preStart": hook()},
                          {"postStop": hook("true", timeoutSeconds=-1)}, {"postStop": hook("true", execMode="X")},
                          {"preStart": {"exec": {"command": "true"}}}, {"preStart": {"httpGet": {}}}):
            with self.subTest(lifecycle=lifecycle):
                self.assertIn("lifecycle", self.assert_error(
                    agent.post("/tasks", guide("a", "true", lifecycle=lifecycle)), 400))

    def test_a_hook_never_runs_twice(self):
        agent = self.agent()
        folder = self.scratch()
        os.mkfifo(f"{folder}/fifo")
        agent.create(guide("a", "sh", "-c", f"echo main >> {folder}/out", lifecycle={"preStart": hook(
            "sh", "-c", f"echo pre >> {folder}/out; read x < {folder}/fifo")}))
        eventually(lambda: read(f"{folder}/out") == "pre\n", 5, "the hook runs")
        agent.restart()
        self.assertEqual(state_of(agent.task("a"))[1].get("reason"), "PreStartHook")
        with open(f"{folder}/fifo", "w", encoding="utf-8") as f:
            f.write("go\n")
        self.assertEqual(agent.ended("a")["exitCode"], 0)
        self.assertEqual(read(f"{folder}/out"), "pre\nmain\n")

    def test_a_hook_is_swept_with_the_task(self):
        agent = self.agent()
        agent.create(guide("a", "true", terminationGracePeriodSeconds=1, lifecycle={"preStart": hook(
            "sh", "-c", "trap '' TERM; echo $$; while :; do sleep 0.05; done")}))
        uid = agent.uid("a")
        eventually(lambda: agent.all_processes_with_mark(uid), 5, "the hook runs")
        pids = agent.all_processes_with_mark(uid)
        agent.delete("a")
        agent.gone("a")
        self.assertFalse(any(alive(p) for p in pids))


def says(word, out):
    return hook("sh", "-c", f"echo {word} >> {out}")


class HookOutput(AgentTest):
    def test_logs_and_the_end_of_stderr(self):
        agent = self.agent()
        script = ("echo to stdout; i=0; while [ $i -lt 300 ]; do echo noise on stderr $i >&2; i=$((i+1)); done; "
                  "seq 1 3000; echo the last words >&2; exit 4")
        agent.create(guide("a", "true", lifecycle={"preStart": hook("sh", "-c", script),
                                                   "postStop": hook("sh", "-c", "echo out; echo err >&2")}))
        ended = agent.ended("a")
        self.assertEqual((ended["reason"], ended["exitCode"]), ("PreStartHookError", 4), ended)
        self.assertTrue(ended["message"].endswith("noise on stderr 299\nthe last words\n"), ended["message"][-200:])
        self.assertNotIn("to stdout", ended["message"])
        self.assertNotIn("stderr 10\n", ended["message"])  # the end of it, not the beginning
        self.assertTrue(4096 <= len(ended["message"]) < 4096 + 200, len(ended["message"]))
        log = agent.output("a", "prestart")
        for text in ("to stdout\n", "noise on stderr 0\n", "the last words\n", "\n3000\n"):
            self.assertIn(text, log)
        eventually(lambda: agent.output("a", "poststop") == "out\nerr\n", 5, "both in one file")
        self.assertEqual((agent.output("a"), agent.output("a", "stderr")), ("", ""))

    def test_bytes_that_are_no_text(self):
        agent = self.agent()
        agent.create(guide("a", "true", lifecycle={"preStart": hook(
            "sh", "-c", "head -c 100000 /dev/zero >&2; printf '\\377\\001\"end' >&2; exit 1")}))
        self.assertTrue(agent.ended("a")["message"].endswith('\x01"end'))
        agent.restart()
        self.assertTrue(agent.ended("a")["message"].endswith('\x01"end'))
        self.assertGreater(os.path.getsize(os.path.join(agent.data_dir, "a", "prestart.log")), 100_000)

    def test_dev_stderr_of_another_user(self):
        agent = self.agent()
        agent.create(guide("a", "true", securityContext={"runAsUser": 12345}, lifecycle={"preStart": hook(
            "sh", "-c", "echo through the name > /dev/stderr; exit 1")}))
        self.assertIn("through the name", agent.ended("a")["message"])

    def test_a_hook_that_writes_without_end_is_stopped_in_time(self):
        agent = self.agent("--task-log-max-bytes=100000")
        agent.create(guide("a", "true", lifecycle={"preStart": hook("sh", "-c", "yes >&2", timeoutSeconds=1)}))
        ended = agent.ended("a")
        self.assertEqual((ended["reason"], ended["exitCode"]), ("PreStartHookError", 143), ended["message"][:200])

    def test_what_a_hook_starts_writes_on_when_it_has_ended(self):
        agent = self.agent()
        out = os.path.join(self.scratch(), "go")
        agent.create(guide("a", "sleep", "1000", lifecycle={"preStart": hook(
            "sh", "-c", f"(until [ -e {out} ]; do sleep 0.01; done; echo later >&2; sleep 1000) & echo now >&2")}))
        agent.wait_state("a", "running")
        with open(out, "w", encoding="utf-8"):
            pass
        eventually(lambda: agent.output("a", "prestart") == "now\nlater\n", 5, "both lines")


class PostStop(AgentTest):
    def each_once(self, agent, name, out, expected):
        eventually(lambda: read(out) == expected, 10, f"{expected!r} of {name}")
        agent.restart()
        agent.delete(name)
        agent.gone(name)
        self.assertEqual(read(out), expected, "not a second time")

    def test_after_every_kind_of_end(self):
        agent = self.agent()
        folder = self.scratch()
        kinds = {
            "success": (("true",), {}, {}, 0, "Succeeded"),
            "failure": (("sh", "-c", "exit 3"), {}, {}, 3, "Failed"),
            "timeout": (("sleep", "1000"), {"timeoutSeconds": 1}, {}, 143, "TaskTimeout"),
            "start-error": (("/no/such/file",), {}, {}, 127, "StartError"),
            "pre-start": (("true",), {}, {"preStart": hook("sh", "-c", "exit 9")}, 9, "PreStartHookError"),
            "pre-start-hangs": (("true",), {}, {"preStart": hook("sleep", "1000", timeoutSeconds=1)}, 143,
                                "PreStartHookError"),
            "pre-start-missing": (("true",), {}, {"preStart": hook("/no/such/file")}, 127, "PreStartHookError"),
        }
        for name, (command, more, lifecycle, _, _) in kinds.items():
            agent.create(guide(name, *command, lifecycle={"postStop": says("post", f"{folder}/{name}"), **lifecycle},
                               **more))
        for name, (_, _, _, code, reason) in kinds.items():
            with self.subTest(name=name):
                ended = agent.ended(name)
                self.assertEqual((ended["exitCode"], ended["reason"]), (code, reason), ended)
                self.each_once(agent, name, f"{folder}/{name}", "post\n")

    def test_after_a_delete_in_each_phase(self):
        agent = self.agent()
        out = os.path.join(self.scratch(), "out")
        for name, process, reason in (
                ("main", {}, None), ("pre", {"preStart": hook("sleep", "1000")}, "PreStartHook")):
            with self.subTest(name=name):
                agent.create(guide(name, "sleep", "1000", lifecycle={"postStop": says(name, out), **process}))
                if reason:
                    eventually(lambda: state_of(agent.task(name))[1].get("reason") == reason, 5, reason)
                else:
                    agent.wait_state(name, "running")
                agent.delete(name)
                agent.gone(name)
                self.assertTrue(read(out).endswith(name + "\n"))
        self.assertEqual(read(out), "main\npre\n")
        # One that had ended, and has had its hook, does not have it again.
        agent.run("ended", "true", lifecycle={"postStop": says("ended", out)})
        eventually(lambda: read(out) == "main\npre\nended\n", 5, "the hook")
        agent.delete("ended")
        agent.gone("ended")
        self.assertEqual(read(out), "main\npre\nended\n")

    def test_waits_for_what_main_left_behind(self):
        agent = self.agent()
        folder = self.scratch()
        script = f"(trap '' TERM; echo > {folder}/up; until [ -e {folder}/go ]; do sleep 0.01; done) & exit 0"
        agent.create(guide("a", "sh", "-c", script, lifecycle={"postStop": says("post", f"{folder}/out")}))
        agent.ended("a")
        eventually(lambda: os.path.exists(f"{folder}/up"), 5, "the leftover")
        agent.restart()  # whatever else would run it, it had the time
        self.assertFalse(os.path.exists(f"{folder}/out"))
        with open(f"{folder}/go", "w", encoding="utf-8"):
            pass
        eventually(lambda: read(f"{folder}/out") == "post\n", 5, "the hook, without a DELETE")

    def test_a_delete_waits_for_it_and_does_not_hit_it(self):
        agent = self.agent("--reconcile-interval=20ms")
        folder = self.scratch()
        script = f"trap 'echo hit >> {folder}/out' TERM; echo in >> {folder}/out; until [ -e {folder}/go ]; do sleep 0.01; done; echo done >> {folder}/out"
        agent.create(guide("a", "true", lifecycle={"postStop": hook("sh", "-c", script)}))
        eventually(lambda: read(f"{folder}/out") == "in\n", 5, "the hook runs")
        agent.delete("a")
        agent.restart()
        self.assertEqual([t["name"] for t in agent.get("/getTasks").json()], ["a"])
        with open(f"{folder}/go", "w", encoding="utf-8"):
            pass
        agent.gone("a")
        self.assertEqual(read(f"{folder}/out"), "in\ndone\n")

    def test_hanging(self):
        agent = self.agent()
        agent.create(guide("a", "true", terminationGracePeriodSeconds=1, lifecycle={"postStop": hook(
            "sh", "-c", "trap '' TERM; (setsid sleep 1000 &) ; while :; do sleep 0.01; done", timeoutSeconds=1)}))
        uid = agent.uid("a")
        eventually(lambda: "postStop hook timed out after 1 s" in agent.ended("a")["message"], 10, "told")
        self.assertIn("SIGKILL", agent.ended("a")["message"])
        self.assertEqual((agent.ended("a")["exitCode"], agent.ended("a")["reason"]), (0, "Succeeded"))
        self.assert_no_trace(agent, uid)

    def test_what_it_leaves_behind_goes(self):
        agent = self.agent()
        agent.create(guide("a", "true", lifecycle={"postStop": hook("sh", "-c", "(setsid sleep 1000 &); sleep 1000 &")}))
        uid = agent.uid("a")
        agent.ended("a")
        eventually(lambda: agent.output("a", "poststop") is not None and not agent.all_processes_with_mark(uid), 5,
                   "nothing is left")

    def test_a_successor_waits_for_it(self):
        agent = self.agent()
        folder = self.scratch()
        slow = hook("sh", "-c", f"until [ -e {folder}/go ]; do sleep 0.01; done; echo post >> {folder}/out")
        agent.create(guide("a", "sleep", "1000", lifecycle={"postStop": slow}))
        agent.wait_state("a", "running")
        agent.delete("a")
        agent.create(guide("a", "sh", "-c", f"echo next >> {folder}/out"))
        agent.restart()
        self.assertEqual(state_of(agent.task("a"))[0], "waiting")
        with open(f"{folder}/go", "w", encoding="utf-8"):
            pass
        agent.ended("a")
        self.assertEqual(read(f"{folder}/out"), "post\nnext\n")


class HooksAndCrashes(AgentTest):
    """The agent or the supervisor is killed in each phase: no phase runs twice, and postStop runs."""

    def steps(self, agent, out, fifos, **more):
        def step(word):
            return ("sh", "-c", f"echo {word} >> {out}; read x < {fifos}/{word}")
        for word in ("pre", "main", "post"):
            if not os.path.exists(f"{fifos}/{word}"):
                os.mkfifo(f"{fifos}/{word}")
        agent.create(guide("a", *step("main"), lifecycle={"preStart": hook(*step("pre")),
                                                          "postStop": hook(*step("post"))}, **more))

    @staticmethod
    def let_go(fifos, word):
        with open(f"{fifos}/{word}", "w", encoding="utf-8") as f:
            f.write("go\n")

    def test_the_agent_in_each_phase(self):
        agent = self.agent()
        folder = self.scratch()
        out = f"{folder}/out"
        self.steps(agent, out, folder)
        sofar = ""
        for word in ("pre", "main", "post"):
            sofar += word + "\n"
            eventually(lambda: read(out) == sofar, 5, sofar)
            agent.kill9()
            self.let_go(folder, word)
            if word != "post":
                follows = {"pre": "main", "main": "post"}[word]
                eventually(lambda: read(out) == sofar + follows + "\n", 5, "the next one, without an agent")
            agent.start()
        self.assertEqual(agent.ended("a")["exitCode"], 0)
        agent.delete("a")
        agent.gone("a")
        self.assertEqual(read(out), "pre\nmain\npost\n")

    def test_the_supervisor_in_each_phase(self):
        for agent_too in (False, True):
            for word, ran in (("pre", "pre\npost\n"), ("main", "pre\nmain\npost\n"), ("post", "pre\nmain\npost\n")):
                with self.subTest(phase=word, agent_too=agent_too):
                    agent = self.agent("--on-lost=fail")
                    folder = self.scratch()
                    out = f"{folder}/out"
                    self.steps(agent, out, folder)
                    for one in ("pre", "main", "post"):
                        eventually(lambda: read(out).endswith(one + "\n"), 5, one)
                        if one == word:
                            break
                        self.let_go(folder, one)
                    if word == "post":
                        agent.ended("a")
                    supervisor = agent.supervisor_of("a")
                    uid = agent.uid("a")
                    if agent_too:
                        agent.kill9()
                    kill_pid(supervisor)
                    if agent_too:
                        agent.start()
                    ended = agent.ended("a")
                    self.assertEqual(ended["reason"], "Succeeded" if word == "post" else "Lost", ended)
                    if word == "pre":
                        self.assertNotIn("startedAt", ended)
                    if word != "post":
                        eventually(lambda: read(out) == ran, 5, "postStop in its stead")
                        self.let_go(folder, "post")
                    agent.delete("a")
                    agent.gone("a")
                    self.assertEqual(read(out), ran)
                    self.assert_no_trace(agent, uid)

    def test_killed_between_the_end_and_post_stop(self):
        agent = self.agent()
        folder = self.scratch()
        script = f"setsid sleep 1000 & echo $! > {folder}/pid; exit 6"
        agent.create(guide("a", "sh", "-c", script, lifecycle={"postStop": says("post", f"{folder}/out")}))
        self.assertEqual(agent.ended("a")["exitCode"], 6)
        uid = agent.uid("a")
        agent.kill9()
        kill_pid(agent.supervisor_of("a"))
        agent.start()
        self.assertEqual(agent.ended("a")["exitCode"], 6)
        self.assertFalse(os.path.exists(f"{folder}/out"))  # the tree is not gone
        agent.delete("a")
        agent.gone("a")
        self.assertEqual(read(f"{folder}/out"), "post\n")
        self.assertFalse(alive(int(read(f"{folder}/pid"))))
        self.assert_no_trace(agent, uid)

    def test_killed_when_main_has_its_word_to_begin(self):
        agent = self.agent("--on-lost=fail")
        folder = self.scratch()
        self.steps(agent, f"{folder}/out", folder)
        eventually(lambda: read(f"{folder}/out") == "pre\n", 5, "pre")
        supervisor = agent.supervisor_of("a")
        uid = agent.uid("a")
        # Main's process is held up on its way to the exec, until somebody reads.
        task = f"{agent.data_dir}/a"
        os.mkfifo(f"{task}/stdout.log")
        self.let_go(folder, "pre")
        eventually(lambda: '"main"' in read(f"{task}/run.json") and "poll" in read(f"/proc/{supervisor}/wchan"), 10,
                   "the supervisor waits for main's exec")
        kill_pid(supervisor)
        eventually(lambda: not alive(supervisor), 5)
        reader = os.open(f"{task}/stdout.log", os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        self.assertEqual(agent.ended("a")["reason"], "Lost")
        eventually(lambda: read(f"{folder}/out") == "pre\npost\n", 5, "postStop, and never main")
        self.let_go(folder, "post")
        agent.delete("a")
        agent.gone("a")
        self.assertEqual(read(f"{folder}/out"), "pre\npost\n")
        self.assert_no_trace(agent, uid)

    def test_post_stop_is_not_cut_off_on_its_way_by_the_delete_that_it_is_for(self):
        agent = self.agent()
        out = os.path.join(self.scratch(), "out")
        agent.create(guide("a", "sleep", "1000", lifecycle={"postStop": says("post", out)}))
        agent.wait_state("a", "running")
        supervisor = agent.supervisor_of("a")
        task = f"{agent.data_dir}/a"
        os.mkfifo(f"{task}/poststop.log")  # the hook's process waits for a reader before its exec
        agent.delete("a")
        eventually(lambda: '"postStop"' in read(f"{task}/run.json") and "poll" in read(f"/proc/{supervisor}/wchan"), 10,
                   "the supervisor waits for the hook's exec")
        # It is asked again with every tick, and has a look at that now and then.
        usr1 = 1 << (signal.SIGUSR1 - 1)
        eventually(lambda: int(status_fields(supervisor)["ShdPnd"], 16) & usr1, 10, "another wish to stop")
        looks = int(status_fields(supervisor)["voluntary_ctxt_switches"])
        eventually(lambda: int(status_fields(supervisor)["voluntary_ctxt_switches"]) >= looks + 3, 10, "some looks")
        reader = os.open(f"{task}/poststop.log", os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        agent.gone("a")
        self.assertEqual(read(out), "post\n")

    def test_lost_and_forgotten(self):
        agent = self.agent()
        out = os.path.join(self.scratch(), "out")
        agent.create(controller("a", "sleep", "1000", lifecycle={"postStop": says("post", out)}))
        agent.wait_state("a", "running")
        kill_pid(agent.supervisor_of("a"))
        eventually(lambda: agent.get("/getTasks").json() == [], 10, "forgotten")
        self.assertEqual(read(out), "post\n")

    def test_lost_and_run_again(self):
        agent = self.agent("--on-lost=restart")
        folder = self.scratch()
        out = f"{folder}/out"
        agent.create(guide("a", "sh", "-c", f"echo main >> {out}; [ -e {folder}/go ] || exec sleep 1000",
                           lifecycle={"preStart": says("pre", out), "postStop": says("post", out)}))
        agent.wait_state("a", "running")
        eventually(lambda: read(out) == "pre\nmain\n", 5, "main")
        with open(f"{folder}/go", "w", encoding="utf-8"):
            pass
        kill_pid(agent.supervisor_of("a"))
        eventually(lambda: read(out) == "pre\nmain\npre\nmain\npost\n", 10, "all of it again, and one postStop")

    def test_shutdown_with_stop_runs_it(self):
        agent = self.agent("--on-shutdown=stop")
        out = os.path.join(self.scratch(), "out")
        agent.create(guide("a", "sleep", "1000", lifecycle={"postStop": says("post", out)}))
        agent.wait_state("a", "running")
        agent.stop()
        self.assertEqual(read(out), "post\n")
        agent.start()
        self.assertEqual(agent.ended("a")["exitCode"], 143)


class HooksOnAFullDisk(AgentTest):
    def test_post_stop_runs_and_the_failed_pre_start_is_told(self):
        mounted = mount_tmpfs(self, "4m")
        agent = self.agent("--reconcile-interval=100ms", data_dir=os.path.join(mounted, "data"))
        folder = self.scratch()
        for name in ("pre", "main"):
            os.mkfifo(f"{folder}/{name}")
        agent.create(guide("pre", "true", lifecycle={
            "preStart": hook("sh", "-c", f"read x < {folder}/pre; head -c 5000 /dev/zero >&2; exit 3"),
            "postStop": says("pre", f"{folder}/out")}))
        agent.create(guide("main", "sh", "-c", f"read x < {folder}/main; exit 4", lifecycle={
            "postStop": says("main", f"{folder}/out")}))
        agent.wait_state("main", "running")
        eventually(lambda: state_of(agent.task("pre"))[1].get("reason") == "PreStartHook", 5, "the hook begun")
        fill(os.path.join(mounted, "filler"))
        for name in ("pre", "main"):
            with open(f"{folder}/{name}", "w", encoding="utf-8") as f:
                f.write("go\n")
        self.assertEqual(agent.ended("pre")["exitCode"], 3)
        self.assertEqual(agent.ended("main")["exitCode"], 4)
        eventually(lambda: sorted(read(f"{folder}/out").split()) == ["main", "pre"], 5, "both hooks")
        for name in ("pre", "main"):
            agent.delete(name)
            agent.gone(name)
        os.unlink(os.path.join(mounted, "filler"))

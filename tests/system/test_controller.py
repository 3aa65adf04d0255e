"""The controller's form, and what setTasks promises."""

import os
import time

from agent import AgentTest, RFC3339, controller, eventually, guide, state_of

STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


def names(tasks):
    return [t["name"] for t in tasks if "deletionTimestamp" not in t]


def deleting(tasks):
    return [t["name"] for t in tasks if "deletionTimestamp" in t]


class Controller(AgentTest):
    def test_set_then_poll_the_first_element(self):
        agent = self.agent()
        answer = agent.post("/setTasks", [{"name": "t", "process": {"command": ["sleep", "2"]}}])
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.json(), [{"name": "t", "process": {"command": ["sleep", "2"]},
                                          "processStatus": {"waiting": {"reason": "Initialized"}}}])
        begin = time.monotonic()
        ended = eventually(lambda: agent.get("/getTasks", timeout=3).json()[0]["processStatus"].get("terminated"), 10)
        self.assertGreaterEqual(time.monotonic() - begin, 1.5)
        self.assertEqual((ended["exitCode"], ended["reason"]), (0, "Succeeded"))
        self.assertRegex(ended["finishedAt"], RFC3339)
        # Nothing beyond its own fields in this form.
        self.assertEqual(set(agent.get("/getTasks").json()[0]), {"name", "process", "processStatus"})
        self.assertEqual(agent.post("/setTasks", []).status, 200)
        eventually(lambda: agent.get("/getTasks").json() == [], 5, "the empty list")

    def test_go_spelling_of_flags(self):
        agent = self.agent("-listen-addr=127.0.0.1:0", "-reconcile-interval", "200ms", "-enable-sidecar-mode=false",
                           listen=None)
        self.assertEqual(agent.get("/health").body, b'{"status":"healthy"}')

    def test_null_means_absent(self):
        agent = self.agent()
        task = {"name": "t", "creationTimestamp": None, "process": {"command": ["true"], "args": None, "env": None,
                                                                    "timeoutSeconds": None}, "podTemplateSpec": None}
        self.assertEqual(agent.post("/setTasks", [task]).status, 200)
        self.assertEqual(agent.ended("t")["exitCode"], 0)

    def test_own_form_in_every_endpoint(self):
        agent = self.agent()
        agent.create(guide("g", "sleep", "1000"))
        created = agent.create(controller("c", "sleep", "1000"))
        self.assertEqual(created["processStatus"], {"waiting": {"reason": "Initialized"}})
        self.assertNotIn("spec", created)
        agent.wait_state("g", "running")
        agent.wait_state("c", "running")
        agent.restart()
        for task in [*agent.get("/getTasks").json(), *agent.get("/tasks").json(), agent.task("g"), agent.task("c")]:
            with self.subTest(task=task):
                form = ("spec", "status") if task["name"] == "g" else ("process", "processStatus")
                self.assertTrue(set(form) <= set(task))
                self.assertFalse({"spec", "status", "process", "processStatus"} - set(form) & set(task))

    def test_mixed_forms_are_refused(self):
        agent = self.agent()
        both = {**guide("a", "true"), "process": {"command": ["true"]}}
        self.assert_error(agent.post("/tasks", both), 400)
        self.assert_error(agent.post("/setTasks", [controller("b", "true"), both]), 400)
        self.assertEqual(agent.get("/getTasks").json(), [])

    def test_deletion_timestamp_in_both_forms(self):
        agent = self.agent()
        for make in (guide, controller):
            agent.create(make(make.__name__, "sh", "-c", STUBBORN, terminationGracePeriodSeconds=2))
            eventually(lambda name=make.__name__: agent.output(name), 5, "ready")
            self.assertNotIn("deletionTimestamp", agent.task(make.__name__))
            agent.delete(make.__name__)
        for task in agent.get("/getTasks").json():
            self.assertRegex(task["deletionTimestamp"], RFC3339)
            self.assertRegex(agent.task(task["name"])["deletionTimestamp"], RFC3339)

    def test_timeout_never_carries_zero(self):
        agent = self.agent()
        script = "trap 'exit 0' TERM; while :; do sleep 0.02; done"
        agent.create(controller("c", "sh", "-c", script, timeoutSeconds=1))
        agent.create(guide("g", "sh", "-c", script, timeoutSeconds=1))
        c, g = agent.ended("c"), agent.ended("g")
        self.assertEqual((c["reason"], c["exitCode"]), ("TaskTimeout", 143))
        self.assertIn("0", c["message"])  # it tells the true code
        self.assertEqual((g["reason"], g["exitCode"]), ("TaskTimeout", 0))
        agent.restart()
        self.assertEqual(agent.ended("c")["exitCode"], 143)
        self.assertEqual(agent.ended("g")["exitCode"], 0)


class SetTasks(AgentTest):
    def test_all_or_nothing_on_bad_bodies(self):
        agent = self.agent()
        agent.create(guide("here", "sleep", "1000"))
        good = guide("new", "true")
        bad = [None, {}, "x", 3, [None], [1], [[]], [{}], [good, good], [good, {"spec": good["spec"]}],
               [good, {**good, "name": ""}], [good, {**good, "name": "../x"}], [good, {"name": "nospec"}],
               [good, guide("empty")], [good, {**good, "name": 7}], [good, {"name": "x", "spec": {"process": None}}]]
        for body in bad:
            with self.subTest(body=body):
                text = "null" if body is None else body
                self.assert_error(agent.post("/setTasks", text), 400)
        for text in ("", "[", "[]x", "[{\"name\":\"a\"", "{", "nul", "[1,]", "\xff", "[" * 100000):
            with self.subTest(text=text[:20]):
                self.assert_error(agent.post("/setTasks", text.encode("latin-1")), 400)
        tasks = agent.get("/getTasks").json()
        self.assertEqual((names(tasks), deleting(tasks)), (["here"], []))

    def test_unknown_field_is_named_in_a_warning(self):
        agent = self.agent()
        body = {"name": "a", "spec": {"process": {"command": ["true"], "comand": []}, "proces": {}}, "more": 1}
        response = agent.post("/tasks", body)
        self.assertEqual(response.status, 201)
        warnings = ", ".join(response.headers.get_all("Warning") or [])
        self.assertIn(r'299 - "unknown field \"spec.proces\""', warnings)
        self.assertIn(r'299 - "unknown field \"spec.process.comand\""', warnings)
        self.assertIn(r'299 - "unknown field \"more\""', warnings)
        response = agent.post("/setTasks", [body])
        self.assertEqual(response.status, 200)
        self.assertIn("spec.proces", ", ".join(response.headers.get_all("Warning") or []))
        hostile = agent.post("/tasks", {"name": "b", "x\r\nEvil: 1": 1, "y\"\\": 2, **guide("b", "true")})
        self.assertEqual(hostile.status, 201)
        self.assertIsNone(hostile.headers.get("Evil"))

    def test_order_live_first_deleting_last(self):
        agent = self.agent()
        agent.create(guide("z", "sh", "-c", STUBBORN, terminationGracePeriodSeconds=5))
        for name in ("y", "x", "w"):
            agent.create(guide(name, "sleep", "1000"))
        eventually(lambda: agent.output("z"), 5, "z ready")
        want = [guide("b", "sleep", "1000"), guide("w", "sleep", "1000"), guide("a", "sleep", "1000"),
                guide("y", "sleep", "1000")]
        answer = agent.post("/setTasks", want).json()
        # Live ones in the order of creation: the old ones first, then the new ones as they stood in the body.
        self.assertEqual(names(answer), ["y", "w", "b", "a"])
        self.assertEqual([t["name"] for t in answer[:4]], ["y", "w", "b", "a"])
        self.assertIn("z", deleting(answer))
        eventually(lambda: deleting(agent.get("/getTasks").json()) == ["z"], 10, "x gone, z hanging on")
        z = agent.get("/getTasks").json()[-1]
        self.assertRegex(z["deletionTimestamp"], RFC3339)
        agent.restart()
        after = agent.get("/getTasks").json()
        self.assertEqual([t["name"] for t in after], ["y", "w", "b", "a", "z"])

    def test_same_spec_is_left_alone(self):
        agent = self.agent()
        agent.create(guide("a", "sleep", "1000"))
        agent.wait_state("a", "running")
        uid, pid = agent.uid("a"), agent.task("a")["status"]["pid"]
        # Compared after parsing and defaulting: order, nulls and spelled-out defaults don't matter.
        same = {"spec": {"process": {"env": [], "args": None, "command": ["sleep", "1000"],
                                     "terminationGracePeriodSeconds": 10, "timeoutSeconds": 0}}, "name": "a"}
        for url in ("/setTasks", "/setTasks?onSpecChange=replace"):
            response = agent.post(url, [same])
            self.assertEqual(response.status, 200, response)
            self.assertIsNone(response.headers.get("Warning"))
            self.assertEqual((agent.uid("a"), agent.task("a")["status"]["pid"]), (uid, pid))
        again = agent.post("/tasks", same)
        self.assertEqual((again.status, state_of(again.json())[0]), (200, "running"))

    def test_other_spec_is_left_alone_with_a_warning(self):
        agent = self.agent()
        agent.create(guide("a", "sleep", "1000"))
        agent.wait_state("a", "running")
        pid = agent.task("a")["status"]["pid"]
        response = agent.post("/setTasks", [guide("a", "sleep", "999")])
        self.assertEqual(response.status, 200)
        self.assertIn("a", response.headers["Warning"])
        self.assertTrue(response.headers["Warning"].startswith("299 "))
        self.assertEqual(agent.task("a")["spec"]["process"]["command"], ["sleep", "1000"])
        self.assertEqual(agent.task("a")["status"]["pid"], pid)
        self.assert_error(agent.post("/tasks", guide("a", "sleep", "999")), 409)

    def test_other_spec_replaced_on_wish(self):
        agent = self.agent()
        agent.create(guide("a", "sleep", "1000"))
        agent.wait_state("a", "running")
        uid = agent.uid("a")
        response = agent.post("/setTasks?onSpecChange=replace", [guide("a", "sh", "-c", "exit 5")])
        self.assertEqual(response.status, 200)
        self.assertEqual(names(response.json()), ["a"])
        self.assertEqual(agent.ended("a")["exitCode"], 5)
        self.assert_no_trace(agent, uid)
        self.assert_error(agent.post("/setTasks?onSpecChange=perhaps", []), 400)
        self.assertEqual(names(agent.get("/getTasks").json()), ["a"])


class Successor(AgentTest):
    def start_stubborn(self, agent, name="a"):
        agent.create(guide(name, "sh", "-c", STUBBORN, terminationGracePeriodSeconds=3))
        eventually(lambda: agent.output(name), 5, "the old one ready")
        return agent.uid(name)

    def test_starts_when_the_old_one_is_gone(self):
        agent = self.agent()
        uid = self.start_stubborn(agent)
        self.assertEqual(agent.delete("a").status, 204)
        out = os.path.join(self.scratch(), "out")
        answer = agent.post("/setTasks", [guide("a", "sh", "-c", f"echo ran >> {out}")])
        self.assertEqual((names(answer.json()), deleting(answer.json())), (["a"], ["a"]))
        self.assertNotIn("deletionTimestamp", answer.json()[0])
        # By name the successor is meant.
        self.assertEqual(state_of(agent.task("a"))[0], "waiting")
        self.assertNotIn("deletionTimestamp", agent.task("a"))

        def old_gone_or_new_waiting():
            old = agent.all_processes_with_mark(uid)
            ran = os.path.exists(out)
            self.assertFalse(old and ran and agent.all_processes_with_mark(uid), "both ran at the same time")
            return ran
        eventually(old_gone_or_new_waiting, 15, "the successor has run")
        self.assertEqual(agent.ended("a")["exitCode"], 0)
        self.assert_no_trace(agent, uid)
        self.assertEqual(len(agent.get("/getTasks").json()), 1)

    def test_survives_kill_and_restart(self):
        agent = self.agent()
        uid = self.start_stubborn(agent)
        agent.delete("a")
        out = os.path.join(self.scratch(), "out")
        self.assertEqual(agent.post("/setTasks", [guide("a", "sh", "-c", f"echo ran >> {out}")]).status, 200)
        agent.restart()
        listed = agent.get("/getTasks").json()
        self.assertEqual(names(listed), ["a"])
        self.assertEqual(agent.ended("a", 15)["exitCode"], 0)
        with open(out, encoding="utf-8") as f:
            self.assertEqual(f.read(), "ran\n")
        self.assert_no_trace(agent, uid)

    def test_delete_cancels_it(self):
        agent = self.agent()
        self.start_stubborn(agent)
        agent.delete("a")
        out = os.path.join(self.scratch(), "out")
        self.assertEqual(agent.post("/tasks", guide("a", "touch", out)).status, 201)
        self.assertEqual(agent.delete("a").status, 204)
        listed = agent.get("/getTasks").json()
        self.assertEqual((names(listed), deleting(listed)), ([], ["a"]))
        eventually(lambda: agent.get("/getTasks").json() == [], 15, "all gone")
        self.assertFalse(os.path.exists(out))

    def test_post_makes_one_and_a_later_one_replaces_it(self):
        agent = self.agent()
        self.start_stubborn(agent)
        agent.delete("a")
        out = os.path.join(self.scratch(), "out")
        first = guide("a", "sh", "-c", f"echo first >> {out}")
        second = guide("a", "sh", "-c", f"echo second >> {out}")
        self.assertEqual(agent.post("/tasks", first).status, 201)
        self.assertEqual(agent.post("/tasks", first).status, 200)  # the same one: it is there already
        self.assertEqual(agent.post("/tasks", second).status, 201)
        self.assertEqual(len(agent.get("/getTasks").json()), 2)
        agent.restart()
        self.assertEqual(agent.ended("a", 15)["exitCode"], 0)
        with open(out, encoding="utf-8") as f:
            self.assertEqual(f.read(), "second\n")

    def test_set_without_the_name_cancels_it(self):
        agent = self.agent()
        self.start_stubborn(agent)
        agent.delete("a")
        out = os.path.join(self.scratch(), "out")
        agent.create(guide("a", "touch", out))
        answer = agent.post("/setTasks", []).json()
        self.assertEqual(names(answer), [])
        eventually(lambda: agent.get("/getTasks").json() == [], 15, "all gone")
        self.assertFalse(os.path.exists(out))

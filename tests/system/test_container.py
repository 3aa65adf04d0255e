"""Container mode, against the containerd of Debian with images made here: whole tasks from their POST to nothing left."""

import base64
import json
import os
import shutil
import signal
import socket
import tempfile
import time
import unittest
import uuid

from agent import Agent, eventually
from containers import ContainerCase, container, pod
from cri import Registry


class ContainerTaskTest(ContainerCase):
    def test_the_guides_example(self):
        """ubuntu:latest with bash and apt, its variable and its mounted volume; a busybox stands for ubuntu."""
        self.containerd.add_image("docker.io/library/ubuntu:latest", [
            ("bin/bash", 0o755, b"#!/bin/sh\nexec /bin/sh \"$@\"\n"),
            ("bin/apt", 0o755, b"#!/bin/sh\necho \"apt $* via $http_proxy\"\necho \"$*\" >>/data/apt\n")])
        volume = tempfile.mkdtemp(prefix="te-volume-")
        self.addCleanup(shutil.rmtree, volume)
        agent = self.agent(f"--volume=data-volume={volume}")
        task = {"name": "my-container-task", "spec": {"container": {
            "image": "ubuntu:latest", "command": ["/bin/bash", "-c"], "args": ["apt update && apt install -y curl"],
            "env": [{"name": "http_proxy", "value": "http://myproxy.com:5758"}],
            "volumeMounts": [{"name": "data-volume", "mountPath": "/data"}]}}}
        created = agent.post("/tasks", task)
        self.assertEqual(created.status, 201, created)
        self.assertEqual(created.json(), {**task, "status": {"state": {"waiting": {"reason": "Initialized"}}}})
        end = self.ended(agent, "my-container-task")
        self.assertEqual((end["exitCode"], end["reason"], end["message"]), (0, "Succeeded", "Task completed successfully"))
        self.assertEqual(self.logs(agent, "my-container-task"), "apt update via http://myproxy.com:5758\n"
                                                                "apt install -y curl via http://myproxy.com:5758\n")
        with open(os.path.join(volume, "apt"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "update\ninstall -y curl\n")
        self.assertEqual(agent.post("/tasks", task).status, 200)
        self.delete(agent, "my-container-task")
        self.assert_nothing_left(agent, "my-container-task")

    def test_output_expansion_and_exit_code(self):
        agent = self.agent()
        end = self.run_task(agent, container(
            "a", "echo '$(GREETING) $$(GREETING) $(NONE)'; echo problem >&2; printf unfinished; exit 3",
            env=[{"name": "WHO", "value": "world"}, {"name": "GREETING", "value": "hello $(WHO)"}]))
        self.assertEqual((end["exitCode"], end["reason"]), (3, "Failed"), end)
        self.assertEqual(self.logs(agent, "a", "?stream=stderr"), "problem\n")
        self.assertEqual(self.logs(agent, "a", "?stream=stdout").rstrip("\n"),
                         "hello world $(GREETING) $(NONE)\nunfinished")
        self.assertEqual(self.logs(agent, "a", "?stream=stderr&tail=1&container=main"), "problem\n")
        self.assertEqual(agent.get("/tasks/a/logs?container=other").status, 400)
        usage = agent.task("a")["status"].get("usage", {"maxMemoryKiB": 1})
        self.assertGreater(usage["maxMemoryKiB"], 0)

    def test_long_lines_come_whole(self):
        agent = self.agent()
        end = self.run_task(agent, container("long", "dd if=/dev/zero bs=40000 count=1 2>/dev/null | tr '\\0' x; echo"))
        self.assertEqual(end["exitCode"], 0, (end, self.logs(agent, "long")))
        self.assertEqual(self.logs(agent, "long"), "x" * 40000 + "\n")

    def test_start_errors(self):
        agent = self.agent()
        for name, command, code in (("none", ["/no/such"], 127), ("plain", ["/etc/passwd"], 126)):
            task = container(name, "")
            task["spec"]["container"].update(command=command, args=[])
            end = self.run_task(agent, task)
            self.assertEqual((end["reason"], end["exitCode"]), ("StartError", code), end)
            self.assertIn(command[0], end["message"])
            self.assertNotIn("startedAt", end)
        end = self.run_task(agent, container("missing", "", image="localhost/none:1", imagePullPolicy="Never"))
        self.assertEqual((end["reason"], end["exitCode"]), ("StartError", 128), end)
        self.assertIn("ErrImageNeverPull", end["message"])
        mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
        end = self.run_task(agent, container("path", "", spec={"volumes": [
            {"name": "v", "hostPath": {"path": "/no/such/path"}}]}, **mount))
        self.assertEqual(end["reason"], "StartError", end)
        self.assertIn("/no/such/path", end["message"])
        for name in ("none", "plain", "missing", "path"):
            self.delete(agent, name)
            self.assert_nothing_left(agent, name)

    def test_an_image_that_nobody_serves(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            image = f"127.0.0.1:{closed.getsockname()[1]}/none:1"
            agent = self.agent()
            self.assertEqual(agent.post("/tasks", container("pull", "", image=image)).status, 201)

            def waits():
                waiting = agent.task("pull")["status"]["state"]["waiting"]
                return waiting if waiting["reason"] in ("ErrImagePull", "ImagePullBackOff") else None
            waiting = eventually(waits, 20, "ErrImagePull")
            self.assertIn(image, waiting["message"])
            self.assertIn("connection refused", waiting["message"])
            self.delete(agent, "pull")
            self.assert_nothing_left(agent, "pull")

    def test_timeout_stops_it(self):
        agent = self.agent()
        end = self.run_task(agent, container("slow", "trap 'exit 9' TERM; sleep 100 & wait", spec={"timeoutSeconds": 1}))
        self.assertEqual((end["reason"], end["exitCode"]), ("TaskTimeout", 9), end)
        end = self.run_task(agent, container("deaf", "trap '' TERM; while :; do sleep 1; done",
                                             timeoutSeconds=1, terminationGracePeriodSeconds=1))
        self.assertEqual((end["reason"], end["exitCode"]), ("TaskTimeout", 137), end)

    def test_delete_of_a_running_one_leaves_nothing(self):
        agent = self.agent()
        mounts = self.mounts()
        self.assertEqual(agent.post("/tasks", container("run", "trap 'exit 0' TERM; echo up; sleep 100 & wait",
                                                        spec={"terminationGracePeriodSeconds": 5})).status, 201)
        eventually(lambda: agent.get("/tasks/run/logs").text == "up\n", 20, "output of the container")
        state = eventually(lambda: agent.task("run")["status"]["state"].get("running"), 10, "running")
        self.assertIn("startedAt", state)
        self.assertEqual(len(self.traces('"task-executor.task": "run"')), 2)
        self.delete(agent, "run")
        self.assert_nothing_left(agent, "run")
        self.assertEqual(self.mounts(), mounts)

    def mounts(self):
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            return sorted(line.split()[4] for line in file if self.containerd.dir in line)

    def test_followed_log_ends_with_the_task(self):
        agent = self.agent()
        self.assertEqual(agent.post("/tasks", container("f", "for i in 1 2 3; do echo $i; sleep 0.1; done")).status, 201)
        answer = agent.get("/tasks/f/logs?follow=true", timeout=30)
        self.assertEqual(answer.text, "1\n2\n3\n")

    def test_what_is_refused(self):
        plain = Agent()
        self.addCleanup(plain.close)
        refused = plain.post("/tasks", container("x", ""))
        self.assertEqual(refused.status, 400)
        self.assertIn("--enable-container-mode", refused.text)
        agent = self.agent("--volume=known=/tmp")
        for change, word in (({"volumeMounts": [{"name": "nope", "mountPath": "/x"}]}, '\\"nope\\"'),
                             ({"image": ""}, "image"),
                             ({"securityContext": {"seLinuxOptions": {}}}, "seLinuxOptions"),
                             ({"resources": {"limits": {"memory": "lots"}}}, "memory")):
            refused = agent.post("/tasks", container("x", "", **change))
            self.assertEqual(refused.status, 400, (change, refused))
            self.assertIn(word, refused.text)
        warned = agent.post("/tasks", container("warned", "", livenessProbe={"exec": {}}))
        self.assertEqual(warned.status, 201, warned)
        self.assertIn("livenessProbe", warned.headers.get("Warning", ""))

    def test_defaults_are_safe(self):
        agent = self.agent()
        end = self.run_task(agent, container(
            "safe", "exec 2>&1; cat /proc/1/cmdline | tr '\\0' ' '; echo; "
                    "grep -E '^(Seccomp|NoNewPrivs|CapEff):' /proc/self/status; "
                    "echo 1 >/proc/sys/kernel/panic || echo read-only; head -c1 /proc/kcore | wc -c; id -u",
            securityContext={"runAsUser": 1000, "runAsGroup": 1000, "allowPrivilegeEscalation": False,
                             "capabilities": {"drop": ["ALL"]}}))
        output = self.logs(agent, "safe")
        self.assertEqual(end["exitCode"], 0, (end, output))
        # One pipe for both: a runtime reads two of them in no order.
        self.assertTrue(output.startswith("/bin/sh -c"), output)  # process 1 of its own namespace, and no pause
        self.assertIn("Seccomp:\t2\n", output)
        self.assertIn("NoNewPrivs:\t1\n", output)
        self.assertIn("CapEff:\t0000000000000000\n", output)
        self.assertIn("read-only", output)
        self.assertTrue(output.endswith("\n1000\n"), output)


class MemoryLimitTest(ContainerCase):
    """Limits that the kernel keeps; OOMKilled is the runtime's word."""

    def eats(self, agent, name, script):
        task = container(name, script, resources={"limits": {"memory": "16Mi"}}, spec={"timeoutSeconds": 20})
        end = self.run_task(agent, task)
        if end["reason"] == "TaskTimeout":
            self.skipTest("NO MEMORY LIMITS: the runtime has no memory controller here")
        return end

    def test_out_of_memory(self):
        agent = self.agent()
        end = self.eats(agent, "whole", "exec busybox tail /dev/zero")
        self.assertEqual((end["exitCode"], end["reason"]), (137, "OOMKilled"), end)
        end = self.eats(agent, "part", "busybox tail /dev/zero; exit 0")
        self.assertEqual((end["exitCode"], end["reason"]), (0, "Succeeded"), end)
        self.assertIn("lack of memory", end["message"])
        end = self.eats(agent, "none", "kill -KILL $$; sleep 1")  # the kernel ignores it: process 1 of its namespace
        self.assertEqual((end["exitCode"], end["reason"]), (0, "Succeeded"), end)


class PodTest(ContainerCase):
    def test_init_two_containers_and_an_empty_dir(self):
        agent = self.agent()
        task = pod("web", {"one": "echo one >>/shared/log; cat /shared/log; sleep 0.2", "two": "echo two >&2; exit 0"},
                   {"prepare": "echo prepared >/shared/log"})
        self.assertEqual(agent.post("/setTasks", [task]).status, 200)
        status = self.pod_ended(agent, "web")
        self.assertEqual(status["phase"], "Succeeded", status)
        self.assertEqual([one["name"] for one in status["containerStatuses"]], ["one", "two"])
        for one in status["initContainerStatuses"] + status["containerStatuses"]:
            end = one["state"]["terminated"]
            self.assertEqual((end["exitCode"], end["reason"]), (0, "Completed"), one)
            self.assertTrue(one["containerID"].startswith("containerd://"), one)
        conditions = {one["type"]: one["status"] for one in status["conditions"]}
        self.assertEqual(conditions, {"Initialized": "True", "Ready": "False", "ContainersReady": "False",
                                      "PodScheduled": "True"})
        self.assertEqual(self.logs(agent, "web", "?container=one"), "prepared\none\n")
        self.assertEqual(self.logs(agent, "web", "?container=two"), "two\n")
        listed = agent.get("/getTasks").json()
        self.assertEqual(listed[0]["podTemplateSpec"], task["podTemplateSpec"])
        self.delete(agent, "web")
        self.assert_nothing_left(agent, "web")

    def test_a_failed_init_container_is_the_end(self):
        agent = self.agent()
        self.assertEqual(agent.post("/tasks", pod("bad", {"one": "true"}, {"prepare": "exit 4"})).status, 201)
        status = self.pod_ended(agent, "bad")
        self.assertEqual(status["phase"], "Failed", status)
        self.assertEqual(status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"], 4)
        self.assertEqual(status["containerStatuses"][0]["state"], {"waiting": {"reason": "PodInitializing"}})

    def test_deadline(self):
        agent = self.agent()
        self.assertEqual(agent.post("/tasks", pod("late", {"one": "sleep 100"}, activeDeadlineSeconds=3,
                                                  terminationGracePeriodSeconds=0)).status, 201)
        status = self.pod_ended(agent, "late")
        self.assertEqual((status["phase"], status["reason"]), ("Failed", "DeadlineExceeded"), status)
        self.assertEqual(status["containerStatuses"][0]["state"]["terminated"]["exitCode"], 137)

    def test_twelve_at_once(self):
        agent = self.agent()
        tasks = [container(f"t{i}", f"echo {i}; exit {i}") for i in range(12)]
        self.assertEqual(agent.post("/setTasks", tasks).status, 200)
        for i in range(12):
            self.assertEqual(self.ended(agent, f"t{i}", 60)["exitCode"], i)
            self.assertEqual(self.logs(agent, f"t{i}"), f"{i}\n")
        self.assertEqual(agent.post("/setTasks", []).status, 200)
        eventually(lambda: agent.get("/getTasks").json() == [], 60, "the going of all")
        for i in range(12):
            self.assert_nothing_left(agent, f"t{i}")


class ContainerCrashTest(ContainerCase):
    def test_kill_9_at_ten_moments(self):
        """Then the true exit code, one run only, nothing left behind."""
        volume = tempfile.mkdtemp(prefix="te-runs-")
        self.addCleanup(shutil.rmtree, volume)
        agent = self.agent(f"--volume=runs={volume}")

        def task(name):
            return container(name, f"echo run >>/runs/{name}; sleep 0.1; exit 7",
                             volumeMounts=[{"name": "runs", "mountPath": "/runs"}])
        begin = time.monotonic()
        self.run_task(agent, task("measure"))
        whole = time.monotonic() - begin
        for i in range(10):
            name = f"k{i}"
            self.assertEqual(agent.post("/tasks", task(name)).status, 201)
            time.sleep(whole * i / 9)  # the moment is what is tested
            agent.kill9()
            agent.start()
            end = self.ended(agent, name)
            self.assertEqual((end["exitCode"], end["reason"]), (7, "Failed"), end)
            with open(os.path.join(volume, name), encoding="utf-8") as file:
                self.assertEqual(file.read(), "run\n", name)
        for i in range(10):
            self.delete(agent, f"k{i}")
            self.assert_nothing_left(agent, f"k{i}")

    def test_kill_9_while_it_is_deleted(self):
        agent = self.agent()
        self.assertEqual(agent.post("/tasks", container("d", "sleep 100", terminationGracePeriodSeconds=1)).status, 201)
        eventually(lambda: "running" in agent.task("d")["status"]["state"], 20, "running")
        self.assertEqual(agent.delete("d").status, 204)
        agent.kill9()
        agent.start()
        eventually(lambda: agent.get("/tasks/d").status == 404, 30, "the task's going")
        self.assert_nothing_left(agent, "d")

    def test_the_runtime_restarts_while_a_task_runs(self):
        agent = self.agent()
        word = uuid.uuid4().hex
        self.assertEqual(agent.post("/tasks", container("r", f"echo up; sleep 1; exit 5 # {word}")).status, 201)
        eventually(lambda: agent.get("/tasks/r/logs").text == "up\n", 20, "output of the container")
        self.containerd.kill(signal.SIGKILL)
        not_ready = eventually(lambda: (a := agent.get("/readyz")).status == 503 and a, 10, "/readyz telling of it")
        self.assertIn("container runtime", not_ready.text)
        # Processes go on meanwhile, and a container waits.
        self.assertEqual(agent.run("p", "true")["exitCode"], 0)
        self.assertEqual(agent.post("/tasks", container("w", "exit 6")).status, 201)
        waiting = eventually(lambda: agent.task("w")["status"]["state"]["waiting"].get("message"), 10, "a message")
        self.assertIn("c.sock", waiting)
        self.containerd.wait_ended(word)
        self.containerd.start()
        self.assertEqual(self.ended(agent, "r")["exitCode"], 5)
        self.assertEqual(self.ended(agent, "w")["exitCode"], 6)
        eventually(lambda: agent.get("/readyz").status == 200, 10, "/readyz")
        for name in ("r", "w"):
            self.delete(agent, name)
            self.assert_nothing_left(agent, name)

    def test_a_killed_container_tells_the_truth(self):
        agent = self.agent()
        self.assertEqual(agent.post("/tasks", container("k", "echo up; sleep 100")).status, 201)
        eventually(lambda: agent.get("/tasks/k/logs").text == "up\n", 20, "output of the container")
        for one in self.containerd.ctr("-n", "k8s.io", "tasks", "ls", "-q").split():
            if f'"task-executor.container": "main"' in self.info(one):
                self.containerd.ctr("-n", "k8s.io", "tasks", "kill", "-s", "KILL", one)
        end = self.ended(agent, "k")
        self.assertEqual((end["exitCode"], end["reason"]), (137, "Failed"), end)

    def test_what_belongs_to_no_task_is_removed(self):
        agent = self.agent()
        self.assertEqual(agent.post("/tasks", container("o", "sleep 100")).status, 201)
        eventually(lambda: "running" in agent.task("o")["status"]["state"], 20, "running")
        agent.kill9()
        shutil.rmtree(os.path.join(agent.data_dir, "o"))
        agent.start()
        self.assertEqual(self.run_task(agent, container("other", "true"))["exitCode"], 0)
        eventually(lambda: not self.traces('"task-executor.task": "o"'), 30, "the orphan's going")


class RegistryTest(ContainerCase):
    def test_pull_with_basic_auth(self):
        registry = Registry()
        self.addCleanup(registry.close)
        host = registry.host
        auth = tempfile.NamedTemporaryFile("w", suffix=".json")
        self.addCleanup(auth.close)
        agent = self.agent(f"--registry-auth-file={auth.name}")

        def write(password):
            auth.seek(0)
            auth.truncate()
            secret = base64.b64encode(f"u:{password}".encode()).decode()
            json.dump({"auths": {host: {"auth": secret}}}, auth)
            auth.flush()
        write("wrong")
        end = self.run_task(agent, container("no", "", image=f"{host}/pulled:1"))
        self.assertEqual(end["reason"], "StartError", end)
        self.assertIn(host, end["message"])
        write("p")
        self.assertEqual(agent.post("/tasks", container("yes", "echo pulled", image=f"{host}/pulled:1")).status, 201)
        self.assertEqual(self.ended(agent, "yes")["exitCode"], 0)
        self.assertEqual(self.logs(agent, "yes"), "pulled\n")
        self.assertNotIn(base64.b64encode(b"u:p").decode(), agent.log())


if __name__ == "__main__":
    unittest.main()

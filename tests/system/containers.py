"""What the tests of container mode share: tasks in both forms, and agents at a containerd."""

import os
import subprocess

from agent import SLOW, Agent, eventually
from cri import IMAGE, ContainerdCase


def container(name, script, spec=None, **fields):
    """A task in the guide's form, that runs a shell script in busybox."""
    return {"name": name, "spec": {"container": {"image": IMAGE, "imagePullPolicy": "IfNotPresent",
                                                 "command": ["/bin/sh", "-c"], "args": [script], **fields}, **(spec or {})}}


def pod(name, containers, init=(), **spec):
    """A task in the controller's form; containers are {name: script}."""
    def listed(scripts):
        return [{"name": key, "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", script],
                 "volumeMounts": [{"name": "shared", "mountPath": "/shared"}]} for key, script in scripts.items()]
    return {"name": name, "podTemplateSpec": {"spec": {
        "initContainers": listed(dict(init)), "containers": listed(containers), "restartPolicy": "Never",
        "volumes": [{"name": "shared", "emptyDir": {}}], **spec}}}


class ContainerCase(ContainerdCase):
    """A containerd for all tests of the class, an agent for each."""

    def agent(self, *flags, **kwargs):
        agent = Agent("--enable-container-mode", f"--cri-socket={self.containerd.socket}", "--container-network=host",
                      *flags, **kwargs)
        self.addCleanup(agent.close)
        return agent

    def ended(self, agent, name, deadline=30):
        answer = agent.get(f"/tasks/{name}?wait=terminated&timeout={deadline * SLOW}s", timeout=deadline * SLOW + 10)
        self.assertEqual(answer.status, 200, answer)
        task = answer.json()
        self.assertIn("terminated", task["status"]["state"], task)
        return task["status"]["state"]["terminated"]

    def run_task(self, agent, task, deadline=30):
        self.assertEqual(agent.post("/tasks", task).status, 201)
        return self.ended(agent, task["name"], deadline)

    def pod_ended(self, agent, name):
        answer = agent.get(f"/tasks/{name}?wait=terminated&timeout={30 * SLOW}s", timeout=30 * SLOW + 10)
        self.assertEqual(answer.status, 200, answer)
        return answer.json()["podStatus"]

    def logs(self, agent, name, query=""):
        answer = agent.get(f"/tasks/{name}/logs{query}")
        self.assertEqual(answer.status, 200, answer)
        return answer.text

    def traces(self, word):
        """What of that name containerd still knows: containers, sandboxes, running tasks."""
        known = self.containerd.ctr("-n", "k8s.io", "containers", "ls", "-q").split()
        return [one for one in known if word in self.info(one)]

    def info(self, container_id):
        try:
            return self.containerd.ctr("-n", "k8s.io", "containers", "info", container_id)
        except subprocess.CalledProcessError:  # it has gone meanwhile
            return ""

    def assert_nothing_left(self, agent, name):
        """No container, sandbox, shim or mount of the task, and no directory."""
        self.assertEqual(self.traces(f'"task-executor.task": "{name}"'), [])
        self.assertFalse(os.path.exists(os.path.join(agent.data_dir, name)))
        eventually(lambda: len(self.shims()) <= len(self.containerd.ctr("-n", "k8s.io", "tasks", "ls", "-q").split()), 10,
                   "the end of the shims")

    def shims(self):
        return [pid for pid in os.listdir("/proc") if pid.isdigit() and self.is_shim(pid)]

    def is_shim(self, pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                return b"containerd-shim" in (line := file.read()) and self.containerd.socket.encode() in line
        except OSError:
            return False

    def delete(self, agent, name, timeout=30):
        self.assertEqual(agent.delete(name).status, 204)
        eventually(lambda: agent.get(f"/tasks/{name}").status == 404, timeout, "the task's going")

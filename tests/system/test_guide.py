"""Every example of the usage guide, typed as printed (only the port differs), with the answers as printed."""

import json
import shutil
import subprocess
import unittest

from agent import AgentTest, RFC3339, SLOW, eventually, state_of

CREATE = r"""curl -X POST -H "Content-Type: application/json" -d '{
"name": "my-first-task",
"spec": {
"process": {
"command": ["sh", "-c"],
"args": ["echo \"Hello from my task!\" && sleep 5 && echo \"Task finished.\""]
}
}
}' http://localhost:5758/tasks"""
GET = "curl http://localhost:5758/tasks/my-first-task"
DELETE = "curl -X DELETE http://localhost:5758/tasks/my-first-task"
SET = r"""curl -X POST -H "Content-Type: application/json" -d \
'[
{
"name": "task-alpha",
"spec": { "process": { "command": ["sleep", "10"] } }
},
{
"name": "task-beta",
"spec": { "process": { "command": ["ls", "-l", "/tmp"] } }
}
]' http://localhost:5758/setTasks"""
LIST = "curl http://localhost:5758/getTasks"
HEALTH = "curl http://localhost:5758/health"
SIDECAR_CHECK = r"""curl -X POST -H "Content-Type: application/json" -d '{
"name": "sidecar-namespace-check",
"spec": {
"process": {
"command": ["ls", "/proc/self/ns"]
}
}
}' http://localhost:5758/tasks"""
SCRIPT = 'echo "Hello from my task!" && sleep 5 && echo "Task finished."'
ALPHA = {"name": "task-alpha", "spec": {"process": {"command": ["sleep", "10"]}}}
BETA = {"name": "task-beta", "spec": {"process": {"command": ["ls", "-l", "/tmp"]}}}
WAITING = {"state": {"waiting": {"reason": "Initialized"}}}


@unittest.skipUnless(shutil.which("curl"), "needs curl")
class Guide(AgentTest):
    def curl(self, agent, command, with_status=False):
        command = command.replace("localhost:5758", f"localhost:{agent.port}")
        command = command.replace("curl ", "curl -sS --noproxy '*' ", 1)
        if with_status:
            command += " -w '\\n%{http_code}'"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30 * SLOW, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        if with_status:
            body, _, status = done.stdout.rpartition("\n")
            return body, int(status)
        return json.loads(done.stdout)

    def test_create_get_delete(self):
        agent = self.agent()
        created = self.curl(agent, CREATE)
        self.assertEqual(created, {"name": "my-first-task",
                                   "spec": {"process": {"command": ["sh", "-c"], "args": [SCRIPT]}},
                                   "status": WAITING})

        def running():
            task = self.curl(agent, GET)
            return task if state_of(task)[0] == "running" else None
        task = eventually(running, 3, "the task running")
        self.assertEqual(task["name"], "my-first-task")
        self.assertEqual(task["spec"], created["spec"])
        self.assertEqual(list(task["status"]["state"]["running"]), ["startedAt"])
        self.assertRegex(task["status"]["state"]["running"]["startedAt"], RFC3339)
        eventually(lambda: agent.output("my-first-task") == "Hello from my task!\n", 3, "the first line of output")

        self.assertEqual(self.curl(agent, DELETE, with_status=True), ("", 204))
        agent.gone("my-first-task")

    def test_run_to_the_end(self):
        agent = self.agent()
        self.curl(agent, CREATE)
        agent.ended("my-first-task", 15)
        task = self.curl(agent, GET)
        ended = task["status"]["state"]["terminated"]
        self.assertEqual(ended["exitCode"], 0)
        self.assertEqual(ended["reason"], "Succeeded")
        self.assertEqual(ended["message"], "Task completed successfully")
        self.assertRegex(ended["startedAt"], RFC3339)
        self.assertRegex(ended["finishedAt"], RFC3339)
        self.assertNotIn("signal", ended)
        self.assertEqual(agent.output("my-first-task"), "Hello from my task!\nTask finished.\n")

    def test_set_and_get_tasks(self):
        agent = self.agent()
        self.assertEqual(self.curl(agent, SET), [{**ALPHA, "status": WAITING}, {**BETA, "status": WAITING}])
        agent.wait_state("task-alpha", "running")
        agent.ended("task-beta")
        tasks = self.curl(agent, LIST)
        self.assertEqual([t["name"] for t in tasks], ["task-alpha", "task-beta"])
        self.assertEqual([t["spec"] for t in tasks], [ALPHA["spec"], BETA["spec"]])
        self.assertEqual(list(tasks[0]["status"]["state"]), ["running"])
        ended = tasks[1]["status"]["state"]["terminated"]
        self.assertEqual((ended["exitCode"], ended["reason"]), (0, "Succeeded"))
        # Tasks that are not in the desired list are marked for deletion.
        after = self.curl(agent, SET.replace('"task-alpha"', '"task-gamma"'))
        self.assertEqual([t["name"] for t in after if "deletionTimestamp" not in t], ["task-beta", "task-gamma"])
        agent.gone("task-alpha")

    def test_health(self):
        agent = self.agent()
        self.assertEqual(self.curl(agent, HEALTH, with_status=True), ('{"status":"healthy"}', 200))

    def test_sidecar_example_on_the_host(self):
        agent = self.agent()
        self.assertEqual(self.curl(agent, SIDECAR_CHECK)["status"], WAITING)
        self.assertEqual(agent.ended("sidecar-namespace-check")["exitCode"], 0)
        self.assertIn("pid", agent.output("sidecar-namespace-check").split())

    def test_process_task_example(self):
        agent = self.agent()
        # The fields of the guide's "Process Task Example", with a program and a directory that exist.
        process = {"command": ["sh", "-c", 'echo "$DEBUG_MODE $* $PWD"', "my_script.py"],
                   "args": ["--config", "/etc/app/config.yaml"],
                   "env": [{"name": "DEBUG_MODE", "value": "true"}], "workingDir": "/usr"}
        created = agent.create({"name": "my-process-task", "spec": {"process": process}})
        self.assertEqual(created["spec"], {"process": process})
        self.assertEqual(agent.ended("my-process-task")["exitCode"], 0)
        self.assertEqual(agent.output("my-process-task"), "true --config /etc/app/config.yaml /usr\n")

    def test_container_task_without_container_mode_is_refused(self):
        agent = self.agent()
        task = {"name": "my-container-task", "spec": {"container": {
            "image": "ubuntu:latest", "command": ["/bin/bash", "-c"], "args": ["apt update && apt install -y curl"],
            "env": [{"name": "http_proxy", "value": "http://myproxy.com:5758"}],
            "volumeMounts": [{"name": "data-volume", "mountPath": "/data"}]}}}
        # Not enabled by default: never accepted and then left lying.
        self.assertIn("container", self.assert_error(agent.post("/tasks", task), 400).lower())
        self.assertEqual(agent.get("/getTasks").json(), [])

    def test_same_create_again(self):
        agent = self.agent()
        self.curl(agent, CREATE)
        body, status = self.curl(agent, CREATE, with_status=True)
        self.assertEqual((json.loads(body)["name"], status), ("my-first-task", 200))
        _, status = self.curl(agent, CREATE.replace("sleep 5", "sleep 6"), with_status=True)
        self.assertEqual(status, 409)


@unittest.skipUnless(shutil.which("node"), "needs node (fetch)")
class NodeFetch(AgentTest):
    SCRIPT = """
    const base = process.argv[1];
    const task = {name: 'from-node', spec: {process: {command: ['sh', '-c', 'exit 7']}}};
    const post = await fetch(base + '/tasks', {method: 'POST', body: JSON.stringify(task)});
    const created = await post.json();
    const ended = await (await fetch(base + '/tasks/from-node?wait=terminated&timeout=20s')).json();
    const missing = await fetch(base + '/tasks/nobody');
    const gone = await fetch(base + '/tasks/from-node', {method: 'DELETE'});
    console.log(JSON.stringify({created: post.status, type: post.headers.get('content-type'),
      state: created.status.state, code: ended.status.state.terminated.exitCode,
      missing: missing.status, error: (await missing.json()).code, gone: gone.status, empty: await gone.text()}));
    """

    def test_fetch(self):
        agent = self.agent()
        # Node's fetch sends Sec-Fetch-Mode but neither Origin nor Sec-Fetch-Site: it is no web page.
        done = subprocess.run(["node", "--input-type=module", "-e", self.SCRIPT, f"http://127.0.0.1:{agent.port}"],
                              capture_output=True, text=True, timeout=60 * SLOW, check=False)
        if "fetch is not defined" in done.stderr:
            self.skipTest("this node has no fetch")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout), {
            "created": 201, "type": "application/json", "state": {"waiting": {"reason": "Initialized"}}, "code": 7,
            "missing": 404, "error": "Not Found", "gone": 204, "empty": ""})

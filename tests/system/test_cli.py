"""The command line, the environment, the agent's own log."""

import json
import os
import re
import shutil
import stat
import subprocess
import unittest

from agent import AgentTest, BINARY, IS_ROOT, SLOW, guide, read

FLAGS = ["data-dir", "listen-addr", "enable-sidecar-mode", "main-container-name", "enable-container-mode", "cri-socket",
         "cri-timeout", "reconcile-interval", "max-concurrent-tasks", "task-log-max-bytes", "ttl-after-finished", "on-lost",
         "on-shutdown", "auth-token-file", "max-body-bytes", "log-format", "log-level", "log-dir", "log-max-size",
         "log-max-backups", "log-max-age", "version", "help"]


def run(*args, env=None):
    return subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=20 * SLOW, check=False,
                          stdin=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin", **(env or {})})


class CommandLine(AgentTest):
    def test_bad_flags(self):
        folder = self.scratch()
        base = [f"--data-dir={folder}/data", "--listen-addr=127.0.0.1:0"]
        for args in (["--no-such-flag"], ["--no-such-flag=1"], ["-x"], ["--reconcile-interval=soon"],
                     ["--reconcile-interval=-1s"], ["--reconcile-interval=0"], ["--listen-addr=127.0.0.1"],
                     ["--listen-addr=example.com:80"], ["--listen-addr=127.0.0.1:99999"], ["--listen-addr"],
                     ["--max-concurrent-tasks=-1"], ["--max-concurrent-tasks=x"], ["--on-lost=perhaps"],
                     ["--on-shutdown=never"], ["--log-format=xml"], ["--log-level=loud"], ["--max-body-bytes=1e6"],
                     ["--enable-sidecar-mode=perhaps"], ["--volume=x"], ["--container-network=none"], ["stray"],
                     ["--data-dir="], ["--ttl-after-finished=5"], ["--max-concurrent-tasks="], ["---data-dir=x"]):
            with self.subTest(args=args):
                done = run(*base, *args)
                self.assertEqual(done.returncode, 2, done)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                self.assertEqual(done.stdout, "")
                # Or a second agent with a typing error would be told that the directory is taken.
                self.assertFalse(os.path.exists(f"{folder}/data"), "nothing is touched before the flags are understood")
            shutil.rmtree(f"{folder}/data", ignore_errors=True)

    def test_bad_environment(self):
        folder = self.scratch()
        for env in ({"LISTEN_ADDR": "nonsense"}, {"ENABLE_SIDECAR_MODE": "perhaps"}):
            done = run(f"--data-dir={folder}/data", env=env)
            self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1), done)

    def test_version_and_help(self):
        for spelling in ("--version", "-version"):
            done = run(spelling)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertRegex(done.stdout, r"\d")
            self.assertEqual(len(done.stdout.splitlines()), 1)
        for spelling in ("--help", "-help", "-h"):
            done = run(spelling)
            self.assertEqual((done.returncode, done.stderr), (0, ""), spelling)
            for flag in FLAGS:
                self.assertRegex(done.stdout, rf"--?{flag}\b")
            for name in ("DATA_DIR", "LISTEN_ADDR", "ENABLE_SIDECAR_MODE", "MAIN_CONTAINER_NAME", "CRI_SOCKET"):
                self.assertIn(name, done.stdout)

    def test_help_names_the_flags_of_container_mode(self):
        for flag in ("enable-container-mode", "cri-socket", "volume", "container-network", "registry-auth-file"):
            self.assertRegex(run("--help").stdout, rf"--?{flag}\b")

    def test_environment_and_flags_over_it(self):
        folder = self.scratch()
        agent = self.agent(listen=None, env={"LISTEN_ADDR": "127.0.0.1:0", "DATA_DIR": f"{folder}/ignored"})
        self.assertEqual(agent.get("/health").status, 200)
        self.assertFalse(os.path.exists(f"{folder}/ignored"))
        # DATA_DIR alone, seen by a second agent that finds the directory taken.
        done = run("--listen-addr=127.0.0.1:0", env={"DATA_DIR": agent.data_dir})
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(agent.data_dir, done.stderr)

    def test_go_spellings(self):
        agent = self.agent("-reconcile-interval=1m30s", "--max-concurrent-tasks", "3", "-enable-sidecar-mode=f",
                           "--enable-container-mode=false", "-log-level", "debug", "--on-lost", "fail")
        self.assertEqual(agent.run("a", "true")["exitCode"], 0)

    def test_listen_addresses(self):
        for listen in ("localhost:0", ":0"):
            with self.subTest(listen=listen):
                agent = self.agent(f"--listen-addr={listen}")  # beside 127.0.0.1:0, which the harness asks for
                self.assertEqual(agent.get("/health").status, 200)
        agent = self.agent("--listen-addr=127.0.0.1:0")
        ports = set(re.findall(r"127\.0\.0\.1:(\d+)", agent.log()))
        self.assertEqual(len(ports), 2)
        for port in ports:
            agent.port = int(port)
            self.assertEqual(agent.get("/health").status, 200)

    def test_address_in_use(self):
        agent = self.agent()
        folder = self.scratch()
        done = run(f"--data-dir={folder}/data", f"--listen-addr=127.0.0.1:{agent.port}")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("in use", done.stderr.lower())

    def test_unusable_data_dir(self):
        folder = self.scratch()
        with open(f"{folder}/file", "w", encoding="utf-8"):
            pass
        done = run(f"--data-dir={folder}/file", "--listen-addr=127.0.0.1:0")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f"{folder}/file", done.stderr)

    @unittest.skipUnless(IS_ROOT, "NEEDS ROOT: another /proc")
    def test_without_children_in_proc(self):
        folder = self.scratch()
        done = subprocess.run(["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh", BINARY,
                               f"--data-dir={folder}/data", "--listen-addr=127.0.0.1:0"], capture_output=True, text=True,
                              check=False, timeout=20 * SLOW)
        self.assertEqual(done.returncode, 1)
        self.assertIn("/proc/thread-self/children", done.stderr)

    def test_missing_token_file(self):
        folder = self.scratch()
        # Going on without asking for the token would open the door.
        done = run(f"--data-dir={folder}/data", "--listen-addr=127.0.0.1:0", f"--auth-token-file={folder}/none")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f"{folder}/none", done.stderr)
        with open(f"{folder}/empty", "w", encoding="utf-8"):
            pass
        done = run(f"--data-dir={folder}/data", "--listen-addr=127.0.0.1:0", f"--auth-token-file={folder}/empty")
        self.assertNotEqual(done.returncode, 0)

    def test_data_dir_is_made(self):
        folder = self.scratch()
        agent = self.agent(data_dir=f"{folder}/a/b/c")
        self.assertEqual(agent.run("a", "true")["exitCode"], 0)


class OwnLog(AgentTest):
    def test_json_lines(self):
        agent = self.agent("--log-format=json", "--log-level=debug")
        agent.run("a", "sh", "-c", "exit 3")
        agent.get("/tasks/nobody")
        agent.post("/tasks", b"{")
        agent.delete("a")
        agent.gone("a")
        lines = agent.log().splitlines()
        self.assertTrue(lines)
        for line in lines:
            entry = json.loads(line)
            self.assertTrue({"time", "level", "message"} <= set(entry), line)

    def test_no_secret_in_the_log(self):
        agent = self.agent("--log-level=debug", env={"AGENT_SECRET": "sesame-agent"})
        agent.run("a", "sh", "-c", "exit 3", args=["sesame-args"], env=[{"name": "PASSWORD", "value": "sesame-env"}])
        agent.post("/tasks", guide("b", "true", env=[{"name": "X=", "value": "sesame-bad"}]))
        agent.run("c", "/sesame/no-such", env=[{"name": "PASSWORD", "value": "sesame-env"}])
        agent.get("/getTasks", headers={"Authorization": "Bearer sesame-token"})
        agent.restart()
        agent.delete("a")
        agent.gone("a")
        for secret in ("sesame-agent", "sesame-args", "sesame-env", "sesame-bad", "sesame-token"):
            self.assertNotIn(secret, agent.log())

    def test_a_name_can_not_forge_lines(self):
        agent = self.agent("--log-level=debug")
        agent.post("/tasks", {"name": "x\nforged line", "spec": {"process": {"command": ["true"]}}})
        agent.get("/tasks/x%0aforged")
        self.assertEqual([line for line in agent.log().splitlines() if line.startswith("forged")], [])

    def test_without_standard_descriptors(self):
        logs = os.path.join(self.scratch(), "logs")
        agent = self.agent(f"--log-dir={logs}", log_dir=logs, prefix=["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"])
        self.assertEqual([os.readlink(f"/proc/{agent.pid}/fd/{fd}") for fd in range(3)], ["/dev/null"] * 3)
        agent.run("a", "sh", "-c", "echo out; echo err >&2")
        self.assertEqual((agent.output("a"), agent.output("a", "stderr")), ("out\n", "err\n"))

    def test_log_dir(self):
        folder = os.path.join(self.scratch(), "logs")
        agent = self.agent(f"--log-dir={folder}", log_dir=folder)
        agent.run("a", "true")
        files = [os.path.join(folder, f) for f in os.listdir(folder)]
        self.assertIn("address=", "".join(read(f) for f in files))
        for file in files:
            self.assertEqual(stat.S_IMODE(os.lstat(file).st_mode) & 0o002, 0, file)

    def test_unusable_log_dir_is_not_fatal(self):
        agent = self.agent("--log-dir=/dev/null/logs")  # the lines then go to stderr, or the port would be unknown
        self.assertEqual(agent.run("a", "true")["exitCode"], 0)

"""What is handed to package maintainers and clusters: make install, make deb, tools/deploy."""

import glob
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from agent import AgentTest, BINARY, IS_ROOT, REPOSITORY
from proc import no_namespaces

try:
    import yaml
except ImportError:
    yaml = None

BUILD = os.path.dirname(BINARY)
DEPLOY = os.path.join(REPOSITORY, "tools", "deploy")


def files_below(folder):
    return sorted(os.path.relpath(os.path.join(path, name), folder) for path, _, files in os.walk(folder)
                  for name in files)


class Install(AgentTest):
    def test_make_install(self):
        root = self.scratch()
        subprocess.run(["make", "-s", "install", f"BUILD={BUILD}", f"DESTDIR={root}", "PREFIX=/opt/te"], check=True,
                       cwd=REPOSITORY, stdout=subprocess.DEVNULL)
        self.assertEqual(files_below(root), [
            "opt/te/bin/taskctl", "opt/te/lib/systemd/system/task-executor.service",
            "opt/te/lib/systemd/system/task-executor.socket", "opt/te/sbin/task-executor",
            "opt/te/share/bash-completion/completions/taskctl", "opt/te/share/man/man1/taskctl.1",
            "opt/te/share/man/man7/task-executor-api.7", "opt/te/share/man/man7/task-executor-security.7",
            "opt/te/share/man/man8/task-executor.8"])
        said = subprocess.run([f"{root}/opt/te/bin/taskctl", "help"], capture_output=True, text=True, check=True)
        self.assertIn("run -- COMMAND", said.stdout)
        with open(f"{root}/opt/te/lib/systemd/system/task-executor.service", encoding="utf-8") as f:
            self.assertIn("\nExecStart=/opt/te/sbin/task-executor ", f.read())

    def test_program_copies_itself(self):
        target = os.path.join(self.scratch(), "copy")
        for _ in range(2):  # over a running one, too
            subprocess.run([BINARY, "install", target], check=True)
            with open(target, "rb") as a, open(BINARY, "rb") as b:
                self.assertEqual(a.read(), b.read())
        self.assertEqual(os.stat(target).st_mode & 0o755, 0o755)
        self.assertEqual(subprocess.run([target, "--version"], check=False, stdout=subprocess.DEVNULL).returncode, 0)
        self.assertEqual(os.listdir(os.path.dirname(target)), ["copy"])
        for words, code in ((["install"], 2), (["install", "/nowhere/file"], 1)):
            self.assertEqual(subprocess.run([BINARY, *words], check=False, stderr=subprocess.DEVNULL).returncode, code)

    def test_debian_package(self):
        if shutil.which("dpkg-deb") is None or not IS_ROOT:
            self.skipTest("NEEDS ROOT AND DPKG: the Debian package is not tried")
        subprocess.run(["make", "-s", "deb", f"BUILD={BUILD}"], check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
        package = max(glob.glob(os.path.join(BUILD, "task-executor_*.deb")), key=os.path.getmtime)
        fields = dict(line.split(": ", 1) for line in subprocess.run(
            ["dpkg-deb", "-f", package, "Package", "Version", "Architecture", "Depends"], check=True,
            capture_output=True, text=True).stdout.splitlines())
        self.assertEqual(fields["Package"], "task-executor")
        self.assertNotIn("Depends", fields)  # one static binary
        root = self.scratch()
        os.makedirs(f"{root}/var/lib/dpkg/info")
        os.makedirs(f"{root}/var/lib/dpkg/updates")
        for name in ("status", "available"):
            with open(f"{root}/var/lib/dpkg/{name}", "w", encoding="utf-8"):
                pass
        dpkg = ["dpkg", f"--root={root}", "--force-script-chrootless"]
        subprocess.run([*dpkg, "-i", package], check=True, stdout=subprocess.DEVNULL)
        self.assertIn("1", subprocess.run([f"{root}/usr/bin/taskctl", "help"], capture_output=True, text=True,
                                          check=True).stdout)
        # It works from there.
        agent = self.agent()
        done = subprocess.run([f"{root}/usr/bin/taskctl", "run", "--", "sh", "-c", "exit 7"], check=False,
                              env={"PATH": os.environ["PATH"], "TASKCTL_SERVER": f"127.0.0.1:{agent.port}"})
        self.assertEqual(done.returncode, 7)
        verified = subprocess.run([*dpkg, "-V", "task-executor"], capture_output=True, text=True, check=True)
        self.assertEqual(verified.stdout, "")
        subprocess.run([*dpkg, "-i", package], check=True, stdout=subprocess.DEVNULL)  # again: an upgrade
        subprocess.run([*dpkg, "-P", "task-executor"], check=True, stdout=subprocess.DEVNULL)
        self.assertEqual([f for f in files_below(root) if not f.startswith("var/lib/dpkg/") and f != "var/log/dpkg.log"],
                         [])


class Deploy(unittest.TestCase):
    def flags(self):
        text = subprocess.run([BINARY, "--help"], capture_output=True, text=True, check=True).stdout
        return set(re.findall(r"^  --([a-z-]+)", text, re.M))

    def pods(self):
        """(file, the manifest, its Pod's spec) of each."""
        if yaml is None:
            self.skipTest("NO YAML: the manifests are not looked at (Debian: python3-yaml)")
        found = []
        for path in sorted(glob.glob(os.path.join(DEPLOY, "*.yaml"))):
            with open(path, encoding="utf-8") as f:
                for manifest in yaml.safe_load_all(f):
                    spec = manifest["spec"] if manifest["kind"] == "Pod" else manifest["spec"]["template"]["spec"]
                    found.append((os.path.basename(path), manifest, spec))
        self.assertEqual({(m["apiVersion"], m["kind"]) for _, m, _ in found},
                         {("v1", "Pod"), ("apps/v1", "DaemonSet"), ("sandbox.opensandbox.io/v1alpha1", "Pool")})
        return found

    def test_manifests_hang_together(self):
        flags = self.flags()
        for name, manifest, pod in self.pods():
            with self.subTest(file=name):
                self.assertRegex(manifest["metadata"]["name"], r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
                volumes = [v["name"] for v in pod["volumes"]]
                self.assertEqual(len(volumes), len(set(volumes)))
                used = set()
                containers = pod["containers"] + pod.get("initContainers", [])
                self.assertEqual(len(containers), len({c["name"] for c in containers}))
                for container in containers:
                    for mount in container.get("volumeMounts", []):
                        self.assertIn(mount["name"], volumes)
                        self.assertTrue(os.path.isabs(mount["mountPath"]))
                        used.add(mount["name"])
                    ports = {p["name"]: p["containerPort"] for p in container.get("ports", [])}
                    self.assertTrue(all(len(p) <= 15 for p in ports))
                    for probe in ("readinessProbe", "livenessProbe"):
                        if "httpGet" in container.get(probe, {}):
                            self.assertIn(container[probe]["httpGet"]["port"], ports)
                    arguments = container.get("args", [])
                    for argument in arguments:
                        if argument.startswith("--"):
                            self.assertIn(argument[2:].split("=")[0], flags, argument)
                    # Whoever reaches the API runs commands.
                    if any(a == "--listen-addr=0.0.0.0:5758" for a in arguments) and manifest["kind"] != "Pool":
                        self.assertTrue(any(a.startswith("--auth-token-file=") for a in arguments))
                self.assertEqual(used, set(volumes))
                if manifest["kind"] == "DaemonSet":
                    labels = manifest["spec"]["template"]["metadata"]["labels"]
                    self.assertLessEqual(manifest["spec"]["selector"]["matchLabels"].items(), labels.items())

    def test_sidecar_has_what_sidecar_mode_needs(self):
        pod = next(spec for name, _, spec in self.pods() if name == "sidecar-pod.yaml")
        self.assertTrue(pod["shareProcessNamespace"])
        agent = next(c for c in pod["containers"] if c["name"] == "agent")
        main = next(c for c in pod["containers"] if c["name"] == "main")
        name = next(a.split("=")[1] for a in agent["args"] if a.startswith("--main-container-name="))
        self.assertIn({"name": "SANDBOX_MAIN_CONTAINER", "value": name}, main["env"])
        with open(os.path.join(REPOSITORY, "man", "task-executor.8"), encoding="utf-8") as f:
            privileges = f.read().split(".SS Privileges")[1].split("\n.S")[0]
        needed = set(re.findall(r"\b(SYS_[A-Z]+|SET[A-Z]+|KILL|CHOWN|DAC_OVERRIDE)\b",
                                privileges.split("needs these capabilities")[1]))
        self.assertEqual(set(agent["securityContext"]["capabilities"]["add"]), needed)

    def test_dockerfile(self):
        with open(os.path.join(DEPLOY, "Dockerfile"), encoding="utf-8") as f:
            lines = [line.split(None, 1) for line in f.read().splitlines() if line and not line.startswith("#")]
        self.assertEqual(lines[0], ["FROM", "scratch"])
        self.assertLessEqual({line[0] for line in lines}, {"FROM", "COPY", "ENV", "EXPOSE", "ENTRYPOINT"})
        for line in lines:
            if line[0] == "COPY":
                self.assertEqual(line[1].split()[0], "build/task-executor")

    def test_image_of_one_file(self):
        """A root with nothing but the program: it runs, and the client finds it."""
        needs = subprocess.run(["ldd", BINARY], capture_output=True, check=False).stdout
        if not IS_ROOT or b"=>" in needs:
            self.skipTest("NEEDS ROOT AND THE STATIC BINARY: nothing is tried in an empty root")
        if why := no_namespaces():
            self.skipTest(why)
        with tempfile.TemporaryDirectory() as root:
            for name in ("task-executor", "taskctl"):
                shutil.copy(BINARY, f"{root}/{name}")
            for folder in ("dev", "proc", "data"):
                os.mkdir(f"{root}/{folder}")
            os.mknod(f"{root}/dev/null", 0o666 | 0o020000, os.makedev(1, 3))
            script = ("mount -t proc proc proc && chroot . /task-executor --data-dir=/data --listen-addr=unix:/s & "
                      "agent=$!; i=0; until chroot . /taskctl -s unix:/s health >/dev/null 2>&1; do "
                      "i=$((i+1)); [ $i -lt 500 ] || exit 9; sleep 0.02; done; "
                      "chroot . /taskctl -s unix:/s run -- /taskctl help; code=$?; kill $agent; exit $code")
            done = subprocess.run(["unshare", "--mount", "sh", "-c", script], cwd=root, capture_output=True, text=True,
                                  check=False, timeout=60)
            self.assertEqual((done.returncode, done.stdout.splitlines()[:1]),
                             (0, ["Usage: taskctl COMMAND [FLAG]... [ARGUMENT]..."]), done.stderr)

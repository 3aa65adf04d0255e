"""Container runtimes for the tests of src/cri, and the probe that drives it: one client process, JSON lines out."""

import base64
import hashlib
import http.server
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import threading
import unittest

from agent import BINARY, SLOW, eventually
from proc import no_namespaces, processes, read

PROBES = os.path.join(os.path.dirname(BINARY), "tests", "probe")
IMAGE = "localhost/busybox:test"
CNI_PLUGINS = "/usr/lib/cni"  # of Debian's containernetworking-plugins
CONTAINERD_NEEDS = ("containerd", "runc", "ctr", "busybox")
DEBIAN_PYTHON = "/usr/bin/python3"  # has Debian's python3-grpcio and python3-hpack


def probe_path(name):
    return os.path.join(PROBES, name)


def missing_probe(name):
    """Why a test of that probe can't run, or None."""
    if os.access(probe_path(name), os.X_OK):
        return None
    return f"{probe_path(name)} is not built (ninja probes)"


def missing_containerd():
    """Why there can be no containerd here, or None."""
    if os.geteuid() != 0:
        return "containerd needs root"
    missing = [name for name in CONTAINERD_NEEDS if not shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin")]
    if missing:
        return "not installed: " + ", ".join(missing)
    with open(shutil.which("busybox"), "rb") as file:
        if b"/ld-linux" in file.read(4096):
            return "busybox is not a static one (busybox-static)"
    return no_namespaces() or missing_probe("cri_probe")


class Probe:
    """cri_probe at a socket. call() gives a number; reply() waits for its answer."""

    def __init__(self, socket, *flags):
        self.process = subprocess.Popen([probe_path("cri_probe"), socket, *flags], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, encoding="utf-8", errors="surrogateescape")
        self.lines = []
        self.changed = threading.Condition()
        self.number = 0
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(json.loads(line))
                self.changed.notify_all()
        with self.changed:
            self.lines.append({"ended": True})
            self.changed.notify_all()

    def find(self, wanted, timeout=20, what="a line of the probe"):
        """Takes the first line that wanted() likes."""
        with self.changed:
            def look():
                for line in self.lines:
                    if wanted(line):
                        self.lines.remove(line)
                        return line
                return None
            found = []
            ok = self.changed.wait_for(lambda: found or found.append(look()) or found[0] or found.clear() or
                                       any("ended" in line for line in self.lines), timeout * SLOW)
            if not ok or not found or not found[0]:
                raise AssertionError(f"{what} did not come; lines: {self.lines!r}"[:4000])
            return found[0]

    def call(self, method, /, *fields, **named):
        self.number += 1
        parts = [str(self.number), method, *fields, *(f"{key}={value}" for key, value in named.items())]
        self.process.stdin.write("\t".join(parts) + "\n")
        self.process.stdin.flush()
        return self.number

    def reply(self, number, timeout=20):
        return self.find(lambda line: line.get("call") == number, timeout, f"the reply to call {number}")

    def ask(self, method, /, *fields, timeout=20, **named):
        return self.reply(self.call(method, *fields, **named), timeout)

    def good(self, method, /, *fields, timeout=20, **named):
        reply = self.ask(method, *fields, timeout=timeout, **named)
        assert "failure" not in reply, f"{method}: {reply}"
        return reply

    def up(self, timeout=20):
        return self.find(lambda line: "up" in line, timeout, "the runtime")

    def down(self, timeout=20):
        return self.find(lambda line: "down" in line, timeout, "the runtime's going")

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.thread.join(10)
        self.process.stdout.close()
        return self.process.returncode


def _tar(entries):
    """A tar of (name, mode, bytes or link target or None for a directory)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, mode, content in entries:
            info = tarfile.TarInfo(name)
            info.mode = mode
            if content is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()


def image_parts(mark="", extra=()):
    """An image of busybox, which sleeps for ever when nobody says otherwise: (manifest's descriptor, blobs by digest)."""
    with open(shutil.which("busybox"), "rb") as file:
        busybox = file.read()
    links = ("sh", "sleep", "true", "false", "echo", "cat", "env", "ls", "kill", "seq", "dd", "id")
    layer = _tar([("bin", 0o755, None), ("tmp", 0o1777, None), ("proc", 0o755, None), ("sys", 0o755, None),
                  ("dev", 0o755, None), ("etc", 0o755, None), ("etc/passwd", 0o644, b"root:x:0:0::/:/bin/sh\n"),
                  ("etc/mark", 0o644, mark.encode()), ("bin/busybox", 0o755, busybox),
                  *((f"bin/{name}", 0o777, "busybox") for name in links), *extra])
    blobs = {}

    def blob(content, kind):
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}
    layer_blob = blob(layer, "layer.v1.tar")
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer_blob["digest"]]},
              "config": {"Entrypoint": ["/bin/sleep", "1000000000"], "Env": ["PATH=/bin"]}}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": blob(json.dumps(config).encode(), "config.v1+json"), "layers": [layer_blob]}
    return blob(json.dumps(manifest).encode(), "manifest.v1+json"), blobs


def oci_image(reference, extra=()):
    """That image as an OCI layout in a tar, with `extra` files."""
    manifest, blobs = image_parts(extra=extra)
    manifest["annotations"] = {"io.containerd.image.name": reference}
    index = {"schemaVersion": 2, "manifests": [manifest]}
    return _tar([("oci-layout", 0o644, b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", 0o644, json.dumps(index).encode()),
                 ("blobs", 0o755, None), ("blobs/sha256", 0o755, None),
                 *((f"blobs/sha256/{digest}", 0o644, content) for digest, content in blobs.items())])


class Registry:
    """A registry on localhost that has one image, "pulled:1", for the user "u" with the password "p"."""

    def __init__(self):
        manifest, blobs = image_parts(os.urandom(8).hex())
        self.trouble = None  # a status to answer everything with
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, status, body=b"", **headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            def do_GET(self):
                if registry.trouble:
                    self.answer(registry.trouble)
                elif self.headers.get("Authorization") != "Basic " + base64.b64encode(b"u:p").decode():
                    self.answer(401, WWW_Authenticate='Basic realm="test"')
                elif self.path in ("/v2/pulled/manifests/1", f"/v2/pulled/manifests/{manifest['digest']}"):
                    self.answer(200, blobs[manifest["digest"][7:]], Content_Type=manifest["mediaType"],
                                Docker_Content_Digest=manifest["digest"])
                elif self.path.startswith("/v2/pulled/blobs/sha256:") and self.path[-64:] in blobs:
                    self.answer(200, blobs[self.path[-64:]], Content_Type="application/octet-stream")
                else:
                    self.answer(404)
            do_HEAD = do_GET

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Containerd:
    """A containerd of its own, with everything it makes in one directory.

    Its pods have the node's network, but where `networks` makes configurations of CNI, {file: text}, from that directory.
    """

    def __init__(self, networks=None):
        self.dir = tempfile.mkdtemp(prefix="te-ctr-")
        self.socket = os.path.join(self.dir, "c.sock")
        self.process = None
        with open(os.path.join(self.dir, "config.toml"), "w", encoding="utf-8") as file:
            file.write(f"""
version = 2
root = "{self.dir}/root"
state = "{self.dir}/state"
[grpc]
  address = "{self.socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{self.dir}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{IMAGE}"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{self.dir}/cni"
""")
        os.mkdir(os.path.join(self.dir, "cni"))
        for name, text in (networks(self.dir) if networks else {}).items():
            with open(os.path.join(self.dir, "cni", name), "w", encoding="utf-8") as file:
                file.write(text)
        self.start()
        self.add_image(IMAGE)

    def add_image(self, reference, extra=()):
        image = os.path.join(self.dir, "image.tar")
        with open(image, "wb") as file:
            file.write(oci_image(reference, extra))
        self.ctr("-n", "k8s.io", "images", "import", "--snapshotter", "native", image)

    def start(self):
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.process = subprocess.Popen(["containerd", "--config", os.path.join(self.dir, "config.toml")],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        eventually(lambda: os.path.exists(self.socket), 20, "containerd's socket")

    def ctr(self, *args):
        return subprocess.run(["ctr", "-a", self.socket, *args], check=True, timeout=60 * SLOW,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True).stdout

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        self.process.wait(30)

    @staticmethod
    def wait_ended(word):
        """Until no process has `word` in its command line. A container that ends just while containerd recovers is RUNNING
        to containerd 1.6 for ever, so it has to end before."""
        eventually(lambda: not processes(lambda pid: word in read(f"/proc/{pid}/cmdline")), 20, f"the end of {word}")

    def log(self):
        return read(os.path.join(self.dir, "log")) or ""

    def clear(self):
        """Stops and removes every pod: before containerd goes, else shims and mounts stay."""
        probe = Probe(self.socket)
        try:
            probe.up()
            for item in probe.good("list_sandboxes")["items"]:
                probe.good("stop_sandbox", id=item["id"], timeout=60)
                probe.good("remove_sandbox", id=item["id"], timeout=60)
            assert not probe.good("list")["items"]
        finally:
            probe.close()

    def close(self):
        try:
            if self.process.poll() is not None:
                self.start()
            self.clear()
        finally:
            self.process.terminate()
            self.process.wait(30)
            with open("/proc/self/mountinfo", encoding="utf-8") as file:
                mounts = [line.split()[4] for line in file if f" {self.dir}/" in line]
            for mount in reversed(mounts):
                subprocess.run(["umount", "-l", mount], check=False)
            shutil.rmtree(self.dir, ignore_errors=True)
            assert not mounts, f"left mounted: {mounts}"


class ContainerdCase(unittest.TestCase):
    """A containerd for all tests of the class; where there can be none, each says why."""

    containerd = None
    networks = None

    @classmethod
    def setUpClass(cls):
        cls.why = cls.missing()
        if not cls.why:
            cls.containerd = Containerd(cls.networks)

    @classmethod
    def missing(cls):
        return missing_containerd()

    @classmethod
    def tearDownClass(cls):
        if cls.containerd:
            cls.containerd.close()

    def setUp(self):
        if self.why:
            self.skipTest(self.why)


class FakePods:
    """fake_pods.py as a process, at `socket`."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="te-fake-")
        self.socket = os.path.join(self.dir, "s")
        self.starts = []  # names of tasks, as often as something of them was started
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fake_pods.py")
        self.process = subprocess.Popen([DEBIAN_PYTHON, script, self.socket], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "listening\n"

    @staticmethod
    def missing():
        """Why there can be none here, or None."""
        if subprocess.run([DEBIAN_PYTHON, "-c", "import grpc"], check=False, stderr=subprocess.DEVNULL).returncode:
            return "python3-grpcio is not installed"
        return None

    def ask(self, line):
        """Sends a line; the words of its answer. What was started until then is in `starts`."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        word = "fault" if "=" in line else line
        while True:
            answer = self.process.stdout.readline().split()
            assert answer, "the fake runtime has ended"
            if answer[0] == word:
                return answer[1:]
            assert answer[0] == "start", answer
            self.starts.append(answer[1])

    def fault(self, method, fault):
        assert self.ask(f"{method}={fault}") == [method]

    def left(self):
        return int(self.ask("left")[0])

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()
        shutil.rmtree(self.dir)

"""The endpoints: names, errors, long polls, the queue, security."""

import json
import os
import shutil
import subprocess
import threading
import time
import unittest

from agent import AgentTest, IS_ROOT, SLOW, controller, eventually, guide, read, read_all, state_of


class Names(AgentTest):
    def test_bad_names_are_400_and_touch_nothing(self):
        agent = self.agent()
        outside = os.path.join(os.path.dirname(agent.data_dir), "x")
        before = sorted(os.listdir(agent.data_dir)), sorted(os.listdir(os.path.dirname(agent.data_dir)))
        bad = ["", ".", "..", "...", "a/b", "../x", "/etc", "a b", "-a", "a-", ".a", "a.", "_a", "a_", "a\n", "a\0b",
               "ä", "a%2fb", "%2e%2e", "x" * 254, ".lock", ".new", ".trash", ".quarantine", "a\\b", "a;b", "*", "a\tb"]
        for name in bad:
            with self.subTest(name=name):
                self.assert_error(agent.post("/tasks", guide(name, "true")), 400)
                self.assert_error(agent.post("/setTasks", [guide("ok", "true"), guide(name, "true")]), 400)
        self.assertEqual(agent.get("/getTasks").json(), [])
        self.assertEqual((sorted(os.listdir(agent.data_dir)), sorted(os.listdir(os.path.dirname(agent.data_dir)))),
                         before)
        self.assertFalse(os.path.exists(outside))

    def test_good_names(self):
        agent = self.agent()
        for name in ("a", "A.b_c-9", "x" * 253, "0", "a..b", "getTasks", "health", "task.json", "a--_.-z"):
            with self.subTest(name=name):
                self.assertEqual(agent.run(name, "true")["exitCode"], 0)
                self.assertEqual(agent.delete(name).status, 204)
                agent.gone(name)

    def test_bad_names_in_the_path(self):
        agent = self.agent()
        agent.create(guide("a", "sleep", "1000"))
        with open(os.path.join(os.path.dirname(agent.data_dir), "victim"), "w", encoding="utf-8") as f:
            f.write("here")
        tricks = ["/tasks/.", "/tasks/..", "/tasks/../victim", "/tasks/%2e%2e", "/tasks/..%2fvictim", "/tasks/a%00",
                  "/tasks/%61%2f..", "/tasks/.%2e/victim", "/tasks/%2e", "/tasks/..%5cvictim", "/tasks/a%2f",
                  "/tasks/.lock", "/tasks/.trash", "/tasks/%zz", "/tasks/%", "/tasks/a%0d%0ab", "/tasks/%c0%ae%c0%ae",
                  "/tasks/" + "x" * 254, "/tasks/..%252fvictim"]
        for path in tricks:
            for method in ("GET", "DELETE"):
                with self.subTest(method=method, path=path):
                    response = agent.request(method, path)
                    self.assertIn(response.status, (400,) if "/../" not in path else (400, 404), response)
            response = agent.get(path + "/logs")
            self.assertIn(response.status, (400,) if "/../" not in path else (400, 404), (path, response))
        self.assertEqual(state_of(agent.task("a"))[0] in ("waiting", "running"), True)
        self.assertEqual(read(os.path.join(os.path.dirname(agent.data_dir), "victim")), "here")

    def test_encoded_plain_name(self):
        agent = self.agent()
        agent.create(guide("a-b", "true"))
        # %2D is a plain '-' to every client and proxy (RFC 3986 §6.2.2.2); a tricky answer would be worse than 400.
        self.assertIn(agent.get("/tasks/a%2Db").status, (200, 400))


class Answers(AgentTest):
    def test_methods_and_paths(self):
        agent = self.agent()
        allow = {"/tasks": {"GET", "POST"}, "/tasks/x": {"GET", "DELETE"}, "/setTasks": {"POST"}, "/getTasks": {"GET"},
                 "/health": {"GET"}, "/readyz": {"GET"}, "/metrics": {"GET"}, "/version": {"GET"},
                 "/tasks/x/logs": {"GET"}}
        for path, methods in allow.items():
            for method in ("PUT", "PATCH", "OPTIONS", *({"GET", "POST", "DELETE"} - methods)):
                with self.subTest(path=path, method=method):
                    response = agent.request(method, path)
                    self.assert_error(response, 405)
                    told = {m.strip() for m in response.headers["Allow"].split(",")}
                    self.assertEqual(told - {"HEAD"}, methods)
        for path in ("/", "/task", "/tasks/x/y", "/settasks", "/health/", "/tasks/x/logs/y", "/getTasks/x", "//tasks",
                     "/metrics.json", "/favicon.ico"):
            with self.subTest(path=path):
                self.assert_error(agent.get(path), 404)
        self.assert_error(agent.get("/tasks/nobody"), 404)
        self.assert_error(agent.get("/tasks/nobody/logs"), 404)

    def test_answer_headers(self):
        agent = self.agent()
        for path in ("/health", "/getTasks", "/version", "/tasks/nobody"):
            response = agent.get(path)
            self.assertEqual(response.headers["Content-Type"].split(";")[0], "application/json", path)
            self.assertEqual(int(response.headers["Content-Length"]), len(response.body), path)
            self.assertIsNone(response.headers.get("Access-Control-Allow-Origin"))
        self.assertEqual(agent.get("/getTasks").body.strip(), b"[]")

    def test_errors_in_bodies(self):
        agent = self.agent()
        message = self.assert_error(agent.post("/tasks", b'{"name":"a","spec":{"process":{"command":["x",]}}}'), 400)
        self.assertRegex(message, r"\d")  # the byte offset
        message = self.assert_error(agent.post("/tasks", {"name": "a", "spec": {"process": {"command": [3]}}}), 400)
        self.assertIn("spec.process.command", message)
        for body in (b"", b"null", b"[]", b"3", b'"x"', b"{}", b'{"name":"a"}', b'{"name":null}', b"\0", b"{}{}",
                     b'{"name":"a","spec":{}}', b'{"name":"a","spec":null}', b"\xff\xfe", b'{"name":"\\ud800"}',
                     b"{"):
            with self.subTest(body=body):
                self.assert_error(agent.post("/tasks", body), 400)
        self.assertEqual(agent.get("/getTasks").json(), [])

    def test_any_content_type(self):
        agent = self.agent()
        # Go's client and bare curl -d don't say application/json; the guide's examples do.
        for n, kind in enumerate((None, "application/x-www-form-urlencoded", "text/plain",
                                  "application/json; charset=utf-8")):
            headers = {"Content-Type": kind} if kind else {}
            response = agent.post("/tasks", json.dumps(guide(f"t{n}", "true")), headers=headers)
            self.assertEqual(response.status, 201, (kind, response))

    def test_too_large(self):
        agent = self.agent("--max-body-bytes=10000")
        agent.create(guide("fits", "true", args=["x" * 9000]))
        self.assert_error(agent.post("/tasks", guide("big", "true", args=["x" * 10000])), 413)
        self.assert_error(agent.post("/setTasks", [guide("big", "true", args=["x" * 10000])]), 413)
        # Chunked: the length is known only once it is too much.
        sock = agent.raw(b"POST /tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(12):
                sock.sendall(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        except ConnectionError:
            pass
        self.assertTrue(read_all(sock).startswith(b"HTTP/1.1 413 "))
        sock.close()
        # Announced only: refused before it is sent, and no 100 Continue either.
        sock = agent.raw(b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n"
                         b"Expect: 100-continue\r\n\r\n")
        self.assertTrue(read_all(sock).startswith(b"HTTP/1.1 413 "))
        sock.close()
        self.assertEqual([t["name"] for t in agent.get("/getTasks").json()], ["fits"])

    def test_default_body_limit(self):
        agent = self.agent()
        big = guide("a", "true", env=[{"name": f"N{n}", "value": "x" * 1000} for n in range(3500)])
        self.assertEqual(agent.post("/tasks", big).status, 201)  # accepted; exec may well say E2BIG
        ended = agent.ended("a", 20)
        self.assertIn((ended["exitCode"], ended["reason"]), [(0, "Succeeded"), (126, "StartError"),
                                                                    (128, "StartError")])
        self.assert_error(agent.post("/tasks", b" " * (4 * 1024 * 1024 + 1)), 413)

    def test_header_too_large(self):
        agent = self.agent()
        self.assertEqual(agent.get("/health", headers={"X": "y" * 15000}).status, 200)
        self.assert_error(agent.get("/health", headers={"X": "y" * 17000}), 431,
                          "Request Header Fields Too Large")
        sock = agent.raw(b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\n\r\n")
        self.assertRegex(read_all(sock), rb"^HTTP/1.1 (431|414|400) ")
        sock.close()
        sock = agent.raw(b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 5000)
        self.assertTrue(read_all(sock).startswith(b"HTTP/1.1 431 "))
        sock.close()

    def test_web_pages_are_kept_out(self):
        agent = self.agent()
        for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost:5758"},
                        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-origin"},
                        {"Sec-Fetch-Site": "same-site"}):
            with self.subTest(headers=headers):
                self.assert_error(agent.get("/getTasks", headers=headers), 403)
                self.assert_error(agent.post("/tasks", guide("a", "true"), headers=headers), 403)
                self.assert_error(agent.request("OPTIONS", "/tasks", headers=headers), 403)
        self.assertEqual(agent.get("/getTasks", headers={"Sec-Fetch-Site": "none"}).json(), [])

    def test_bearer_token(self):
        path = os.path.join(self.scratch(), "token")
        with open(path, "w", encoding="utf-8") as f:
            f.write("s3cret-Token-value\n")
        os.chmod(path, 0o600)
        agent = self.agent(f"--auth-token-file={path}")
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "}, {"Authorization": "x"},
                        {"Authorization": "Basic s3cret-Token-value"}, {"Authorization": "Bearer s3cret-Token-valu"},
                        {"Authorization": "Bearer s3cret-Token-value2"}):
            for url in ("/getTasks", "/metrics", "/version", "/openapi.json", "/tasks/x/logs", "/nowhere"):
                response = agent.get(url, headers=headers)
                self.assert_error(response, 401)
                self.assertIn("Bearer", response.headers.get("WWW-Authenticate", ""))  # RFC 9110 §11.6.1
            self.assert_error(agent.post("/tasks", guide("a", "true"), headers=headers), 401)
        self.assertEqual((agent.get("/health").status, agent.get("/readyz").status), (200, 200))
        # Nobody has to hear megabytes of those who may not ask: the answer comes before the body, and it is the last one.
        for field in ("Content-Length: 4000000", "Transfer-Encoding: chunked", "Content-Length: 9\r\nExpect: 100-continue"):
            with agent.raw(f"POST /tasks HTTP/1.1\r\nHost: localhost\r\n{field}\r\n\r\n".encode()) as sock:
                answer = b"".join(iter(lambda: sock.recv(4096), b""))
            self.assertTrue(answer.startswith(b"HTTP/1.1 401 "), answer)
            self.assertIn(b"\r\nConnection: close\r\n", answer)
        agent.token = "s3cret-Token-value"
        self.assertEqual(agent.get("/getTasks").json(), [])
        self.assertEqual(agent.run("a", "sh", "-c", "cat /proc/self/environ")["exitCode"], 0)
        self.assertNotIn("s3cret", agent.output("a") + agent.log())

    def test_other_endpoints(self):
        agent = self.agent()
        agent.run("a", "true")
        metrics = agent.get("/metrics")
        self.assertTrue(metrics.headers["Content-Type"].startswith("text/plain"))
        names = {line.split("{")[0].split(" ")[0] for line in metrics.text.splitlines() if line and line[0] != "#"}
        self.assertTrue(names)
        self.assertEqual([n for n in names if not n.startswith(("task_executor_", "process_"))], [])
        for line in metrics.text.splitlines():
            if line and line[0] != "#":
                float(line.rsplit(" ", 1)[1])
        self.assertIn("version", agent.get("/version").json())
        self.assertEqual(agent.get("/readyz").status, 200)

    def test_openapi(self):
        agent = self.agent()
        response = agent.get("/openapi.json")
        if response.status == 404:
            self.skipTest("NOT SUPPORTED YET BY THE PROGRAM: /openapi.json")
        document = response.json()
        self.assertTrue(document["openapi"].startswith("3.1"))
        for path in ("/tasks", "/tasks/{name}", "/setTasks", "/getTasks", "/health"):
            self.assertIn(path, document["paths"])
        self.assert_error(agent.post("/openapi.json", {}), 405)


class LongPoll(AgentTest):
    def test_wait_for_the_end(self):
        agent = self.agent()
        fifo = os.path.join(self.scratch(), "fifo")
        os.mkfifo(fifo)
        agent.create(guide("a", "sh", "-c", f"read x < {fifo}; exit 3"))
        answers = []
        waiters = [threading.Thread(target=lambda: answers.append(agent.get("/tasks/a?wait=terminated&timeout=30s")))
                   for _ in range(5)]
        for waiter in waiters:
            waiter.start()
        with open(fifo, "w", encoding="utf-8") as f:
            self.assertEqual(agent.get("/health").status, 200)
            self.assertEqual(answers, [])
            f.write("go\n")
        for waiter in waiters:
            waiter.join()
        for answer in answers:
            self.assertEqual(state_of(answer.json())[1]["exitCode"], 3)
        self.assertEqual(len(answers), 5)

    def test_timeout_answers_with_the_task_as_it_is(self):
        agent = self.agent()
        agent.create(guide("a", "sleep", "1000"))
        begin = time.monotonic()
        answer = agent.get("/tasks/a?wait=terminated&timeout=300ms")
        took = time.monotonic() - begin
        self.assertEqual((answer.status, state_of(answer.json())[0]), (200, "running"))
        self.assertGreaterEqual(took, 0.29)
        self.assertLess(took, 2 * SLOW)

    def test_deleted_while_waiting(self):
        agent = self.agent()
        agent.create(guide("a", "sleep", "1000"))
        answers = []
        waiter = threading.Thread(target=lambda: answers.append(agent.get("/tasks/a?wait=terminated&timeout=30s")))
        waiter.start()
        agent.wait_state("a", "running")
        agent.delete("a")
        waiter.join(20 * SLOW)
        self.assertEqual(len(answers), 1)
        # Its end comes before its going: the one or the other, but an answer.
        self.assertIn(answers[0].status, (200, 404))

    def test_bad_parameters(self):
        agent = self.agent()
        agent.create(guide("a", "sleep", "1000"))
        for query in ("wait=sometime", "wait=terminated&timeout=x", "wait=terminated&timeout=-1s",
                      "wait=terminated&timeout=5"):
            with self.subTest(query=query):
                status = agent.get(f"/tasks/a?{query}", timeout=20).status
                self.assertIn(status, (400,) if query != "wait=terminated&timeout=5" else (200, 400))
        self.assertEqual(agent.get("/tasks/nobody?wait=terminated&timeout=5s").status, 404)

    def test_finished_task_answers_at_once(self):
        agent = self.agent()
        agent.run("a", "true")
        begin = time.monotonic()
        agent.get("/tasks/a?wait=terminated&timeout=30s")
        self.assertLess(time.monotonic() - begin, 1 * SLOW)


class Queue(AgentTest):
    def test_first_come_first_served(self):
        agent = self.agent("--max-concurrent-tasks=2")
        folder = self.scratch()
        for n in range(6):
            os.mkfifo(f"{folder}/{n}")
            agent.create(guide(f"t{n}", "sh", "-c", f"echo {n} >> {folder}/order; read x < {folder}/{n}"))
        for n in range(6):
            agent.wait_state(f"t{n}", "running")
            tasks = agent.get("/getTasks").json()
            running = [t["name"] for t in tasks if state_of(t)[0] == "running"]
            self.assertLessEqual(len(running), 2)
            for task in tasks:
                if state_of(task)[0] == "waiting" and task["name"] > f"t{n + 2}":
                    self.assertEqual(state_of(task)[1]["reason"], "Queued")
            with open(f"{folder}/{n}", "w", encoding="utf-8") as f:
                f.write("go\n")
            agent.ended(f"t{n}")
        self.assertEqual(sorted(read(f"{folder}/order").split()), list("012345"))
        order = read(f"{folder}/order").split()
        for n, seen in enumerate(order):
            self.assertLessEqual(abs(int(seen) - n), 1, order)  # two run at once: their echoes may cross

    def test_deleted_from_the_queue(self):
        agent = self.agent("--max-concurrent-tasks=1")
        out = os.path.join(self.scratch(), "out")
        agent.create(guide("a", "sleep", "1000"))
        created = agent.create(guide("b", "touch", out))
        self.assertEqual(created["status"]["state"]["waiting"]["reason"], "Initialized")
        eventually(lambda: state_of(agent.task("b"))[1].get("reason") == "Queued", 5, "Queued")
        agent.delete("b")
        agent.gone("b")
        agent.delete("a")
        agent.gone("a")
        self.assertFalse(os.path.exists(out))

    def test_ttl_after_finished(self):
        agent = self.agent("--ttl-after-finished=1s", "--reconcile-interval=50ms")
        begin = time.monotonic()
        agent.create(controller("a", "true"))
        agent.create(guide("b", "sleep", "1000"))
        agent.ended("a")
        agent.gone("a", 6)
        self.assertGreaterEqual(time.monotonic() - begin, 0.9)
        self.assertEqual([t["name"] for t in agent.get("/getTasks").json()], ["b"])
        self.assertFalse(os.path.exists(os.path.join(agent.data_dir, "a")))


@unittest.skipUnless(shutil.which("curl"), "needs curl")
class UnixSocket(AgentTest):
    def test_curl_over_a_unix_socket(self):
        path = os.path.join(self.scratch(), "s")
        agent = self.agent(f"--listen-addr=unix:{path}")  # a second listener beside the TCP one
        def curl(*args):
            done = subprocess.run(["curl", "-sS", "--unix-socket", path, *args], capture_output=True, text=True,
                                  timeout=20 * SLOW, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout
        self.assertEqual(curl("http://localhost/health"), '{"status":"healthy"}')
        body = json.dumps(guide("a", "sh", "-c", "exit 6"))
        self.assertEqual(json.loads(curl("-d", body, "http://localhost/tasks"))["name"], "a")
        ended = json.loads(curl("http://localhost/tasks/a?wait=terminated&timeout=20s"))
        self.assertEqual(state_of(ended)[1]["exitCode"], 6)
        # After a kill -9 the old socket file is in the way of nobody.
        agent.restart()
        self.assertEqual(json.loads(curl("http://localhost/getTasks"))[0]["name"], "a")
        self.assertEqual(os.stat(path).st_mode & 0o007, 0, "not for everybody")

    @unittest.skipUnless(IS_ROOT, "NEEDS ROOT: another user's peer credentials")
    def test_other_users_are_refused(self):
        folder = self.scratch()
        path = os.path.join(folder, "s")
        agent = self.agent(f"--listen-addr=unix:{path}")
        os.chmod(path, 0o777)  # even where the file lets them in
        done = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", path,
                               "http://localhost/getTasks"], user=12345, group=12345, capture_output=True, text=True,
                              timeout=20 * SLOW, check=False)
        self.assertNotEqual(done.stdout, "200", "unix socket with peer credentials (contract §6)")
        self.assertEqual(agent.get("/health").status, 200)

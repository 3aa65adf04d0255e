"""Hostile and odd HTTP, on raw sockets: RFC 9112 is the measure."""

import json
import os
import random
import re
import socket
import threading
import time

from agent import AgentTest, SLOW, eventually, guide, read_all, read_answer, status_fields

OK = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
TASK = json.dumps(guide("smuggled", "true")).encode()
INNER = b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(TASK), TASK)


class Hostile(AgentTest):
    def test_smuggling(self):
        agent = self.agent()
        post = b"POST /setTasks HTTP/1.1\r\nHost: x\r\n"
        cases = {
            "both lengths": post + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
            "both, other order": post + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n" + INNER,
            "two lengths": post + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n[]" + INNER,
            "two lengths in a list": post + b"Content-Length: 2, 3\r\n\r\n[]" + INNER,
            "signed length": post + b"Content-Length: +2\r\n\r\n[]" + INNER,
            "negative length": post + b"Content-Length: -2\r\n\r\n[]" + INNER,
            "hex length": post + b"Content-Length: 0x2\r\n\r\n[]" + INNER,
            "empty length": post + b"Content-Length: \r\n\r\n[]" + INNER,
            "spaced length": post + b"Content-Length: 2 0\r\n\r\n[]" + INNER,
            "huge length": post + b"Content-Length: 18446744073709551618\r\n\r\n[]" + INNER,
            "space before colon": post + b"Content-Length : 2\r\n\r\n[]" + INNER,
            "tab before colon": post + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n" + INNER,
            "leading space": post + b" Content-Length: 2\r\n\r\n[]" + INNER,
            "obs-fold": post + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n[]" + INNER,
            "obs-fold of the length": post + b"Content-Length:\r\n 2\r\n\r\n[]" + INNER,
            "bare CR": post + b"X: a\rContent-Length: 5\r\nContent-Length: 2\r\n\r\n[]" + INNER,
            "bare CR ends a value": post + b"X: a\r\rContent-Length: 2\r\n\r\n[]" + INNER,
            "NUL in a value": post + b"X: a\0b\r\nContent-Length: 2\r\n\r\n[]" + INNER,
            "NUL in a name": post + b"X\0: b\r\nContent-Length: 2\r\n\r\n[]" + INNER,
            "unknown coding": post + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + INNER,
            "chunked not last": post + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n" + INNER,
            "chunked twice": post + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n" + INNER,
            "identity and chunked": post + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + INNER,
            "no name": post + b": x\r\nContent-Length: 2\r\n\r\n[]" + INNER,
            "no colon": post + b"Content-Length 2\r\n\r\n[]" + INNER,
            "bad chunk size": post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n[]\r\n0\r\n\r\n" + INNER,
            "signed chunk size": post + b"Transfer-Encoding: chunked\r\n\r\n+2\r\n[]\r\n0\r\n\r\n" + INNER,
            "hex-prefixed chunk": post + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n[]\r\n0\r\n\r\n" + INNER,
            "huge chunk": post + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff2\r\n[]\r\n0\r\n\r\n" + INNER,
            "chunk without its CRLF": post + b"Transfer-Encoding: chunked\r\n\r\n2\r\n[]xx0\r\n\r\n" + INNER,
            "space in the target": b"GET /health x HTTP/1.1\r\nHost: x\r\n\r\n" + INNER,
            "two hosts": b"GET /health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" + INNER,
            "no host": b"GET /health HTTP/1.1\r\n\r\n" + INNER,
            "no version": b"GET /health\r\n\r\n" + INNER,
            "bad version": b"GET /health HTTP/1.1x\r\nHost: x\r\n\r\n" + INNER,
            "lower-case version": b"GET /health http/1.1\r\nHost: x\r\n\r\n" + INNER,
            "control in the target": b"GET /hea\x01lth HTTP/1.1\r\nHost: x\r\n\r\n" + INNER,
            "bad method": b"G@T /health HTTP/1.1\r\nHost: x\r\n\r\n" + INNER,
            "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40,
        }
        for what, request in cases.items():
            with self.subTest(what):
                sock = agent.raw(request)
                answer = read_all(sock)  # ends only when the agent closes
                sock.close()
                self.assertRegex(answer, rb"^HTTP/1\.[01] (400|501|505|413) ")
                answers = re.findall(rb"HTTP/1\.[01] \d\d\d ", answer)
                self.assertEqual(len(answers), 1, "nothing after the error is looked at")
        self.assertEqual(agent.get("/getTasks").json(), [])

    def test_harmless_oddities_are_taken(self):
        agent = self.agent()
        for request in (b"\r\n" + OK, b"GET /health HTTP/1.1\r\nhOsT:x\r\n\r\n",
                        b"GET /health?x=1&y HTTP/1.1\r\nHost: x\r\n\r\n",
                        b"GET /health HTTP/1.0\r\n\r\n", b"GET http://x/health HTTP/1.1\r\nHost: x\r\n\r\n",
                        b"GET /health HTTP/1.1\r\nHost:\t x \t\r\nX:\r\n\r\n"):
            with self.subTest(request=request):
                sock = agent.raw(request)
                status, _headers, body = read_answer(sock.makefile("rb"))
                sock.close()
                self.assertEqual((status, body), (200, b'{"status":"healthy"}'))

    def test_pipelining(self):
        agent = self.agent()
        tasks = [json.dumps(guide(f"p{n}", "true")).encode() for n in range(20)]
        data = b""
        for body in tasks:
            data += b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body) + OK
        sock = agent.raw(data)
        stream = sock.makefile("rb")
        for n in range(20):
            status, _headers, body = read_answer(stream)
            self.assertEqual((status, json.loads(body)["name"]), (201, f"p{n}"))
            self.assertEqual(read_answer(stream)[2], b'{"status":"healthy"}')
        sock.close()

    def test_byte_by_byte(self):
        agent = self.agent()
        body = json.dumps(guide("slow", "true")).encode()
        data = b"POST /tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        data += b"".join(b"1;ext=\"a;b\"\r\n%c\r\n" % c for c in body) + b"0\r\nTrailer: x\r\n\r\n" + OK
        sock = agent.raw()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for n in range(len(data)):
            sock.sendall(data[n:n + 1])
        stream = sock.makefile("rb")
        self.assertEqual(read_answer(stream)[0], 201)
        self.assertEqual(read_answer(stream)[0], 200)
        sock.close()

    def test_head(self):
        agent = self.agent()
        for path, status in (("/health", 200), ("/getTasks", 200), ("/tasks/nobody", 404)):
            sock = agent.raw(b"HEAD %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode() + OK)
            answer = b""
            while b"healthy" not in answer:
                chunk = sock.recv(4096)
                self.assertTrue(chunk, answer)
                answer += chunk
            sock.close()
            head, _, rest = answer.partition(b"\r\n\r\n")
            self.assertIn(b" %d " % status, head.split(b"\r\n")[0])
            self.assertTrue(rest.startswith(b"HTTP/1.1 200 "), "a HEAD has no body")

    def test_expect_continue(self):
        agent = self.agent()
        body = json.dumps(guide("a", "true")).encode()
        sock = agent.raw(b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n"
                         % len(body))
        stream = sock.makefile("rb")
        self.assertEqual(read_answer(stream)[0], 100)
        sock.sendall(body)
        self.assertEqual(read_answer(stream)[0], 201)
        sock.close()

    def test_connection_close_and_keep_alive(self):
        agent = self.agent()
        sock = agent.raw(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = read_all(sock)
        sock.close()
        self.assertIn(b"connection: close", answer.lower())
        sock = agent.raw(b"GET /health HTTP/1.0\r\n\r\n")
        self.assertIn(b"healthy", read_all(sock))
        sock.close()
        sock = agent.raw()
        stream = sock.makefile("rb")
        for _ in range(50):
            sock.sendall(OK)
            self.assertEqual(read_answer(stream)[0], 200)
        sock.close()

    def test_half_closed_client_gets_its_answer(self):
        agent = self.agent()
        sock = agent.raw(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        self.assertIn(b"healthy", read_all(sock))
        sock.close()

    def test_half_sent_requests_hold_nobody_up(self):
        agent = self.agent()
        halves = [agent.raw(OK[:n % (len(OK) - 2) + 1]) for n in range(300)]
        for _ in range(20):
            begin = time.monotonic()
            self.assertEqual(agent.get("/health").status, 200)
            self.assertLess(time.monotonic() - begin, 0.5 * SLOW)
        self.assertEqual(agent.run("a", "true")["exitCode"], 0)
        for sock in halves:
            sock.close()

    def test_resets_at_every_moment(self):
        agent = self.agent()
        body = json.dumps(guide("r", "true")).encode()
        whole = b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        for n in range(0, len(whole) + 1):
            sock = agent.raw(whole[:n])
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close by RST
            sock.close()
        self.assertEqual(agent.get("/health").status, 200)
        eventually(lambda: agent.get("/tasks/r").status in (200, 404), 5)


class SlowClient(AgentTest):
    first = True  # mostly waiting: beside all the others

    def test_a_request_too_slow_in_coming(self):
        agent = self.agent()
        agent.create(guide("long", "sleep", "1000"))
        begin = time.monotonic()
        # Not one that has begun behind a poll for longer than a head may take.
        behind = agent.raw(b"GET /tasks/long?wait=terminated&timeout=11s HTTP/1.1\r\nHost: x\r\n\r\nGET /hea", timeout=60)
        head = agent.raw(b"GET /health HTTP/1.1\r\nHost: x\r\nX: ", timeout=60)
        body = agent.raw(b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", timeout=120)
        answer = read_all(head)
        took = time.monotonic() - begin
        self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer)
        self.assertGreater(took, 3)
        self.assertLess(took, 20 * SLOW)
        self.assertEqual(agent.get("/health").status, 200)
        answers = behind.makefile("rb")
        self.assertIn(b'"running"', read_answer(answers)[2])
        time.sleep(0.5)
        behind.sendall(b"lth HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        self.assertEqual(read_answer(answers)[0], 200)
        answers.close()
        behind.close()
        answer = read_all(body)  # its time-out may be longer than that of the head
        self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer)
        head.close()
        body.close()


class Mutations(AgentTest):
    COUNT = 3000

    def test_random_mutations_crash_nothing(self):
        seed = int(os.environ.get("TASK_EXECUTOR_SEED", "4711"))
        dice = random.Random(seed)
        agent = self.agent()
        pid = agent.pid
        set_body = json.dumps([guide("m", "true", env=[{"name": "A", "value": "b"}], timeoutSeconds=3,
                                     securityContext={"runAsUser": 1, "capabilities": {"drop": ["ALL"]}})]).encode()
        bases = [OK, INNER, b"DELETE /tasks/m HTTP/1.1\r\nHost: x\r\n\r\n",
                 b"GET /tasks/m?wait=terminated&timeout=10ms HTTP/1.1\r\nHost: x\r\n\r\n",
                 b"GET /tasks/m/logs?stream=both&tail=3&since=1 HTTP/1.1\r\nHost: x\r\n\r\n",
                 b"POST /setTasks?onSpecChange=replace HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                 b"%x\r\n%s\r\n0\r\n\r\n" % (len(set_body), set_body),
                 b"POST /setTasks HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(set_body), set_body)]
        spice = [b"\0", b"\r", b"\n", b"\r\n", b" ", b":", b"%", b"\xff", b"{", b"[", b'"', b"\\", b"\\u0000",
                 b"99999999999",
                 b"-1", b"null", b"chunked", b"\r\n\r\n", b"e", b"/", b".."]
        for n in range(self.COUNT):
            data = bytearray(dice.choice(bases))
            for _ in range(dice.randrange(1, 5)):
                at = dice.randrange(len(data) + 1)
                kind = dice.randrange(5)
                if kind == 0 and at < len(data):
                    data[at] = dice.randrange(256)
                elif kind == 1:
                    data[at:at] = dice.choice(spice)
                elif kind == 2:
                    del data[at:at + dice.randrange(1, 9)]
                elif kind == 3:
                    data[at:at] = data[at:at + dice.randrange(1, 60)]
                else:
                    del data[at:]
            try:
                sock = agent.raw(bytes(data))
                sock.shutdown(socket.SHUT_WR)
                answer = read_all(sock)
                sock.close()
            except ConnectionError:
                continue
            if answer:
                self.assertRegex(answer, rb"^HTTP/1\.[01] \d\d\d ", f"seed {seed}, number {n}: {bytes(data)!r}")
                self.assertNotRegex(answer, rb"^HTTP/1\.[01] 5(?!0[157])", f"seed {seed}, number {n}: {bytes(data)!r}")
        self.assertTrue(agent.running() and agent.pid == pid, agent.log()[-3000:])
        self.assertEqual(agent.get("/health").status, 200)
        eventually(lambda: len(os.listdir(f"/proc/{pid}/fd")) < 40, 10, "no descriptor leaked")


class Connections(AgentTest):
    serial = True

    def test_eleven_hundred_connections(self):
        agent = self.agent()
        socks = []
        for n in range(1100):
            socks.append(agent.raw(OK))
            self.assertTrue(socks[-1].recv(1000).startswith(b"HTTP/1.1 200"), n)  # the newest is always served
        closed = []
        for n, sock in enumerate(socks):
            sock.setblocking(False)
            try:
                if sock.recv(10) == b"":
                    closed.append(n)
            except BlockingIOError:
                pass
            except ConnectionError:
                closed.append(n)
        # 1,024 at a time; the oldest idle ones had to go, and only they.
        self.assertEqual(closed, list(range(1100 - 1024)))
        self.assertEqual(agent.get("/health").status, 200)
        for sock in socks:
            sock.close()

    def test_connections_leave_descriptors_for_tasks(self):
        agent = self.agent(rlimit_nofile=(128, 128))
        busy = [agent.raw(OK + b"GET /health HTTP/1.1\r\nHost: x\r\nX: ") for _ in range(64)]
        for sock in busy:
            self.assertEqual(read_answer(sock.makefile("rb"))[0], 200)
        for _ in range(40):
            sock = agent.raw()
            self.assertEqual(read_answer(sock.makefile("rb"))[0], 503)
            sock.close()
        for sock in busy[60:]:
            sock.close()
        eventually(lambda: agent.get("/health").status == 200, 5, "room again")
        agent.run("a", "true")  # beside those that are in the middle of a request
        for sock in busy:
            sock.close()

    def test_no_idle_one_to_close(self):
        agent = self.agent()
        # A whole request and half of the next at once: with its answer, the agent has seen the half too.
        busy = [agent.raw(OK + b"GET /health HTTP/1.1\r\nHost: x\r\nX: ") for _ in range(1024)]
        for sock in busy:
            self.assertTrue(sock.recv(4096).startswith(b"HTTP/1.1 200 "))
        # All are in the middle of a request (and within their time): 503, or the time-out has freed some.
        statuses = []
        for _ in range(5):
            sock = agent.raw(OK)
            statuses.append(read_answer(sock.makefile("rb"))[0])
            sock.close()
        self.assertTrue(set(statuses) <= {503, 200}, statuses)
        self.assertIn(503, statuses)
        for sock in busy:
            sock.close()
        eventually(lambda: agent.get("/health").status == 200, 5, "room again")

    def test_a_client_that_does_not_read(self):
        agent = self.agent()
        big = [guide(f"t{n}", "true", args=["x" * 1000]) for n in range(200)]
        self.assertEqual(agent.post("/setTasks", big).status, 200)
        eventually(lambda: all("terminated" in t["status"]["state"] for t in agent.get("/getTasks").json()), 30)

        def rss():
            return int(status_fields(agent.pid)["VmRSS"].split()[0])
        before = rss()
        socks = []
        for _ in range(5):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", agent.port))
            socks.append(sock)
            sock.settimeout(0.2)
            try:
                sock.sendall(b"GET /getTasks HTTP/1.1\r\nHost: x\r\n\r\n" * 3000)
            except (TimeoutError, BlockingIOError):
                pass  # the agent stops reading while its answers are not read
        for _ in range(20):
            begin = time.monotonic()
            self.assertEqual(agent.get("/health").status, 200)
            self.assertLess(time.monotonic() - begin, 0.5 * SLOW)
        # One answer has 250 kB: some may wait for each client, but not thousands.
        self.assertLess(rss() - before, 24 * 1024 * SLOW)
        for sock in socks:
            sock.close()

    def test_many_clients_at_once(self):
        agent = self.agent()
        failures = []

        def client(number):
            try:
                for n in range(15):
                    name = f"c{number}-{n}"
                    agent.create(guide(name, "sh", "-c", f"exit {n}"))
                    code = agent.ended(name, 30)["exitCode"]
                    assert code == n, (name, code)
                    assert agent.delete(name).status == 204
            except Exception as error:  # noqa: BLE001 - told below
                failures.append(error)
        clients = [threading.Thread(target=client, args=(n,)) for n in range(16)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
        self.assertEqual(failures, [])

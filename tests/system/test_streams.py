"""Output of tasks (logs, also followed) and the watch stream."""

import http.client
import json
import os
import re
import subprocess
import time

from agent import AgentTest, SLOW, eventually, guide, read, read_all, state_of, status_fields
from tracer import no_tracer, slowed


class Logs(AgentTest):
    def test_streams_tail_since(self):
        agent = self.agent()
        agent.run("a", "sh", "-c", "for i in 1 2 3 4 5; do echo out$i; done; echo err1 >&2; printf 'ä\\0z' >&2")
        self.assertEqual(agent.get("/tasks/a/logs?stream=stdout").text, "out1\nout2\nout3\nout4\nout5\n")
        self.assertEqual(agent.get("/tasks/a/logs?stream=stderr").body, "err1\nä\0z".encode())
        self.assertEqual(agent.get("/tasks/a/logs?stream=stdout&tail=2").text, "out4\nout5\n")
        self.assertEqual(agent.get("/tasks/a/logs?stream=stdout&tail=0").text, "")
        self.assertEqual(agent.get("/tasks/a/logs?stream=stdout&tail=99").text, "out1\nout2\nout3\nout4\nout5\n")
        self.assertEqual(agent.get("/tasks/a/logs?stream=stderr&tail=1").body, "ä\0z".encode())
        self.assertEqual(agent.get("/tasks/a/logs?stream=stdout&since=5").text, "out2\nout3\nout4\nout5\n")
        self.assertEqual(agent.get("/tasks/a/logs?stream=stdout&since=7&tail=1").text, "out5\n")
        self.assertEqual(agent.get("/tasks/a/logs?stream=stdout&since=25").text, "")
        self.assertEqual(agent.get("/tasks/a/logs?stream=stdout&since=99999").text, "")
        for both in ("", "?stream=both"):
            text = agent.get(f"/tasks/a/logs{both}").text
            self.assertIn("out5\n", text)
            self.assertIn("err1\n", text)
        self.assertTrue(agent.get("/tasks/a/logs").headers["Content-Type"].startswith("text/plain"))
        for query in ("stream=x", "tail=-1", "tail=x", "since=-1", "since=x", "follow=perhaps"):
            with self.subTest(query=query):
                self.assert_error(agent.get(f"/tasks/a/logs?{query}"), 400)

    def test_output_of_a_running_task(self):
        agent = self.agent()
        agent.create(guide("a", "sh", "-c", "echo hello; sleep 1000"))
        eventually(lambda: agent.get("/tasks/a/logs?stream=stdout").text == "hello\n", 5, "the output")

    def test_follow(self):
        agent = self.agent()
        fifo = os.path.join(self.scratch(), "fifo")
        os.mkfifo(fifo)
        agent.run("done", "true")
        self.skip_if_unsupported(agent.get("/tasks/done/logs?follow=true"))
        agent.create(guide("a", "sh", "-c", f"exec 3<{fifo}; while read x <&3; do echo got $x; done"))
        with open(fifo, "w", encoding="utf-8") as f:
            connection = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=10 * SLOW)
            connection.request("GET", "/tasks/a/logs?stream=stdout&follow=true")
            response = connection.getresponse()
            self.assertEqual(response.status, 200)
            for n in range(5):
                f.write(f"{n}\n")
                f.flush()
                begin = time.monotonic()
                self.assertEqual(response.readline(), f"got {n}\n".encode())
                self.assertLess(time.monotonic() - begin, 0.4 * SLOW)  # 0.1 s is promised; the machine is shared
        # The task ends: so does the stream.
        self.assertEqual(response.read(), b"")
        connection.close()

    def follow(self, agent, path):
        connection = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=20 * SLOW)
        self.addCleanup(connection.close)
        connection.request("GET", path)
        response = connection.getresponse()
        self.assertEqual(response.status, 200)
        return response

    def test_follow_from_before_the_start_to_the_end(self):
        agent = self.agent("--max-concurrent-tasks=1")
        fifo = os.path.join(self.scratch(), "fifo")
        os.mkfifo(fifo)
        agent.create(guide("first", "sh", "-c", f"read x < {fifo}"))
        agent.create(guide("a", "sh", "-c", "echo one; echo two >&2; printf three; sleep 1000 & exit 3"))
        agent.wait_state("a", "waiting")
        both = self.follow(agent, "/tasks/a/logs?follow=true")
        out = self.follow(agent, "/tasks/a/logs?follow=true&stream=stdout")
        err = self.follow(agent, "/tasks/a/logs?follow=true&stream=stderr")
        with open(fifo, "w", encoding="utf-8") as f:
            f.write("go\n")
        # It ends with main, not with the process that main leaves behind.
        self.assertEqual(out.read(), b"one\nthree")
        self.assertEqual(err.read(), b"two\n")
        self.assertEqual(sorted(both.read()), sorted(b"one\nthreetwo\n"))

    def test_follow_of_an_ended_task(self):
        agent = self.agent()
        agent.run("a", "sh", "-c", "seq 1 5; echo err >&2")
        for query, text in (("stream=stdout&follow=true&tail=2", b"4\n5\n"), ("stream=stderr&follow=1", b"err\n"),
                            ("stream=stdout&follow=true&since=6", b"4\n5\n"), ("follow=true&tail=0", b""),
                            ("follow=true", b"1\n2\n3\n4\n5\nerr\n")):
            self.assertEqual(self.follow(agent, f"/tasks/a/logs?{query}").read(), text, query)
        # As bytes: chunks, and the next offset behind them. HTTP/1.0 knows no chunks, its end is the connection's.
        sock = agent.raw(b"GET /tasks/a/logs?follow=true HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = read_all(sock)
        sock.close()
        self.assertIn(b"\r\nTransfer-Encoding: chunked\r\n", answer)
        self.assertTrue(answer.endswith(b"\r\n0\r\nLog-Next-Offset: 10,4\r\n\r\n"), answer)
        sock = agent.raw(b"GET /tasks/a/logs?follow=true HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        answer = read_all(sock)
        sock.close()
        self.assertNotIn(b"chunked", answer)
        self.assertTrue(answer.endswith(b"\r\n\r\n1\n2\n3\n4\n5\nerr\n"), answer)
        # On a connection that is kept, the next requests have come behind it already.
        sock = agent.raw(b"GET /tasks/a/logs?follow=true HTTP/1.1\r\nHost: x\r\n\r\n" * 3 +
                         b"HEAD /tasks/a/logs?follow=true HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = read_all(sock)
        sock.close()
        self.assertEqual(answer.count(b"HTTP/1.1 200 OK\r\n"), 4)
        self.assertEqual(answer.count(b"Log-Next-Offset: 10,4\r\n\r\n"), 3)

    def test_follow_takes_all_of_a_fast_writer(self):
        agent = self.agent()
        agent.create(guide("a", "sh", "-c", "seq 1 400000"))
        text = self.follow(agent, "/tasks/a/logs?stream=stdout&follow=true").read()
        self.assertEqual(text, b"".join(b"%d\n" % n for n in range(1, 400001)))

    def test_follow_costs_nothing_while_the_task_is_silent(self):
        agent = self.agent("--reconcile-interval=1h")
        agent.create(guide("a", "sh", "-c", "echo hello; exec sleep 1000"))
        response = self.follow(agent, "/tasks/a/logs?follow=true")
        self.assertEqual(response.readline(), b"hello\n")

        def wakeups():
            return int(status_fields(agent.pid)["voluntary_ctxt_switches"])
        last = [wakeups(), time.monotonic()]

        def silent():  # for a second without a single one
            now = wakeups()
            if now != last[0]:
                last[:] = [now, time.monotonic()]
            return time.monotonic() - last[1] > 1
        eventually(silent, 5, "a second without a wake-up", poll=0.05)

    def test_follow_with_a_reader_that_stalls(self):
        agent = self.agent()
        agent.create(guide("a", "sh", "-c", "head -c 30000000 /dev/zero | tr '\\0' x; echo; exec sleep 1000"))
        sock = agent.raw(b"GET /tasks/a/logs?follow=true HTTP/1.1\r\nHost: x\r\n\r\n")
        self.addCleanup(sock.close)
        agent.wait_state("a", "running")
        eventually(lambda: os.path.getsize(os.path.join(agent.data_dir, "a", "stdout.log")) > 30000000, 20, "the output")
        # The others are served, and nothing piles up in the agent.
        self.assertEqual(agent.get("/health").status, 200)
        if SLOW == 1:
            self.assertLess(int(status_fields(agent.pid)["VmRSS"].split()[0]), 4000)
        # It gets on when it reads again.
        got = 0
        while got < 30000000:
            got += len(sock.recv(1 << 20))

    def test_follow_ends_with_the_task_and_with_the_agent(self):
        agent = self.agent()
        agent.create(guide("gone", "sh", "-c", "echo hello; exec sleep 1000"))
        agent.create(guide("kept", "sh", "-c", "echo hello; exec sleep 1000"))
        gone = self.follow(agent, "/tasks/gone/logs?follow=true")
        self.assertEqual(gone.readline(), b"hello\n")
        agent.delete("gone")
        self.assertEqual(gone.read(), b"")
        kept = self.follow(agent, "/tasks/kept/logs?follow=true")
        self.assertEqual(kept.readline(), b"hello\n")
        agent.stop()
        with self.assertRaises(http.client.IncompleteRead):  # broken off: the task has not ended
            kept.read()
        agent.start()

    def test_follow_over_a_bounded_log(self):
        agent = self.agent("--task-log-max-bytes=100000", "--reconcile-interval=50ms")
        fifo = os.path.join(self.scratch(), "fifo")
        os.mkfifo(fifo)
        agent.create(guide("a", "sh", "-c", f"seq 1 200000; read x < {fifo}; echo last"))
        agent.wait_state("a", "running")
        path = os.path.join(agent.data_dir, "a", "stdout.log")
        eventually(lambda: os.path.getsize(path) > 1200000 and os.stat(path).st_blocks * 512 <= 130000, 20, "bounded")
        response = self.follow(agent, "/tasks/a/logs?stream=stdout&follow=true")
        with open(fifo, "w", encoding="utf-8") as f:
            f.write("go\n")
        text = response.read()
        self.assertNotIn(b"\0", text)
        self.assertRegex(text, rb"^1\n2\n[^\[]*\[\.\.\. \d+ bytes left out \.\.\.\]\n")
        self.assertTrue(text.endswith(b"\n199999\n200000\nlast\n"))

    def test_log_is_bounded_where_holes_cannot_be_punched(self):
        folder = os.path.join(self.scratch(), "ramfs")
        os.mkdir(folder)
        if subprocess.run(["mount", "-t", "ramfs", "none", folder], stderr=subprocess.DEVNULL, check=False).returncode:
            self.skipTest("NEEDS A MOUNT: a ramfs, which knows no holes, can't be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", folder], check=True)
        agent = self.agent("--task-log-max-bytes=100000", "--reconcile-interval=50ms",
                           data_dir=os.path.join(folder, "data"))
        fifo = os.path.join(self.scratch(), "fifo")
        os.mkfifo(fifo)
        agent.create(guide("a", "sh", "-c", f"seq 1 100000; read x < {fifo}; seq 1 100000; echo last"))
        path = os.path.join(agent.data_dir, "a", "stdout.log")
        eventually(lambda: "100000\n" in agent.output("a") and os.path.getsize(path) <= 100000, 20, "bounded")
        with open(fifo, "w", encoding="utf-8") as f:
            f.write("go\n")
        agent.ended("a")
        eventually(lambda: os.path.getsize(path) <= 100000, 10, "bounded again")
        # Over it by less than a block.
        agent.create(guide("b", "sh", "-c", "yes | head -c 103197; exec sleep 1000"))
        agent.wait_state("b", "running")
        other = os.path.join(agent.data_dir, "b", "stdout.log")
        eventually(lambda: 50000 < os.path.getsize(other) <= 100000 and "left out" in agent.output("b"), 10, "cut")
        text = agent.get("/tasks/a/logs?stream=stdout").text
        self.assertRegex(text, r"^1\n2\n[^\[]*\[\.\.\. \d+ bytes left out \.\.\.\]\n[^\[]*$")
        self.assertTrue(text.endswith("\n100000\nlast\n"))
        left_out = int(text.split("[... ")[1].split()[0])
        marker = len(f"[... {left_out} bytes left out ...]\n")
        whole = 2 * len("".join(f"{n}\n" for n in range(1, 100001))) + 5
        # Nothing but what fell into the instant of the cut is missing.
        self.assertLessEqual(abs(len(text) - marker + left_out - whole), 20000)

    def test_log_is_bounded_where_holes_are_not_shown(self):
        if why := no_tracer():
            self.skipTest(why)
        agent = self.agent("--task-log-max-bytes=1000000", "--reconcile-interval=50ms", start=False)
        agent.prefix = slowed(agent, errors={"lseek": "EINVAL"})
        agent.start()
        agent.run("a", "sh", "-c", "yes | head -c 30000000")
        path = os.path.join(agent.data_dir, "a", "stdout.log")
        eventually(lambda: os.stat(path).st_blocks * 512 <= 1100000, 10, "bounded")

        def turns():
            return int(re.search(r"^task_executor_loop_turn_seconds_count (\d+)$", agent.get("/metrics").text, re.M)[1])
        before = turns()
        time.sleep(1)
        self.assertLess(turns() - before, 200)  # and that is the end of it

    def test_log_is_bounded(self):
        agent = self.agent("--task-log-max-bytes=100000", "--reconcile-interval=50ms")
        fifo = os.path.join(self.scratch(), "fifo")
        os.mkfifo(fifo)
        agent.create(guide("a", "sh", "-c", f"echo first; seq 1 100000; echo last; read x < {fifo}"))
        path = os.path.join(agent.data_dir, "a", "stdout.log")
        eventually(lambda: "last" in agent.output("a"), 20, "all is written")
        # On disk: holes don't count, and an O_APPEND writer goes on at the end.
        eventually(lambda: os.stat(path).st_blocks * 512 <= 130000, 10, "bounded on disk")
        text = agent.get("/tasks/a/logs?stream=stdout").text
        self.assertTrue(text.startswith("first\n1\n2\n"))
        self.assertTrue(text.endswith("99999\n100000\nlast\n"))
        with open(fifo, "w", encoding="utf-8") as f:
            f.write("go\n")
        self.assertEqual(agent.ended("a")["exitCode"], 0)


class Watch(AgentTest):
    def test_watch_stream(self):
        agent = self.agent()
        agent.create(guide("old", "sleep", "1000"))
        self.skip_if_unsupported(agent.get("/tasks?watch=true&revision=999999999999"))  # else: an answer at once
        connection = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=10 * SLOW)
        connection.request("GET", "/tasks?watch=true")
        response = connection.getresponse()
        self.assertEqual(response.status, 200)
        events = []

        def until(kind, name):
            while True:
                event = json.loads(response.readline())
                self.assertIn(event["type"], ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"))
                events.append(event)
                if event["type"] == kind and event["object"]["name"] == name:
                    return event
        until("ADDED", "old")
        agent.create(guide("new", "sh", "-c", "exit 4"))
        until("ADDED", "new")
        while True:
            event = until("MODIFIED", "new")
            if state_of(event["object"])[0] == "terminated":
                break
        self.assertEqual(state_of(event["object"])[1]["exitCode"], 4)
        ended_at = event["revision"]
        agent.delete("new")
        until("DELETED", "new")
        connection.close()
        revisions = [int(e["revision"]) for e in events]
        self.assertEqual(revisions, sorted(revisions))
        # Taken up again where it was left: what came after is told, what came before is not.
        connection = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=10 * SLOW)
        connection.request("GET", f"/tasks?watch=true&revision={ended_at}")
        response = connection.getresponse()
        events.clear()
        until("DELETED", "new")
        self.assertTrue(all(int(e["revision"]) > int(ended_at) for e in events), events)
        connection.close()
        agent.restart()
        self.assert_error(agent.get(f"/tasks?watch=true&revision={ended_at}"), 410)

    def watch(self, agent, query=""):
        connection = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=60 * SLOW)
        self.addCleanup(connection.close)
        connection.request("GET", f"/tasks?watch=true{query}")
        response = connection.getresponse()
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["Content-Type"], "application/x-ndjson")
        return response

    def test_list_then_watch(self):
        agent = self.agent()
        agent.run("a", "true")
        revision = agent.get("/getTasks").headers["Task-List-Revision"]
        self.assertEqual(agent.get("/tasks").headers["Task-List-Revision"], revision)
        agent.create(guide("b", "sleep", "1000"))
        agent.wait_state("b", "running")
        response = self.watch(agent, f"&revision={revision}")
        seen = [json.loads(response.readline()) for _ in range(2)]
        self.assertEqual([(e["type"], state_of(e["object"])[0]) for e in seen],
                         [("ADDED", "waiting"), ("MODIFIED", "running")])
        # Without a revision: all there is, and a bookmark behind it.
        response = self.watch(agent)
        seen = [json.loads(response.readline()) for _ in range(3)]
        self.assertEqual([(e["type"], e["object"].get("name")) for e in seen],
                         [("ADDED", "a"), ("ADDED", "b"), ("BOOKMARK", None)])
        self.assertEqual(int(seen[-1]["revision"]), int(revision) + 2)
        agent.delete("b")
        event = json.loads(response.readline())
        self.assertEqual(event["type"], "MODIFIED")
        self.assertIn("deletionTimestamp", event["object"])
        agent.gone("b")
        # The agent stops: the stream ends as it should, with its last chunk.
        agent.stop()
        self.assertEqual([json.loads(line)["type"] for line in response.read().splitlines()][-1], "DELETED")
        agent.start()
        for query, status in (("&revision=1", 410), ("&revision=9000000000000000", 410), ("&revision=x", 400),
                              ("&revision=-1", 400), ("&wait=all-terminated", 400)):
            self.assert_error(agent.get(f"/tasks?watch=true{query}"), status)
        self.assert_error(agent.get("/tasks?watch=perhaps"), 400)
        self.assertEqual(len(agent.get("/tasks?watch=false").json()), 1)

    def test_slow_watcher_is_dropped(self):
        agent = self.agent()
        sock = agent.raw(b"GET /tasks?watch=true HTTP/1.1\r\nHost: x\r\n\r\n")
        self.addCleanup(sock.close)
        # Two lines of each at least: twice what the agent keeps and the kernel's buffers take (8 and 4 MiB).
        for n in range(120):
            agent.create(guide(f"t{n}", "true", args=["x" * 100000]))
        agent.get("/tasks?wait=all-terminated&timeout=30s")
        data, deadline = b"", time.monotonic() + 20 * SLOW
        while not data.endswith(b"0\r\n\r\n"):
            self.assertLess(time.monotonic(), deadline, "bookmarks go on, and no end comes")
            piece = sock.recv(1 << 20)
            self.assertTrue(piece, "the stream must end with its last chunk")
            data = (data + piece)[-100000:]
        self.assertIn(b'{"type":"ERROR","revision":', data)
        self.assertIn(b'"object":{"code":"Gone","message":"', data)

    def test_a_thousand_watchers(self):
        agent = self.agent()
        agent.run("warm", "true")
        agent.delete("warm")
        agent.gone("warm")
        sockets = []
        self.addCleanup(lambda: [sock.close() for sock in sockets])
        for _ in range(1000):
            sockets.append(agent.raw(b"GET /tasks?watch=true HTTP/1.1\r\nHost: x\r\n\r\n"))
        for sock in sockets:
            while b"BOOKMARK" not in sock.recv(65536):
                pass

        def cpu_seconds():
            fields = read(f"/proc/{agent.pid}/stat").rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        before = cpu_seconds()
        agent.run("a", "true")
        for sock in sockets:
            data = b""
            while b'"terminated"' not in data:
                data += sock.recv(65536)
            self.assertEqual(data.count(b'{"type":"ADDED"'), 1)
        self.assertLess(cpu_seconds() - before, 0.2 * SLOW)  # three lines for each: some 20 ms
        if SLOW == 1:
            self.assertLess(int(status_fields(agent.pid)["VmRSS"].split()[0]), 8000)


class WaitForAll(AgentTest):
    def test_all_terminated(self):
        agent = self.agent()
        self.assertEqual(agent.get("/tasks?wait=all-terminated").json(), [])
        fifo = os.path.join(self.scratch(), "fifo")
        os.mkfifo(fifo)
        agent.run("done", "true")
        self.assertEqual(len(agent.get("/tasks?wait=all-terminated").json()), 1)
        agent.create(guide("a", "sh", "-c", f"read x < {fifo}; exit 3"))
        agent.create(guide("b", "sleep", "1000"))
        agent.wait_state("a", "running")
        # The time is over: the list as it is.
        states = [state_of(t)[0] for t in agent.get("/tasks?wait=all-terminated&timeout=50ms").json()]
        self.assertEqual(states[0], "terminated")
        self.assertNotEqual(set(states), {"terminated"})
        connection = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=20 * SLOW)
        self.addCleanup(connection.close)
        connection.request("GET", "/tasks?wait=all-terminated")
        agent.delete("b")
        agent.gone("b")
        with open(fifo, "w", encoding="utf-8") as f:
            f.write("go\n")
        response = connection.getresponse()
        tasks = json.loads(response.read())
        self.assertEqual([(t["name"], state_of(t)[1]["exitCode"]) for t in tasks], [("done", 0), ("a", 3)])
        for query in ("wait=terminated", "wait=all-terminated&timeout=x"):
            self.assert_error(agent.get(f"/tasks?{query}"), 400)


class Bookmarks(AgentTest):
    first = True  # it waits half a minute

    def test_bookmark_every_30_seconds(self):
        agent = self.agent()
        connection = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=60 * SLOW)
        self.addCleanup(connection.close)
        connection.request("GET", "/tasks?watch=true")
        response = connection.getresponse()
        first = json.loads(response.readline())
        begin = time.monotonic()
        self.assertEqual((first["type"], first["object"]), ("BOOKMARK", {}))
        second = json.loads(response.readline())
        self.assertEqual(second, first)
        self.assertTrue(28 < time.monotonic() - begin < 32 * SLOW)

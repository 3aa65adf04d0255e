"""A proxy of HTTP/2 frames between an agent and a container runtime, which does to calls what no library would.

It asks the runtime for header blocks without a dynamic table, so that an answer can be taken out and nothing else
changes its meaning. The client is ours: it writes :path as it is.
"""

import os
import re
import socket
import struct
import threading

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY, CONTINUATION = 0, 1, 3, 4, 7, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL = 0, 2, 7, 8
PATH = re.compile(rb"/runtime\.v1\.\w+/")
LONG_TEXT = b"e" * 20_000


def noise():
    """Begins with a length that no frame has: of one that could be, the rest would be waited for."""
    return b"\xff" + os.urandom(4_095)


# The runtime never hears of the call; or it has done it, and the answer is what goes wrong.
BEFORE = ("refused", "goaway above", "end", "half-closed", "nonsense")
AFTER = ("goaway twice", "reset", "cancelled", "answer lost", "half an answer", "garbled", "unavailable", "silence")
FAULTS = BEFORE + AFTER


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name, value):
    """A header field that is not kept, without Huffman coding (RFC 7541, 6.2.2)."""
    def text(data):
        size = len(data)
        if size < 127:
            return bytes([size]) + data
        out, size = b"\x7f", size - 127
        while size >= 128:
            out, size = out + bytes([size & 127 | 128]), size >> 7
        return out + bytes([size]) + data
    return b"\x00" + text(name) + text(value)


def refusal(stream, code, message):
    """Trailers alone, over several frames where they are long."""
    block = b"\x88" + literal(b"content-type", b"application/grpc") + literal(b"grpc-status", b"%d" % code) + \
        literal(b"grpc-message", message)
    parts = [block[at:at + 16_384] for at in range(0, len(block), 16_384)]
    return b"".join(frame(CONTINUATION if i else HEADERS, (0 if i else END_STREAM) |
                          (END_HEADERS if i == len(parts) - 1 else 0), stream, part) for i, part in enumerate(parts))


class Connection:
    """One connection of the agent, and ours to the runtime for it."""

    def __init__(self, proxy, client):
        self.proxy, self.client = proxy, client
        self.server = socket.socket(socket.AF_UNIX)
        self.server.connect(proxy.upstream)
        self.lock = threading.Lock()  # of writing to the client
        self.taken = set()  # streams that the server must not hear of
        self.pending = {}  # what is to be done when the answer comes, by stream
        self.dropped = set()  # streams whose answer is swallowed
        self.last = 0
        self.threads = [threading.Thread(target=self.run, args=(loop,), daemon=True)
                        for loop in (self.from_client, self.from_server)]
        for thread in self.threads:
            thread.start()

    def run(self, loop):
        try:
            loop()
        except OSError:
            pass
        self.close()

    def close(self):
        for one in (self.client, self.server):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def tell(self, data):
        with self.lock:
            self.client.sendall(data)

    @staticmethod
    def frames(stream):
        while head := stream.read(9):
            payload = stream.read(int.from_bytes(head[:3], "big"))
            yield head[3], head[4], int.from_bytes(head[5:], "big"), payload

    def from_client(self):
        stream = self.client.makefile("rb")
        self.server.sendall(stream.read(len(PREFACE)))
        for kind, flags, number, payload in self.frames(stream):
            if kind == SETTINGS and not flags & ACK:
                entries = [payload[i:i + 6] for i in range(0, len(payload), 6)]
                payload = b"".join(e for e in entries if e[:2] != b"\0\1") + struct.pack(">HI", 1, 0)
            if kind == HEADERS:
                self.last = max(self.last, number)
                fault = self.proxy.take(self.method(payload))
                if fault in BEFORE:
                    self.taken.add(number)
                    self.before(fault, number)
                elif fault:
                    self.pending[number] = fault
            if number not in self.taken:
                self.server.sendall(frame(kind, flags, number, payload))

    @staticmethod
    def method(block):
        begin = PATH.search(block)
        size = block[begin.start() - 1]
        return block[begin.end():begin.start() + size].decode()

    def from_server(self):
        for kind, flags, number, payload in self.frames(self.server.makefile("rb")):
            if number in self.pending and kind in (HEADERS, RST_STREAM):
                self.after(self.pending.pop(number), number, frame(kind, flags, number, payload))
            elif number not in self.dropped:
                self.tell(frame(kind, flags, number, payload))

    def before(self, fault, number):
        if fault == "refused":
            self.tell(frame(RST_STREAM, 0, number, struct.pack(">I", REFUSED_STREAM)))
        elif fault == "goaway above":
            for _ in range(2):
                self.tell(frame(GOAWAY, 0, 0, struct.pack(">II", number - 2 if number > 1 else 0, NO_ERROR)))
        elif fault == "end":
            self.close()
        elif fault == "half-closed":
            self.client.shutdown(socket.SHUT_WR)
        elif fault == "nonsense":
            self.tell(noise())

    def after(self, fault, number, answer):
        if fault == "goaway twice":
            self.tell(frame(GOAWAY, 0, 0, struct.pack(">II", 0x7FFFFFFF, NO_ERROR)))
            self.tell(answer)
            self.tell(frame(GOAWAY, 0, 0, struct.pack(">II", self.last, NO_ERROR)))
            return
        self.dropped.add(number)
        if fault == "reset":
            self.tell(frame(RST_STREAM, 0, number, struct.pack(">I", INTERNAL_ERROR)))
        elif fault == "cancelled":
            self.tell(frame(RST_STREAM, 0, number, struct.pack(">I", CANCEL)))
        elif fault == "answer lost":
            self.close()
        elif fault == "half an answer":
            self.tell(answer[:-5])
            self.client.shutdown(socket.SHUT_WR)
        elif fault == "garbled":
            self.tell(noise())
        elif fault == "unavailable":
            self.tell(refusal(number, 14, LONG_TEXT))
        else:
            assert fault == "silence"  # the call waits for its deadline


class FrameProxy:
    """Listens at `path`. arm() gives the next call of a method a fault, once."""

    def __init__(self, upstream, path):
        self.upstream, self.path = upstream, path
        self.armed = {}
        self.connections = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def arm(self, method, fault):
        assert fault in FAULTS
        self.armed[method] = fault

    def take(self, method):
        return self.armed.pop(method, None)

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            self.connections.append(Connection(self, client))

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        for one in self.connections:
            one.close()
            for thread in one.threads:
                thread.join()
            one.client.close()
            one.server.close()

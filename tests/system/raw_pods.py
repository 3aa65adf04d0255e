"""The pods of fake_pods.py behind bare frames: raw_pods.py SOCKET. For measuring: it knows what time it takes itself.

One thread, one connection at a time after the other's end, no state of HPACK: all that the agent's client needs. A line
"time" on stdin is answered with the seconds spent between a request's coming and its answer's going since the last one.
"""

import os
import re
import selectors
import socket
import struct
import sys
import time

import fake_pods
from frame_proxy import DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, frame, literal

PATH = re.compile(rb"/runtime\.v1\.\w+/")
PING, ACK, LARGEST_FRAME = 6, 1, 16_384
HEAD = b"\x88" + literal(b"content-type", b"application/grpc")


class Peer:
    def __init__(self, sock):
        self.sock, self.data, self.requests = sock, b"", {}
        window = struct.pack(">I", 1 << 30)
        self.sock.sendall(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 30)) + frame(8, 0, 0, window))

    def receive(self, data):
        """What is to be sent for it."""
        self.data += data
        if self.data[:3] == PREFACE[:3]:
            self.data = self.data[len(PREFACE):]
        out = b""
        while len(self.data) >= 9:
            size = 9 + int.from_bytes(self.data[:3], "big")
            if len(self.data) < size:
                break
            kind, flags, stream = self.data[3], self.data[4], int.from_bytes(self.data[5:9], "big")
            payload, self.data = self.data[9:size], self.data[size:]
            if kind == SETTINGS and not flags & ACK:
                out += frame(SETTINGS, ACK, 0)
            elif kind == PING:
                out += frame(PING, ACK, 0, payload)
            elif kind == HEADERS:
                begin = PATH.search(payload)
                size = payload[begin.start() - 1] - (begin.end() - begin.start())
                self.requests[stream] = [payload[begin.end():begin.end() + size].decode(), b""]
            elif kind == DATA:
                self.requests[stream][1] += payload
                if flags & END_STREAM:
                    out += self.answer(stream, *self.requests.pop(stream))
        return out

    @staticmethod
    def answer(stream, method, request):
        try:
            message = fake_pods.METHODS[method](request[5:])
        except KeyError:
            block = HEAD + literal(b"grpc-status", b"5")
            return frame(HEADERS, END_STREAM | END_HEADERS, stream, block)
        message = struct.pack(">BI", 0, len(message)) + message
        parts = [frame(DATA, 0, stream, message[at:at + LARGEST_FRAME]) for at in range(0, len(message), LARGEST_FRAME)]
        return frame(HEADERS, END_HEADERS, stream, HEAD) + b"".join(parts) + \
            frame(HEADERS, END_STREAM | END_HEADERS, stream, literal(b"grpc-status", b"0"))


def main():
    fake_pods.print = lambda *_, **__: None  # what is started is not told
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen(16)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    spent = 0.0
    print("listening", flush=True)
    while True:
        for key, _ in selector.select():
            begin = time.perf_counter()
            if key.fileobj is listener:
                sock = listener.accept()[0]
                selector.register(sock, selectors.EVENT_READ, Peer(sock))
            elif key.fileobj is sys.stdin:
                if not os.read(sys.stdin.fileno(), 64):
                    return
                print("time", spent, flush=True)
                spent = 0.0
            elif data := key.fileobj.recv(1 << 18):
                if out := key.data.receive(data):
                    key.fileobj.sendall(out)
                    spent += time.perf_counter() - begin
            else:
                selector.unregister(key.fileobj)
                key.fileobj.close()


if __name__ == "__main__":
    main()

"""A CRI runtime in grpcio: fake_cri.py SOCKET [option=value ...]. Run by Debian's Python, which has it.

It does what the id of a container asks for: "sleep=0.5", "error=5,200" (code, length of the text), "size=100000" (of the
answer's message), "text=…" (an error of that text); a PullImage never ends by itself. GetContainerEvents tells three
events and then waits. What happens to calls is told on stdout, a line each: "cancelled PullImage".
"""

import concurrent.futures
import sys
import threading
import time

import grpc


def varint(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def text(field, value):
    value = value if isinstance(value, bytes) else value.encode()
    return varint(field << 3 | 2) + varint(len(value)) + value


def number(field, value):
    return varint(field << 3) + varint(value)


def first_text(request):
    """Field 1, a string of less than 128 bytes; empty when there is none."""
    return request[2:2 + request[1]].decode() if request[:1] == b"\x0a" else ""


def tell(line):
    print(line, flush=True)


def behave(context, method, request):
    """What the request's id asks for; the size of the answer's message."""
    wish, _, value = first_text(request).partition("=")
    if wish == "sleep":
        gone = threading.Event()
        context.add_callback(gone.set)
        if gone.wait(float(value)):
            tell(f"cancelled {method}")
        else:
            tell(f"finished {method}")
    elif wish == "error":
        code, length = value.split(",")
        context.abort(next(c for c in grpc.StatusCode if c.value[0] == int(code)), "e" * int(length))
    elif wish == "text":
        context.abort(grpc.StatusCode.UNKNOWN, value)
    elif wish == "size":
        return int(value)
    return 0


def version(_request, _context):
    return text(1, "0.1.0") + text(2, "fake") + text(3, "1.0") + text(4, "v1")


def container_status(request, context):
    size = behave(context, "ContainerStatus", request)
    return text(1, text(1, first_text(request)) + number(3, 2) + text(11, "m" * size))


def plain(method):
    def handler(request, context):
        behave(context, method, request)
        return b""
    return handler


def pull(_request, context):
    gone = threading.Event()
    context.add_callback(gone.set)
    tell("pulling")
    gone.wait()
    tell("cancelled PullImage")
    return b""


def events(_request, context):
    gone = threading.Event()

    def end():  # here, as a cancelled generator is not run on from its yield
        tell("cancelled GetContainerEvents")
        gone.set()
    context.add_callback(end)
    for kind in range(3):
        yield text(1, f"c{kind}") + number(2, kind) + number(3, 1_000 + kind)
    gone.wait()


RUNTIME = {"Version": version, "ContainerStatus": container_status,
           **{name: plain(name) for name in ("StartContainer", "StopContainer", "RemoveContainer", "StopPodSandbox",
                                             "RunPodSandbox", "CreateContainer", "ListContainers")}}


class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        service, _, method = details.method.rpartition("/")
        if service == "/runtime.v1.RuntimeService":
            if method == "GetContainerEvents":
                return grpc.unary_stream_rpc_method_handler(events)
            if method in RUNTIME:
                return grpc.unary_unary_rpc_method_handler(RUNTIME[method])
        if details.method == "/runtime.v1.ImageService/PullImage":
            return grpc.unary_unary_rpc_method_handler(pull)
        return None


def main():
    options = [(f"grpc.{name}", int(value)) for name, _, value in (arg.partition("=") for arg in sys.argv[2:])]
    options += [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(64), handlers=[Handler()], options=options)
    server.add_insecure_port(f"unix:{sys.argv[1]}")
    server.start()
    tell("listening")
    for line in sys.stdin:
        if line.startswith("stop"):
            server.stop(float(line.split()[1]))
            tell("stopping")
    server.stop(0).wait(5)
    time.sleep(0)


main()

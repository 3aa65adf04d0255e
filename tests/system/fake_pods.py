"""A CRI runtime in grpcio that has pods: fake_pods.py SOCKET. Run by Debian's Python, which has it.

A container ends at once with code 3, but for those of images named run:… (until they are stopped), oom:… (137,
OOMKilled) and oom-child:… (0, OOMKilled, as when another process than the first was killed). What is started is told on
stdout, a line each: "start TASK". Lines on stdin:

METHOD=FAULT, answered with "fault METHOD": what happens to the next call of that method: "unavailable", "long" (UNKNOWN
and 20 kB of text), "lost" (done, and then UNAVAILABLE), "garbage" (bytes that are no message), "slow" (0.7 s).
left, answered with "left N": how many sandboxes and containers there are.

raw_pods.py has the same pods without grpcio.
"""

import concurrent.futures
import sys
import threading
import time


def varint(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value if isinstance(value, bytes) else value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    """{number: [values]}"""
    out, at = {}, 0
    while at < len(data):
        key, at = read_varint(data, at)
        if key & 7 == 2:
            size, at = read_varint(data, at)
            value, at = data[at:at + size], at + size
        else:
            value, at = read_varint(data, at)
        out.setdefault(key >> 3, []).append(value)
    return out


def first(data, *path, default=b""):
    for number in path:
        data = fields(data).get(number, [default])[0]
    return data


def labels_of(data, number):
    return {first(one, 1): first(one, 2) for one in fields(data).get(number, [])}


def entries(number, labels):
    return b"".join(field(number, field(1, key) + field(2, value)) for key, value in labels.items())


LOCK = threading.Lock()
SANDBOXES, CONTAINERS, IMAGES = {}, {}, set()
CREATED, RUNNING, EXITED = range(3)
ENDS = {b"oom": (137, b"OOMKilled"), b"oom-child": (0, b"OOMKilled"), b"run": (143, b"Error")}  # by image
COUNT = 0
FAULTS = {}


def new_id(kind):
    global COUNT
    COUNT += 1
    return f"{kind}{COUNT}".encode()


def version(_):
    return field(1, "0.1.0") + field(2, "fake") + field(3, "1.0") + field(4, "v1")


def run_sandbox(request):
    config = first(request, 1)
    SANDBOXES[one := new_id("s")] = (first(config, 1), labels_of(config, 6))
    return field(1, one)


def list_sandboxes(request):
    wanted = labels_of(first(request, 1), 3).items()
    return b"".join(field(1, field(1, one) + field(2, meta) + entries(5, labels))
                    for one, (meta, labels) in SANDBOXES.items() if wanted <= labels.items())


def remove_sandbox(request):
    SANDBOXES.pop(first(request, 1), None)
    return b""


def create(request):
    config = first(request, 2)
    CONTAINERS[one := new_id("c")] = {"sandbox": first(request, 1), "meta": first(config, 1), "state": CREATED,
                                      "kind": first(config, 2, 18).partition(b":")[0], "labels": labels_of(config, 9)}
    return field(1, one)


def start(request):
    one = CONTAINERS[first(request, 1)]
    print("start", one["labels"][b"task-executor.task"].decode(), flush=True)
    one["state"] = RUNNING if one["kind"] == b"run" else EXITED
    return b""


def stop(request):
    CONTAINERS[first(request, 1)]["state"] = EXITED
    return b""


def stats(request):
    CONTAINERS[first(request, 1)]  # known, or NOT_FOUND
    return field(1, field(2, field(2, field(1, 5_000_000))) + field(3, field(2, field(1, 1 << 20))))


def status(request):
    one = CONTAINERS[first(request, 1)]
    code, reason = ENDS.get(one["kind"], (3, b"Error"))
    started = field(5, 1_700_000_000_000_000_000)
    ended = field(6, 1_700_000_001_000_000_000) + field(7, code) + field(10, reason)
    return field(1, field(1, first(request, 1)) + field(2, one["meta"]) + field(3, one["state"]) +
                 (started if one["state"] != CREATED else b"") + (ended if one["state"] == EXITED else b"") +
                 entries(12, one["labels"]))


def list_containers(request):
    wanted = labels_of(first(request, 1), 4).items()
    return b"".join(field(1, field(1, key) + field(2, one["sandbox"]) + field(3, one["meta"]) + field(6, one["state"]) +
                          entries(8, one["labels"])) for key, one in CONTAINERS.items() if wanted <= one["labels"].items())


def remove(request):
    CONTAINERS.pop(first(request, 1), None)
    return b""


def image_status(request):
    image = first(request, 1, 1)
    return field(1, field(1, b"sha256:" + image)) if image in IMAGES else b""


def pull(request):
    IMAGES.add(image := first(request, 1, 1))
    return field(1, b"sha256:" + image)


METHODS = {"Version": version, "RunPodSandbox": run_sandbox, "ListPodSandbox": list_sandboxes,
           "StopPodSandbox": lambda _: b"", "RemovePodSandbox": remove_sandbox, "CreateContainer": create,
           "StartContainer": start, "ContainerStatus": status, "ListContainers": list_containers,
           "StopContainer": stop, "ContainerStats": stats, "RemoveContainer": remove, "ImageStatus": image_status, "PullImage": pull}


def answer(grpc, name, request, context):
    with LOCK:
        fault = FAULTS.pop(name, "")
    if fault == "unavailable":
        context.abort(grpc.StatusCode.UNAVAILABLE, "go away")
    if fault == "long":
        context.abort(grpc.StatusCode.UNKNOWN, "e" * 20_000)
    if fault == "slow":
        time.sleep(0.7)
    with LOCK:
        try:
            message = METHODS[name](request)
        except KeyError:
            context.abort(grpc.StatusCode.NOT_FOUND, "not found")
    if fault == "lost":
        context.abort(grpc.StatusCode.UNAVAILABLE, "connection lost")
    return b"\xff" * 100 if fault == "garbage" else message


def obey(line):
    name, _, fault = line.partition("=")
    if name == "left":
        print("left", len(SANDBOXES) + len(CONTAINERS), flush=True)
    else:
        FAULTS.clear()
        FAULTS[name] = fault
        print("fault", name, flush=True)


def main():
    import grpc  # only here: the pods themselves need no more than Python

    class Handler(grpc.GenericRpcHandler):
        def service(self, details):
            name = details.method.rpartition("/")[2]
            if name not in METHODS:
                return None
            return grpc.unary_unary_rpc_method_handler(lambda request, context: answer(grpc, name, request, context))

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16), handlers=[Handler()])
    server.add_insecure_port(f"unix:{sys.argv[1]}")
    server.start()
    print("listening", flush=True)
    for line in sys.stdin:
        with LOCK:
            obey(line.strip())
    server.stop(0).wait(5)


if __name__ == "__main__":
    main()

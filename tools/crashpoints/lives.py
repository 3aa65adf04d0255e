"""The lives that are gone through, each as a function of a World: what a client does, and what it may rely on."""

from world import FakeRuntime, MainContainer, harness, hold, until


def task(name, command, **process):
    return harness.guide(name, *command, **process)


def simple(world):
    """Created, started, run, ended, deleted."""
    world.start()
    world.create(task("a", world.script("a", "echo out; exit 3")))
    world.expect("a", 3, "Failed")
    world.delete("a")
    world.gone("a")
    world.finish()


def replace(world):
    """setTasks with onSpecChange=replace while the old one runs, and one that is left out."""
    world.start()
    world.set_tasks([task("a", world.script("a1", "exec sleep 1000")), task("b", world.script("b", "exec sleep 1000"))])
    world.running("a")
    world.set_tasks([task("a", world.script("a2", "exit 4"))], "?onSpecChange=replace")
    # Which of the two a name means is told by its end: the old one sleeps.
    world.expect("a", 4, "Failed", counter="a2")
    world.gone("b")
    hold(world.runs("a1") <= 1 and world.runs("b") <= 1, "a replaced task ran more than once")
    world.finish()


def hooks(world):
    """preStart, main, postStop."""
    world.start()
    lifecycle = {"preStart": {"exec": {"command": world.script("pre", "exit 0")}},
                 "postStop": {"exec": {"command": world.script("post", "exit 0")}}}
    world.create(task("a", world.script("a", "exit 5"), lifecycle=lifecycle))
    world.expect("a", 5, "Failed")
    world.delete("a")
    world.gone("a")
    hold(world.runs("pre") <= 1 and world.runs("post") <= 1, "a hook ran more than once")
    if not world.other_ends():
        hold(world.runs("pre") == 1 and world.runs("post") == 1,
             f"preStart ran {world.runs('pre')} times, postStop {world.runs('post')} times")
    world.finish()


def timeout(world):
    """A timeout, and a command that says goodbye at TERM."""
    world.start()
    world.create(task("a", world.script("a", "trap 'exit 9' TERM; while :; do sleep 0.02; done"), timeoutSeconds=1))
    world.expect("a", 9, "TaskTimeout")
    world.delete("a")
    world.gone("a")
    world.finish()


def grace(world):
    """Deleted while it runs: main says goodbye at TERM, a child of its own session does not hear."""
    world.start()
    stubborn = "setsid sh -c 'trap \"\" TERM; echo up; while :; do sleep 0.05; done' &"
    world.create(task("a", world.script("a", f"trap 'exit 7' TERM; {stubborn} while :; do sleep 0.02; done"),
                      terminationGracePeriodSeconds=1))
    world.running("a")
    until(lambda: world.agent.output("a") or harness.state_of(world.get("a"))[0] == "terminated", "its first output")
    world.delete("a")
    world.gone("a")
    hold(world.runs("a") <= 1, "it ran more than once")
    world.finish()


def recovery(world):
    """An agent that finds one of each kind: ended, running, being deleted with a successor, just created."""
    world.start(traced=False)
    world.create(task("ended", world.script("ended", "exit 3")))
    world.expect("ended", 3, "Failed")
    world.create(task("runs", world.script("runs", "while [ ! -e go ]; do sleep 0.01; done; exit 4"),
                      workingDir=world.folder))
    world.create(task("dies", world.script("dies1", "trap '' TERM; echo up; while :; do sleep 0.02; done"),
                      terminationGracePeriodSeconds=0))
    world.running("runs")
    world.running("dies")
    world.create(task("new", world.script("new", "exit 5")))
    world.set_tasks([task("ended", world.script("ended", "exit 3")),
                     task("runs", world.script("runs", "while [ ! -e go ]; do sleep 0.01; done; exit 4"),
                          workingDir=world.folder),
                     task("dies", world.script("dies2", "exit 6")), task("new", world.script("new", "exit 5"))],
                    "?onSpecChange=replace")
    world.kill()
    world.descriptors = None
    world.start()
    world.check_promises()
    world.expect("ended", 3, "Failed")
    world.expect("new", 5, "Failed")
    world.expect("dies", 6, "Failed", counter="dies2")
    with open(f"{world.folder}/go", "w", encoding="utf-8"):
        pass
    world.expect("runs", 4, "Failed")
    hold(world.runs("dies1") <= 1, "the replaced one ran more than once")
    world.finish()


def container(world):
    """A task in a container."""
    world.use_containers()
    world.start()
    world.create({"name": "a", "spec": {"container": {"image": "box", "command": ["true"]}}})
    world.expect("a", 3, "Failed")
    world.delete("a")
    world.gone("a")
    world.finish()


def sidecar(world):
    """A task in the main container that leaves a process behind."""
    world.use_main_container()
    world.start()
    world.create(task("a", world.script("a", "setsid sleep 1000 & exit 3")))
    world.expect("a", 3, "Failed")
    world.delete("a")
    world.gone("a")
    world.finish()


LIVES = {fn.__name__: fn for fn in (simple, replace, hooks, timeout, grace, recovery, container, sidecar)}
# What a life needs that not every machine has.
NEEDS = {"container": FakeRuntime, "sidecar": MainContainer}

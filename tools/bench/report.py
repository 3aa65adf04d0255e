"""Tables in Markdown, and what is wrong."""

import sys

from agents import longest_turn

HEALTH = "/health p50 / p99 / longest, ms"
HEALTH_BOUND = 1.0  # a kubelet gives a probe that long
FAILURES = []


def fail(what):
    FAILURES.append(what)
    print(f"WRONG: {what}", file=sys.stderr)  # not into a table; it is told once more at the end


def header(*names):
    print("\n| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|", flush=True)


def row(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def ms(seconds):
    return " / ".join(f"{1e3 * one:.1f}" for one in seconds)


def watch_health(health, bound=HEALTH_BOUND):
    shares = health.take()
    if shares[-1] > bound:
        fail(f"/health took {shares[-1]:.2f} s, bound {bound:.2f} s")
    return ms(shares)


def turns(agent):
    bound, total = longest_turn(agent)
    return f"99.9 % of {total} turns of the loop took {1e3 * bound:g} ms at most, without their syncs"

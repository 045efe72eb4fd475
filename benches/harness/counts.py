"""Costs of one cached request that do not depend on the machine's mood: instructions, allocations, system calls.

callgrind counts the first two. Its counters are set to zero when the gate is warm, so that start and stop do not count.
strace counts system calls of two whole runs, of which one has more requests: their difference is that of the requests.
What is accepted is the matter of `accepted`.
"""

import os
import re
import subprocess

from . import callgrind, gate, load, machine, questions
from .accepted import TOLERANCES

PROFILE = "profiling"
REQUESTS = 8_000
WARM = 1_000
CASES = {
    "64 tokens": {},
    "64 tokens, another URL each time": {"ask": questions.http1_elsewhere},
    "64 tokens, no policy": {"routes": 0},
    "64 tokens, unix socket": {"listen": gate.unix},
    "64 tokens, HOT_LOOP=false": {"settings": {"HOT_LOOP": "false"}},
    "64 tokens, h2c": {"streams": load.CALLS_AT_ONCE},
}


def run(bench, report, only=None):
    rows = []
    for name, what in CASES.items():
        if not only or only in name:
            rows.append({"name": name} | counted(bench, **what))
            machine.say(f"{name}: " + ", ".join(f"{rows[-1][it]:,} {it}" for it in TOLERANCES))
    columns = [("instructions", "instructions", "{:,.0f}"), ("allocations", "allocations", "{:.2f}"),
               ("system_calls", "system calls", "{:.2f}")]
    report.table("counts", "Counts of one cached request", rows, INTRODUCTION, columns, ("instructions", "instructions a request"))
    return rows


INTRODUCTION = f"""The gate has one thread for requests, which {{connections}} connections ask (h2c: 2 with {{calls}} calls each). \
callgrind counts the instructions of the gate and its calls of the allocator, over {REQUESTS:,} requests to a warm gate; it shows \
a processor without SHA instructions, so that a digest costs more than on most machines. strace counts the system calls. \
The binary is built with `--profile profiling`."""


def counted(bench, routes=gate.ROUTES, settings=None, listen=None, streams=0, ask=None):
    made = bench.tokens(64)
    requests = bench.requests(made.texts, ask or (questions.http2 if streams else questions.http1))
    # A slow machine would read sessions again meanwhile, and count that.
    settings = {"SESSION_STALENESS": "3600"} | (settings or {})
    started = {"routes": routes, "settings": settings, "listen": listen}
    asked = {"requests": requests, "connections": 2 if streams else load.CONNECTIONS, "streams": streams}
    instructions, allocations = instrumented(bench, made, started, asked)
    few, many = (system_calls(bench, made, started, asked, count) for count in (REQUESTS, 3 * REQUESTS))
    return {"instructions": round(instructions / REQUESTS), "allocations": round(allocations / REQUESTS, 2),
            "system_calls": round((many - few) / (2 * REQUESTS), 2)}


def instrumented(bench, made, started, asked):
    """Instructions and calls of the allocator of so many requests to a warm gate."""
    out = bench.folder() / "callgrind.out"
    wrapper = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}"]
    with gate.gate(bench, made, wrapper=wrapper, **started) as server:
        one_by_one(server, made, asked)
        with load.Load(server, server.address, **asked) as load_of:
            load_of.ask(WARM)
            control("--zero", server.pid)
            load_of.ask(REQUESTS)
            control("--dump", server.pid)
    return callgrind.read(out.with_name(out.name + ".1"))


def one_by_one(server, made, asked):
    """Shows each token by itself: so slow a gate would refuse the last of many that it has to verify at once."""
    alone = {"connections": 1, "streams": min(1, asked["streams"])}
    with load.Load(server, server.address, **(asked | alone)) as load_of:
        load_of.ask(2 * len(made.texts))


def control(what, pid):
    done = subprocess.run(["callgrind_control", what, str(pid)], capture_output=True, text=True)
    if done.returncode:
        machine.die(f"callgrind_control {what}: {done.stdout}{done.stderr}")


def system_calls(bench, made, started, asked, count):
    """System calls of a whole run with so many requests."""
    out = bench.folder() / "strace.out"
    with gate.gate(bench, made, wrapper=["strace", "-c", "-f", "-o", str(out)], **started) as server:
        one_by_one(server, made, asked)
        with load.Load(server, server.address, **asked) as load_of:
            load_of.ask(count)
        os.kill(server.processes()[-1], 15)
        server.process.wait(10)
    found = re.search(r"^100\.00\s+\S+\s+(?:\S+\s+)?(\d+)(?:\s+\d+)?\s+total$", out.read_text(), re.MULTILINE)
    if not found:
        machine.die(f"strace counted nothing: {out.read_text()[-500:]}")
    return int(found[1])

"""Costs of one cached request that do not depend on the machine's mood: instructions, allocations, system calls.

callgrind counts the first two. Its counters are set to zero when the gate is warm, so that start and stop do not count.
strace counts system calls of two whole runs, of which one has more requests: their difference is that of the requests.
The accepted figures are in benches/counts.toml; with `--check` the run fails where one has grown by more than its
tolerance, and `--accept` writes the file anew.
"""

import os
import pathlib
import re
import subprocess
import tomllib

from . import gate, load, machine, questions

PROFILE = "profiling"
REQUESTS = 4_000
WARM = 1_000
ACCEPTED = machine.ROOT / "benches/counts.toml"
# What a figure may grow: a share of it, and a number.
TOLERANCES = {"instructions": (0.03, 0), "allocations": (0, 0.05), "system_calls": (0, 0.25)}
ALLOCATORS = {"malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"}
HEAD = """# Costs of one cached request, as `benches/run counts` measures them. `benches/run counts --check` fails where a figure grows by
# more than 3 % (instructions), 0.05 (allocations) or 0.25 (system calls); `benches/run counts --accept` writes this file.
"""
CASES = {
    "64 tokens": {},
    "64 tokens, no policy": {"routes": 0},
    "64 tokens, unix socket": {"listen": gate.unix},
    "64 tokens, HOT_LOOP=false": {"settings": {"HOT_LOOP": "false"}},
    "64 tokens, h2c": {"streams": 32},
}


def run(bench, report, only=None):
    rows = []
    for name, what in CASES.items():
        if not only or only in name:
            rows.append({"name": name} | counted(bench, **what))
            machine.say(", ".join(f"{value} {key}" for key, value in rows[-1].items()))
    columns = [("instructions", "instructions", "{:,.0f}"), ("allocations", "allocations", "{:.2f}"),
               ("system_calls", "system calls", "{:.2f}")]
    report.table("counts", "Counts of one cached request", rows, INTRODUCTION, columns, ("instructions", "instructions a request"))
    return rows


INTRODUCTION = f"""The gate has one thread for requests, which {{connections}} connections ask (h2c: 2 with {{calls}} calls each). \
callgrind counts the instructions of the gate and its calls of the allocator, over {REQUESTS:,} requests to a warm gate; it shows \
a processor without SHA instructions, so that a digest costs more than on most machines. strace counts the system calls. \
The binary is built with `--profile profiling`."""


def counted(bench, routes=gate.ROUTES, settings=None, listen=None, streams=0):
    made = bench.tokens(64)
    requests = bench.requests(made.texts, questions.http2 if streams else questions.http1)
    started = {"routes": routes, "settings": settings, "listen": listen}
    asked = {"requests": requests, "connections": 2 if streams else load.CONNECTIONS, "streams": streams}
    instructions, allocations = callgrind(bench, made, started, asked)
    few, many = (system_calls(bench, made, started, asked, count) for count in (REQUESTS, 3 * REQUESTS))
    return {"instructions": round(instructions / REQUESTS), "allocations": round(allocations / REQUESTS, 2),
            "system_calls": round((many - few) / (2 * REQUESTS), 2)}


def callgrind(bench, made, started, asked):
    """Instructions and calls of the allocator of so many requests to a warm gate."""
    out = bench.folder() / "callgrind.out"
    wrapper = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}"]
    with gate.gate(bench, made, wrapper=wrapper, **started) as server:
        with load.Load(server, server.address, **asked) as load_of:
            load_of.ask(WARM)
            control("--zero", server.pid)
            load_of.ask(REQUESTS)
            control("--dump", server.pid)
    return read(out.with_name(out.name + ".1"))


def control(what, pid):
    done = subprocess.run(["callgrind_control", what, str(pid)], capture_output=True, text=True)
    if done.returncode:
        machine.die(f"callgrind_control {what}: {done.stdout}{done.stderr}")


def read(path):
    """The sum of a file of callgrind's, and the calls in it of functions that allocate."""
    instructions, allocations, callee, names = 0, 0, None, {}
    for line in path.read_text().splitlines():
        if found := re.match(r"^totals: (\d+)", line):
            instructions = int(found[1])
        elif found := re.match(r"^c?fn=\((\d+)\)(?: (.*))?$", line):
            if found[2]:
                names[found[1]] = found[2]
            callee = names.get(found[1]) if line.startswith("cfn") else None
        elif callee in ALLOCATORS and line.startswith("calls="):
            allocations += int(line[6:].split()[0])
    if not instructions:
        machine.die(f"callgrind counted nothing: {path}")
    return instructions, allocations


def system_calls(bench, made, started, asked, count):
    """System calls of a whole run with so many requests."""
    out = bench.folder() / "strace.out"
    with gate.gate(bench, made, wrapper=["strace", "-c", "-f", "-o", str(out)], **started) as server:
        with load.Load(server, server.address, **asked) as load_of:
            load_of.ask(count)
        os.kill(server.processes()[-1], 15)
        server.process.wait(10)
    found = re.search(r"^100\.00\s+\S+\s+(?:\S+\s+)?(\d+)(?:\s+\d+)?\s+total$", out.read_text(), re.MULTILINE)
    if not found:
        machine.die(f"strace counted nothing: {out.read_text()[-500:]}")
    return int(found[1])


# --- what is accepted --------------------------------------------------------------------------------------------


def accept(rows):
    lines = [HEAD, f'rustc = "{machine.first_line("rustc", "--version")}"\n']
    for row in rows:
        lines.append(f'\n["{row["name"]}"]\n' + "".join(f"{name} = {row[name]}\n" for name in TOLERANCES))
    ACCEPTED.write_text("".join(lines))
    machine.say(f"{ACCEPTED.relative_to(machine.ROOT)} is written: commit it with the change that makes the difference")


def check(rows, path=ACCEPTED):
    """Ends the run where a figure has grown."""
    accepted = tomllib.loads(pathlib.Path(path).read_text())
    grown = [line for row in rows for line in compare(row, accepted.get(row["name"]))]
    if not grown:
        machine.say("no count has grown")
        return
    rustc = machine.first_line("rustc", "--version")
    other = "" if accepted["rustc"] == rustc else f"\nThe accepted counts are of {accepted['rustc']}, these of {rustc}."
    machine.die("a cached request costs more than is accepted:\n  " + "\n  ".join(grown) + other + "\n"
                "Where the change is worth it: `benches/run counts --accept`, and commit benches/counts.toml with the reason.")


def compare(row, accepted):
    if accepted is None:
        yield f"{row['name']}: no accepted counts"
        return
    for name, (share, number) in TOLERANCES.items():
        most = accepted[name] * (1 + share) + number
        if row[name] > most:
            yield f"{row['name']}: {row[name]:,} {name}, accepted are {accepted[name]:,} and at most {most:,.2f}"
        elif row[name] < accepted[name] * (1 - share) - number:
            machine.say(f"{row['name']}: {name} fell from {accepted[name]:,} to {row[name]:,}; --accept keeps it there")

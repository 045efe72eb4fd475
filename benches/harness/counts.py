"""Costs of one cached request that do not depend on the machine's mood, counted by callgrind.

Two gates answer N and 3N requests; what the second did more, divided by 2N, is a request's: start and stop cancel.
Symbols are needed to count calls of the allocator: build with `--profile profiling`, or GATE_BIN of such a build.
"""

import re

from . import gate, load, questions

REQUESTS = 2_000


def run(bench, report, only=None):
    rows = []
    for name, what in [("gate, one token", {}), ("gate, one token, HOT_LOOP=off", {"settings": {"HOT_LOOP": "off"}}),
                       ("gate, one token, no policy", {"routes": 0})]:
        if only and only not in name:
            continue
        few, many = (counted(bench, requests, **what) for requests in (REQUESTS, 3 * REQUESTS))
        rows.append({"name": name, "instructions": (many[0] - few[0]) / (2 * REQUESTS),
                     "allocations": (many[1] - few[1]) / (2 * REQUESTS)})
        print(f"  {rows[-1]}", flush=True)
    columns = [("instructions", "instructions/request", "{:,.0f}"), ("allocations", "allocations/request", "{:.2f}")]
    report.table("counts", "Counts of one cached request", rows,
                 "By callgrind: the difference of two runs of {connections} connections divided by that of their requests.",
                 columns, ("instructions", "instructions a request"))


def counted(bench, requests, **what):
    """Instructions and calls of the allocator of a whole run."""
    made, folder = bench.tokens(1), bench.folder()
    out = folder / "callgrind.out"
    wrapper = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}"]
    with gate.gate(bench, made, wrapper=wrapper, **what) as server:
        with load.Load(server, server.address, bench.requests(made.texts, questions.http1)) as asked:
            asked.ask(requests)
    return read(out)


def read(path):
    instructions, allocations, callee = 0, 0, None
    names = {}
    for line in path.read_text().splitlines():
        if found := re.match(r"^(?:totals|summary): (\d+)", line):
            instructions = int(found[1])
        elif found := re.match(r"^c?fn=\((\d+)\)(?: (.*))?$", line):
            if found[2]:
                names[found[1]] = found[2]
            callee = names.get(found[1], "") if line.startswith("cfn") else None
        elif callee in ("malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc") and line.startswith("calls="):
            allocations += int(line[6:].split()[0])
    return instructions, allocations

"""The file format of callgrind, as much of it as counts take."""

import re

from . import machine

ALLOCATORS = {"malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"}


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

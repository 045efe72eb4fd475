"""The counts of a cached request that are accepted: benches/counts.toml.

With `--check` a run fails where a count has grown by more than its tolerance, and `--accept` writes the file anew.
"""

import tomllib

from . import machine

ACCEPTED = machine.ROOT / "benches/counts.toml"
# What a figure may grow: a share of it, and a number.
TOLERANCES = {"instructions": (0.03, 0), "allocations": (0, 0.05), "system_calls": (0, 0.25)}
HEAD = """# Costs of one cached request, as `benches/run counts` measures them. `benches/run counts --check` fails where a figure grows by
# more than 3 % (instructions), 0.05 (allocations) or 0.25 (system calls); `benches/run counts --accept` writes this file.
"""


def accept(rows, path=ACCEPTED):
    """Writes these counts as those to compare with."""
    lines = [HEAD, f'rustc = "{machine.first_line("rustc", "--version")}"\n']
    for row in rows:
        lines.append(f'\n["{row["name"]}"]\n' + "".join(f"{name} = {row[name]}\n" for name in TOLERANCES))
    path.write_text("".join(lines))
    machine.say(f"{path.name} is written: commit it with the change that makes the difference")


def check(rows, path=ACCEPTED):
    """Ends the run where a figure has grown."""
    accepted = tomllib.loads(path.read_text())
    grown = [line for row in rows for line in compare(row, accepted.get(row["name"]))]
    if not grown:
        machine.say("no count has grown")
        return
    rustc = machine.first_line("rustc", "--version")
    other = "" if accepted["rustc"] == rustc else f"\nThe accepted counts are of {accepted['rustc']}, these of {rustc}."
    machine.die("a cached request costs more than is accepted:\n  " + "\n  ".join(grown) + other + "\n"
                "Where the change is worth it: `benches/run counts --accept`, and commit benches/counts.toml with the reason.")


def compare(row, accepted):
    """A line for each count that has grown."""
    if accepted is None:
        yield f"{row['name']}: no accepted counts"
        return
    for name, (share, number) in TOLERANCES.items():
        most = accepted[name] * (1 + share) + number
        if row[name] > most:
            yield f"{row['name']}: {row[name]:,} {name}, accepted are {accepted[name]:,} and at most {most:,.2f}"
        elif row[name] < accepted[name] * (1 - share) - number:
            machine.say(f"{row['name']}: {name} fell from {accepted[name]:,} to {row[name]:,}; --accept keeps it there")

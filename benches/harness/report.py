"""Results as Markdown tables, JSON and pictures."""

import json
import pathlib
import sys

from . import charts, load, machine, tokens

COLUMNS = [("cpu", "CPU µs/request", "{:.2f}"), ("ratio", "ratio", "{:.2f}"), ("pairs", "of pairs", "{:.2f}"), ("rate", "requests/s", "{:,.0f}"),
           ("p50", "p50 µs", "{:.0f}"), ("p99", "p99 µs", "{:.0f}"), ("share", "server", "{:.2f}"),
           ("load", "load", "{:.2f}"), ("memory", "MiB", "{:.0f}")]


class Report:
    """Where results go: a folder, and the standard output."""

    def __init__(self, folder, command, quick=False):
        self.folder, self.quick = pathlib.Path(folder), quick
        # Of each contender; every part has its own.
        self.turns = self.seconds = None
        self.folder.mkdir(parents=True, exist_ok=True)
        self.about = machine.description() | {"command": command}

    def row(self, name, mine, base, memory=0):
        row = {"name": name, "cpu": mine.cpu, "ratio": mine.cpu / base.cpu, "pairs": load.of_pairs(mine.each, base.each), "base": base.cpu,
               "rate": mine.rate, "p50": mine.p50, "p99": mine.p99, "share": mine.share, "load": mine.load, "memory": memory / (1 << 20)}
        print(f"  {name:48} {mine.cpu:7.2f} µs beside {base.cpu:6.2f}: {row['ratio']:5.2f}, {row['pairs']:5.2f} of pairs   {mine.rate:9,.0f}/s"
              f"   p50 {mine.p50:5.0f}  p99 {mine.p99:6.0f} µs   server {mine.share:.2f}  load {mine.load:.2f}",
              file=sys.stderr, flush=True)
        return row

    def table(self, part, title, rows, introduction, columns=COLUMNS, picture=("cpu", "CPU µs a request")):
        """Writes PART.md, PART.json and PART.svg, and prints the table."""
        table = markdown(rows, columns)
        self.write(part, title, rows, [self.filled(introduction), "", f"![{title}]({part}.svg)", "", *table])
        self.picture(part, charts.bars(f"{title}: {picture[1]}", [(it["name"], it[picture[0]]) for it in rows]))
        print("\n".join(table), flush=True)

    def chapters(self, part, title, chapters, introduction, columns, curve=("cpu", "CPU µs a request"), logarithmic=True):
        """One page with a table and a picture for each chapter: its name, its title, its rows. `curve` is drawn beside memory."""
        lines = [self.filled(introduction)]
        for name, heading, rows in chapters:
            picture = f"{part}-{name}"
            lines += ["", f"## {heading}", "", f"![{heading}]({picture}.svg)", "", *markdown(rows, columns)]
            points = [(it["value"], it[curve[0]], it["memory"]) for it in rows]
            self.picture(picture, charts.curves(heading, points, curve[1], "MiB", logarithmic))
        self.write(part, title, {name: rows for name, _, rows in chapters}, lines)
        print("\n".join(lines[1:]), flush=True)

    def write(self, part, title, rows, lines):
        origin = ["Made by `benches/run`; do not edit.", "", *(f"- {name}: `{value}`" for name, value in self.about.items())]
        (self.folder / f"{part}.md").write_text("\n".join([f"# {title}", "", *origin, "", *lines, ""]))
        (self.folder / f"{part}.json").write_text(json.dumps({"about": self.about, "rows": rows}, indent=1) + "\n")

    def picture(self, name, drawn):
        (self.folder / f"{name}.svg").write_text(drawn)

    def filled(self, words):
        return words.format(connections=load.CONNECTIONS, calls=load.CALLS_AT_ONCE, turns=self.turns, seconds=self.seconds,
                            length=tokens.LENGTH, server_core=machine.SERVER_CORE, load_core=machine.LOAD_CORE)


def markdown(rows, columns):
    """Lines of a table; a column stands only where a row has a value for it."""
    columns = [it for it in columns if any(row.get(it[0]) is not None for row in rows)]
    lines = ["| | " + " | ".join(head for _, head, _ in columns) + " |", "|---|" + "--:|" * len(columns)]
    for row in rows:
        cells = (form.format(row[name]) if row.get(name) is not None else "" for name, _, form in columns)
        lines.append(f"| {row['name']} | " + " | ".join(cells) + " |")
    return lines

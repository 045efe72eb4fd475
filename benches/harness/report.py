"""Results as Markdown tables, JSON, and bar charts in SVG.

The pictures are written here: some rectangles and words need no plotting library, and the files stay small and
readable in a diff.
"""

import html
import json
import pathlib
import sys

from . import load, machine, tokens

COLUMNS = [("cpu", "CPU µs/request", "{:.2f}"), ("ratio", "ratio", "{:.2f}"), ("rate", "requests/s", "{:,.0f}"),
           ("p50", "p50 µs", "{:.0f}"), ("p99", "p99 µs", "{:.0f}"), ("share", "server", "{:.2f}"),
           ("load", "load", "{:.2f}"), ("memory", "MiB", "{:.0f}")]


class Report:
    """Where results go: a folder, and the standard output."""

    def __init__(self, folder, command, turns, seconds):
        self.folder, self.command, self.turns, self.seconds = pathlib.Path(folder), command, turns, seconds
        self.folder.mkdir(parents=True, exist_ok=True)
        self.about = machine.description() | {"command": command}

    def row(self, name, mine, base, memory=0):
        row = {"name": name, "cpu": mine.cpu, "ratio": mine.cpu / base.cpu, "base": base.cpu, "rate": mine.rate,
               "p50": mine.p50, "p99": mine.p99, "share": mine.share, "load": mine.load, "memory": memory / (1 << 20)}
        print(f"  {name:48} {mine.cpu:7.2f} µs beside {base.cpu:6.2f}: {row['ratio']:5.2f}   {mine.rate:9,.0f}/s"
              f"   p50 {mine.p50:5.0f}  p99 {mine.p99:6.0f} µs   server {mine.share:.2f}  load {mine.load:.2f}",
              file=sys.stderr, flush=True)
        return row

    def table(self, part, title, rows, introduction, columns=COLUMNS, picture=("cpu", "CPU µs a request")):
        """Writes PART.md, PART.json and PART.svg, and prints the table."""
        filled = introduction.format(connections=load.CONNECTIONS, calls=32, turns=self.turns, seconds=self.seconds,
                                     length=tokens.LENGTH)
        lines = [f"# {title}", "", *self.origin(), "", filled, "", f"![{title}]({part}.svg)", "",
                 *markdown(rows, columns), ""]
        (self.folder / f"{part}.md").write_text("\n".join(lines))
        (self.folder / f"{part}.json").write_text(json.dumps({"about": self.about, "rows": rows}, indent=1) + "\n")
        (self.folder / f"{part}.svg").write_text(bars(f"{title}: {picture[1]}", [(it["name"], it[picture[0]]) for it in rows]))
        print("\n".join(markdown(rows, columns)), flush=True)

    def origin(self):
        return ["Made by `benches/run`; do not edit.", "", *(f"- {name}: `{value}`" for name, value in self.about.items())]


def markdown(rows, columns):
    yield "| | " + " | ".join(head for _, head, _ in columns) + " |"
    yield "|---|" + "--:|" * len(columns)
    for row in rows:
        cells = (form.format(row[name]) if row.get(name) is not None else "" for name, _, form in columns)
        yield f"| {row['name']} | " + " | ".join(cells) + " |"


STYLE = ("text{font:13px sans-serif;fill:#222}.t{font-weight:bold}rect{fill:#4477aa}rect.o{fill:#bbbbbb}"
         "line{stroke:#999}polyline{fill:none;stroke:#4477aa;stroke-width:2}circle{fill:#4477aa}")


def svg(width, height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
            f'<style>{STYLE}</style><rect width="100%" height="100%" style="fill:#fff"/>\n'
            + "\n".join(parts) + "\n</svg>\n")


def text(x, y, words, anchor="start", kind=""):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" class="{kind}">{html.escape(str(words))}</text>'


def bars(title, rows):
    """One bar each, with its number; what is not ours is grey."""
    left, right, step = 330, 260, 22
    most = max((value for _, value in rows), default=1) or 1
    parts = [text(10, 22, title, kind="t")]
    for number, (name, value) in enumerate(rows):
        y = 40 + number * step
        kind = "" if "gate" in name or "Portcullis" in name else ' class="o"'
        parts += [text(left - 8, y + 13, name, "end"), text(left + right * value / most + 6, y + 13, f"{value:.2f}"),
                  f'<rect{kind} x="{left}" y="{y}" width="{right * value / most:.1f}" height="16"/>']
    return svg(left + right + 70, 50 + len(rows) * step, parts)

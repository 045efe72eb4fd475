"""Bars and curves as SVG.

The pictures are written here: some rectangles, lines and words need no plotting library, and the files stay small and
readable in a diff.
"""

import html
import math

STYLE = ("text{font:13px sans-serif;fill:#222}.t{font-weight:bold}rect{fill:#4477aa}rect.o{fill:#bbbbbb}line{stroke:#ddd}"
         "polyline{fill:none;stroke:#4477aa;stroke-width:2}polyline.m{stroke:#999;stroke-dasharray:5 4}"
         "circle{fill:#4477aa}text.m,circle.m{fill:#999}")
LEFT, TOP, WIDTH, HEIGHT = 70, 50, 480, 200


def svg(width, height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
            f'<style>{STYLE}</style><rect width="100%" height="100%" style="fill:#fff"/>\n'
            + "\n".join(parts) + "\n</svg>\n")


def text(x, y, words, anchor="start", kind=""):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" class="{kind}">{html.escape(str(words))}</text>'


def bars(title, rows):
    """One bar for each name and value; what is not ours is grey."""
    left, right, step = 370, 260, 22
    most = max((value for _, value in rows), default=1) or 1
    parts = [text(10, 22, title, kind="t")]
    for number, (name, value) in enumerate(rows):
        y = 40 + number * step
        kind = "" if "gate" in name or "Portcullis" in name else ' class="o"'
        parts += [text(left - 8, y + 13, name, "end"), text(left + right * value / most + 6, y + 13, f"{value:,.4g}"),
                  f'<rect{kind} x="{left}" y="{y}" width="{right * value / most:.1f}" height="16"/>']
    return svg(left + right + 70, 50 + len(rows) * step, parts)


def curves(title, points, own, other, logarithmic=True):
    """Two curves over the same numbers: `own` with its axis at the left, `other`, dashed, with its axis at the right.

    `points` are triples of the number and both values; `own` and `other` are what these are.
    """
    place = horizontal([it[0] for it in points], logarithmic)
    parts = [text(10, 22, title, kind="t"), text(LEFT, 40, own), text(LEFT + WIDTH, 40, other, "end", "m")]
    parts += [text(place(it[0]), TOP + HEIGHT + 20, f"{it[0]:,}", "middle") for it in spread(points)]
    for index, kind, at, anchor in ((1, "", LEFT - 8, "end"), (2, "m", LEFT + WIDTH + 8, "start")):
        top = ceiling(max(it[index] for it in points))
        height = lambda value: TOP + HEIGHT * (1 - value / top)
        parts += [f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{height(it):.0f}" y2="{height(it):.0f}"/>' for it in (0, top / 2, top)]
        parts += [text(at, height(it) + 4, f"{it:,.4g}", anchor, kind) for it in (0, top / 2, top)]
        line = " ".join(f"{place(it[0]):.1f},{height(it[index]):.1f}" for it in points)
        parts.append(f'<polyline class="{kind}" points="{line}"/>')
        parts += [f'<circle class="{kind}" cx="{place(it[0]):.1f}" cy="{height(it[index]):.1f}" r="3"/>' for it in points]
    return svg(LEFT + WIDTH + 70, TOP + HEIGHT + 40, parts)


def horizontal(numbers, logarithmic):
    """Where a number stands."""
    scale = (lambda number: math.log10(max(number, 1))) if logarithmic else (lambda number: number)
    first, last = scale(numbers[0]), scale(numbers[-1])
    return lambda number: LEFT + WIDTH * (scale(number) - first) / ((last - first) or 1)


def spread(points, most=10):
    """At most so many of them, for the words below the axis."""
    return points[::math.ceil(len(points) / most)]


def ceiling(value):
    """A round number that is not below."""
    if value <= 0:
        return 1
    step = 10 ** math.floor(math.log10(value)) / 2
    return math.ceil(value / step) * step

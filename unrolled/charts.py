"""Small pictures as SVG files that stand by themselves: lines, grids of numbers, named dots. Values in, a file out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np

from . import line_chart
from .line_chart import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, Line

STYLE = """<style>
  text { font-family: system-ui, sans-serif; font-size: 12px; fill: #596173 } .name { font-size: 14px; fill: #1f2430 }
  .axis { stroke: #596173; fill: none } .grid { stroke: #e3e5ec } .level { stroke: #596173; stroke-dasharray: 5 4 }
  .frame { stroke: #b9bdc9; fill: none }
  .shade path { fill: none; shape-rendering: crispEdges }
</style><rect width="100%" height="100%" fill="#ffffff"/>"""
ABOVE, BELOW = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)  # blue and vermilion of Okabe and Ito: for positive, negative numbers
SHADES = 12  # of each of the two
WRITTEN, ACROSS = 200, 24  # cells of a grid, and columns, up to which numbers stand in them
CELL, SMALL = 40, 3  # pixels of a cell with a number and without one
LETTER, LINE = 6.6, 12  # pixels that a letter is wide, about, and a line high
BESIDE = 70  # pixels to the right of named dots


def lines(path: str | Path, title: str, x_name: str, ys: Mapping[str, Sequence[float]], levels: Mapping[str, float]) -> None:
    """Write lines over 0, 1, 2, …, or over the xs of a `Line`, and dashed levels; the title says what goes upwards."""
    drawn = {name: line if isinstance(line, Line) else Line(range(len(line)), line) for name, line in ys.items()}
    _write(path, line_chart.svg(title, x_name, drawn, levels))


def dots(path: str | Path, title: str, x_name: str, places: Mapping[str, tuple[float, float]]) -> None:
    """Write named dots; the title says what goes upwards, x_name what goes to the right."""
    x, y = np.array(list(places.values()), float).T
    across, up = line_chart.scale(x, LEFT, WIDTH - BESIDE), line_chart.scale(y, HEIGHT - BOTTOM, TOP)
    parts = [f'<text class="name" x="{LEFT}" y="18">{escape(title)}</text>', *line_chart.axes(across, up, x_name)]
    taken = [(across.place(x) - 3, across.place(x) + 3, up.place(y) + 4) for x, y in places.values()]
    for name, (x, y) in sorted(places.items(), key=lambda place: -place[1][1]):
        left, top = across.place(x), up.place(y)
        parts.append(f'<circle cx="{left:.1f}" cy="{top:.1f}" r="3" fill="{line_chart.COLOURS[0]}"/>')
        wide = LETTER * len(name)
        begin = left + 6 if left + 6 + wide < across.end else left - 6 - wide
        side = f'x="{left + 6:.1f}"' if begin > left else f'x="{left - 6:.1f}" text-anchor="end"'
        parts.append(f'<text {side} y="{_free(begin, begin + wide, top + 4, taken):.1f}">{escape(name)}</text>')
    _write(path, _page(WIDTH, HEIGHT, title, parts))


def _free(begin: float, end: float, y: float, taken: list[tuple[float, float, float]]) -> float:
    """The height nearest to y, within the axes, at which a name from begin to end meets no dot and no name placed before."""
    shifts = sorted(range(-HEIGHT, HEIGHT), key=lambda shift: (abs(shift), -shift))
    inside = [y + shift for shift in shifts if TOP + LINE <= y + shift <= HEIGHT - BOTTOM - 4]
    near = [height for left, right, height in taken if left < end + 3 and begin < right]
    y = next((place for place in inside if all(abs(place - height) >= LINE for height in near)), y)
    taken.append((begin - 3, end + 3, y))
    return y


def grid(
    path: str | Path, title: str, rows: Iterable[object], columns: Iterable[object], values: np.ndarray, x_name: str = ""
) -> None:  # fmt: skip
    """Write numbers (R, C) as shades: blue above 0, vermilion below, the darkest the largest. Of few cells each has its number.

    Names of rows or columns may be none; what is no number (NaN) is drawn as nothing.
    """
    values, rows, columns = np.asarray(values, float), list(map(str, rows)), list(map(str, columns))
    (R, C), few = values.shape, values.size <= WRITTEN and values.shape[1] <= ACROSS
    size = CELL if few else max(SMALL, min(16, 640 // C))
    longest = LETTER * max(map(len, columns), default=0)
    slope = 0.71 * (longest >= size - 3)  # all names of columns are turned, or none
    left = 16 + LETTER * max(map(len, rows), default=0) + 6
    wide = max(left + C * size + 16 + slope * longest, LETTER * 1.2 * len(title) + 32)
    top, high = max(58, 42 + slope * longest) if columns else 34, size * R
    parts = [f'<text class="name" x="16" y="20">{escape(title)}</text>']
    parts.append(f'<g class="shade" transform="translate({left:.0f} {top:.0f}) scale({size})">{_shades(values)}</g>')
    parts += [
        f'<path class="frame" d="M{left + size * begin:.0f} {top:.0f}h{size * (end - begin)}v{high}h{size * (begin - end)}z"/>'
        for begin, end in _apart(values)
    ]
    for number, name in enumerate(rows):
        y = top + size * (number + 0.5) + 4
        parts.append(f'<text x="{left - 6:.0f}" y="{y:.0f}" text-anchor="end">{escape(name)}</text>')
    for number, name in enumerate(columns):
        x = left + size * (number + 0.5)
        upright = f'x="{x:.0f}" y="{top - 6:.0f}" text-anchor="middle"'
        turned = f'transform="translate({x + 4:.0f} {top - 6:.0f}) rotate(-45)"'
        parts.append(f"<text {turned if slope else upright}>{escape(name)}</text>")
    if few:
        largest = _largest(values)
        parts += [
            f'<text x="{left + size * (c + 0.5):.0f}" y="{top + size * (r + 0.5) + 4:.0f}" text-anchor="middle" '
            f'style="font-size:10px;fill:{"#fff" if abs(value) > 0.6 * largest else "#1f2430"}">{_number(value)}</text>'
            for (r, c), value in np.ndenumerate(values)
            if not np.isnan(value)
        ]
    parts.append(f'<text x="{left:.0f}" y="{top + high + 18:.0f}">{escape(x_name)}</text>')
    _write(path, _page(wide, top + high + (28 if x_name else 12), title, parts))


def _largest(values: np.ndarray) -> float:
    return np.abs(np.nan_to_num(values)).max() or 1


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00") if abs(value) < 10 else f"{value:.0f}"


def _apart(values: np.ndarray) -> list[tuple[int, int]]:
    """The first column of each part, and the one after it, where columns without a number stand between parts."""
    empty = np.isnan(values).all(0)
    changes = np.flatnonzero(np.diff(np.concatenate(([True], empty, [True])).astype(int)))
    return list(zip(changes[::2].tolist(), changes[1::2].tolist(), strict=True)) if empty.any() else []


def _shades(values: np.ndarray) -> str:
    """Runs of cells of one shade, as strokes of width 1."""
    shades = np.rint(np.nan_to_num(values) / _largest(values) * SHADES).astype(int)
    runs: dict[int, list[str]] = {}
    for row, shaded in enumerate(shades):
        ends = [*(np.flatnonzero(np.diff(shaded)) + 1), len(shaded)]
        for begin, end in zip([0, *ends], ends, strict=False):
            runs.setdefault(int(shaded[begin]), []).append(f"M{begin} {row}.5h{end - begin}")
    return "".join(f'<path stroke="{_colour(shade)}" d="{"".join(pieces)}"/>' for shade, pieces in runs.items() if shade)


def _colour(shade: int) -> str:
    full, part = ABOVE if shade > 0 else BELOW, abs(shade) / SHADES
    return "#" + "".join(f"{round(255 - part * (255 - c)):02x}" for c in full)


def _page(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img"><title>{escape(title)}</title>{"".join(parts)}</svg>'


def _write(path: str | Path, svg: str) -> None:
    """The drawing as a file that stands by itself."""
    head, title, rest = svg.partition("</title>")
    sizes = head.split('viewBox="0 0 ')[1].split('"')[0].split()
    own = f'<svg xmlns="http://www.w3.org/2000/svg" width="{sizes[0]}" height="{sizes[1]}" '
    Path(path).write_text(head.replace("<svg ", own, 1) + title + STYLE + rest + "\n", encoding="utf-8")

"""Lines over steps as an SVG that needs no library to make or to show; it computes nothing but where ink goes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 570, 260, 64, 210, 34, 44
LONGEST = 32  # characters of a name
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8d5a2b")
TICKS = 5  # on an axis, about


class Line(NamedTuple):
    xs: Sequence[float]
    ys: Sequence[float]


def svg(title: str, x_name: str, lines: Mapping[str, Line], levels: Mapping[str, float]) -> str:
    """Named lines, and named levels to compare them with, drawn dashed; what is no finite number is left out, and a line of
    none."""
    lines = {name: finite for name, line in lines.items() if (finite := _finite(line)).xs}
    levels = {name: value for name, value in levels.items() if math.isfinite(value)}
    xs = [x for line in lines.values() for x in line.xs]
    ys = [y for line in lines.values() for y in line.ys] + list(levels.values())
    if not xs:
        return ""
    across, up = scale(xs, LEFT, WIDTH - RIGHT), scale(ys, HEIGHT - BOTTOM, TOP)
    parts = [f'<text class="name" x="{LEFT}" y="18">{escape(title)}</text>', *axes(across, up, x_name)]
    names = []
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{across.place(x):.1f},{up.place(y):.1f}" for x, y in zip(line.xs, line.ys, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{across.place(x):.1f}" cy="{up.place(y):.1f}" r="3" fill="{colour}"/>'
            for x, y in zip(line.xs, line.ys, strict=True)
            if len(line.xs) <= 40
        ]
        names.append((up.place(line.ys[-1]), name, colour))
    for name, value in levels.items():
        y = up.place(value)
        parts.append(f'<path class="level" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        names.append((y, name, ""))
    parts += _names(names)
    return f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>{escape(title)}</title>{"".join(parts)}</svg>'


def _finite(line: Line) -> Line:
    pairs = [(x, y) for x, y in zip(line.xs, line.ys, strict=True) if y is not None and math.isfinite(y)]
    return Line([x for x, _ in pairs], [y for _, y in pairs])


class Scale(NamedTuple):
    """From values to places."""

    low: float
    high: float
    begin: float
    end: float

    def place(self, value: float) -> float:
        return self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin)

    @property
    def gap(self) -> float:
        """From one tick to the next: 1, 2 or 5 times a power of ten."""
        rough = (self.high - self.low) / TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        return power * next(step for step in (1, 2, 5, 10) if step * power >= rough * 0.999)


def scale(values: Sequence[float], begin: float, end: float) -> Scale:
    low, high = min(values), max(values)
    room = (high - low) * 0.05 or max(abs(low) * 0.05, 1e-3)
    return Scale(low - room, high + room, begin, end)


def axes(across: Scale, up: Scale, x_name: str) -> list[str]:
    ground, end = HEIGHT - BOTTOM, f"{across.end:g}"
    parts = [f'<path class="axis" d="M{LEFT} {TOP}V{ground}H{end}"/>']
    for value in _ticks(across):
        parts.append(
            f'<text class="tick" x="{across.place(value):.1f}" y="{ground + 17}" text-anchor="middle">{_short(value)}</text>'
        )
    for value in _ticks(up):
        y = up.place(value)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{end}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_short(value)}</text>')
    return [
        *parts,
        f'<text class="tick" x="{(LEFT + across.end) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_name)}</text>',
    ]


def _ticks(scale: Scale) -> list[float]:
    first = math.ceil(scale.low / scale.gap)
    return [number * scale.gap for number in range(first, math.floor(scale.high / scale.gap) + 1)]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _names(names: list[tuple[float, str, str]]) -> list[str]:
    """Names at the right of what they name, moved apart where they would lie over one another."""
    parts, lowest = [], 0.0
    for y, name, colour in sorted(names):
        lowest = max(y + 4, lowest + 14)
        own, style = (" own", f' style="fill:{colour}"') if colour else ("", "")
        parts.append(f'<text class="tick{own}" x="{WIDTH - RIGHT + 8}" y="{lowest:.1f}"{style}>{escape(_cut(name))}</text>')
    return parts


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"

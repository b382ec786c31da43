"""python docs/picture.py RUN TEXT OUT.svg: the network unrolled over a text.

The symbols it reads, a part of its hidden state, and the four it expects most after each, with their probabilities; the
one that comes is dark.
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

import numpy as np

import unrolled
from unrolled.api import Run
from unrolled.decode import log_softmax
from unrolled.tasks import language

WIDTH, UNITS, SHOWN = 50, 24, 4  # of a column in pixels; hidden units drawn; expected symbols drawn
INK, PALE, BLUE, RED = "#1f2430", "#8b93a7", (43, 108, 176), (197, 80, 60)


def steps(run: Run, text: str) -> list[tuple[str, np.ndarray, list[tuple[str, float]]]]:
    """For each symbol read: its text, the last layer's hidden state, and the symbols expected next."""
    step, state = language.stepper(run.model, None)
    _, state = step(np.array([run.codec.start]), state)
    found = []
    for i in run.codec.encode(text):
        logits, state = step(np.array([i]), state)
        p = np.exp(log_softmax(logits))[0]
        best = np.argsort(-p)[:SHOWN]
        hidden = state[-run.model.layers[-1].cells[0].states][0]
        found.append((run.codec.text(int(i)), hidden, [(run.codec.text(int(b)), float(p[b])) for b in best]))
    return found


def draw(text: str, found: list) -> str:
    lift, cell = 150, 6
    state_top = lift
    state_bottom = state_top + UNITS // 2 * (cell + 1)
    height = state_bottom + 62
    width = WIDTH * len(found) + 124
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="ui-monospace, Menlo, Consolas, monospace">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for y, name in ((80, "expects"), (state_top + 44, "hidden state h"), (state_bottom + 40, "reads")):
        parts.append(f'<text x="10" y="{y}" font-size="12" fill="{PALE}">{name}</text>')
    for column, (symbol, hidden, expected) in enumerate(found):
        x = 118 + column * WIDTH
        coming = text[column + 1] if column + 1 < len(text) else None
        parts += expectation(x, expected, coming)
        parts += state(x, state_top, hidden, cell)
        arrow = state_top + UNITS // 4 * (cell + 1)
        if column + 1 < len(found):
            parts.append(
                f'<path d="M{x + 16} {arrow}h{WIDTH - 20}m-4 -3l4 3l-4 3" stroke="{INK}" fill="none" stroke-width="1.2"/>'
            )
        parts.append(f'<path d="M{x + 6} {state_bottom + 22}v-16m-3 4l3 -4l3 4" stroke="{INK}" fill="none" stroke-width="1.2"/>')
        parts.append(f'<path d="M{x + 6} {state_top - 5}v-14m-3 4l3 -4l3 4" stroke="{INK}" fill="none" stroke-width="1.2"/>')
        parts.append(
            f'<text x="{x + 6}" y="{state_bottom + 41}" font-size="18" text-anchor="middle" fill="{INK}">{visible(symbol)}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def expectation(x: int, expected: list[tuple[str, float]], coming: str | None) -> list[str]:
    parts = []
    for row, (symbol, p) in enumerate(expected):
        y, right = 24 + row * 28, symbol == coming
        colour = INK if right else PALE
        parts.append(f'<text x="{x + 6}" y="{y}" font-size="15" text-anchor="middle" fill="{colour}">{visible(symbol)}</text>')
        parts.append(f'<rect x="{x - 10}" y="{y + 4}" width="32" height="4" fill="#eef0f4"/>')
        parts.append(
            f'<rect x="{x - 10}" y="{y + 4}" width="{32 * p:.1f}" height="4" fill="{"#2b6cb0" if right else "#b9c2d3"}"/>'
        )
    return parts


def state(x: int, top: int, hidden: np.ndarray, cell: int) -> list[str]:
    """The first units, two side by side: red below zero, blue above."""
    parts = []
    for unit, value in enumerate(hidden[:UNITS]):
        row, side = divmod(unit, 2)
        full = BLUE if value > 0 else RED
        colour = "#" + "".join(f"{round(255 - abs(float(value)) * (255 - c)):02x}" for c in full)
        parts.append(
            f'<rect x="{x + side * (cell + 1)}" y="{top + row * (cell + 1)}" width="{cell}" height="{cell}" fill="{colour}"/>'
        )
    return parts


def visible(symbol: str) -> str:
    return {" ": "␣", "\n": "↵", "\t": "⇥"}.get(symbol, escape(symbol))


if __name__ == "__main__":
    folder, text, out = sys.argv[1:]
    Path(out).write_text(draw(text, steps(unrolled.load(folder), text)))

"""A net drawn over time, as lectures draw it: a column of boxes for each step, arrows to the next step, shapes on the edges, and
one colour for the weights that all steps share.

A Net is data, made by the task's page; `svg` draws any of them and knows none. Dilated convolutions have a drawing of their own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from torch import Tensor, nn

from .backbone import Backbone
from .cells import CELLS
from .convolutional import Convolutional
from .dilated import WaveNet
from .layers import Embedding, OneHot, Pooling
from .recurrent import Recurrent
from .resnet import ResNet

FORWARD, BACKWARD = "forward", "backward"
MANY = "one to many"  # one of the lecture's types, as are these
SAME, ONE, OTHER = (
    "many to many, an answer at each step",
    "many to one",
    "many to many, a reader and a writer",
)  # the lecture's types
NEUTRAL = "#5b6275"
COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#e69f00",
    "#6a51a3",
    "#8d5a2b",
)  # six of Okabe and Ito's, and two


class Row(NamedTuple):
    """One layer, or one direction of it: a box for each step."""

    name: str
    size: int  # numbers that it gives upwards at each step
    weights: tuple[str, ...]  # their shapes; the same at every step
    way: str = ""  # where its state goes: FORWARD, BACKWARD, or nowhere
    state: str = ""  # what goes from step to step


class Part(NamedTuple):
    """A net over one sequence."""

    name: str  # where there are two
    input: str  # its letter
    layers: tuple[tuple[Row, ...], ...]  # the lowest first; of two directions, two rows
    output: str = ""  # its letter; none where the states are the answer
    pool: str = ""  # how one vector is made of all steps, below the uppermost layer
    ends: tuple[int, ...] = ()  # the steps that are pooled (0, -1); none: all
    fed_back: bool = False  # an output is the next input
    once: bool = False  # not a sequence: one column


class Net(NamedTuple):
    kind: str
    parts: tuple[Part, ...]  # one, or the reader and the writer
    joined: str = ""  # how the writer begins from the reader
    attention: str = ""  # what it looks back by
    note: str = ""  # what boxes and arrows do not show


class Dilations(NamedTuple):
    """A stack of dilated convolutions."""

    kind: str
    dilations: tuple[int, ...]
    kernel: int
    rows: tuple[Row, ...]
    below: str  # what goes in
    above: str  # what comes out


# --- rows of layers


def recurrent(stack: Recurrent) -> tuple[tuple[Row, ...], ...]:
    """The rows of recurrent layers."""
    layers = []
    for first in range(0, len(stack.cells), stack.directions):
        rows = []
        for cell, way in zip(stack.cells[first : first + stack.directions], (FORWARD, BACKWARD), strict=False):
            name = next((name for name, known in CELLS.items() if type(cell) is known), type(cell).__name__)
            state = f"{STATES.get(cell.states, f'{cell.states} states')}: {cell.hidden_size}"
            rows.append(Row(name.replace("_", " ").upper(), cell.hidden_size, _shapes(cell, "WUb"), way, state))
        layers.append(tuple(rows))
    return tuple(layers)


STATES = {1: "h", 2: "h, c"}


def dense(name: str, layer: nn.Linear | nn.Conv1d) -> tuple[Row]:
    """The row of a layer that sees its own step, or a few neighbours."""
    weights = [("W", layer.weight)] + [("b", layer.bias)] * (layer.bias is not None)
    return (Row(name, len(layer.weight), tuple(f"{letter} {_shape(weight)}" for letter, weight in weights)),)


def seen(layers: Convolutional | ResNet | Backbone) -> tuple[Row]:
    """The row of what looks at a picture."""
    if isinstance(layers, Backbone):
        return (Row(layers.kind, layers.width, (f"{sum(p.numel() for p in layers.parameters()):,} weights",)),)
    weights = [module.weight for module in layers.modules() if isinstance(module, nn.Conv2d)]
    return (Row("convolutions", layers.width, (f"{len(weights)} layers, {sum(map(Tensor.numel, weights)):,} weights",)),)


def gated(kind: str, first: tuple[Row], net: WaveNet, below: str, above: str) -> Dilations:
    """A WaveNet behind a first layer."""
    layers = (("gates", net.gates[0]), ("residual", net.residuals[0]), ("skip", net.skips[0]))
    rows = (first, *(dense(name, layer) for name, layer in (*layers, ("hidden", net.hidden), ("output", net.output))))
    return Dilations(kind, net.dilations, net.kernel, tuple(row for (row,) in rows), below, above)


def looked_up(embed: nn.Module) -> tuple[Row]:
    """The row of a table of vectors, or of one-hot vectors."""
    if isinstance(embed, OneHot):
        return (Row("one-hot", embed.size, ("no weights",)),)
    table = embed.learned if isinstance(embed, Embedding) else embed
    return (Row("embedding", table.embedding_dim, (f"E {_shape(table.weight)}",)),)


def pooling(pool: Pooling, both: bool) -> tuple[str, tuple[int, ...]]:
    """What a Part's `pool` and `ends` are, of layers that read one way, or both."""
    if pool.kind != "last":
        return f"{pool.kind} over the steps", ()
    return ("each direction's last state", (0, -1)) if both else ("the last state", (-1,))


def _shapes(module: nn.Module, letters: str) -> tuple[str, ...]:
    found = [(letter, getattr(module, letter, None)) for letter in letters]
    return tuple(f"{letter} {_shape(weight)}" for letter, weight in found if weight is not None)


def _shape(weight: Tensor) -> str:
    return " × ".join(str(size) for size in weight.shape)


# --- the picture

COLUMN, WIDE, BOX, HIGH, RISE, APART = 154, 220, 94, 34, 84, 110  # of a column (of two directions), a box, layers, parts
LEFT, KEY = 80, 330  # room for the first state, and for the key
SIDE, LIFT = 48, 22  # how far a direction stands from the middle, and the backward one above the other


class Place(NamedTuple):
    """Where a part stands."""

    left: float
    width: float  # of a column
    steps: int
    ground: float  # where its inputs are written
    begin: float | None  # where the first states come from; None: they are zero

    def x(self, step: int) -> float:
        return self.left + self.width * (step + 0.5)

    def y(self, level: int) -> float:
        return self.ground + 10 - (level + 1) * RISE


def svg(net: Net | Dilations, steps: int = 4) -> str:
    """The picture of so many steps, the last of them T; of dilated convolutions, of so many layers."""
    if isinstance(net, Dilations):
        return _dilated(net, min(steps, MOST_LAYERS))
    drawing, places, colour, left, begin = Drawing(), [], 0, float(LEFT), None
    levels = max(len(part.layers) + bool(part.pool) for part in net.parts)
    ground = levels * RISE + 136
    for part in net.parts:
        both = any(len(layer) == 2 for layer in part.layers)
        places.append(Place(left, WIDE if both else COLUMN, 1 if part.once else steps, ground, begin))
        colour = _part(drawing, part, places[-1], colour)
        begin = places[-1].x(places[-1].steps - 1) - SIDE * both + BOX / 2
        left += places[-1].width * places[-1].steps + APART
    if net.attention:
        _attended(drawing, net, places)
    if net.joined:
        levels = [number for number, layer in enumerate(net.parts[1].layers) if layer[0].way]
        drawing.text(places[1].x(0) - BOX / 2 - 8, places[1].y(levels[0]) + 20, net.joined, "small", "end")
        top, highest = len(net.parts[0].layers) - 1, levels[-1]
        if highest > top:  # the reader has no layer beside it: its first state comes from the reader's uppermost too
            drawing.line(places[1].begin, places[0].y(top), places[0].y(highest))
    drawing.text(16, 52, net.note, "small", "start")
    return drawing.whole(net.kind, left - APART + KEY, ground + 30 + 20 * (len(net.parts) > 1))


class Drawing:
    """Pieces of a picture in the order of drawing: arrows lie under boxes."""

    def __init__(self) -> None:
        self.arrows: list[str] = []
        self.boxes: list[str] = []
        self.key: list[tuple[str, str, tuple[str, ...]]] = []

    def arrow(self, x1: float, y1: float, x2: float, y2: float, colour: str = "", label: str = "") -> None:
        stroke = f' style="stroke:{colour}"' if colour else ""
        self.arrows.append(f'<path class="edge" d="M{x1:g} {y1:g}L{x2:g} {y2:g}" marker-end="url(#head)"{stroke}/>')
        self._label((x1 + x2) / 2, (y1 + y2) / 2, x1 == x2, label)

    def line(self, x: float, y1: float, y2: float) -> None:
        self.arrows.append(f'<path class="edge" d="M{x:g} {y1:g}V{y2:g}"/>')

    def path(self, path: str, dashed: bool) -> None:
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.arrows.append(f'<path class="edge" d="{path}" marker-end="url(#head)"{dash}/>')

    def _label(self, x: float, y: float, upright: bool, label: str) -> None:
        dx, dy, anchor = (5, 4, "start") if upright else (0, -6, "middle")
        self.text(x + dx, y + dy, label, "small", anchor)

    def text(self, x: float, y: float, text: str, kind: str, anchor: str = "middle") -> None:
        if text:
            self.boxes.append(f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>')

    def box(self, x: float, y: float, width: float, text: str, colour: str) -> None:
        self.boxes.append(
            f'<rect class="box" x="{x - width / 2:g}" y="{y - HIGH / 2:g}" width="{width:g}" height="{HIGH}" rx="7" '
            f'style="fill:{colour}"/><text class="on" x="{x:g}" y="{y + 5:g}" text-anchor="middle">{escape(text)}</text>'
        )

    def whole(self, title: str, width: float, height: float) -> str:
        x, y = width - KEY + 50, 78.0
        self.text(16, 30, title, "title", "start")
        self.text(x, 52, "the same weights at every step", "small", "start")
        for name, colour, weights in self.key:
            self.boxes.append(f'<rect x="{x:g}" y="{y - 12:g}" width="14" height="14" rx="3" style="fill:{colour}"/>')
            self.text(x + 22, y, name, "label", "start")
            for number, line in enumerate(weights, 1):
                self.text(x + 22, y + 17 * number, line, "small", "start")
            y += 17 * len(weights) + 30
        parts = "\n".join([*self.arrows, *self.boxes])
        return PAGE.format(width=f"{width:g}", height=f"{max(height, y):g}", title=escape(title), parts=parts)


PAGE = """<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">
<title>{title}</title>
<style>
  svg {{ background: #ffffff; font-family: system-ui, sans-serif }}
  .title {{ font-size: 17px; font-weight: 600; fill: #1f2430 }} .label {{ font-size: 14px; fill: #1f2430 }}
  .letter {{ font-size: 17px; font-style: italic; fill: #1f2430 }} .small {{ font-size: 12px; fill: #5b6275 }}
  .small {{ paint-order: stroke; stroke: #ffffff; stroke-width: 4px }}
  .on {{ font-size: 13px; fill: #ffffff }} .edge {{ stroke: #5b6275; stroke-width: 1.6; fill: none }}
  #head path {{ fill: context-stroke }}
  @media (prefers-color-scheme: dark) {{
    svg {{ background: #14171f }} .title, .label, .letter {{ fill: #e8eaf0 }} .small {{ fill: #a3aabc; stroke: #14171f }}
    .edge {{ stroke: #a3aabc }}
  }}
</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
<path d="M0 0.5L8 4L0 7.5z" fill="#5b6275"/></marker></defs>
{parts}
</svg>
"""


def _part(drawing: Drawing, part: Part, place: Place, colour: int) -> int:
    """Draw one sequence's net; the number of the next colour."""
    ground, size, level = place.ground, "", 0
    below = [(place.x(step), ground - 16) for step in range(place.steps)]
    for step in range(place.steps):
        drawing.text(place.x(step), ground, part.input if part.once else _at(part.input, step, place.steps), "letter")
    drawing.text(place.left + place.width * place.steps / 2, ground + 32, part.name, "label")
    for number, layer in enumerate(part.layers):
        if part.pool and number == len(part.layers) - 1:
            below, size, level = _pooled(drawing, part, place, below, place.y(level)), "", level + 1
        colours = [COLOURS[(colour + row) % len(COLOURS)] for row in range(len(layer))]
        below = _layer(drawing, layer, place, below, place.y(level), colours, size)
        drawing.key += [(_named(row), shade, row.weights) for row, shade in zip(layer, colours, strict=True)]
        colour, size, level = colour + len(layer), str(sum(row.size for row in layer)), level + 1
    if part.output:
        _answers(drawing, part, place, below, size)
    return colour


def _answers(drawing: Drawing, part: Part, place: Place, below: list[tuple[float, float]], size: str) -> None:
    """What comes out at the top, and where it is the next input."""
    for step, (x, under) in enumerate(below):
        drawing.arrow(x, under, x, under - 30, label=size if step == 0 else "")
        drawing.text(x, under - 38, part.output if part.pool or part.once else _at(part.output, step, place.steps), "letter")
        if part.fed_back and step + 1 < place.steps:
            end, high, low = place.x(step + 1) - 26, under - 44, place.ground - 5
            middle = (x + end) / 2 + 6
            drawing.path(f"M{x + 22:g} {high:g}C{middle:g} {high:g} {middle:g} {low:g} {end:g} {low:g}", dashed=True)


def _named(row: Row) -> str:
    return f"{row.name}, {row.way}" if row.way == BACKWARD else row.name


def _at(letter: str, step: int, steps: int) -> str:
    """A letter with the number of its step, as lectures write it; the last is T."""
    return f"{letter}⟨{'T' if step == steps - 1 else step + 1}⟩"


def _layer(
    drawing: Drawing,
    layer: Sequence[Row],
    place: Place,
    below: list[tuple[float, float]],
    y: float,
    colours: list[str],
    size: str,
) -> list[tuple[float, float]]:
    """A box, of two directions two, above each of the places below; where arrows upwards begin."""
    both, joint = len(layer) == 2, y - RISE / 2 - 12
    for number, (row, colour) in enumerate(zip(layer, colours, strict=True)):
        aside, high = (SIDE if number else -SIDE) * both, y - LIFT * number
        for step, (x, under) in enumerate(below):
            drawing.arrow(x, under, x + aside, high + HIGH / 2, colour, size if step == 0 and number == 0 else "")
            drawing.box(x + aside, high, BOX, row.name, colour)
            if both:
                drawing.arrow(x + aside, high - HIGH / 2, x, joint)
        if row.way:
            _chain(drawing, row, [x + aside for x, _ in below], high, colour, place.begin)
    return [(x, joint if both else y - HIGH / 2) for x, _ in below]


def _chain(drawing: Drawing, row: Row, xs: list[float], y: float, colour: str, begin: float | None) -> None:
    """Arrows from each step's state to the next; between the last two, steps are left out."""
    half, towards = BOX / 2, 1 if row.way == FORWARD else -1
    first = xs[0] if row.way == FORWARD else xs[-1]
    if begin is None:
        drawing.arrow(first - towards * (half + 30), y, first - towards * half, y, colour)
        drawing.text(first - towards * (half + 40), y + 5, "0", "letter")
    else:
        drawing.arrow(begin, y, first - half, y, colour)
    for step, (left, right) in enumerate(itertools.pairwise(xs)):
        label = row.state if step == 0 else "…" if step == len(xs) - 2 else ""
        ends = (left + half, right - half)[::towards]
        drawing.arrow(ends[0], y, ends[1], y, colour, label)


def _pooled(drawing: Drawing, part: Part, place: Place, below: list[tuple[float, float]], y: float) -> list[tuple[float, float]]:
    """A bar over all steps, and the one place above it."""
    middle, width = place.left + place.width * place.steps / 2, place.width * place.steps - 30
    for step in sorted({step % place.steps for step in part.ends} or range(place.steps)):
        x, under = below[step]
        drawing.arrow(x, under, x, y + HIGH / 2)
    drawing.box(middle, y, width, part.pool, NEUTRAL)
    return [(middle, y - HIGH / 2)]


def _attended(drawing: Drawing, net: Net, places: list[Place]) -> None:
    """A bar over the reader's states, and lines from it to where the writer combines them with its own, below its output."""
    reader, writer = places
    level = len(net.parts[1].layers) - 2
    y, top, both = reader.y(level), reader.y(len(net.parts[0].layers) - 1), len(net.parts[0].layers[-1]) == 2
    right = reader.left + reader.width * reader.steps - 15
    for step in range(reader.steps):
        x = reader.x(step)
        drawing.arrow(x, top - (RISE / 2 + 12 if both else HIGH / 2), x, y + HIGH / 2)
    drawing.box((reader.left + 15 + right) / 2, y, right - reader.left - 15, net.attention, NEUTRAL)
    for step in range(writer.steps):
        x, line = writer.x(step) - BOX / 4, y - HIGH / 2 - 14
        drawing.path(
            f"M{right:g} {y:g}L{right + 25:g} {y:g}L{right + 25:g} {line:g}L{x:g} {line:g}L{x:g} {y - HIGH / 2:g}", dashed=False
        )


# --- dilated convolutions

MOST_LAYERS, NODE = 6, 7  # drawn: each doubles the width; radius of a node


def _dilated(net: Dilations, layers: int) -> str:
    """Samples over one another in layers; bold, what the last output rests on."""
    drawing = Drawing()
    dilations, above = net.dilations[:layers], net.above
    if layers < len(net.dilations):
        above = "to the layers above"
        rest = f"the lowest {layers} of {len(net.dilations)} layers; the dilations of all: {_runs(net.dilations)}"
        drawing.text(16, 52, rest, "small", "start")
    samples = (net.kernel - 1) * sum(dilations) + 1
    gap = max(26.0, min(48.0, 760 / samples))
    ground = 110 + len(dilations) * RISE
    place = lambda sample, layer: (40 + gap * (sample + 0.5), ground - layer * RISE)  # noqa: E731
    needed = {samples - 1}
    for layer in range(len(dilations), 0, -1):
        colour, d = COLOURS[(layer - 1) % len(COLOURS)], dilations[layer - 1]
        below: set[int] = set()
        for sample in range(samples):
            sources = [sample - back * d for back in range(net.kernel) if sample - back * d >= 0]
            for source in sources:
                (x1, y1), (x2, y2) = place(source, layer - 1), place(sample, layer)
                drawing.arrows.append(_thread(x1, y1 - NODE, x2, y2 + NODE, colour if sample in needed else ""))
            below |= set(sources) if sample in needed else set()
        _nodes(drawing, [place(sample, layer) for sample in range(samples)], needed, colour)
        drawing.text(52 + gap * samples, ground - layer * RISE + 4, f"{d} apart", "small", "start")
        needed = below
    _nodes(drawing, [place(sample, 0) for sample in range(samples)], needed, NEUTRAL)
    drawing.text(52 + gap * samples, ground + 4, net.below, "small", "start")
    drawing.text(place(samples - 1, 0)[0], ground - len(dilations) * RISE - 18, above, "small")
    drawing.key = [(row.name, NEUTRAL, row.weights) for row in net.rows]
    return drawing.whole(net.kind, 40 + gap * samples + 100 + KEY, ground + 40)


def _runs(dilations: Sequence[int]) -> str:
    """Dilations in words: `1 to 512, 2 times`."""
    cycle = next(
        size for size in range(1, len(dilations) + 1) if tuple(dilations[:size]) * (len(dilations) // size) == tuple(dilations)
    )
    times = len(dilations) // cycle
    return f"{dilations[0]} to {dilations[cycle - 1]}" + (f", {times} times" if times > 1 else "")


def _thread(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    look = f'style="stroke:{colour}"' if colour else 'style="opacity:0.18"'
    return f'<path class="edge" d="M{x1:g} {y1:g}L{x2:g} {y2:g}" {look}/>'


def _nodes(drawing: Drawing, places: list[tuple[float, float]], needed: set[int], colour: str) -> None:
    for sample, (x, y) in enumerate(places):
        faint = "" if sample in needed else ";opacity:0.25"
        drawing.boxes.append(f'<circle cx="{x:g}" cy="{y:g}" r="{NODE}" style="fill:{colour}{faint}"/>')

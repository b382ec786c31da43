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

from .attention import Attention
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
    "#882255",
    "#999933",
    "#44aa99",
    "#332288",
)  # six of Okabe and Ito's, two, and four of Tol's


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
    gathered: bool = False  # what is above the recurrent layers reads the states of all of them


class Net(NamedTuple):
    kind: str
    parts: tuple[Part, ...]  # one, or the reader and the writer
    joined: str = ""  # how the writer begins from the reader
    attention: Row | None = None  # what it looks back by
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


def attended(attention: Attention, width: int) -> Row:
    """The row of what looks at all that was read; width: of each step of it."""
    letters = {"W": attention.query, "U": attention.key, "v": attention.v}
    if attention.query is None:
        letters = {"W": attention.key}
    weights = tuple(f"{letter} {_shape(layer.weight)}" for letter, layer in letters.items() if layer is not None)
    return Row(f"attention, {attention.kind}", width, weights + ("p 1",) * (attention.past is not None) or ("no weights",))


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
SIDE, LIFT = 48, 48  # how far a direction stands from the middle, and the backward one above the other
JOINT, FORK = 20, 24  # how far above two boxes their arrows meet, and how far below two boxes they part
TALL = RISE + LIFT + JOINT  # a layer of two directions, and the room above it
Exits = list[list[tuple[float, float]]]  # of each step, where arrows upwards begin: one place, of two directions two


class Place(NamedTuple):
    """Where a part stands."""

    left: float
    width: float  # of a column
    steps: int
    ground: float  # where its inputs are written
    begin: float | None  # where the first states come from; None: they are zero
    heights: tuple[float, ...]  # of the levels above the ground

    def x(self, step: int) -> float:
        return self.left + self.width * (step + 0.5)

    def y(self, level: int) -> float:
        return self.ground + 10 - self.heights[level]


def svg(net: Net | Dilations, steps: int = 4) -> str:
    """The picture of so many steps, the last of them T; of dilated convolutions, of so many layers."""
    if isinstance(net, Dilations):
        return _dilated(net, min(steps, MOST_LAYERS))
    drawing, places, tops, left, begin = Drawing(), [], [], float(LEFT), None
    heights = _heights(net)
    ground = heights[-1] - RISE + 136
    twice = set.intersection(*({row.name for layer in part.layers for row in layer} for part in net.parts))
    for part in net.parts:
        both = any(len(layer) == 2 for layer in part.layers)
        place = Place(left, WIDE if both else COLUMN, 1 if part.once else steps, ground, begin, heights)
        tops.append(_part(drawing, part, place, twice if len(net.parts) > 1 else set()))
        begin = place.x(place.steps - 1) - SIDE * both + BOX / 2
        left += place.width * place.steps + APART
        places.append(place)
    if net.attention:
        _attended(drawing, net, places, tops[0])
    if net.joined:
        _begun(drawing, net, places)
    drawing.text(16, 52, net.note, "small", "start")
    return drawing.whole(net.kind, left - APART + KEY, ground + 30 + 20 * (len(net.parts) > 1))


def _heights(net: Net) -> tuple[float, ...]:
    """Of the levels above the ground, and of what is above them; layers of one number stand beside one another."""
    levels = max(len(part.layers) + bool(part.pool) for part in net.parts)
    if net.attention:
        levels = max(levels, _looking(net) + 1)
    tall = {number for part in net.parts for number, layer in enumerate(part.layers) if len(layer) == 2}
    return tuple(itertools.accumulate([RISE] + [TALL if level in tall else RISE for level in range(levels)]))


def _looking(net: Net) -> int:
    """The level of the attention: above all that is read, and no lower than what combines it with the writer's state."""
    return max(len(net.parts[0].layers), len(net.parts[1].layers) - 2)


def _begun(drawing: Drawing, net: Net, places: list[Place]) -> None:
    """What the writer's first states are."""
    levels = [number for number, layer in enumerate(net.parts[1].layers) if layer[0].way]
    drawing.text(places[1].x(0) - BOX / 2 - 8, places[1].y(levels[0]) + 20, net.joined, "small", "end")
    top, highest = len(net.parts[0].layers) - 1, levels[-1]
    if highest > top:  # the reader has no layer beside it: its first state comes from the reader's uppermost too
        drawing.path(f"M{places[1].begin:g} {places[0].y(top):g}V{places[0].y(highest):g}", headed=False)


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

    def path(self, path: str, colour: str = "", dashed: bool = False, headed: bool = True) -> None:
        look = ' stroke-dasharray="5 4"' * dashed + ' marker-end="url(#head)"' * headed
        look += f' style="stroke:{colour}"' if colour else ""
        self.arrows.append(f'<path class="edge" d="{path}"{look}/>')

    def dot(self, x: float, y: float) -> None:
        """Where a line leaves another."""
        self.arrows.append(f'<circle cx="{x:g}" cy="{y:g}" r="3" style="fill:{NEUTRAL}"/>')

    def next_colour(self) -> str:
        """Of the next row in the key."""
        return COLOURS[len(self.key) % len(COLOURS)]

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


def _part(drawing: Drawing, part: Part, place: Place, twice: set[str]) -> tuple[Exits, str]:
    """Draw one sequence's net; where arrows go on from its uppermost layer, and how many numbers go there."""
    below: Exits = [[(place.x(step), place.ground - 16)] for step in range(place.steps)]
    size, level, lower = "", 0, []
    for step in range(place.steps):
        drawing.text(place.x(step), place.ground, part.input if part.once else _at(part.input, step, place.steps), "letter")
    drawing.text(place.left + place.width * place.steps / 2, place.ground + 32, part.name, "label")
    for number, layer in enumerate(part.layers):
        if part.pool and number == len(part.layers) - 1:
            below, level = _pooled(drawing, part, place, below, place.y(level), size), level + 1
        if part.gathered and len(lower) > 1 and not layer[0].way:
            below, size, lower = *_gathered(drawing, lower, [row.size for row in part.layers[number - 1]], place.y(level)), []
        below = _layer(drawing, layer, place, _joined(drawing, below), place.y(level), _keyed(drawing, layer, part, twice), size)
        lower += [below] * bool(layer[0].way)
        size, level = str(sum(row.size for row in layer)), level + 1
    if part.output:
        _answers(drawing, part, place, _joined(drawing, below), size)
    return below, size


def _keyed(drawing: Drawing, layer: Sequence[Row], part: Part, twice: set[str]) -> list[str]:
    """The rows of a layer in the key, with the name of the part where both parts have such rows; their colours."""
    colours = []
    for row in layer:
        colours.append(drawing.next_colour())
        name = f"{part.name}'s {row.name}" if row.name in twice else row.name
        drawing.key.append((f"{name}, {row.way}" if row.way == BACKWARD else name, colours[-1], row.weights))
    return colours


def _answers(drawing: Drawing, part: Part, place: Place, below: list[tuple[float, float]], size: str) -> None:
    """What comes out at the top, and where it is the next input."""
    for step, (x, under) in enumerate(below):
        drawing.arrow(x, under, x, under - 30, label=size if step == 0 else "")
        drawing.text(x, under - 38, part.output if part.pool or part.once else _at(part.output, step, place.steps), "letter")
        if part.fed_back and step + 1 < place.steps:
            end, high, low = place.x(step + 1), under - 44, place.ground - 5
            down = end - place.width / 2 + 14  # to the right of what is written between two boxes
            drawing.path(
                f"M{x + 22:g} {high:g}C{down:g} {high:g} {down:g} {high:g} {down:g} {high + 30:g}"
                f"V{low - 30:g}C{down:g} {low:g} {down:g} {low:g} {end - 26:g} {low:g}", dashed=True,
            )  # fmt: skip


def _at(letter: str, step: int, steps: int) -> str:
    """A letter with the number of its step, as lectures write it; the last is T."""
    return f"{letter}⟨{'T' if step == steps - 1 else step + 1}⟩"


def _joined(drawing: Drawing, exits: Exits) -> list[tuple[float, float]]:
    """One place for each step: of two directions, where their states meet."""
    places = []
    for ends in exits:
        y = min(under for _, under in ends) - JOINT * (len(ends) == 2)
        x = sum(x for x, _ in ends) / len(ends)
        for aside, under in ends[: len(ends) * (len(ends) == 2)]:
            drawing.path(f"M{aside:g} {under:g}V{y:g}H{x:g}", headed=False)
        places.append((x, y))
    return places


def _layer(
    drawing: Drawing,
    layer: Sequence[Row],
    place: Place,
    below: list[tuple[float, float]],
    y: float,
    colours: list[str],
    size: str,
) -> Exits:
    """A box, of two directions two, above each of the places below; where arrows upwards begin."""
    both, exits = len(layer) == 2, [[] for _ in below]
    for number, (row, colour) in enumerate(zip(layer, colours, strict=True)):
        aside, high = (SIDE if number else -SIDE) * both, y - LIFT * number
        for step, (x, under) in enumerate(below):
            fork = y + HIGH / 2 + FORK
            drawing.path(f"M{x:g} {under:g}" + f"V{fork:g}H{x + aside:g}" * both + f"V{high + HIGH / 2:g}", colour)
            drawing.box(x + aside, high, BOX, row.name, colour)
            exits[step].append((x + aside, high - HIGH / 2))
        if row.way:
            _chain(drawing, row, [x + aside for x, _ in below], high, colour, place.begin)
    x, under = below[0]
    drawing.text(x + 5, (under + (fork if both else y + HIGH / 2)) / 2 + 4, size, "small", "start")
    return exits


def _chain(drawing: Drawing, row: Row, xs: list[float], y: float, colour: str, begin: float | None) -> None:
    """Arrows from each step's state to the next; between the last two, steps are left out."""
    half, towards = BOX / 2, 1 if row.way == FORWARD else -1
    first = xs[0] if row.way == FORWARD else xs[-1]
    if begin is None:
        drawing.arrow(first - towards * (half + 30), y, first - towards * half, y, colour)
        drawing.text(first - towards * (half + 40), y + 5, "0", "letter")
    else:
        drawing.arrow(begin, y, first - half, y, colour)
    drawing.text(first - towards * (half + 6), y - 12, row.state, "small", "end" if row.way == FORWARD else "start")
    for step, (left, right) in enumerate(itertools.pairwise(xs)):
        ends = (left + half, right - half)[::towards]
        drawing.arrow(ends[0], y, ends[1], y, colour, "…" if step == len(xs) - 2 else "")


def _gathered(drawing: Drawing, layers: list[Exits], sizes: list[int], y: float) -> tuple[Exits, str]:
    """Lines from the states of lower layers to below the layer at y, which reads all; how many numbers it reads."""
    joint = y + HIGH / 2 + FORK
    below = [[(x, joint)] for ((x, _), *_) in layers[-1]]
    for lower in layers[:-1]:
        for (x, under), *_ in lower:
            drawing.path(f"M{x:g} {under - 8:g}H{x + BOX / 2 + 10:g}V{joint:g}H{x:g}", headed=False)
    for (x, under), *_ in layers[-1]:
        drawing.path(f"M{x:g} {under:g}V{joint:g}", headed=False)
    return below, str(sum(sizes) * len(layers))


def _pooled(drawing: Drawing, part: Part, place: Place, below: Exits, y: float, size: str) -> Exits:
    """A bar over all steps, and the one place above it; of two directions, each one's last state comes from its own box."""
    middle, width = place.left + place.width * place.steps / 2, place.width * place.steps - 30
    wide, under = part.layers[-2], y + HIGH / 2
    if part.ends:
        ends = {step % place.steps: below[step][-1 if step == 0 else 0] for step in part.ends}
        labels = {step: str(wide[-1 if step == 0 else 0].size) for step in ends}
    else:
        ends = dict(enumerate(_joined(drawing, below)))
        labels = {0: size}
    for step, (x, top) in ends.items():
        drawing.path(f"M{x:g} {top:g}V{under:g}")
        drawing.text(x + 5, under + 25, labels.get(step, ""), "small", "start")
    drawing.box(middle, y, width, part.pool, NEUTRAL)
    return [[(middle, y - HIGH / 2)]]


def _attended(drawing: Drawing, net: Net, places: list[Place], read: tuple[Exits, str]) -> None:
    """A bar over the reader's states: the writer's states go to it, and what it sees to where the writer combines both."""
    (reader, writer), (exits, size), combine = places, read, len(net.parts[1].layers) - 2
    colour, y = drawing.next_colour(), reader.y(_looking(net))
    left, right, corner = reader.left + 15, reader.left + reader.width * reader.steps + 15, writer.left - 45
    drawing.key.append((net.attention.name, colour, net.attention.weights))
    for step, (x, under) in enumerate(_joined(drawing, exits)):
        drawing.path(f"M{x:g} {under:g}V{y + HIGH / 2:g}", colour)
        drawing.text(x + 5, y + HIGH / 2 + 25, size if step == 0 else "", "small", "start")
    drawing.box((left + right) / 2, y, right - left, net.attention.name, colour)
    asked, told = writer.y(combine) + HIGH / 2 + 36, writer.y(combine) - HIGH / 2 - 14
    last = writer.x(writer.steps - 1)
    drawing.path(f"M{last:g} {asked:g}H{right - 14:g}V{y + HIGH / 2:g}")
    drawing.text(corner, asked - 6, f"h: {net.parts[1].layers[combine - 1][0].size}", "small", "start")
    drawing.text(corner + 8, told - 6, f"{net.attention.size}", "small", "start")
    for x in map(writer.x, range(writer.steps)):
        drawing.dot(x, asked)
        drawing.path(f"M{right:g} {y:g}H{corner:g}V{told:g}H{x - BOX / 4:g}V{told + 14:g}", colour)


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

"""Arrays in, figure out; nothing is computed here but where ink goes. The one place that knows matplotlib."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import font_manager, rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextPath
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import Affine2D

# Paul Tol's "muted" scheme: nine colours that differ for every kind of colour vision. A tenth group has the first colour in
# another shape.
COLOURS = ("#332288", "#CC6677", "#117733", "#DDCC77", "#88CCEE", "#882255", "#44AA99", "#AA4499", "#999933")
MARKS = ("o", "s", "^", "D")
ONE = "#4a5f8f"  # the colour where there are no groups
INK, SOFT = "#1f2430", "#596173"
FOR, AGAINST = "#2166ac", "#e08214"  # blue and orange differ for every kind of colour vision
PALE = LinearSegmentedColormap.from_list("pale", (AGAINST, "#f7f7f7", FOR))
# Asked for letters in this order, those that are installed; matplotlib brings the first.
FONTS = (
    "DejaVu Sans", "Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Noto Sans Arabic", "Noto Sans Hebrew",
    "Noto Sans Devanagari", "Noto Sans Thai", "Arial Unicode MS", "Microsoft YaHei", "Malgun Gothic", "PingFang SC",
)  # fmt: skip
DOTS = 150  # an inch
LEGEND = 32  # letters of a name that fit beside the map
HEAT = LinearSegmentedColormap.from_list("heat", ("#f3f4f8", "#8a9ccf", "#332288"))
CELL, LABEL = (0.17, 0.32), 24  # inches of a cell's side, of many and of few; letters of a symbol shown beside them

Box = tuple[float, float, float, float]  # left, bottom, right, top in dots


def word_map(
    positions: np.ndarray, words: Sequence[str], groups: np.ndarray, names: Sequence[str], key: str, title: str, small: str
) -> Figure:
    """Words as dots (N, 2), the colour and shape of each its group (N,), labels on as many as do not overlap.

    Words stand in the order in which they are labelled; `names` are the groups' (none: no groups) and `key` is written above
    them. A word that has a letter which no installed font can draw keeps its dot without a label.
    """
    figure = Figure(figsize=(13, 11), dpi=DOTS)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.01, 0.01, 0.8 if names else 0.98, 0.93))
    axes.set_axis_off()
    axes.set_aspect("equal", adjustable="datalim")
    area = float(np.clip(24_000 / len(positions), 5, 30))  # of a dot, in square points
    _dots(axes, positions, groups, names, area)
    fonts = _installed()
    figure.text(0.014, 0.977, title, fontsize=15, color=INK, va="center", family=fonts, parse_math=False)
    figure.text(0.014, 0.954, small, fontsize=9, color=SOFT, va="center", family=fonts, parse_math=False)
    if names:
        _legend(axes, names, key, fonts)
    _labels(figure, positions, words, fonts, area**0.5 / 2)
    return figure


def attention(
    source: Sequence[str], written: Sequence[str], weights: np.ndarray, columns: Sequence[int], rows: Sequence[int], small: str
) -> Figure:
    """Weights (T, S) as a heat map: a row a written symbol, a column one of the source, lines before `columns` and `rows`.

    A letter that no installed font can draw is a box.
    """
    (T, S), fonts = weights.shape, _installed()
    cell, size = float(np.clip(12 / max(T, S), *CELL)), 10 if max(T, S) <= 40 else 8
    extent, drawable = _ruler(fonts, size), _drawable(fonts)
    names = [[drawable(_short(symbol, LABEL)) for symbol in symbols] for symbols in (written, source)]
    left, top = (max(extent(name)[0] for name in some) / DOTS + 0.3 for some in names)
    turned = top - 0.3 > 0.9 * cell  # where a name is wider than its column
    top = top if turned else 0.45
    small = drawable(small)
    wide = max(left + S * cell + 0.3, _ruler(fonts, 8)(small)[0] / DOTS + 0.3)
    high = top + T * cell + 0.5
    figure = Figure(figsize=(wide, high), dpi=DOTS)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((left / wide, 0.45 / high, S * cell / wide, T * cell / high))
    axes.pcolormesh(weights, cmap=HEAT, vmin=0, vmax=1, edgecolors="white", linewidth=0.5)
    axes.set(xlim=(0, S), ylim=(T, 0), frame_on=False)
    axes.vlines(columns, 0, T, color=SOFT, linewidth=0.6)
    axes.hlines(rows, 0, S, color=SOFT, linewidth=0.6)
    for axis, labels in ((axes.yaxis, names[0]), (axes.xaxis, names[1])):
        axis.set_ticks(np.arange(len(labels)) + 0.5, labels, family=fonts, fontsize=size, color=INK, parse_math=False)
    axes.tick_params(length=0, top=True, labeltop=True, labelbottom=False)
    axes.tick_params(axis="x", labelrotation=90 * turned)
    figure.text(0.15 / wide, 0.18 / high, small, fontsize=8, color=SOFT, va="center", family=fonts, parse_math=False)
    return figure


def gaze(picture: np.ndarray, words: Sequence[str], weights: np.ndarray, gates: np.ndarray, small: str) -> Figure:
    """A picture (H, W, 3) once for each word, lit where its weights (T, rows, columns) are; under a word, how much it counted."""
    fonts, across = _installed(), min(6, len(words))
    down, drawable = -(-len(words) // across), _drawable(fonts)
    high, wide = 2.0 * picture.shape[0] / max(picture.shape[:2]), 2.0 * picture.shape[1] / max(picture.shape[:2])
    tall = down * (high + 0.45) + 0.4
    figure = Figure(figsize=(across * (wide + 0.1) + 0.1, tall), dpi=DOTS)
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.01, right=0.99, top=1 - 0.35 / tall, bottom=0.4 / tall, wspace=0.05, hspace=0.45 / high)
    for t, word in enumerate(words):
        axes = figure.add_subplot(down, across, t + 1)
        axes.imshow(picture, extent=(0, 1, 1, 0), aspect="auto")
        dark = 1 - weights[t] / max(float(weights[t].max()), 1e-9)
        veil = np.zeros((*dark.shape, 4))
        veil[:, :, 3] = 0.75 * dark
        axes.imshow(veil, extent=(0, 1, 1, 0), aspect="auto", interpolation="bilinear")
        axes.set_axis_off()
        axes.set_title(drawable(_short(word, LABEL)), family=fonts, fontsize=10, color=INK, parse_math=False, pad=4)
        axes.text(0.5, 1.03, f"{gates[t]:.2f}", fontsize=7, color=SOFT, ha="center", va="top")
    figure.text(0.01, 0.1 / tall, drawable(small), fontsize=8, color=SOFT, family=fonts, parse_math=False)
    return figure


def strip(
    frames: np.ndarray, numbers: np.ndarray, curves: dict[str, np.ndarray], what: str, moved: dict[str, np.ndarray], small: str
) -> Figure:  # fmt: skip
    """Frames (T, S, S, 3) in a row; on the same places a curve (T,) a label, and a bar a frame for each of `moved` (T,)."""
    fonts, T = _installed(), len(frames)
    drawable, wide = _drawable(fonts), float(np.clip(0.9 * T + 1.2, 9, 24))
    figure = Figure(figsize=(wide, 5.4), dpi=DOTS)
    FigureCanvasAgg(figure)
    left, inner = 0.8 / wide, 1 - 2.3 / wide  # names of labels stand right
    above, middle, under = (
        figure.add_axes((left, bottom, inner, high)) for bottom, high in ((0.74, 0.22), (0.43, 0.27), (0.14, 0.22))
    )
    place = inner * wide / T  # inches
    side = min(0.96 * place, 0.22 * 5.4)  # of a frame
    for t, frame in enumerate(frames):
        above.imshow(
            frame,
            extent=(t - side / place / 2, t + side / place / 2, 0, side / (0.22 * 5.4)),
            aspect="auto",
            interpolation="nearest",
        )
    above.set(ylim=(0, 1), yticks=[], frame_on=False)
    for i, (name, values) in enumerate(curves.items()):
        middle.plot(values, marker=MARKS[i % len(MARKS)], markersize=4, color=COLOURS[i], linewidth=1.4,
                    label=drawable(_short(name, LABEL)))  # fmt: skip
    middle.set_ylim(-0.03, 1.03)
    middle.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, prop=FontProperties(family=fonts, size=8))
    middle.set_title(what, family=fonts, fontsize=8, color=INK, loc="left", pad=3)
    for i, ((name, values), hatch) in enumerate(zip(moved.items(), (None, "////"), strict=False)):
        place = np.arange(T) + 0.4 * (i - (len(moved) - 1) / 2)
        under.bar(place, np.nan_to_num(values), 0.36, color=FOR if not i else "#9ec3e6", hatch=hatch, edgecolor="white",
                  linewidth=0, label=name)  # fmt: skip
    under.axhline(0, color=SOFT, linewidth=0.8)
    under.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, prop=FontProperties(family=fonts, size=8))
    under.set_title("for the answer (above 0) or against it, nats", family=fonts, fontsize=8, color=INK, loc="left", pad=3)
    for axes in (above, middle, under):
        axes.set_xlim(-0.6, T - 0.4)
        axes.set_xticks(np.arange(T), numbers.tolist() if axes is under else [])
        axes.tick_params(colors=SOFT, labelsize=7, length=0)
    _plain(middle), _plain(under)
    under.set_xlabel("frame", family=fonts, color=INK, fontsize=8)
    figure.text(0.01, 0.02, drawable(small), fontsize=7, color=SOFT, va="center", family=fonts, parse_math=False)
    return figure


def moved(words: Sequence[str], numbers: dict[str, np.ndarray], title: str, small: str) -> Figure:
    """A row a word, in it a bar from 0 for each of `numbers` (T,), blue above 0 and orange, hatched, below; nan has none."""
    fonts, T = _installed(), len(words)
    drawable = _drawable(fonts)
    names = [drawable(_short(word, LABEL)) for word in words]
    left = max(_ruler(fonts, 9)(name)[0] for name in names) / DOTS + 0.3
    high = 0.24 * T + 1.5
    wide = max(
        left + 6.3,  # small letters are drawn a little wider than measured
        1.07 * max(_ruler(fonts, size)(text)[0] for text, size in ((drawable(title), 11), (drawable(small), 7))) / DOTS + 0.3,
    )
    figure = Figure(figsize=(wide, high), dpi=DOTS)
    FigureCanvasAgg(figure)
    each = (wide - left - 0.2) / len(numbers)
    most = 1.05 * max(float(np.abs(np.nan_to_num(values)).max()) for values in numbers.values()) or 1.0
    for i, (name, values) in enumerate(numbers.items()):
        axes = figure.add_axes(((left + i * each) / wide, 0.85 / high, (each - 0.15) / wide, 0.24 * T / high))
        for sign, colour, hatch in ((1, FOR, None), (-1, AGAINST, "////")):
            bars = np.where(sign * values > 0, values, 0)
            axes.barh(np.arange(T), bars, height=0.7, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
        axes.axvline(0, color=SOFT, linewidth=0.8)
        axes.set(xlim=(-most, most), ylim=(T - 0.5, -0.5))
        axes.set_xlabel(f"{name}, nats", family=fonts, fontsize=9, color=INK)
        axes.set_yticks(np.arange(T), [] if i else names, family=fonts, fontsize=9, color=INK, parse_math=False)
        _plain(axes)
        axes.tick_params(axis="y", length=0)
        axes.tick_params(axis="x", labelsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(5, prune="both"))
    figure.text(0.15 / wide, 1 - 0.3 / high, drawable(title), fontsize=11, color=INK, va="center", family=fonts, parse_math=False)
    figure.text(0.15 / wide, 0.18 / high, drawable(small), fontsize=7, color=SOFT, va="center", family=fonts, parse_math=False)
    return figure


LINE, PLACE, BLOCK = 0.13, 0.1, 8  # inches of a line, and of a symbol in it; pixels of a cell's side in a file of outlines


def unit(
    pieces: Sequence[str], values: np.ndarray, gates: dict[str, np.ndarray], across: int, title: str, small: str
) -> Figure:  # fmt: skip
    """A text of T symbols, `across` in a row, on colours of values (T,) from -1 to 1; below each row its gates (T,), 0 to 1."""
    fonts, rows, lines = _installed(), -(-len(pieces) // across), 2 + len(gates)  # with the free one below
    drawable, wide, high = _drawable(fonts), PLACE * across + 1.3, LINE * lines * rows
    tall = high + 0.8
    figure = Figure(figsize=(wide, tall), dpi=DOTS)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((1.2 / wide, 0.35 / tall, PLACE * across / wide, high / tall), frame_on=False)
    axes.set(xlim=(0, across), ylim=(lines * rows, 0), xticks=[])
    colours = np.zeros((rows, lines, across, 4), np.uint8)  # free lines, and what lies behind the text's end, stay clear
    places = np.divmod(np.arange(len(pieces)), across)
    colours[places[0], 0, places[1]] = PALE((values + 2) / 4, bytes=True)  # letters stay readable
    for i, gate in enumerate(gates.values()):
        colours[places[0], 1 + i, places[1]] = HEAT(gate, bytes=True)
    # one image, not thousands of cells; each as a block, since some viewers smooth what they enlarge
    image = colours.reshape(rows * lines, across, 4).repeat(BLOCK, 0).repeat(BLOCK, 1)
    axes.imshow(image, extent=(0, across, lines * rows, 0), aspect="auto", interpolation="none")
    _letters_at(axes, [drawable(piece[:1]) for piece in pieces], places[1] + 0.5, places[0] * lines + 0.75, fonts)
    names = ["state", *gates]
    heights = (lines * np.arange(rows)[:, None] + np.arange(len(names)) + 0.5).ravel()
    axes.set_yticks(heights, names * rows)
    axes.tick_params(colors=SOFT, labelsize=6, length=0)
    figure.text(0.1 / wide, 1 - 0.2 / tall, drawable(title), fontsize=9, color=INK, va="center", family=fonts, parse_math=False)
    figure.text(0.1 / wide, 0.15 / tall, drawable(small), fontsize=7, color=SOFT, va="center", family=fonts, parse_math=False)
    return figure


def _letters_at(axes: Axes, letters: Sequence[str], x: np.ndarray, y: np.ndarray, fonts: list[str]) -> None:
    """Letters in the middle of x, on y. Thousands of them as outlines, one for each different letter: texts take ten times as
    long."""
    points = Affine2D().scale(1 / 72) + axes.figure.dpi_scale_trans
    for letter in sorted({*letters} - {" ", ""}):
        outline = TextPath((0, 0), letter, size=7, prop=FontProperties(family=fonts))
        if not len(outline.vertices):
            continue
        outline = outline.transformed(Affine2D().translate(-outline.get_extents().intervalx.mean(), 0))
        at = np.array([letter == other for other in letters])
        axes.add_collection(
            PathCollection(
                [outline], offsets=np.stack((x[at], y[at]), 1), offset_transform=axes.transData, transform=points, color=INK,
                linewidth=0,
            ),
            autolim=False,
        )  # fmt: skip


def trade_off(
    false_accepts: np.ndarray,
    misses: np.ndarray,
    chosen: tuple[float, float],
    interval: tuple[float, float],
    least: float,
    small: str,
) -> Figure:
    """Misses (n,) in percent against false accepts an hour (n,), and the point chosen with the interval of its misses.

    Rates below `least`, none among them, stand at the left edge.
    """
    figure = Figure(figsize=(6.4, 4.4), dpi=DOTS)
    FigureCanvasAgg(figure)
    axes, fonts = figure.add_axes((0.11, 0.18, 0.86, 0.78)), _installed()
    axes.set_xscale("log")
    axes.step(np.maximum(false_accepts, least), misses, where="post", color=ONE, linewidth=1.6)
    at = max(chosen[0], least)
    axes.vlines(at, *interval, color=COLOURS[1], linewidth=2.2)
    axes.plot([at], [chosen[1]], "o", color=COLOURS[1], markersize=6)
    axes.set(
        xlim=(least * 0.8, max(100 * least, float(false_accepts.max(initial=0)) * 1.2)),
        ylim=(0, min(103, max(10, 3 * interval[1]))),
    )
    axes.set_xlabel("false accepts an hour", family=fonts, color=INK)
    axes.set_ylabel("words missed, %", family=fonts, color=INK)
    axes.grid(color="#e3e5ec", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=SOFT, labelsize=9)
    figure.text(0.012, 0.03, small, fontsize=7.5, color=SOFT, va="center", family=fonts, parse_math=False)
    return figure


class Curve(NamedTuple):
    """A line of log10 norms at distances 0, 1, …"""

    name: str
    logs: Sequence[float]
    colour: int  # of COLOURS
    style: str  # matplotlib's: "-", "--", ":"


class Grid(NamedTuple):
    """What cells reached at a task: rows are cells, columns lags."""

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    shares: np.ndarray  # (R, C), 0 … 1
    texts: Sequence[Sequence[str]]  # (R, C)


DEEPEST = -40  # power of ten at which the axis of norms ends


def reach(curves: Sequence[Curve], grids: Sequence[Grid], small: str) -> Figure:
    """Gradient norms against the distance in time, and beside them what was learnt at which lag."""
    figure = Figure(figsize=(13 if grids else 8, 5.6), dpi=DOTS)
    FigureCanvasAgg(figure)
    fonts = _installed()
    _norms(figure.add_axes((0.065, 0.15, 0.43, 0.79) if grids else (0.1, 0.15, 0.87, 0.79)), curves, fonts)
    for place, grid in enumerate(grids):
        high = 0.79 / len(grids)
        _grid(figure.add_axes((0.585, 0.15 + 0.79 - high * (place + 1) + 0.085, 0.405, high - 0.12)), grid, fonts)
    figure.text(0.012, 0.028, small, fontsize=8, color=SOFT, va="center", family=fonts, parse_math=False)
    return figure


def _norms(axes: Axes, curves: Sequence[Curve], fonts: list[str]) -> None:
    lowest = 0.0
    for curve in curves:
        logs = np.asarray(curve.logs, float)
        axes.plot(logs, curve.style, color=COLOURS[curve.colour % len(COLOURS)], linewidth=1.9, label=_short(curve.name, 48))
        lowest = min(lowest, float(np.nanmin(logs)))
    axes.axhline(np.log10(1 / np.e), color=SOFT, linewidth=0.8, dashes=(2, 2), label="1/e: the end of the effective memory")
    axes.set_xlabel("distance in time T − t, steps", family=fonts, color=INK)
    axes.set_ylabel("norm of ∂s⟨T⟩/∂s⟨t⟩, root mean square over directions", family=fonts, color=INK)
    axes.set_ylim(bottom=max(DEEPEST, 1.05 * lowest - 0.3))
    axes.set_xlim(left=0)
    axes.yaxis.set_major_locator(MaxNLocator(9, integer=True))
    axes.yaxis.set_major_formatter(lambda power, _: f"$10^{{{power:.0f}}}$")
    _plain(axes)
    axes.legend(loc="best", prop=FontProperties(family=fonts, size=8.5), frameon=True, framealpha=0.9, edgecolor="none")


def _plain(axes: Axes) -> None:
    axes.grid(color="#e3e5ec", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=SOFT, labelsize=9)


def _grid(axes: Axes, grid: Grid, fonts: list[str]) -> None:
    axes.pcolormesh(grid.shares, cmap=HEAT, vmin=0, vmax=1, edgecolors="white", linewidth=2)
    axes.set(xlim=(0, len(grid.columns)), ylim=(len(grid.rows), 0), frame_on=False)
    axes.set_title(grid.title, fontsize=9.5, color=INK, family=fonts, loc="left", parse_math=False)
    for axis, labels in ((axes.yaxis, grid.rows), (axes.xaxis, grid.columns)):
        axis.set_ticks(np.arange(len(labels)) + 0.5, labels, family=fonts, fontsize=9, color=INK, parse_math=False)
    axes.tick_params(length=0)
    for (row, column), share in np.ndenumerate(grid.shares):
        colour = "white" if share > 0.6 else INK
        size = 8 if len(grid.rows) < 5 else 6.5
        axes.text(
            column + 0.5, row + 0.5, grid.texts[row][column], color=colour, fontsize=size, ha="center", va="center", family=fonts,
            parse_math=False,
        )  # fmt: skip


def training(
    steps: Sequence[int],
    mean: Sequence[float],
    highest: Sequence[float],
    clip: float,
    panels: dict[str, Sequence[Curve]],
    small: str,
) -> Figure:
    """Over training: gradients' norms before clipping, and in two `panels`, by their axis, log10 of each parameter's figures."""
    figure = Figure(figsize=(15, 5.2), dpi=DOTS)
    FigureCanvasAgg(figure)
    fonts = _installed()
    left, *others = (figure.add_axes((begin, 0.16, 0.21, 0.78)) for begin in (0.06, 0.335, 0.61))
    left.plot(steps, mean, "o-", color=COLOURS[0], label="mean", linewidth=1.9, markersize=4)
    left.plot(steps, highest, "^:", color=COLOURS[1], label="longest", linewidth=1.5, markersize=4)
    left.axhline(clip, color=INK, linewidth=1, dashes=(5, 3), label="clipped above")
    left.set_yscale("log")
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter(lambda norm, _: f"{norm:g}")
    left.yaxis.set_minor_formatter(NullFormatter())
    left.set_ylabel("norm of a step's gradient", family=fonts, color=INK)
    left.legend(prop=FontProperties(family=fonts, size=8.5), frameon=False)
    for axes, (name, curves) in zip(others, panels.items(), strict=True):
        for number, curve in enumerate(curves):
            mark, colour = MARKS[number % len(MARKS)], COLOURS[curve.colour % len(COLOURS)]
            axes.plot(
                steps,
                curve.logs,
                curve.style,
                marker=mark,
                color=colour,
                label=_short(curve.name, 40),
                linewidth=1.5,
                markersize=4,
            )
        axes.set_ylabel(name, family=fonts, color=INK)
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.yaxis.set_major_formatter(lambda power, _: f"{10**power:.2g}")
    shape = FontProperties(family=fonts, size=7.5)
    others[-1].legend(prop=shape, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)
    for axes in (left, *others):
        axes.set_xlabel("training steps", family=fonts, color=INK)
        _plain(axes)
    figure.text(0.012, 0.028, small, fontsize=8, color=SOFT, va="center", family=fonts, parse_math=False)
    return figure


def spectrogram(features: np.ndarray, seconds: float, small: str) -> Figure:
    """A log-mel spectrogram (frames, bands) over its seconds, low bands below."""
    figure = Figure(figsize=(max(4.0, min(14.0, 2.2 * seconds)), 2.6), dpi=DOTS)
    FigureCanvasAgg(figure)
    axes, fonts = figure.add_axes((0.11, 0.24, 0.86, 0.72)), _installed()
    edges = np.linspace(0, seconds, len(features) + 1), np.arange(features.shape[1] + 1)
    axes.pcolormesh(*edges, features.T, cmap=HEAT)
    axes.set_xlabel("seconds", family=fonts, color=INK, fontsize=8)
    axes.set_ylabel("mel bands", family=fonts, color=INK, fontsize=8)
    axes.tick_params(colors=SOFT, labelsize=7)
    figure.text(0.012, 0.05, small, fontsize=7, color=SOFT, va="center", family=fonts, parse_math=False)
    return figure


def foresight(
    spectrogram: tuple[np.ndarray, Sequence[tuple[float, str]], float],
    surprise: tuple[np.ndarray, np.ndarray],
    near: tuple[float, float],
    expected: tuple[np.ndarray, np.ndarray, Sequence[tuple[int, str]]],
    listened: tuple[np.ndarray, Sequence[int], float],
    small: str,
) -> Figure:
    """A sound as a net expected it, in four rows.

    spectrogram  features (F, M), marks of the frequency axis, the sound's seconds
    surprise     seconds (n,) and the nats there
    near         the seconds between which `expected` lies
    expected     shades (K, Z) of K levels, the highest above, the levels (Z,) that came, marks of that axis
    listened     strengths (D,) at the distances 1, 2, …, the layers' dilations, the least strength drawn
    """
    figure, fonts = Figure(figsize=(10, 9.6), dpi=DOTS), _installed()
    FigureCanvasAgg(figure)
    above, under, close, far = (
        figure.add_axes((0.08, bottom, 0.9, high)) for bottom, high in ((0.8, 0.17), (0.64, 0.14), (0.345, 0.22), (0.1, 0.17))
    )
    features, marks, seconds = spectrogram
    above.pcolormesh(
        np.linspace(0, seconds, len(features) + 1), np.arange(features.shape[1] + 1), features.T, cmap=HEAT, rasterized=True
    )
    above.set_yticks([at for at, _ in marks], [name for _, name in marks])
    above.set_ylabel("hertz", family=fonts, color=INK, fontsize=8)
    above.tick_params(labelbottom=False)
    under.plot(*surprise, color=ONE, linewidth=1.2)
    under.set_ylim(bottom=min(0, float(surprise[1].min())))
    _named(under, "seconds", "nats a sample", fonts)
    for axes in (above, under):
        axes.set_xlim(0, seconds)
        axes.axvspan(*near, color=COLOURS[1], alpha=0.3, linewidth=0)
    shades, came, names = expected
    levels, size = shades.shape
    edges = 1000 * np.linspace(*near, size + 1)
    close.pcolormesh(edges, np.arange(levels + 1), shades[::-1], cmap=HEAT, vmin=0, vmax=1, rasterized=True)
    close.plot((edges[1:] + edges[:-1]) / 2, came + 0.5, color=COLOURS[1], linewidth=1.2)
    close.set_yticks([level + 0.5 for level, _ in names], [name for _, name in names])
    _named(close, "milliseconds: what was expected (dark), and what came (line)", "sample, of full scale", fonts)
    strength, dilations, least = listened
    far.loglog(np.arange(1, len(strength) + 1), np.where(strength < least, np.nan, strength), color=ONE, linewidth=1.2)
    far.set_xscale("log", base=2)
    for dilation in dilations:
        far.axvline(dilation, color=SOFT, linewidth=0.8, linestyle=(0, (3, 3)))
    far.set(ylim=(least, 1.5), xlim=(1, max(2, len(strength))))
    far.xaxis.set_major_locator(LogLocator(2, numticks=20))
    far.xaxis.set_major_formatter(lambda distance, _: f"{distance:,.0f}")
    _named(far, "samples back; dashed: the layers' dilations", "listening", fonts)
    for axes in (above, under, close, far):
        axes.tick_params(colors=SOFT, labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    figure.text(0.01, 0.015, _drawable(fonts)(small), fontsize=7, color=SOFT, va="center", family=fonts, parse_math=False)
    return figure


def _named(axes: Axes, x: str, y: str, fonts: list[str]) -> None:
    axes.set_xlabel(x, family=fonts, color=INK, fontsize=8)
    axes.set_ylabel(y, family=fonts, color=INK, fontsize=8)


def heard(
    features: np.ndarray,
    marks: Sequence[tuple[float, str]],
    time: tuple[float, tuple[float, float], np.ndarray, float],
    names: Sequence[str],
    probabilities: np.ndarray,
    threshold: float | None,
    spans: Sequence[tuple[str, float, float]],
    small: str,
) -> Figure:
    """A spectrogram (F, M) above what a net says of it, probabilities (T, K), on the same seconds.

    marks      of the frequency axis: bands from the lowest one's edge on, and what they are called
    time       the sound's seconds, those that the spectrogram lies between, those of the answers (T,), from one to the next
    threshold  of a detector, whose K is 1: a curve is drawn then; else rows of `names`, the darker, the more probable
    spans      words with their begin and end, which stand above; of a detector the moments when it fires
    """
    seconds, fonts = time[0], _installed()
    drawable = _drawable(fonts)
    names, small = [drawable(_short(name, LABEL)) for name in names], drawable(small)
    left = max((_ruler(fonts, 8)(name)[0] / DOTS for name in names), default=0) + 0.35 if threshold is None else 0
    left, below = max(0.75, left), 1.6 if threshold is not None else float(np.clip(0.15 * len(names), 0.6, 6.0))
    inner = float(np.clip((1.6 if threshold is None else 0.9) * seconds, 5.5, 40))
    spans = [(drawable(_short(name, LABEL)), *rest) for name, *rest in spans]
    lines = _lines(spans, inner * DOTS / seconds, fonts)
    wide, high = (
        max(left + inner + 0.5, 1.07 * _ruler(fonts, 7)(small)[0] / DOTS + 0.2),  # small letters are drawn a little wider
        0.4 + 0.15 * max(lines, default=0) + 1.5 + 0.12 + below + 0.75,
    )
    figure = Figure(figsize=(wide, high), dpi=DOTS)
    FigureCanvasAgg(figure)
    above, under = (
        figure.add_axes((left / wide, bottom / high, inner / wide, size / high))
        for bottom, size in ((0.87 + below, 1.5), (0.75, below))
    )
    grid = np.linspace(*time[1], len(features) + 1), np.arange(features.shape[1] + 1)
    above.pcolormesh(*grid, features.T, cmap=HEAT, rasterized=True)
    above.set_yticks([at for at, _ in marks], [name for _, name in marks])
    above.set_ylabel("hertz", family=fonts, color=INK, fontsize=8)
    if threshold is None:
        _symbols(under, names, probabilities, time[2], time[3], fonts)
    else:
        _probability(under, probabilities[:, 0], time[2], threshold, fonts)
    for axes in (above, under):
        axes.set_xlim(0, seconds)
        axes.tick_params(colors=SOFT, labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    above.tick_params(labelbottom=False)
    under.set_xlabel("seconds", family=fonts, color=INK, fontsize=8)
    _spans(above, under, spans, lines, threshold is not None, fonts)
    figure.text(0.1 / wide, 0.14 / high, small, fontsize=7, color=SOFT, va="center", family=fonts, parse_math=False)
    return figure


def _symbols(
    axes: Axes, names: Sequence[str], probabilities: np.ndarray, times: np.ndarray, step: float, fonts: list[str]
) -> None:  # fmt: skip
    edges = (times[0] if len(times) else 0.0) - step / 2 + step * np.arange(len(times) + 1)
    axes.pcolormesh(edges, np.arange(len(names) + 1), probabilities.T, cmap=HEAT, vmin=0, vmax=1, rasterized=True)
    axes.set_yticks(np.arange(len(names)) + 0.5, names, family=fonts, parse_math=False)
    axes.set_ylim(max(1, len(names)), 0)
    axes.hlines(np.arange(1, len(names)), 0, axes.get_xlim()[1], color="white", linewidth=0.5)


def _probability(axes: Axes, probability: np.ndarray, times: np.ndarray, threshold: float, fonts: list[str]) -> None:
    axes.plot(times, probability, color=ONE, linewidth=1.4)
    axes.axhline(threshold, color=SOFT, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set_ylim(0, 1.03)
    axes.set_ylabel("probability", family=fonts, color=INK, fontsize=8)
    axes.annotate(
        f"{threshold:.3f}", (1, threshold), xycoords=("axes fraction", "data"), xytext=(3, 0), textcoords="offset points",
        va="center", fontsize=7, color=SOFT, family=fonts,
    )  # fmt: skip


def _lines(spans: Sequence[tuple[str, float, float]], second: float, fonts: list[str]) -> list[int]:
    """On which of three lines each name stands: the first on which it meets no other; second is a second's length in dots."""
    extent, free, lines = _ruler(fonts, 8), [-np.inf] * 3, []
    for name, begin, end in spans:
        middle, half = (begin + end) / 2 * second, extent(name)[0] / 2 + 4
        line = next((i for i, right in enumerate(free) if right <= middle - half), int(np.argmin(free)))
        free[line] = middle + half
        lines.append(line)
    return lines


def _spans(
    above: Axes, under: Axes, spans: Sequence[tuple[str, float, float]], lines: list[int], events: bool, fonts: list[str]
) -> None:  # fmt: skip
    """Names above the spectrogram, a bar below each word, a line through each event."""
    for (name, begin, end), line in zip(spans, lines, strict=True):
        above.annotate(
            name, ((begin + end) / 2, 1), xycoords=("data", "axes fraction"), xytext=(0, 7 + 11 * line),
            textcoords="offset points", ha="center", va="bottom", fontsize=8, color=INK, family=fonts, parse_math=False,
            annotation_clip=False,
        )  # fmt: skip
        if events:
            for axes in (above, under):
                axes.axvline(end, color=COLOURS[1], linewidth=1.2)
        else:
            above.plot([begin, end], [1.03, 1.03], transform=above.get_xaxis_transform(), color=ONE, linewidth=2, clip_on=False)


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def png(figure: Figure) -> bytes:
    """The figure as a PNG file; the same figure gives the same bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DOTS, metadata={"Software": None})
    return file.getvalue()


def svg(figure: Figure) -> bytes:
    """The figure as an SVG file, letters as outlines; the same figure gives the same bytes."""
    file = io.BytesIO()
    with rc_context({"svg.hashsalt": "unrolled"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def _dots(axes: Axes, positions: np.ndarray, groups: np.ndarray, names: Sequence[str], area: float) -> None:
    for group in range(max(1, len(names))):
        colour = COLOURS[group % len(COLOURS)] if names else ONE
        x, y = positions[groups == group].T
        axes.scatter(x, y, s=area, c=colour, marker=_mark(group), linewidths=0, alpha=0.75)
    axes.margins(0.04)


def _mark(group: int) -> str:
    return MARKS[group // len(COLOURS) % len(MARKS)]


def _legend(axes: Axes, names: Sequence[str], key: str, fonts: list[str]) -> None:
    """Beside the map, where it covers nothing."""
    readable = _readable(fonts)
    for group, name in enumerate(names):
        shown = name if readable(name) else f"group {group + 1}"
        colour = COLOURS[group % len(COLOURS)]
        axes.scatter([], [], s=36, c=colour, marker=_mark(group), linewidths=0, label=_short(shown, LEGEND))
    shape = FontProperties(family=fonts, size=9)
    legend = axes.legend(loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0, prop=shape, frameon=False, title=key)
    legend.get_title().set(font=FontProperties(family=fonts, size=8), color=SOFT)
    legend.set_alignment("left")
    for text in legend.get_texts():
        text.set_parse_math(False)  # `$` in a word is a dollar


def _labels(figure: Figure, positions: np.ndarray, words: Sequence[str], fonts: list[str], radius: float) -> None:
    """Labels beside their dots, word after word, each where it meets none of those before; else none."""
    few, many = len(words) <= 400, len(words) > 4000
    font = FontProperties(family=fonts, size=10 if few else 7 if many else 8)
    axes = figure.axes[0]
    axes.apply_aspect()
    dots = axes.transData.transform(positions)
    space = Space(dots, axes.get_window_extent().extents, 6 if many else 1.5)  # where dots are many, fewer labels show more
    readable, extent, back = _readable(fonts), _ruler(fonts, font.get_size()), figure.transFigure.inverted()
    em, gap = font.get_size() * DOTS / 72, radius * DOTS / 72 + 2
    for word, dot in zip(words, dots, strict=True):
        # to measure takes longest: not where half its width would find no room
        if not readable(word) or not any(map(space.is_free, _beside(dot, 0.25 * em * len(word), 0.5 * em, gap))):
            continue
        place = space.take(_beside(dot, *extent(word), gap))
        if place is not None:
            x, y = back.transform(place)
            halo = [withStroke(linewidth=1.6, foreground="white")]
            figure.text(x, y, word, font=font, color=INK, va="bottom", ha="left", parse_math=False, path_effects=halo)


def _ruler(fonts: list[str], size: float) -> Callable[[str], tuple[float, float]]:
    """The width and height of a word, in dots, as it will be drawn: a line is never lower than its `lp`."""
    font = font_manager.get_font([_file(name) for name in fonts])
    font.set_size(size, DOTS)

    def measured(word: str) -> tuple[float, float, float]:
        font.set_text(word, 0.0)
        (width, height), below = font.get_width_height(), font.get_descent()
        return width / 64, (height - below) / 64, below / 64

    _, least_above, least_below = measured("lp")

    def extent(word: str) -> tuple[float, float]:
        width, above, below = measured(word)
        return width, max(above, least_above) + max(below, least_below)

    return extent


def _beside(dot: np.ndarray, width: float, height: float, gap: float) -> Iterator[Box]:
    """Right of a dot, left, above, below."""
    x, y = dot
    corners = ((x + gap, y - height / 2), (x - gap - width, y - height / 2), (x - width / 2, y + gap))
    for left, bottom in (*corners, (x - width / 2, y - gap - height)):
        yield left, bottom, left + width, bottom + height


class Space:
    """Where labels can stand: inside the edges, none on another, and rather on few dots than on many."""

    def __init__(self, dots: np.ndarray, edges: Box, gap: float):
        self.dots, self.edges, self.gap = dots, edges, gap
        self.taken = np.empty((0, 4))

    def take(self, boxes: Iterable[Box]) -> tuple[float, float] | None:
        """The lower left corner of the best box that meets none taken before; it is taken then."""
        free = [box for box in boxes if self.is_free(box)]
        if not free:
            return None
        best = min(free, key=self._covered)  # the first of equals
        self.taken = np.vstack((self.taken, best))
        return best[:2]

    def is_free(self, box: Box) -> bool:
        low_x, low_y, high_x, high_y = self.edges
        inside = box[0] >= low_x and box[1] >= low_y and box[2] <= high_x and box[3] <= high_y
        left, bottom, right, top = self.taken.T
        apart = (left > box[2] + self.gap) | (right < box[0] - self.gap)
        apart |= (bottom > box[3] + self.gap) | (top < box[1] - self.gap)
        return inside and bool(apart.all())

    def _covered(self, box: Box) -> int:
        x, y = self.dots.T
        return np.count_nonzero((x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3]))


def _installed() -> list[str]:
    known = {font.name for font in font_manager.fontManager.ttflist}
    return [name for name in FONTS if name in known]


def _file(name: str) -> str:
    return font_manager.findfont(FontProperties(family=name))


def _readable(fonts: list[str]) -> Callable[[str], bool]:
    """Whether a word has letters, and these fonts have all of them."""
    letters = _letters(fonts)
    return lambda word: bool(word.strip()) and all(ord(letter) in letters for letter in word)


def _drawable(fonts: list[str]) -> Callable[[str], str]:
    """A text with a box in the place of each letter that these fonts lack."""
    letters = _letters(fonts)
    return lambda text: "".join(letter if ord(letter) in letters else "□" for letter in text)


def _letters(fonts: list[str]) -> set[int]:
    letters = set().union(*(font_manager.get_font(_file(name)).get_charmap() for name in fonts))
    return letters - {*range(32), *range(127, 160)}  # control characters have a glyph, but no width

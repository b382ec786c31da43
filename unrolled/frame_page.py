"""Which frames of a clip moved an answer, and what was believed frame by frame: a page of HTML, a picture, a table, arrays.

A frame has a blue edge where it speaks for the answer, an orange, dotted one where it speaks against it; the thicker, the more.
"""

from __future__ import annotations

import base64
from functools import partial
from html import escape
from typing import Any, NamedTuple

import numpy as np

from . import decision_page, line_chart
from . import picture as drawn
from .data import pictures
from .line_chart import Line
from .template import fill, fragment

CURVES = 5  # labels whose probabilities are drawn, the most probable
THICK = 8  # pixels of the edge of the frame that moved the answer most


class Frames(NamedTuple):
    """T frames of a clip as a net with K labels saw them; what they did to one answer in nats of its log-odds ln p / (1 - p)."""

    frames: np.ndarray  # (T, S, S, 3) of uint8
    numbers: np.ndarray  # (T,) which of the clip's frames they are
    names: list[str]  # (K,)
    shares: np.ndarray  # (T, K) after each frame; of labels of frames, of that frame
    slopes: np.ndarray  # (T,) gradient × input: above 0 for the answer, below against it
    falls: np.ndarray  # (T,) how much it takes from the answer to show the clip's mean in the frame's place
    agreement: float | None  # the correlation of both
    asked: int | None  # the frame that is decided about; None: the whole clip
    answer: str
    probability: float
    note: str

    @property
    def curves(self) -> dict[str, np.ndarray]:
        """The probabilities of the labels that reach most, over the frames."""
        most = np.argsort(-self.shares.max(0), kind="stable")[:CURVES]
        return {self.names[k]: self.shares[:, k] for k in sorted(most.tolist())}

    @property
    def over(self) -> str:
        return "as the frames come" if self.asked is None else "frame by frame"


def headline(seen: Frames) -> str:
    """What was decided, in a line."""
    about = "answer: " if seen.asked is None else f"frame {seen.numbers[seen.asked]}: "
    return f"{about}{seen.answer}, probability {seen.probability:.3f}"


def remark(seen: Frames) -> str:
    """What was decided, and how far both ways of asking about it agree."""
    told = "too few frames change anything" if seen.agreement is None else f"{seen.agreement:.2f}"
    return f"{headline(seen)}; correlation of gradient × input with occlusion: {told}"


# --- the page


def page(seen: Frames) -> bytes:
    """The page; labels are text in it, whatever they hold."""
    xs = seen.numbers.tolist()
    lines = {name: Line(xs, values.tolist()) for name, values in seen.curves.items()}
    parts = {
        "@STYLE@": fragment("decision.css"), "@ANSWER@": escape(remark(seen)), "@OVER@": seen.over,
        "@STRIP@": "".join(_frame(seen, t) for t in range(len(xs))), "@TABLE@": _html(table(seen)), "@NOTE@": escape(seen.note),
        "@CHART@": line_chart.svg(f"probability, {seen.over}", "frame", lines, {}),
    }  # fmt: skip
    return fill("frames.html", parts)


def edges(seen: Frames) -> np.ndarray:
    """How strongly each frame speaks (T,), -1 to 1, by what hiding it does; where it was not hidden, by its gradient."""
    moved = np.where(np.isnan(seen.falls), seen.slopes, seen.falls)
    return moved / max(float(np.abs(moved).max()), 1e-9)


def _frame(seen: Frames, t: int) -> str:
    data = base64.b64encode(pictures.png(seen.frames[t])).decode()
    edge, k = float(edges(seen)[t]), int(seen.shares[t].argmax())
    kind = f"{'for' if edge > 0 else 'against'}{' here' if t == seen.asked else ''}"
    wide = max(1, round(THICK * abs(edge)))
    told = f"{seen.slopes[t]:+.3f} by gradient × input, {seen.falls[t]:+.3f} by hiding it (nats)"
    return (
        f"<figure class='{kind}' style='--w:{wide}px' title='{told}'>"
        f"<img alt='frame {seen.numbers[t]}' src='data:image/png;base64,{data}'>"
        f"<figcaption><b>{seen.numbers[t]}</b> {escape(seen.names[k])} {seen.shares[t, k]:.2f}</figcaption></figure>"
    )


def _html(rows: list[dict[str, Any]]) -> str:
    head = "".join(f"<th scope=col>{escape(name.replace('_times_', ' × '))}</th>" for name in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row.values()) + "</tr>" for row in rows)
    return f"<table class=moved><tr>{head}</tr>{body}</table>"


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:+.3f}" if isinstance(value, float) else escape(str(value))


# --- the picture


def picture(seen: Frames, kind: str) -> bytes:
    """The frames as a strip, the probabilities and what each frame did below, as a `png` or `svg` file."""
    numbers = {"gradient × input": seen.slopes, "occlusion": seen.falls}
    small = f"{remark(seen)}; {seen.note}"
    return drawn.of(
        lambda plot: plot.strip(seen.frames, seen.numbers, seen.curves, f"probability, {seen.over}", numbers, small), kind
    )


ENDINGS = {".html": page, ".png": partial(picture, kind="png"), ".svg": partial(picture, kind="svg")}


# --- tables


def table(seen: Frames) -> list[dict[str, Any]]:
    """A frame a line: the label believed then, and what the frame did to the answer."""
    each = zip(decision_page.numbers(seen.slopes), decision_page.numbers(seen.falls), strict=True)
    return [
        {
            "frame": int(number), "label": seen.names[k], "probability": f"{row[k]:.3f}", "gradient_times_input": slope,
            "occlusion": fall,
        }
        for number, row, (slope, fall) in zip(seen.numbers, seen.shares, each, strict=True)
        for k in [int(row.argmax())]
    ]  # fmt: skip


def whole(seen: Frames) -> list[dict[str, Any]]:
    """All that is drawn but the pixels, as one record."""
    asked = None if seen.asked is None else int(seen.numbers[seen.asked])
    return [{
        "answer": seen.answer, "probability": seen.probability, "asked": asked, "frames": seen.numbers.tolist(),
        "labels": seen.names, "probabilities": np.round(seen.shares.astype(float), 5).tolist(),
        "gradient_times_input": decision_page.numbers(seen.slopes), "occlusion": decision_page.numbers(seen.falls),
        "correlation": seen.agreement, "note": seen.note,
    }]  # fmt: skip

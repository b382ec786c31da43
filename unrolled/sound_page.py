"""What a net hears in a sound, second by second: a page of HTML, a picture, a table, arrays.

Above, the log-mel spectrogram that the net reads. Below, on the same seconds, how probable it holds each symbol to be (of a
detector: its word, with the threshold from which it fires). Between them, what it makes of that: words, or events.
"""

from __future__ import annotations

import base64
import struct
import zlib
from functools import partial
from html import escape
from typing import Any, NamedTuple

import numpy as np

from . import picture as drawn
from .attention_page import visible
from .logmel import LogMel
from .template import fill, fragment

PIXELS, ROW, HIGH, TOP = 160, 14, 120, 46  # of a second, of a symbol's row, of the spectrogram and a curve, of what is above
LEFT = 56  # pixels for the names of rows
TICKS = (250, 500, 1000, 2000, 4000, 8000)  # hertz that are marked


class Span(NamedTuple):
    """A word and its seconds, or an event: without text, begin and end the moment when it fires."""

    text: str
    begin: float
    end: float
    probability: float


class Heard(NamedTuple):
    """A sound as a net hears it: F frames of M bands, T answers, K symbols."""

    seconds: float
    logmel: LogMel
    features: np.ndarray  # (F, M)
    times: np.ndarray  # (T,) seconds at which answers are placed
    names: list[str]  # (K,) symbols, or the one thing that is listened for
    probabilities: np.ndarray  # (T, K)
    threshold: float | None  # of a detector
    spans: list[Span]
    note: str

    @property
    def detects(self) -> bool:
        return self.threshold is not None


def bands(logmel: LogMel) -> np.ndarray:
    """The hertz (M,) at which bands are strongest."""
    corners = 2595 * np.log10(1 + np.array([logmel.low, logmel.high]) / 700)
    return (700 * (10 ** (np.linspace(*corners, logmel.bands + 2) / 2595) - 1))[1:-1]


def ticks(logmel: LogMel) -> list[tuple[float, int]]:
    """Where round frequencies lie among the bands, counted in bands from the lowest one's lower edge; and their hertz."""
    middle = bands(logmel)
    return [
        (float(np.interp(hertz, middle, np.arange(len(middle)) + 0.5)), hertz)
        for hertz in TICKS if middle[0] <= hertz <= middle[-1]
    ]  # fmt: skip


def edges(heard: Heard) -> tuple[float, float]:
    """The seconds between which frames are drawn: each stands at its window's middle, as wide as a hop."""
    hop, window = heard.logmel.hop, heard.logmel.window
    begin = (window - hop) / 2
    return begin, begin + len(heard.features) * hop


def step(heard: Heard) -> float:
    """Seconds from an answer to the next."""
    return float(heard.times[1] - heard.times[0]) if len(heard.times) > 1 else heard.seconds


# --- the page


def page(heard: Heard) -> bytes:
    """The page; symbols and words are text in it, whatever they hold."""
    below = HIGH if heard.detects else ROW * max(1, len(heard.names))
    width, high = LEFT + round(PIXELS * heard.seconds) + 12, TOP + HIGH + 14 + below + 34
    drawing = (
        f"<svg width={width} height={high} viewBox='0 0 {width} {high}' role=img>"
        f"{_spectrogram(heard)}{_spans(heard, TOP + HIGH + 14 + below)}"
        f"<g transform='translate(0 {TOP + HIGH + 14})'>{_curve(heard) if heard.detects else _rows(heard)}</g>"
        f"<g transform='translate(0 {TOP + HIGH + 14 + below})'>{_seconds(heard)}</g></svg>"
    )
    parts = {"@TITLE@": TITLES[heard.detects], "@WHAT@": WHAT[heard.detects], "@DRAWING@": drawing, "@NOTE@": escape(heard.note)}
    return fill("sound.html", parts | {"@STYLE@": fragment("sound.css"), "@TABLE@": html(table(heard))})


TITLES = {True: "When the word is heard", False: "What is heard"}
WHAT = {
    True: "Above, the log-mel spectrogram that the net reads; below, how probable it holds that the word has just been said. It "
    "fires where that reaches the dashed line, the threshold.",
    False: "Above, the log-mel spectrogram that the net reads; below, how probable each symbol is in each of its answers, those "
    "that are never probable left out. Where no row has a strong colour, it answers with the blank.",
}  # fmt: skip


def _x(second: float) -> float:
    return round(LEFT + PIXELS * second, 1)


def _spectrogram(heard: Heard) -> str:
    begin, end = edges(heard)
    image = base64.b64encode(png(shades(heard.features))).decode()
    marks = "".join(
        f"<text x={LEFT - 6} y={TOP + HIGH * (1 - at / heard.logmel.bands) + 4:.1f} class=left>{spelt(hertz)}</text>"
        for at, hertz in ticks(heard.logmel)
    )
    place = f"x={_x(begin)} y={TOP} width={PIXELS * (end - begin):.1f} height={HIGH}"
    marks += f"<text x={LEFT - 6} y={TOP + 8} class=left>Hz</text>"
    return f"<image {place} preserveAspectRatio=none href='data:image/png;base64,{image}'/>{marks}"


def spelt(hertz: int) -> str:
    """1k of 1000."""
    return f"{hertz // 1000}k" if hertz >= 1000 else str(hertz)


def shades(features: np.ndarray) -> np.ndarray:
    """Features (F, M) as an image (M, F) of bytes, loud ones dark, high bands above."""
    if not features.size:
        return np.full((1, 1), 255, np.uint8)
    low, high = float(features.min()), float(features.max())
    return np.round(255 * (high - features.T[::-1]) / max(high - low, 1e-9)).astype(np.uint8)


def png(grey: np.ndarray) -> bytes:
    """An image (rows, columns) of bytes as a PNG file (ISO 15948): 8 bits of grey, no filter."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = np.pad(grey, ((0, 0), (1, 0))).tobytes()  # each after the number of its filter: 0
    head = struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _spans(heard: Heard, bottom: float) -> str:
    """Words above the spectrogram, a bar over the seconds of each; an event as a line from top to bottom."""
    made, rows = [], [0.0, 0.0, 0.0]  # where each line of names is free from
    for span in heard.spans:
        told = escape(_told(span), quote=True)
        name = span.text or f"{span.end:.2f} s"
        x = _x((span.begin + span.end) / 2)
        wide = 4 + 3.6 * len(name)
        row = next((i for i, free in enumerate(rows) if free <= x - wide), int(np.argmin(rows)))
        rows[row] = x + wide
        made.append(f"<text x={x} y={TOP - 8 - 12 * row} class=word>{escape(name)}<title>{told}</title></text>")
        if span.text:
            made.append(
                f"<rect x={_x(span.begin)} y={TOP - 5} width={max(2, PIXELS * (span.end - span.begin)):.1f} height=3 class=bar />"
            )
        else:
            made.append(f"<line x1={x} x2={x} y1={TOP - 5} y2={bottom} class=event />")
    return "".join(made)


def _told(span: Span) -> str:
    if not span.text:
        return f"{span.end:.3f} s: {span.probability:.3f}"
    return f"{span.text}: {span.begin:.2f} to {span.end:.2f} s, {span.probability:.3f}"


def _curve(heard: Heard) -> str:
    """The probability over time, and the threshold."""
    points = " ".join(f"{_x(t)},{HIGH * (1 - p):.1f}" for t, p in zip(heard.times, heard.probabilities[:, 0], strict=True))
    marks = "".join(f"<text x={LEFT - 6} y={HIGH * (1 - p) + 4:.1f} class=left>{p:g}</text>" for p in (0, 0.5, 1))
    end, at = _x(heard.seconds), round(HIGH * (1 - heard.threshold), 1)
    frame = f"<rect x={LEFT} y=0 width={end - LEFT:.1f} height={HIGH} class=frame />"
    line = f"<line x1={LEFT} x2={end} y1={at} y2={at} class=threshold><title>threshold {heard.threshold:.3f}</title></line>"
    return f"{frame}{marks}{line}<polyline points='{points}' class=curve />"


def _rows(heard: Heard) -> str:
    """A row a symbol, a cell an answer, as dark as it is probable."""
    wide, end, made = PIXELS * step(heard), _x(heard.seconds), []
    for k, name in enumerate(heard.names):
        shown = escape(visible(name))
        made.append(f"<text x={LEFT - 6} y={ROW * k + 11} class=left>{shown}</text>")
        made.append(f"<line x1={LEFT} x2={end} y1={ROW * (k + 1)} y2={ROW * (k + 1)} class=rule />")
        for t in np.flatnonzero(heard.probabilities[:, k] >= 0.01):
            p, time = float(heard.probabilities[t, k]), float(heard.times[t])
            left = _x(time) - wide / 2
            inside = max(0, min(wide, end - left))  # the last answer may reach past the sound's end
            place = f"x={left:.1f} y={ROW * k} width={inside:.1f} height={ROW}"
            made.append(f"<rect {place} class=cell style='--p:{p:.2f}'><title>{shown} {time:.2f} s: {p:.3f}</title></rect>")
    return "".join(made)


def _seconds(heard: Heard) -> str:
    """The axis: a mark every half second."""
    return "".join(
        f"<line x1={_x(t)} x2={_x(t)} y1=0 y2=4 class=tick /><text x={_x(t)} y=16 class=middle>{t:g}{' s' * (not t)}</text>"
        for t in np.arange(0, heard.seconds + 1e-9, 0.5).tolist()
    )


def html(rows: list[dict[str, Any]]) -> str:
    """Rows as a table."""
    if not rows:
        return ""
    head = "".join(f"<th scope=col>{escape(name)}</th>" for name in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(_cell(value))}</td>" for value in row.values()) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


# --- the picture


def picture(heard: Heard, kind: str) -> bytes:
    """The same as a `png` or `svg` file."""
    names = [visible(name) for name in heard.names]
    spans = [(span.text or f"{span.end:.2f} s", span.begin, span.end) for span in heard.spans]
    marks = [(at, spelt(hertz)) for at, hertz in ticks(heard.logmel)]
    time = heard.seconds, edges(heard), heard.times, step(heard)
    return drawn.of(
        lambda plot: plot.heard(heard.features, marks, time, names, heard.probabilities, heard.threshold, spans, heard.note), kind
    )


ENDINGS = {".html": page, ".png": partial(picture, kind="png"), ".svg": partial(picture, kind="svg")}


# --- tables


def table(heard: Heard) -> list[dict[str, Any]]:
    """Words with their seconds; of a detector its events, or where it came closest to one."""
    if not heard.detects:
        return [
            {"word": span.text, "begin": span.begin, "end": span.end, "probability": span.probability} for span in heard.spans
        ]
    if heard.spans:
        return [{"time": span.end, "probability": span.probability, "fires": True} for span in heard.spans]
    curve = heard.probabilities[:, 0]
    if not len(curve):
        return []
    best = int(curve.argmax())
    return [{"time": round(float(heard.times[best]), 3), "probability": round(float(curve[best]), 4), "fires": False}]


def whole(heard: Heard) -> list[dict[str, Any]]:
    """All that is drawn, as one record of arrays: spectrogram (F, M), probabilities (T, K), their seconds and hertz."""
    begin, _ = edges(heard)
    frames = begin + (np.arange(len(heard.features)) + 0.5) * heard.logmel.hop
    return [{
        "seconds": round(heard.seconds, 4), "spectrogram": np.round(heard.features.astype(float), 3).tolist(),
        "spectrogram_seconds": np.round(frames, 4).tolist(), "spectrogram_hertz": np.round(bands(heard.logmel), 1).tolist(),
        "symbols": heard.names, "answer_seconds": np.round(heard.times, 4).tolist(),
        "probabilities": np.round(heard.probabilities.astype(float), 4).tolist(), "threshold": heard.threshold,
        ("events" if heard.detects else "words"): table(heard), "note": heard.note,
    }]  # fmt: skip

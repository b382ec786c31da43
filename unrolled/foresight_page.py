"""What a net that makes sound expected of one, sample by sample: a page of HTML, a picture, tables, arrays.

Above, the spectrogram, and on the same seconds how surprised the net was. Then a few milliseconds from close by: how probable it
held each level before the sample came, and the samples that came. Last, how far back it listened for that: the lecture's picture
of the dilations, measured.
"""

from __future__ import annotations

import base64
from functools import partial
from html import escape
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from . import mu_law, sound_page
from . import picture as drawn
from .logmel import LogMel
from .template import fill, fragment

WIDE, HIGH, LEFT, GAP = 860, 120, 64, 30  # pixels of a drawing, of its parts, of what stands left, between parts
EVERY = 0.01  # seconds that surprise is averaged over
FULL = (-1, -0.1, -0.01, 0.01, 0.1, 1)  # samples that are marked
FAINTEST = 1e-4  # of the strongest distance: where the axis ends


class Foresight(NamedTuple):
    """A sound of T samples as a net expected it; Z of them from close by; F samples that one may rest on."""

    hertz: int
    samples: np.ndarray  # (T,) full scale 1
    nats: np.ndarray  # (T,) -ln P of each
    features: np.ndarray  # (frames, M)
    logmel: LogMel
    begin: int  # the first of the Z
    shares: np.ndarray  # (Z, 256) how probable each mu-law level was
    listened: np.ndarray  # (F,) how strongly ln P listens to the sample 1, 2, … before
    dilations: tuple[int, ...]  # each once
    note: str

    @property
    def shown(self) -> np.ndarray:
        """The levels (Z,) that came."""
        return mu_law.levels(self.samples[self.begin : self.begin + len(self.shares)])

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.hertz


def surprise(foresight: Foresight) -> tuple[np.ndarray, np.ndarray]:
    """The mean nats of each hundredth of a second, and the second in its middle."""
    size = max(1, round(EVERY * foresight.hertz))
    begins = np.arange(0, len(foresight.nats), size)
    means = np.add.reduceat(foresight.nats, begins) / np.diff(np.append(begins, len(foresight.nats)))
    return means, (begins + size / 2) / foresight.hertz


def octaves(foresight: Foresight) -> list[tuple[int, int, float]]:
    """Distances 1, 2, 3-4, 5-8, … and which part of all listening goes to each."""
    total, bounds, found = max(float(foresight.listened.sum()), 1e-30), [0, 1], []
    while bounds[-1] < len(foresight.listened):
        bounds.append(min(2 * bounds[-1], len(foresight.listened)))
    for begin, end in pairwise(bounds):
        found.append((begin + 1, end, float(foresight.listened[begin:end].sum()) / total))
    return found


def levels_of(values: tuple[float, ...]) -> list[int]:
    return mu_law.levels(np.array(values)).tolist()


# --- the page


def page(foresight: Foresight) -> bytes:
    """The page."""
    parts = {
        "@STYLE@": fragment("sound.css"),
        "@SURPRISE@": _surprise(foresight), "@EXPECTED@": _expected(foresight), "@LISTENED@": _listened(foresight),
        "@TABLE@": sound_page.html(table(foresight)), "@NOTE@": escape(foresight.note),
    }  # fmt: skip
    return fill("foresight.html", parts)


def _drawing(high: float, inner: str) -> str:
    wide = LEFT + WIDE + 12
    return f"<svg width={wide} height={high + 8:g} viewBox='0 -8 {wide} {high + 8:g}' role=img>{inner}</svg>"


def _image(grey: np.ndarray, y: float, high: float) -> str:
    data = base64.b64encode(sound_page.png(grey)).decode()
    place = f"x={LEFT} y={y:g} width={WIDE} height={high:g}"
    return f"<image {place} preserveAspectRatio=none href='data:image/png;base64,{data}'/>"


def _left(y: float, text: str) -> str:
    return f"<text x={LEFT - 6} y={y + 4:.1f} class=left>{text}</text>"


def _line(x: np.ndarray, y: np.ndarray, kind: str) -> str:
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return f"<polyline points='{points}' class={kind} />"


def _across(low: float, high: float, y: float, unit: str) -> str:
    """A time axis in seconds or milliseconds."""
    step = next(s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10) if (high - low) / s <= 12)
    marks = np.arange(round(np.ceil(low / step - 1e-9)), np.floor(high / step + 1e-9) + 1) * step
    return "".join(
        f"<line x1={x:.1f} x2={x:.1f} y1={y} y2={y + 4} class=tick /><text x={x:.1f} y={y + 16} class=middle>{mark:g}"
        f"{' ' + unit if i == 0 else ''}</text>"
        for i, mark in enumerate(marks.tolist()) for x in [LEFT + WIDE * (mark - low) / (high - low)]
    )  # fmt: skip


def _surprise(foresight: Foresight) -> str:
    means, at = surprise(foresight)
    most, top = max(float(means.max()), 1e-9), HIGH + 14
    names = "".join(
        _left(HIGH * (1 - where / foresight.logmel.bands), sound_page.spelt(hertz))
        for where, hertz in sound_page.ticks(foresight.logmel)
    )
    curve = _line(LEFT + WIDE * at / foresight.seconds, top + HIGH * (1 - means / most), "curve")
    frame = f"<rect x={LEFT} y={top} width={WIDE} height={HIGH} class=frame />"
    marks = "".join(_left(top + HIGH * (1 - part), f"{part * most:.2g}") for part in (0, 0.5, 1))
    first, last = (LEFT + WIDE * n / len(foresight.samples) for n in (foresight.begin, foresight.begin + len(foresight.shares)))
    here = f"<rect x={first:.1f} y=0 width={max(1.5, last - first):.1f} height={top + HIGH} class=here />"
    image = _image(sound_page.shades(foresight.features), 0, HIGH)
    return _drawing(
        top + HIGH + GAP,
        f"{image}{names}{_left(6, 'Hz')}{frame}{marks}{curve}{here}{_across(0, foresight.seconds, top + HIGH, 's')}",
    )


def _expected(foresight: Foresight) -> str:
    """Levels of the stretch, as dark as they were probable, and the samples that came."""
    high, (size, levels) = 2 * HIGH, foresight.shares.shape
    image = _image(np.round(255 * (1 - np.sqrt(tone(foresight)))).astype(np.uint8), 0, high)
    came = _line(
        LEFT + WIDE * (np.arange(size) + 0.5) / size, high * (1 - (foresight.shown.astype(float) + 0.5) / levels), "came"
    )
    marks = "".join(
        _left(high * (1 - (level + 0.5) / levels), f"{value:g}") for value, level in zip(FULL, levels_of(FULL), strict=True)
    )
    first, last = (1000 * n / foresight.hertz for n in (foresight.begin, foresight.begin + size))
    frame = f"<rect x={LEFT} y=0 width={WIDE} height={high} class=frame />"
    return _drawing(high + GAP, f"{image}{frame}{came}{marks}{_across(first, last, high, 'ms')}")


def tone(foresight: Foresight) -> np.ndarray:
    """Probabilities as an image (256, Z), high levels above, each sample's likeliest level 1."""
    return (foresight.shares / np.maximum(foresight.shares.max(1, keepdims=True), 1e-30)).T[::-1]


def _listened(foresight: Foresight) -> str:
    """Both axes in powers: distances of two, strengths of ten."""
    far, high = len(foresight.listened), 1.5 * HIGH
    span = max(1.0, float(np.log2(max(2, far))))
    strength = foresight.listened / max(float(foresight.listened.max()), 1e-30)
    seen = np.flatnonzero(strength >= FAINTEST)
    x, down = LEFT + WIDE * np.log2(seen + 1) / span, np.log10(strength[seen]) / np.log10(FAINTEST)
    rules = "".join(
        f"<line x1={LEFT + WIDE * np.log2(d) / span:.1f} x2={LEFT + WIDE * np.log2(d) / span:.1f} y1=0 y2={high} class=dilation>"
        f"<title>a layer looks {d} samples back</title></line>"
        for d in foresight.dilations if d <= far
    )  # fmt: skip
    powers = (2**n for n in range(0, int(span) + 1))
    ticks = "".join(f"<text x={LEFT + WIDE * np.log2(p) / span:.1f} y={high + 16} class=middle>{p:,}</text>" for p in powers)
    frame = f"<rect x={LEFT} y=0 width={WIDE} height={high} class=frame />"
    marks = "".join(_left(high * n / 4, f"{10.0**-n:g}") for n in range(5))
    return _drawing(high + GAP, f"{frame}{rules}{_line(x, high * down, 'curve')}{marks}{ticks}")


# --- the picture


def picture(foresight: Foresight, kind: str) -> bytes:
    """The same three drawings as a `png` or `svg` file."""
    means, at = surprise(foresight)
    marks = [(where, sound_page.spelt(hertz)) for where, hertz in sound_page.ticks(foresight.logmel)]
    first, last = (n / foresight.hertz for n in (foresight.begin, foresight.begin + len(foresight.shares)))
    places = list(zip(levels_of(FULL), map("{:g}".format, FULL), strict=True))
    strength = foresight.listened / max(float(foresight.listened.max()), 1e-30)
    return drawn.of(
        lambda plot: plot.foresight(
            (foresight.features, marks, foresight.seconds), (at, means), (first, last),
            (np.sqrt(tone(foresight)), foresight.shown, places), (strength, foresight.dilations, FAINTEST), foresight.note,
        ),
        kind,
    )  # fmt: skip


ENDINGS = {".html": page, ".png": partial(picture, kind="png"), ".svg": partial(picture, kind="svg")}


# --- tables


def table(foresight: Foresight) -> list[dict[str, Any]]:
    """Which part of its listening goes how far back."""
    return [
        {
            "samples back": f"{first:,}" if first == last else f"{first:,} to {last:,}",
            "milliseconds": round(1000 * last / foresight.hertz, 3), "part of the listening": round(part, 4),
        }
        for first, last, part in octaves(foresight)
    ]  # fmt: skip


def remark(foresight: Foresight) -> str:
    """How surprised the net was, and how far back half of its listening goes."""
    reached = np.cumsum(foresight.listened) / max(float(foresight.listened.sum()), 1e-30)
    half = int((reached < 0.5).sum()) + 1
    return f"{foresight.nats.mean():.3f} nats a sample; half of what it listens to is in the last {half:,} samples"


def whole(foresight: Foresight) -> list[dict[str, Any]]:
    """All that is drawn, as one record of arrays."""
    means, at = surprise(foresight)
    return [{
        "hertz": foresight.hertz, "seconds": round(foresight.seconds, 4), "nats_per_sample": float(foresight.nats.mean()),
        "spectrogram": np.round(foresight.features.astype(float), 3).tolist(),
        "spectrogram_hertz": np.round(sound_page.bands(foresight.logmel), 1).tolist(),
        "surprise": np.round(means.astype(float), 4).tolist(), "surprise_seconds": np.round(at, 4).tolist(),
        "first": foresight.begin, "levels": foresight.shown.tolist(),
        "probabilities": np.round(foresight.shares.astype(float), 5).tolist(),
        "listened": (foresight.listened.astype(float) / max(float(foresight.listened.sum()), 1e-30)).tolist(),
        "dilations": list(foresight.dilations), "note": foresight.note,
    }]  # fmt: skip

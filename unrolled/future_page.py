"""What the future adds: what is believed of each word after every further word; and which words decided one's tag.

A page of HTML, a picture of the latter, tables.

A row is a moment: so many words are read. A column is a word of the sentence. A cell is dark where the word is surely part of a
name, and says which kind is the likeliest.
"""

from __future__ import annotations

from functools import partial
from html import escape
from typing import NamedTuple

import numpy as np

from . import decision_page
from .decision_page import Decision
from .template import fill, fragment

HUES = (212, 16, 140, 280, 44, 180, 330, 95)  # degrees, one a kind


class Belief(NamedTuple):
    """Beliefs about a sentence of T words, of K kinds of names."""

    words: list[str]
    kinds: list[str]
    shares: np.ndarray  # (T, T, K) after t + 1 words, of word i: the probability that it is part of a name of each kind
    backward: np.ndarray  # (T, K) of each word, read with those behind it alone
    note: str  # how the net reads
    decision: Decision  # about the tag of one of the words

    @property
    def ways(self) -> dict[str, np.ndarray]:
        """What is believed of each word (T, K): with the words up to it, with those from it on, with all."""
        each = np.arange(len(self.words))
        return {"forward only": self.shares[each, each], "backward only": self.backward, "both ways": self.shares[-1]}


def page(belief: Belief) -> bytes:
    """The page; words and kinds are text in it, whatever they hold."""
    head = "".join(f"<th scope=col>{escape(word)}</th>" for word in belief.words)
    rows = "".join(_row(belief, t) for t in range(len(belief.words)))
    ways = "".join(_way(belief, way, shares) for way, shares in belief.ways.items())
    key = " ".join(f"<span style='background:{_colour(i, 0.8)}'>{escape(kind)}</span>" for i, kind in enumerate(belief.kinds))
    parts = {
        "@STYLE@": fragment("decision.css"),
        "@NOTE@": escape(belief.note),
        "@KEY@": key,
        "@TABLE@": f"<tr><th>read so far</th>{head}</tr>{rows}",
    }
    parts["@DECISION@"] = decision_page.section(belief.decision)
    parts["@WAYS@"] = f"<tr><th></th>{head}</tr>{ways}"
    return fill("future.html", parts)


def _row(belief: Belief, t: int) -> str:
    cells = "".join(_cell(belief, belief.shares[t, i], i) for i in range(t + 1))
    cells += "<td class=unread></td>" * (len(belief.words) - t - 1)
    return f"<tr><th scope=row>{escape(belief.words[t])}</th>{cells}</tr>"


def _way(belief: Belief, way: str, shares: np.ndarray) -> str:
    cells = "".join(_cell(belief, shares[i], i) for i in range(len(belief.words)))
    return f"<tr><th scope=row>{way}</th>{cells}</tr>"


def _cell(belief: Belief, shares: np.ndarray, i: int) -> str:
    """A belief of word i; framed where it is not the one in the end."""
    last = belief.shares[-1, i]
    kind, inside = int(shares.argmax()), float(shares.sum())
    turned = " class=turned" if (inside > 0.5) != (float(last.sum()) > 0.5) else ""
    told = "; ".join(f"{name} {share:.3f}" for name, share in zip(belief.kinds, shares, strict=True))
    shown = f"{100 * inside:.0f}" if inside >= 0.005 else ""
    return f"<td{turned} style='background:{_colour(kind, inside)}' title='{escape(told)}'>{shown}</td>"


def _colour(kind: int, share: float) -> str:
    return f"hsl({HUES[kind % len(HUES)]} 75% 52% / {share:.2f})"


def picture(belief: Belief, kind: str) -> bytes:
    """What the words did to the tag of one, as a `png` or `svg` file."""
    return decision_page.picture(belief.decision, kind)


ENDINGS = {".html": page, ".png": partial(picture, kind="png"), ".svg": partial(picture, kind="svg")}


def table(belief: Belief) -> list[dict[str, object]]:
    """How surely each word is part of a name, read each way and both ways; and what it did to the tag of one of them."""
    moved = decision_page.table(belief.decision)
    size, ways = len(belief.words), {way: shares.sum(-1) for way, shares in belief.ways.items()}
    return [
        {
            "word": belief.words[i], "kind": belief.kinds[int(belief.shares[-1, i].argmax())],
            "forward_only": float(ways["forward only"][i]),
            "one_word_later": float(belief.shares[min(i + 1, size - 1), i].sum()),
            "backward_only": float(ways["backward only"][i]), "both_ways": float(ways["both ways"][i]),
            "decided": belief.decision.answer if i == belief.decision.asked else None,
            "gradient_times_input": moved[i]["gradient_times_input"], "occlusion": moved[i]["occlusion"],
        }
        for i in range(size)
    ]  # fmt: skip


def whole(belief: Belief) -> list[dict[str, object]]:
    """The table's rows, each with the correlation of its last two numbers over all rows, and with what was believed of the word
    after each of the T words was read (T, K), by `kinds`."""
    after = np.round(belief.shares.astype(float), 5)
    return [
        row | {"correlation": belief.decision.agreement, "kinds": belief.kinds, "moments": after[:, i].tolist()}
        for i, row in enumerate(table(belief))
    ]


def remark(belief: Belief) -> str:
    """What was decided, and how far both ways of asking about it agree."""
    return decision_page.remark(belief.decision)

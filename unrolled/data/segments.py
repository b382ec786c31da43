"""Other ways to cut the same words into pieces, drawn anew for each version of a text: a net that has met many of them depends
less on the one that `encode` takes (subword regularisation).

    bpe      dropout   every merge that is possible is left out with probability `rate`, anew at each step, and the first of
                       the others is taken (BPE dropout, Provilkov et al. 2020)
    unigram  sampling  a way x to cut the word is drawn with p ∝ P(x)^alpha: forward sums over all ways, then piece by piece
                       from the word's end (Kudo 2018, with every way among the candidates)
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from array import array
from collections.abc import Callable, Iterable, Sequence, Sized
from functools import partial
from itertools import accumulate

import numpy as np

from ..errors import UserError
from ..kernels import segments as loops
from ..kernels.phrases import EMPTY
from .batch import Rows
from .vocab import FIRST, Codec, whole

CHUNK = re.compile(r"(?<=\S)(?= \S)")  # no word of the tokenizer's goes on over such a place


@dataclasses.dataclass(frozen=True)
class Segments:
    """Texts, of which each version has its own cuts: a function of (seed, version, a text's place, the text) alone.

    words   the numbers of all texts' words
    bounds  text i has words[bounds[i] : bounds[i + 1]]
    starts  word w has starts[w + 1] - starts[w] letters
    cut     one of kernels.segments
    """

    words: np.ndarray
    bounds: np.ndarray
    starts: np.ndarray
    cut: Callable[..., None]
    seed: int

    def version(self, number: int) -> Rows:
        """The ids of each text in this version, int32; all versions decode to the same text."""
        texts = len(self.bounds) - 1
        seeds = np.random.default_rng((self.seed, number)).integers(1 << 64, size=texts, dtype=np.uint64)
        ids, ends = np.empty(np.diff(self.starts)[self.words].sum(), np.int32), np.zeros(texts + 1, np.int64)
        self.cut(self.words, self.bounds, self.starts, seeds, ids, ends)
        return Rows(ids[: ends[-1]].copy(), ends)


def dropout(codec: Codec, texts: Iterable[str], rate: float, seed: int) -> Segments:
    """Versions of the texts with merges left out; rate 0 is codec.encode, rate 1 single bytes.

    A UserError where the codec's kind is not bpe.
    """
    if codec.kind != "bpe":
        raise UserError(f"`{codec.kind}` symbols have no merges that could be left out; `bpe` has", fix="--symbols bpe")
    words, bounds, kinds = _divided(codec, texts)
    merges, id_of = json.loads(codec.tokenizer_json)["model"]["merges"], codec.tokenizer.token_to_id
    letters = np.array([id_of(letter) for word in kinds for letter in word], np.int32) + FIRST
    pairs = np.array([(id_of(left), id_of(right)) for left, right in merges], np.int64).reshape(-1, 2) + FIRST
    joined = np.array([id_of(left + right) for left, right in merges], np.int32) + FIRST
    places = 1 << (2 * len(merges) + 1).bit_length()
    keys, ranks = np.full(places, EMPTY), np.zeros(places, np.int32)
    loops.rank_pairs(pairs, keys, ranks)
    given = {"letters": letters, "keys": keys, "ranks": ranks, "joined": joined, "left_out": round(rate * loops.CHANCES)}
    return Segments(words, bounds, _borders(kinds), partial(loops.merge, **given), seed)


def sampling(codec: Codec, texts: Iterable[str], alpha: float, seed: int) -> Segments:
    """Versions of the texts cut as the model finds likely; alpha 0 draws all ways alike, a large one always the likeliest.

    A UserError where the codec's kind is not unigram.
    """
    if codec.kind != "unigram":
        raise UserError(f"`{codec.kind}` symbols have no probabilities to draw by; `unigram` has", fix="--symbols unigram")
    words, bounds, kinds = _divided(codec, texts)
    scored = json.loads(codec.tokenizer_json)["model"]["vocab"]
    pieces = {piece: (i, alpha * score) for i, (piece, score) in enumerate(scored, FIRST)}
    longest = max(map(len, pieces))
    ending = [edges for word in kinds for edges in _lattice(word, pieces, longest)]
    lengths, names = (np.array([edge[which] for edges in ending for edge in edges], np.int32) for which in (0, 1))
    below = np.array([edge[2] for edges in ending for edge in edges], np.float64)
    given = {"edges": _borders(ending), "lengths": lengths, "names": names, "below": below}
    return Segments(words, bounds, _borders(kinds), partial(loops.walk, **given), seed)


def _divided(codec: Codec, texts: Iterable[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Texts as numbers of words, the texts' bounds, and the words, a letter a byte."""
    divide = codec.tokenizer.pre_tokenizer.pre_tokenize_str
    numbers: dict[str, int] = {}
    chunks: dict[str, list[int]] = {}
    words, bounds = array("q"), array("q", [0])
    for text in texts:
        for chunk in CHUNK.split(whole(text)):
            if chunk not in chunks:
                chunks[chunk] = [numbers.setdefault(word, len(numbers)) for word, _ in divide(chunk)]
            words.extend(chunks[chunk])
        bounds.append(len(words))
    return np.array(words, np.int64), np.array(bounds, np.int64), list(numbers)


def _borders(parts: Sequence[Sized]) -> np.ndarray:
    """Where each part begins when all stand one after the other, and where the last ends."""
    return np.array([0, *accumulate(map(len, parts))], np.int64)


def _lattice(word: str, pieces: dict[str, tuple[int, float]], longest: int) -> list[list[tuple[int, int, float]]]:
    """Of each letter, the pieces that can end with it: letters, id, probability that one of those so far ends there."""
    sums, found = [0.0], []  # sums[k]: ln of the sum over all ways to cut the first k letters
    for end in range(1, len(word) + 1):
        ways = [(begin, pieces.get(word[begin:end])) for begin in range(max(0, end - longest), end)]
        ending = [(end - begin, piece[0], sums[begin] + piece[1]) for begin, piece in ways if piece]
        top = max(nats for _, _, nats in ending)
        below = list(accumulate(math.exp(nats - top) for _, _, nats in ending))
        sums.append(top + math.log(below[-1]))
        found.append([(n, i, chance / below[-1]) for (n, i, _), chance in zip(ending, below, strict=True)])
    return found

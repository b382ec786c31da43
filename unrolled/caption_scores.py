"""How good captions are, by what people say of the same pictures: BLEU-1 to BLEU-4, ROUGE-L, CIDEr-D.

Each measure is the one of the COCO evaluation server (Chen et al. 2015), to the last digits, in plain Python. `words` does what
its tokenizer does for English: small letters, clitics apart, no punctuation. METEOR and SPICE, which need Java, are not offered.

    BLEU     of all pictures together; of the references' lengths the closest one counts (Papineni et al. 2002)
    ROUGE-L  longest common subsequence, recall a little dearer than precision (Lin 2004), the mean of pictures
    CIDEr-D  cosines of rare n-grams, n = 1 … 4, held to the references' length, times ten (Vedantam et al. 2015); rare is what
             few pictures' references have, so its size depends on the pictures that are scored together
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from .data import tokens

ORDER = 4  # longest n-gram
RECALL = 1.2  # ROUGE-L's β
SIGMA = 6.0  # CIDEr-D's width of the penalty of lengths
TINY, SMALL = 1e-15, 1e-9  # what the COCO server adds, so that nothing is divided by zero
LEFT_OUT = frozenset("'' ' \" `` ` “ ” ‘ ’ ( ) [ ] { } . ? ! , : - -- ... ; … –".split())  # noqa: SIM905


class Scores(NamedTuple):
    bleu1: float
    bleu2: float
    bleu3: float
    bleu4: float
    rouge_l: float
    cider: float


def words(text: str) -> list[str]:
    """The words that are scored: small letters, no punctuation."""
    return [word for word in tokens.words(text.lower()) if word not in LEFT_OUT]


def scores(captions: Sequence[str], references: Sequence[Sequence[str]]) -> Scores:
    """Measures of a caption for each picture against the picture's own references, of which it has at least one."""
    return measured([words(text) for text in captions], [[words(text) for text in some] for some in references])


def measured(captions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> Scores:
    """`scores` of captions that are cut into words."""
    if not captions or len(captions) != len(references) or not all(references):
        raise ValueError("as many captions as pictures, at least one, and at least one reference for each picture")
    texts = Texts.of(captions, references)
    rouges = [rouge_l(caption, some) for caption, some in zip(captions, references, strict=True)]
    return Scores(*bleu(texts), float(np.mean(rouges)), float(cider(texts).mean()))


class Grams(NamedTuple):
    """The runs of n words in texts, each once a text, in the order of texts and of grams."""

    text: np.ndarray  # (G,)
    gram: np.ndarray  # (G,) equal numbers are equal words
    count: np.ndarray  # (G,)
    size: int  # numbers that there are


class Texts(NamedTuple):
    """Captions, one a picture, and behind them all references; their grams of one to ORDER words."""

    number: int  # of pictures
    picture: np.ndarray  # (N,) whose text it is
    lengths: np.ndarray  # (N,) words
    grams: list[Grams]

    @classmethod
    def of(cls, captions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> Texts:
        texts = [*captions, *chain.from_iterable(references)]
        owners = np.repeat(np.arange(len(references)), [len(some) for some in references])
        numbers: dict[str, int] = {}
        ids = np.array([numbers.setdefault(word, len(numbers)) for text in texts for word in text], np.int64)
        lengths = np.array([len(text) for text in texts])
        return cls(len(captions), np.append(np.arange(len(captions)), owners), lengths, _grams(ids, lengths, len(numbers)))


def _grams(ids: np.ndarray, lengths: np.ndarray, size: int) -> list[Grams]:
    text, code, words_known, found = np.repeat(np.arange(len(lengths)), lengths), ids, size, []
    for n in range(ORDER):
        if n:  # a gram is the one without its last word, and that word; some reach into the next text
            known, code = np.unique(code[:-1] * words_known + ids[n:], return_inverse=True)
            size = len(known)
        first = text[: len(code)]
        keys, counts = np.unique((first * size + code)[first == text[n:]], return_counts=True)
        found.append(Grams(*np.divmod(keys, max(1, size)), counts, size))
    return found


def _halves(texts: Texts, grams: Grams) -> tuple[np.ndarray, np.ndarray, int]:
    """(picture, gram) of each row as one number; the captions' rows come first, and how many they are."""
    return texts.picture[grams.text] * grams.size + grams.gram, grams.count, int(np.searchsorted(grams.text, texts.number))


def bleu(texts: Texts) -> list[float]:
    """BLEU-1 to BLEU-ORDER of all captions together."""
    written = texts.lengths[: texts.number]
    others, owners = texts.lengths[texts.number :], texts.picture[texts.number :]
    order = np.lexsort((others, np.abs(others - written[owners]), owners))
    closest = others[order][np.unique(owners[order], return_index=True)[1]]
    short = (int(written.sum()) + TINY) / (int(closest.sum()) + SMALL)
    brevity = math.exp(1 - 1 / short) if short < 1 else 1.0
    product, found = 1.0, []
    for n, grams in enumerate(texts.grams):
        keys, counts, border = _halves(texts, grams)
        most = _looked_up(keys[:border], *_most(keys[border:], counts[border:]))
        right, guessed = int(np.minimum(counts[:border], most).sum()), int(np.maximum(written - n, 0).sum())
        product *= (right + TINY) / (guessed + SMALL)
        found.append(product ** (1 / (n + 1)) * brevity)
    return found


def _most(keys: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each key once, and its highest count."""
    order = np.lexsort((counts, keys))
    keys, counts = keys[order], counts[order]
    last = np.append(keys[1:] != keys[:-1], True) if len(keys) else np.zeros(0, bool)
    return keys[last], counts[last]


def _looked_up(asked: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The values of the keys asked for; 0 of those that are not there. keys are sorted, and each is there once."""
    if not len(keys):
        return np.zeros(len(asked), values.dtype)
    at = np.searchsorted(keys, asked).clip(max=len(keys) - 1)
    return np.where(keys[at] == asked, values[at], 0)


def rouge_l(caption: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """F of the longest common subsequence: the best precision and the best recall that any reference gives."""
    common = [_common(caption, other) for other in references]
    precision = max(c / max(1, len(caption)) for c in common)
    recall = max(c / max(1, len(other)) for c, other in zip(common, references, strict=True))
    if not precision or not recall:
        return 0.0
    return (1 + RECALL**2) * precision * recall / (recall + RECALL**2 * precision)


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence, by whole numbers as sets of places (Hyyrö 2004)."""
    at: dict[str, int] = {}
    for i, word in enumerate(a):
        at[word] = at.get(word, 0) | 1 << i
    everywhere = (1 << len(a)) - 1
    row = everywhere  # a place is 0 where the length grows
    for word in b:
        if word in at:
            found = row & at[word]
            row = ((row + found) | (row - found)) & everywhere
    return len(a) - row.bit_count()


def cider(texts: Texts) -> np.ndarray:
    """CIDEr-D of each caption (pictures,), from 0 to 10. A gram's weight is ln(pictures / pictures whose references have it)."""
    owners = texts.picture[texts.number :]
    similar = np.zeros(len(owners))
    for grams in texts.grams:
        keys, counts, border = _halves(texts, grams)
        seen = np.bincount(np.unique(keys[border:]) % max(1, grams.size), minlength=grams.size)
        values = counts * (math.log(texts.number) - np.log(np.maximum(seen, 1)))[grams.gram]
        norms = np.sqrt(np.bincount(grams.text, values**2, len(texts.lengths)))
        theirs = values[border:]
        products = np.minimum(_looked_up(keys[border:], keys[:border], values[:border]), theirs) * theirs
        products = np.bincount(grams.text[border:] - texts.number, products, len(owners))
        both = norms[owners] * norms[texts.number :]
        similar += products / np.where(both > 0, both, 1.0) / ORDER
    pairs = np.maximum(texts.lengths - 1, 0)  # of words: what the COCO server takes for the length
    similar *= np.exp(-((pairs[owners] - pairs[texts.number :]) ** 2) / (2 * SIGMA**2))
    return 10 * np.bincount(owners, similar) / np.bincount(owners)


# --- floors


def human(references: Sequence[Sequence[str]]) -> Scores | None:
    """The first reference of each picture against the picture's others; None where fewer than two pictures have several."""
    some = [list(each) for each in references if len(each) > 1]
    return scores([each[0] for each in some], [each[1:] for each in some]) if len(some) > 1 else None


def constant(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[str, Scores]:
    """Of candidates, the one caption that has the highest CIDEr-D when it is said of every picture, and what it reaches."""
    theirs = [[words(text) for text in some] for some in references]
    reached = [float(cider(Texts.of([words(text)] * len(theirs), theirs)).mean()) for text in candidates]
    best = candidates[int(np.argmax(reached))]
    return best, scores([best] * len(references), references)


def typical(texts: Sequence[str]) -> str:
    """Of several captions of one picture, the one that is most like the others; the first of equals."""
    cut = [words(text) for text in texts]
    alike = [sum(rouge_l(a, [b]) for b in cut) for a in cut]
    return texts[int(np.argmax(alike))]


def distinct(captions: Sequence[str]) -> float:
    """The share of captions that are said of no picture before."""
    return len(set(captions)) / len(captions)


def table(found: Scores, extra: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each measure, with what it is."""
    told = {
        "bleu1": "words; share of the captions' words that a reference has too", "bleu2": "up to pairs of words",
        "bleu3": "up to three words", "bleu4": "up to four words; COCO server's, closest length",
        "rouge_l": "longest common subsequence, F with β 1.2", "cider": "CIDEr-D, σ 6, rare in these references; 10 is most",
        "distinct": "share of captions said of no picture before", "exact": "share of captions that a reference is too",
        "slots": "share of the references' words, those of nearly all left out, that stand in their place",
        "pointing": "share of named things' words whose strongest look lands on the thing",
        "nats_per_symbol": "of the references, ends included", "pictures": "",
    }  # fmt: skip
    values = found._asdict() | extra
    return [{"measure": name, "value": value, "protocol": told[name]} for name, value in values.items()]

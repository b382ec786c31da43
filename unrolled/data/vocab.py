"""The codec: text to symbol ids and back, and labels to numbers. One class for every task, kept as codec.json.

Ids 0 and 1 are always `unknown` and `end` (of a record); the kind's own symbols follow.

kind         a symbol is                          lossless
characters   one Unicode character                but for characters outside the vocabulary -> unknown
bytes        one byte                             yes, any file
words        a run without white space, or "\\n"  runs of blanks become one; rare words -> unknown
tokens       a word or a sign, as tokens.py cuts  no: for reading, not for writing
bpe          a learned piece of UTF-8 bytes       yes: pairs of pieces were joined, the most frequent first (Sennrich et al. 2016)
unigram      the same                             yes: the likeliest of all ways to cut a word is taken (Kudo 2018)

Where what is read and what is written have symbols of their own, one codec has the other `beside` it.
"""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import UserError
from . import tokens

UNKNOWN, END, FIRST = 0, 1, 2
PIECES = ("bpe", "unigram")
KINDS = ("characters", "bytes", "words", *PIECES)  # that a text can be written with
COMPLETE = ("bytes", *PIECES)  # kinds that know every text
WORDS = ("words", "tokens")  # kinds that word vectors are of
UNKNOWN_TEXT = {"words": "<unknown>", "tokens": "<unknown>"} | dict.fromkeys(("characters", *COMPLETE), "\ufffd")
WORD = re.compile(r"[^\s]+|\n")
PIECES_SAMPLE = 50_000_000  # characters of training text that pieces are learned from


class Codec:
    """Symbols of one kind, and the labels of a labelled data set.

    symbols    the texts of ids 2, 3, …  (characters, words; empty for bytes and pieces)
    labels     the names of label ids 0, 1, …
    tokenizer  the JSON of a Hugging Face tokenizer (pieces only)
    records    whether texts are records, each after an `end` and before the next
    fixed      how many of the last symbols are in no training text: they came with word vectors
    beside     the codec of what is read, where that has symbols of its own
    """

    def __init__(
        self,
        kind: str,
        symbols: Sequence[str] = (),
        labels: Sequence[str] = (),
        tokenizer: str | None = None,
        records: bool = False,
        fixed: int = 0,
        beside: Codec | None = None,
    ):
        self.records, self.fixed, self.beside = records, fixed, beside
        self.kind, self.symbols, self.labels, self.tokenizer_json = kind, list(symbols), list(labels), tokenizer
        self.index = {symbol: i + FIRST for i, symbol in enumerate(self.symbols)}
        if kind == "characters":
            self.table = np.zeros(0x110000, np.int32)  # code point -> id; 0 is unknown
            self.table[[ord(symbol) for symbol in self.symbols]] = np.arange(len(self.symbols)) + FIRST
        if kind in PIECES:
            self.tokenizer = _opened(tokenizer)

    @property
    def source(self) -> Codec:
        """The codec of what is read: the one beside this one, or this one."""
        return self.beside or self

    @property
    def size(self) -> int:
        """How many symbols a model over this codec predicts."""
        if self.kind in PIECES:
            return FIRST + self.tokenizer.get_vocab_size()
        return FIRST + (256 if self.kind == "bytes" else len(self.symbols))

    @property
    def dtype(self) -> np.dtype:
        """The smallest unsigned type that holds an id."""
        return np.dtype(np.uint8 if self.size <= 256 else np.uint16 if self.size <= 65536 else np.uint32)

    def encode(self, text: str | bytes) -> np.ndarray:
        """Ids of a text, int32; symbols never seen become UNKNOWN. Bytes are taken as they are by a bytes codec only."""
        if self.kind == "bytes":
            data = (
                text
                if isinstance(text, bytes)
                else whole(text, r"[\ud800-\udc7f\udd00-\udfff]").encode("utf-8", "surrogateescape")
            )
            return np.frombuffer(data, np.uint8).astype(np.int32) + FIRST
        if self.kind == "characters":
            return self.table[np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)]
        if self.kind in WORDS:
            return np.fromiter((self.index.get(word, UNKNOWN) for word in self.pieces(text)), np.int32)
        return np.asarray(self.tokenizer.encode(whole(text)).ids, np.int32) + FIRST

    def pieces(self, text: str) -> list[str]:
        """The text of each symbol that `encode` finds in a text."""
        if self.kind == "tokens":
            return tokens.words(text)
        if self.kind == "words":
            return WORD.findall(text)
        return list(text) if self.kind == "characters" else [self.text(int(i)) for i in self.encode(text)]

    def decode(self, ids: Iterable[int], after: str = "") -> str:
        """The text of ids, going on from the text `after` (words: with a blank between)."""
        piece = self.decoder(after)
        return "".join([piece(int(i)) for i in ids] + [piece(None)])

    def decoder(self, after: str = "") -> Callable[[int | None], str]:
        """A function that takes ids one by one and gives the text each adds; None flushes what is left.

        Bytes and pieces may end inside a character: its text then comes with the id that completes it.
        """
        if self.kind in WORDS:
            return _word_decoder(self, at_line_start=not after or after[-1].isspace())
        if self.kind == "characters":
            return lambda i: "" if i is None else self.text(i)
        return _byte_decoder(self)

    @property
    def start(self) -> int:
        """What a text begins after: `end` among records, else a line end where the codec has one."""
        line_end = UNKNOWN if self.records else int(self.encode("\n")[0])
        return line_end if line_end != UNKNOWN else END

    def text(self, i: int) -> str:
        """One symbol as text, for tables and JSON; bytes outside ASCII and broken pieces as `\\xNN`."""
        if i < FIRST:
            return UNKNOWN_TEXT[self.kind] if i == UNKNOWN else "\n"
        if self.kind in COMPLETE:
            return self._bytes(i).decode("utf-8", "backslashreplace")
        return self.symbols[i - FIRST]

    def _bytes(self, i: int) -> bytes:
        if self.kind == "bytes":
            return bytes([i - FIRST])
        return bytes(_BYTE_OF[character] for character in self.tokenizer.id_to_token(i - FIRST))

    def label(self, name: str) -> int:
        """The id of a label; a UserError lists the known ones."""
        if name not in self.labels:
            from ..errors import did_you_mean

            shown = ", ".join(self.labels[:20]) + (", …" if len(self.labels) > 20 else "")
            known = f"known are {shown}" if self.labels else "this model was trained without labels"
            raise UserError(f"`{name}` is not a label; {known}", fix=did_you_mean(name, self.labels))
        return self.labels.index(name)

    def extended(self, symbols: Iterable[str], labels: Iterable[str] = ()) -> Codec:
        """This codec with new symbols and labels after the old ones, whose ids stay; bytes and pieces need none.

        After fixed symbols there is no room for new ones: they stay unknown.
        """
        new = [] if self.kind in COMPLETE or self.fixed else [s for s in dict.fromkeys(symbols) if s not in self.index]
        more = [name for name in labels if name not in self.labels]
        return self._with(symbols=self.symbols + new, labels=self.labels + more)

    def with_fixed(self, words: Iterable[str]) -> Codec:
        """This codec with symbols that no training text has, so that word vectors reach words met later."""
        new = [word for word in words if word not in self.index]
        return self._with(symbols=self.symbols + new, fixed=len(new))

    def with_beside(self, beside: Codec | None) -> Codec:
        """This codec, to write with, with another one to read with (None: this one reads too)."""
        return self._with(beside=beside)

    def _with(self, **changes: Any) -> Codec:
        return Codec(**(self._given() | changes))

    def _given(self) -> dict[str, Any]:
        return {"kind": self.kind, "symbols": self.symbols, "labels": self.labels, "tokenizer": self.tokenizer_json,
                "records": self.records, "fixed": self.fixed, "beside": self.beside}  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Plain data, from which from_json() makes this codec again."""
        data = self._given()
        beside = data.pop("beside")
        return data if beside is None else data | {"beside": beside.to_json()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Codec:
        beside = cls.from_json(data["beside"]) if "beside" in data else None
        always = (data[name] for name in ("kind", "symbols", "labels", "tokenizer", "records"))
        return cls(*always, data.get("fixed", 0), beside)


def _opened(tokenizer: str | None) -> Any:
    """A tokenizer of its JSON; ValueError where that is none."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(tokenizer)
    except Exception as error:  # the library raises nothing more particular
        raise ValueError(f"no tokenizer: {error}") from None


def whole(text: str, broken: str = r"[\ud800-\udfff]") -> str:
    """The text with half characters (lone surrogates, as broken JSON has them) replaced. Python keeps bytes of the
    command line that are not UTF-8 in some of them, which a bytes codec turns back."""
    return re.sub(broken, "\ufffd", text)


def learn(kind: str, chunks: Iterable[str], maximum: int, labels: Sequence[str] = (), records: bool = False) -> Codec:
    """The codec of a training text, of at most `maximum` symbols, the most frequent (of pieces 257 or more: the bytes)."""
    if kind == "bytes":
        return Codec(kind, (), labels, None, records)
    if kind in PIECES:
        return Codec(kind, (), labels, _learn_pieces(kind, chunks, maximum), records)
    counts = _count_characters(chunks) if kind == "characters" else _count_words(kind, chunks)
    return Codec(kind, sorted(symbol for symbol, _ in counts.most_common(maximum)), labels, None, records)


def _count_characters(chunks: Iterable[str]) -> Counter[str]:
    counts = np.zeros(0x110000, np.int64)
    for chunk in chunks:
        points = np.frombuffer(chunk.encode("utf-32-le", "surrogatepass"), np.uint32)
        found = np.bincount(points)
        counts[: len(found)] += found
    return Counter({chr(point): int(counts[point]) for point in np.flatnonzero(counts)})


def _count_words(kind: str, chunks: Iterable[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    pieces = Codec(kind).pieces
    for chunk in chunks:
        counts.update(pieces(chunk))
    return counts


def _learn_pieces(kind: str, chunks: Iterable[str], maximum: int) -> str:
    """The JSON of a tokenizer in whose eyes a text is words of bytes, each with the blank before it (GPT-2's rule)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    empty, learner = {"bpe": (models.BPE, trainers.BpeTrainer), "unigram": (models.Unigram, trainers.UnigramTrainer)}[kind]
    tokenizer = Tokenizer(empty())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    size = max(maximum, len(alphabet) + 1)  # unigram's trainer, asked for the bytes alone, finds no place to stop
    trainer = learner(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(map(whole, _first(chunks, PIECES_SAMPLE)), trainer)
    if kind == "unigram":
        tokenizer.model = models.Unigram(_settled(json.loads(tokenizer.to_str())["model"]["vocab"]))
    return tokenizer.to_str()


def _settled(scored: Sequence[tuple[str, float | None]]) -> list[tuple[str, float]]:
    """A unigram model's pieces and their ln p, so that equal texts give equal models.

    The trainer adds bytes that earned no place at the end, 1e-4 apart in the chance order of a hash table, and its sums
    differ in the last digits: such bytes get one score, and all are rounded and put in order. Without any text a score is None.
    """
    scores = {piece: score or 0.0 for piece, score in scored}
    lowest = min(scores.values())
    for piece, score in scores.items():
        scores[piece] = round(lowest if len(piece) == 1 and score <= lowest + 256 * 1e-4 else score, 6)
    return sorted(scores.items(), key=lambda each: (-each[1], each[0]))


def _first(chunks: Iterable[str], characters: int) -> Iterable[str]:
    for chunk in chunks:
        yield chunk[:characters]
        characters -= len(chunk)
        if characters <= 0:
            return


def _word_decoder(codec: Codec, at_line_start: bool) -> Callable[[int | None], str]:
    def piece(i: int | None) -> str:
        nonlocal at_line_start
        if i is None:
            return ""
        word = codec.text(i)
        text = word if at_line_start or word == "\n" else " " + word
        at_line_start = word == "\n"
        return text

    return piece


def _byte_decoder(codec: Codec) -> Callable[[int | None], str]:
    utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def piece(i: int | None) -> str:
        if i is None:
            return utf8.decode(b"", final=True)
        return utf8.decode(codec._bytes(i)) if i >= FIRST else codec.text(i)

    return piece


def _byte_alphabet() -> dict[str, int]:
    """The printable stand-in of each byte in a byte-level tokenizer (GPT-2's table): printable bytes stand for themselves."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + n): b for n, b in enumerate(others)}


_BYTE_OF = _byte_alphabet()

"""Text from symbols as a language model writes them: what can be asked for, and where a text ends. numpy alone.

Who has a net gives a Writer, however it reckons: from a run folder or from an exported file the same texts come.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from . import decode
from .config import check, option
from .data.vocab import END, UNKNOWN, Codec
from .errors import UserError


@dataclasses.dataclass(frozen=True)
class Sample:
    """Options of writing."""

    prompt: str = option("", "text to go on from")
    length: int = option(500, "symbols to write", minimum=1)
    temperature: float = option(1.0, "below 1 safer, above 1 wilder, 0 always the likeliest", minimum=0, maximum=100)
    top_k: int | None = option(None, "draw from the k likeliest symbols", minimum=1)
    top_p: float | None = option(None, "draw from the likeliest symbols that have probability p", minimum=1e-6, maximum=1)
    min_p: float | None = option(None, "leave out symbols below this part of the likeliest", minimum=0, maximum=1)
    repetition_penalty: float = option(1.0, "above 1 avoids the last 64 symbols", minimum=0.01, maximum=100)
    beam: int | None = option(None, "beam search of this width in place of drawing", minimum=1, maximum=256)
    stop: tuple[str, ...] = option((), "end before this text (may be given again)")
    number: int = option(1, "texts to write, side by side", minimum=1, maximum=1024)
    label: str | None = option(None, "the label to write for (runs trained with --condition)")
    seed: int | None = option(None, "the same seed writes the same text", minimum=0)
    int8: bool = option(False, "round the weights to 8 bits: smaller, faster, hardly worse")

    def __post_init__(self) -> None:
        check(self)


class Writer(NamedTuple):
    """A net that writes.

    draw    draw(options, rows, filters, random) -> ids (rows,) of each step after the prompt, for ever
    begin   begin(options) -> the step function, logits (1, V) and state after the prompt
    """

    codec: Codec
    draw: Callable[[Sample, int, decode.Sampling, np.random.Generator], Iterator[np.ndarray]]
    begin: Callable[[Sample], tuple[decode.Step, np.ndarray, decode.State]]


def stream(writer: Writer, options: Sample) -> Iterator[str]:
    """One text, piece by piece as symbols are drawn; the prompt is not repeated."""
    return until(_pieces(writer, options), options.stop)


def texts(writer: Writer, options: Sample) -> list[str]:
    """`number` texts at once; with `beam`, the best so many, best first."""
    codec = writer.codec
    if options.beam is not None:
        rows = search(writer, options)
    else:
        drawn = list(drawn_until_end(writer, options, options.number))
        rows = [before_end(ids.tolist()) for ids in np.array(drawn).reshape(-1, options.number).T]
    return ["".join(until(iter([codec.decode(ids, after=options.prompt)]), options.stop)) for ids in rows]


def _pieces(writer: Writer, options: Sample) -> Iterator[str]:
    codec = writer.codec
    if options.beam is not None:
        yield codec.decode(search(writer, options)[0], after=options.prompt)
        return
    piece = codec.decoder(after=options.prompt)
    for ids in drawn_until_end(writer, options, 1):
        if ids[0] == END:
            break
        yield piece(int(ids[0]))
    yield piece(None)


def drawn_until_end(writer: Writer, options: Sample, rows: int) -> Iterator[np.ndarray]:
    """Ids (rows,) of each step, at most options.length of them; ends early when every row has met `end`."""
    random = np.random.default_rng(options.seed)
    ended = np.zeros(rows, bool)
    for ids in islice(writer.draw(options, rows, sampling(options), random), options.length):
        yield ids
        ended |= ids == END
        if ended.all():
            return


def sampling(options: Sample) -> decode.Sampling:
    """How each symbol is drawn."""
    return decode.Sampling(options.temperature, options.top_k, options.top_p, options.min_p, options.repetition_penalty)


def search(writer: Writer, options: Sample) -> list[list[int]]:
    """The best texts that beam search finds, as ids."""
    step, logits, state = writer.begin(options)
    end = END if writer.codec.records else None
    settings = decode.Beam(max(options.beam, options.number))
    (found,) = decode.beams(step, logits, state, settings, [options.length], end, banned(writer.codec))
    return [before_end(h.ids) for h in found[: options.number]]


def prompted(codec: Codec, options: Sample) -> list[int]:
    """The symbols that are read before any is written."""
    return [codec.start, *codec.encode(options.prompt).tolist()]


def before_end(ids: list[int]) -> list[int]:
    return ids[: ids.index(END)] if END in ids else ids


def label_asked(codec: Codec, label: str | None) -> int | None:
    """The number of the label to write for; a UserError where a run needs one."""
    if codec.labels and label is None:
        shown = ", ".join(codec.labels[:20]) + (", …" if len(codec.labels) > 20 else "")
        raise UserError(f"this run writes for a label; `--label` is one of {shown}")
    return None if label is None else codec.label(label)


def banned(codec: Codec) -> list[int]:
    """Ids never written: unknown always, `end` where training had no records."""
    return [UNKNOWN] if codec.records else [UNKNOWN, END]


def until(pieces: Iterator[str], stops: tuple[str, ...]) -> Iterator[str]:
    """Pass text on up to the first stop string; what may be the beginning of one is held back until it is clear."""
    if "" in stops:
        raise UserError("`--stop` got an empty text, which is found everywhere")
    held, reach = "", max(map(len, stops), default=1) - 1
    for piece in pieces:
        held += piece
        found = [(at + len(stop), at) for stop in stops if (at := held.find(stop)) >= 0]
        if found:
            yield held[: min(found)[1]]  # of the one that is complete first
            return
        ready = len(held) - reach
        if ready > 0:
            yield held[:ready]
            held = held[ready:]
    yield held

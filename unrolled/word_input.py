"""Word vectors as a task's input: how wide they are, and how a model begins with them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

from .data.vocab import Codec
from .errors import UserError
from .layers import ONE_HOT, Coverage

if TYPE_CHECKING:
    from .vectors import Vectors

MOST = 200_000  # words without a place in the text, of a file that has more: the most frequent


def width(vectors: str | None, embedding: int | None, size: int) -> int | None:
    """Numbers in a symbol's vector: as given, or as `vectors` (a run, a file, one-hot) has them; None where neither says."""
    if vectors is None:
        return embedding
    found = size if vectors == ONE_HOT else _opened(vectors).matrix.shape[1]
    if embedding not in (None, found):
        raise UserError(f"`--embedding {embedding}`, but the vectors of `--vectors` have {found} numbers each")
    return found


def _opened(vectors: str) -> Vectors:
    from .vectors import Vectors  # most runs have none

    return Vectors.open(vectors)


def reaching(codec: Codec, vectors: str | None) -> Codec:
    """The codec with the words that only the vectors have."""
    return codec if vectors in (None, ONE_HOT) else codec.with_fixed(islice(_opened(vectors), MOST))


def take(
    vectors: str | None, tune: bool, codec: Codec, adopt: Callable[[Vectors], Coverage], lower: bool | None = None
) -> list[str]:
    """Have `adopt` begin an embedding with the vectors; says how many of the symbols they cover.

    lower  whether the text was read in small letters; None where a task has no such setting
    """
    if vectors in (None, ONE_HOT):
        return []
    opened = _opened(vectors)
    covered = adopt(opened)
    if not covered.found:
        raise UserError(
            f"`{vectors}` has a vector for none of the text's {covered.of:,} words", fix=_capitals(opened, codec, lower)
        )
    return [f"vectors: {covered} begin with those of {vectors}, {'tuned' if tune else 'frozen'}"]


def _capitals(known: Vectors, codec: Codec, lower: bool | None) -> str | None:
    """The next step where text and vectors, which have no word in common, have some in other letters."""
    of_text = codec.symbols[: len(codec.symbols) - codec.fixed]  # the others came with the vectors
    if any(symbol.lower() in known for symbol in of_text):
        step = "leave --no-lower out" if lower is False else "give them text in small letters"
        return f"the vectors are of small letters: {step}"
    in_small = {symbol.lower() for symbol in of_text}
    if any(word.lower() in in_small for word in known):
        return f"the vectors are of words with capitals: {'add --no-lower' if lower else 'give them such a text'}"
    return None


def inherited(base: Any, structure: tuple[str, ...]) -> dict[str, Any]:
    """Of the settings in `structure`, those that weights taken from a run with the config `base` decide."""
    theirs = {name: getattr(base, name) for name in structure}
    # one-hot grows with the symbols; begun with vectors or not, they are the weights' now
    theirs["embedding" if base.vectors == ONE_HOT else "vectors"] = None
    return theirs

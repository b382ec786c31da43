"""Measures, each a plain function of counts and arrays."""

from __future__ import annotations

import math


def language(nats: float, symbols: int, characters: int) -> dict[str, float]:
    """A language model's measures from the total surprise of a text, in nats.

    nats_per_symbol and perplexity are of the model's own symbols (characters, words, pieces); bits_per_character
    divides by Unicode characters whatever the symbols are, so that models over different symbols compare.
    """
    per_symbol = nats / symbols
    return {
        "nats_per_symbol": per_symbol,
        "bits_per_character": nats / math.log(2) / characters,
        "perplexity": math.exp(min(per_symbol, 700.0)),
        "symbols": symbols,
        "characters": characters,
    }

"""What `unrolled serve` may be told, and what no request may exceed."""

from __future__ import annotations

import dataclasses

from ..config import check, option

# Of one request, whatever the server is told: each keeps the time and the memory of an answer within bounds.
TEXTS = 64  # texts, words' lists and the like
CHARACTERS = 32_768  # of a text
SENTENCE = 2_000  # characters of a text to translate: attention is over all pairs of its symbols
LENGTH = 4_096  # symbols to write
NUMBER = 16  # texts to write side by side
BEAM = 32
SECONDS = 600.0  # of sound that is sent
MADE = 60.0  # seconds of sound that is made
POINTS = 5_000  # words of a map


@dataclasses.dataclass(frozen=True)
class Serve:
    """Options of serving."""

    host: str = option("127.0.0.1", "the address to listen on; any but this machine's own needs a token")
    port: int = option(8000, "the port; 0 takes a free one", minimum=0, maximum=65535)
    token: str | None = option(None, "what callers must show  [the environment's UNROLLED_TOKEN]")
    allow: tuple[str, ...] = option((), "another name of this server that the Host header may have (may be given again)")
    queue: int = option(256, "requests of a run that may wait; beyond, 429", minimum=1)
    deadline: float = option(30.0, "seconds until an answer must be there; then 504", minimum=0.01)
    idle: float = option(60.0, "seconds after which a silent stream is closed", minimum=0.1)
    streams: int = option(1024, "streams of a run open at a time; beyond, 429", minimum=1)
    body: float = option(8.0, "megabytes of a request; beyond, 413", minimum=0.001, maximum=1000)
    message: float = option(1.0, "megabytes of a stream's message; beyond, it is closed", minimum=0.001, maximum=100)

    def __post_init__(self) -> None:
        check(self)

"""python docs/unrolled_nets.py: the pictures of docs/types.md, of small nets of the project's own tasks."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from unrolled import unrolling
from unrolled.data.vocab import Codec
from unrolled.tasks import classify, language, tag, translate, wavenet

LETTERS = Codec("characters", tuple("abcdefghijklmnopqrstuvwxyz"))
WORDS, TAGGED = Codec("words", ("good", "bad"), ("+", "-")), Codec("words", ("Ada", "sat"), ("O", "B-name"))
BESIDE = Codec("characters", LETTERS.symbols, beside=LETTERS)
SMALL = {"data": ("text",), "embedding": 16, "hidden": 32, "layers": 1}


def model(page: ModuleType, codec: Codec, **settings: object) -> object:
    return page.Model(page.Config(**settings), codec)


def drawn() -> dict[str, str]:
    """{name of a file: the picture}."""
    nets = {
        "language": model(language, LETTERS, cell="rnn", **SMALL),
        "classify": model(classify, WORDS, cell="lstm", direction="forward", pooling="last", **SMALL),
        "tag": model(tag, TAGGED, cell="gru", direction="both", spelling=0, crf=False, **SMALL),
        "translate": model(translate, BESIDE, cell="gru", direction="forward", attention="additive", feed=False, **SMALL),
        "wavenet": model(wavenet, Codec("sounds"), data=("sounds",), hertz=8000, layers=4, cycles=1),
    }
    pages = {page.__name__.rpartition(".")[2]: page for page in (language, classify, tag, translate, wavenet)}
    return {f"{name}.svg": unrolling.svg(page.picture(nets[name])) for name, page in pages.items()}


if __name__ == "__main__":
    for name, picture in drawn().items():
        (Path(__file__).parent / "types" / name).write_text(picture, encoding="utf-8")

"""Exported files run with numpy, tokenizers and onnxruntime: no torch, no numba, an import of a tenth of a second.

model = unrolled.runtime.load("book.onnx")
model.sample(Sample(prompt="The "))   # of a language model; the options are those of `unrolled sample`
model.predict(["a text"])             # of the others, as of `unrolled predict`: texts, or paths of sounds and pictures
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..writer import Sample
from .opened import open_file

if TYPE_CHECKING:
    from .caption import Captioner
    from .classify import Classifier
    from .language import Language
    from .speech import Speech
    from .tag import Tagger
    from .translate import Translator
    from .trigger import Trigger
    from .video import Video
    from .wavenet import Wavenet

KINDS = {"language": "Language", "classify": "Classifier", "tag": "Tagger", "translate": "Translator",
         "trigger": "Trigger", "speech": "Speech", "caption": "Captioner", "video": "Video", "wavenet": "Wavenet"}  # fmt: skip


def load(path: str | Path) -> Language | Classifier | Tagger | Translator | Trigger | Speech | Captioner | Video | Wavenet:
    """The model in a file that `unrolled export` wrote; a UserError says what is missing or wrong."""
    opened = open_file(path)
    if opened.task not in KINDS:
        raise UserError(f"`{path}` is of the task `{opened.task}`; this version runs {', '.join(KINDS)}")
    return getattr(importlib.import_module(f".{opened.task}", __name__), KINDS[opened.task])(opened)


__all__ = ["Sample", "load"]

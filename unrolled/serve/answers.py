"""What a run answers over HTTP: of each task, what may be asked, by which options of the command line, and how it is answered.

Options that name files, folders or commands are left out: a request holds all that it is about.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, create_model

from .. import config as settings
from ..data import sound
from ..errors import UserError
from . import options as most
from . import pcm
from .worker import one_by_one


class Endpoint(NamedTuple):
    """POST /RUN/verb.

    asked    the body's JSON; where `file` is a kind of file, the query, and the body is the file
    items    what is answered of a request, and the options that it is answered by (which can be compared)
    answer   (items, options) -> an answer to each, as plain data; items of equal options come together
    reply    the answers of a request -> what is sent: plain data, or bytes
    example  a request as OpenAPI shows it: JSON, or a file's bytes
    """

    verb: str
    summary: str
    asked: type[BaseModel]
    items: Callable[[Any], tuple[list[Any], Any]]
    answer: Callable[[list[Any], Any], Sequence[Any]]
    reply: Callable[[list[Any]], Any]
    example: Any
    file: str | None = None
    sends: str = "application/json"


def endpoints(run: Any) -> list[Endpoint]:
    """All that a run may be asked."""
    task = run.task.__name__.rpartition(".")[2]
    return OF_TASK[task](run)


# --- requests


def model(
    run: Any, verb: str, kind: type | None, taken: dict[str, float | None], first: dict[str, tuple[Any, Any]] | None = None
) -> type[BaseModel]:
    """The JSON of a request: fields of its own, and options of the command line by name, none above the number given."""
    known = {} if kind is None else {o.name: o for o in settings.options(kind)}
    fields = dict(first or {})
    for name_, highest in taken.items():
        o = known[name_]
        plain = list[str] if o.many else o.type
        bounds = [value for value in (highest, o.maximum) if value is not None]
        limits = {} if o.many or o.type in (str, bool) else {"ge": o.minimum, "le": min(bounds, default=None)}
        length = {"max_length": most.TEXTS} if o.many else {"max_length": most.CHARACTERS} if o.type is str else {}
        default = list(o.default) if o.many else o.default if highest is None or o.default is None else min(o.default, highest)
        about = Field(default, description=o.help, **limits, **length)
        fields[name_] = (plain | None if o.optional else plain, about)
    called = f"{run.folder.resolve().name}-{verb}".replace(".", "_")  # a name before a dot would be left out
    return create_model(called, __config__=ConfigDict(extra="forbid"), **fields)


def texts(longest: int = most.CHARACTERS) -> tuple[Any, Any]:
    """The field of texts to answer."""
    return (
        list[Annotated[str, Field(max_length=longest)]],
        Field(min_length=1, max_length=most.TEXTS, description="texts to answer"),
    )


def word(help: str, longest: int = most.CHARACTERS) -> tuple[Any, Any]:
    """A field of one text."""
    return (str, Field(max_length=longest, description=help))


def chosen(kind: type, asked: BaseModel, without: tuple[str, ...] = ()) -> Any:
    """A request's options as the task takes them."""
    values = {name: value for name, value in asked.model_dump().items() if name not in without and value is not None}
    return settings.build(kind, values)


def plain(value: Any) -> Any:
    """NamedTuples, tuples and arrays as JSON has them, all the way down."""
    if hasattr(value, "_asdict"):
        return {name: plain(inner) for name, inner in value._asdict().items()}
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def only(answers: list[Any]) -> Any:
    """The one answer of a request that asks for one."""
    return answers[0]


def together(answers: list[Any]) -> dict[str, Any]:
    """Several answers, in the order of what was asked."""
    return {"answers": answers}


# --- texts in, an answer to each


def of_texts(run: Any, taken: dict[str, float | None], examples: list[str], longest: int = most.CHARACTERS) -> Endpoint:
    """predict: texts in, an answer to each."""
    kind = run.task.Predict
    asked = model(run, "predict", kind, taken, {"texts": texts(longest)})

    def items(request: Any) -> tuple[list[str], Any]:
        return request.texts, chosen(kind, request, ("texts",))

    def answer(some: list[str], options: Any) -> list[Any]:
        return [plain(one) for one in run.task.predict(run, some, options)]

    return Endpoint("predict", "Answer texts.", asked, items, answer, together, {"texts": examples})


def of_one(
    verb: str, summary: str, asked: type[BaseModel], answer: Callable[[Any], Any], example: Any, sends: str = "application/json"
) -> Endpoint:
    """One question, one answer; answer(request) -> data. A call each: in a batch the first would wait for the last."""
    answers = one_by_one(lambda one: plain(answer(one)))

    def items(request: Any) -> tuple[list[Any], Any]:
        return [request], object()

    return Endpoint(verb, summary, asked, items, lambda some, _: answers(some), only, example, sends=sends)


def language(run: Any) -> list[Endpoint]:
    page, label = run.task, {"label": run.codec.labels[0]} if run.codec.labels else {}
    written = model(run, "sample", page.Sample, SAMPLED | {"number": most.NUMBER, "beam": most.BEAM, "stop": None})
    read = model(run, "score", page.Sample, {"label": None}, {"text": word("the text to read")})

    def sample(asked: Any) -> dict[str, Any]:
        return {"texts": page.samples(run, chosen(page.Sample, asked))}

    def score(asked: Any) -> dict[str, Any]:
        found = page.expected(run, asked.text, asked.label)
        return {"symbols": found[:-1], "next": found[-1].likeliest}

    prompt = "".join(page.sample(run, page.Sample(length=12, temperature=0.5, seed=1, **label)))
    return [
        of_one("sample", "Write texts.", written, sample, {"prompt": prompt, "length": 60, "seed": 1} | label),
        of_one("score", "What was expected at each symbol of a text, and after it.", read, score, {"text": prompt} | label),
    ]


SAMPLED: dict[str, float | None] = {
    "prompt": None, "length": most.LENGTH, "temperature": None, "top_k": None, "top_p": None, "min_p": None,
    "repetition_penalty": None, "label": None, "seed": None, "int8": None,
}  # fmt: skip


def classify(run: Any) -> list[Endpoint]:
    return [of_texts(run, {"evidence": None}, ["The soup was cold and nobody cared."])]


def tag(run: Any) -> list[Endpoint]:
    return [of_texts(run, {"stream": None}, ["He said, Teddy was a great president!"])]


def translate(run: Any) -> list[Endpoint]:
    page = run.task
    taken = {"beam": most.BEAM, "best": most.BEAM, "length_power": None, "coverage_penalty": None, "no_repeat": None,
             "diversity": None, "groups": most.BEAM, "require": None, "temperature": None, "top_p": None,
             "seed": None}  # fmt: skip
    found = [of_texts(run, taken, ["Sunday, 9 November 2003"], most.SENTENCE)]
    if run.model.attention is None:
        return found
    one = model(run, "look", None, {}, {"text": word("the sentence", most.SENTENCE)})

    def look(asked: Any) -> dict[str, Any]:
        seen = page.look(run, asked.text)
        return {"source": seen.source, "written": seen.written, "weights": seen.weights.round(4)}

    return [*found, of_one("look", "Where the net looked as it wrote.", one, look, {"text": "Sunday, 9 November 2003"})]


# --- files in

# Kinds of content, and the endings that readers know them by.
KINDS = {
    "picture": {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/gif": ".gif", "image/bmp": ".bmp"},
    "sound": {"audio/wav": ".wav", "audio/x-wav": ".wav", "audio/flac": ".flac", "audio/x-flac": ".flac", "audio/ogg": ".ogg",
              "audio/mpeg": ".mp3"},
    "clip": {"image/gif": ".gif", "image/png": ".png", "image/webp": ".webp", "video/mp4": ".mp4", "video/webm": ".webm"},
}  # fmt: skip
File = tuple[bytes, str]  # what was sent, and the kind of content it was called


@contextlib.contextmanager
def filed(kind: str, sent: File) -> Iterator[Path]:
    """A file of one's own for what was sent, as readers take paths; a UserError names no place."""
    content, called = sent
    if called not in KINDS[kind]:
        allowed = ", ".join(KINDS[kind])
        raise UserError(f"the content-type is `{called[:80]}`; allowed for a {kind} are {allowed}")
    with tempfile.NamedTemporaryFile(suffix=KINDS[kind][called]) as file:
        file.write(content)
        file.flush()
        try:
            yield Path(file.name)
        except UserError as error:
            said, fix = (text and text.replace(f"`{file.name}`", f"the {kind}") for text in (error.what, error.fix))
            raise UserError(said.replace(file.name, f"the {kind}"), fix=fix, code=error.code) from None


def each(kind: str, open_: Callable[[Path], Any], sent: Sequence[File]) -> list[Any]:
    """What is read of each file, or the UserError that says why it is not."""
    found: list[Any] = []
    for one in sent:
        try:
            with filed(kind, one) as path:
                found.append(open_(path))
        except UserError as error:
            found.append(error)
    return found


def answered(found: list[Any], answer: Callable[[list[Any]], Sequence[Any]]) -> list[Any]:
    """The answers to what could be read, together; the errors of the rest in their places."""
    read = [one for one in found if not isinstance(one, UserError)]
    answers = iter(answer(read) if read else [])
    return [one if isinstance(one, UserError) else plain(next(answers)) for one in found]


def of_files(
    run: Any, kind: str, open_: Callable[[Path], Any], taken: dict[str, float | None], example: File,
    verb: str = "predict", answer: Callable[[list[Any], Any], Sequence[Any]] | None = None, summary: str | None = None,
) -> Endpoint:  # fmt: skip
    """A file in, an answer; files that come at the same time are read one by one and answered together."""
    page = run.task

    def answers(sent: list[File], options: Any) -> list[Any]:
        return answered(each(kind, open_, sent), lambda read: (answer or partial(page.predict, run))(read, options))

    def items(asked: Any) -> tuple[list[Any], Any]:
        return [], chosen(page.Predict, asked)

    asked = model(run, verb, page.Predict, taken)
    return Endpoint(verb, summary or f"Answer a {kind}.", asked, items, answers, only, example, kind)


def caption(run: Any) -> list[Endpoint]:
    page, example = run.task, (_picture(), "image/png")

    def look(paths: list[Any], options: Any) -> list[Any]:
        return paths

    def looked(path: Path) -> dict[str, Any]:
        seen = page.look(run, str(path))
        return {"words": seen.words, "weights": seen.weights.round(4), "gates": seen.gates.round(4)}

    taken = {"beam": most.BEAM, "best": most.BEAM, "length_power": None, "no_repeat": None,
             "diversity": None, "groups": most.BEAM}  # fmt: skip
    return [
        of_files(run, "picture", partial(page.opened, run), taken, example),
        of_files(run, "picture", looked, {}, example, "look", look, "Where the net looked as it wrote its caption."),
    ]


def _picture() -> bytes:
    from .. import coloured_shapes
    from ..data import pictures

    return pictures.png(coloured_shapes.draw(np.random.default_rng(1)).pixels)


def video(run: Any) -> list[Endpoint]:
    moving = np.concatenate([np.full((16, 16, 3), level, np.uint8) for level in range(0, 250, 60)], 1)  # a strip of frames
    from ..data import pictures

    example = pictures.png(moving), "image/png"
    return [of_files(run, "clip", partial(run.task.opened, run), {"each": None}, example)]


def heard(run: Any, path: Path) -> np.ndarray:
    """A sound's samples, at the run's rate."""
    return sound.read(path, run.model.logmel.rate, most.SECONDS)


def _silence(run: Any) -> File:
    rate = run.model.logmel.rate
    return pcm.wav(np.zeros(rate, np.float32), rate), "audio/wav"


def trigger(run: Any) -> list[Endpoint]:
    page = run.task

    def answer(sounds: list[np.ndarray], options: Any) -> list[Any]:
        net = page.at_threshold(page.detector(run.model), options.threshold)
        return [page.detected(net, [samples]) for samples in sounds]

    return [of_files(run, "sound", partial(heard, run), {"threshold": None}, _silence(run), answer=answer)]


def speech(run: Any) -> list[Endpoint]:
    taken = {"beam": 1000, "best": most.BEAM, "weight": None, "insertion": None, "hot": None, "bonus": None}
    return [of_files(run, "sound", partial(heard, run), taken, _silence(run))]


# --- sound out


def wavenet(run: Any) -> list[Endpoint]:
    if run.config.guide_by is not None:
        return []  # it is led by a file of notes or sound
    page, label = run.task, {"label": run.codec.labels[0]} if run.codec.labels else {}
    asked = model(run, "sample", page.Sample, MADE)

    def sample(request: Any) -> bytes:
        (made,) = page.generate(run, chosen(page.Sample, request), np.zeros(0, np.float32))
        return pcm.wav(made, run.config.hertz)

    return [
        of_one("sample", "Make a sound, as a WAV file.", asked, sample, {"seconds": 0.1, "seed": 1} | label, sends="audio/wav")
    ]


MADE: dict[str, float | None] = {
    "seconds": most.MADE, "temperature": None, "top_p": None, "seed": None, "precision": None, "label": None,
}  # fmt: skip


# --- words


def embed(run: Any) -> list[Endpoint]:
    from .. import vectors, word_map

    opened = vectors.Vectors.open(run.folder)
    some = list(opened.words[:3])
    near = model(run, "nearest", vectors.Nearest, {"number": most.TEXTS, "among": None}, {"word": word("the word", 200)})
    words = {name: word("a is to b as c is to the answers", 200) for name in "abc"}
    like = model(run, "analogy", vectors.Analogy, {"number": most.TEXTS, "among": None, "method": None}, words)
    size = Field(500, ge=3, le=most.POINTS, description="the most frequent so many")
    shown = model(run, "map", None, {}, {"words": (int, size)})

    def nearest(asked: Any) -> dict[str, Any]:
        options = chosen(vectors.Nearest, asked, ("word",))
        spelt = opened.spelt(asked.word, lambda note: None)
        return {"word": spelt, "nearest": opened.nearest(spelt, options.number, options.among)}

    def analogy(asked: Any) -> dict[str, Any]:
        options = chosen(vectors.Analogy, asked, tuple("abc"))
        a, b, c = (opened.spelt(one, lambda note: None) for one in (asked.a, asked.b, asked.c))
        return {"words": [a, b, c], "answers": opened.analogy(a, b, c, options.number, options.method, options.among)}

    def on_map(asked: Any) -> dict[str, Any]:
        return word_map.places(opened, run.folder, asked.words)

    return [
        of_one("nearest", "The words most similar to a word.", near, nearest, {"word": some[0], "number": 3}),
        of_one("analogy", "A is to B as C is to …", like, analogy, dict(zip("abc", some, strict=True)) | {"number": 3}),
        of_one("map", "Where words stand on a map.", shown, on_map, {"words": 10}),
    ]


OF_TASK: dict[str, Callable[[Any], list[Endpoint]]] = {
    "language": language, "embed": embed, "classify": classify, "tag": tag, "translate": translate, "caption": caption,
    "trigger": trigger, "speech": speech, "video": video, "wavenet": wavenet,
}  # fmt: skip

"""What a run answers over HTTP: of each task, what may be asked, by which options of the command line, and how it is answered.

Options that name files, folders or commands are left out: a request holds all that it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, create_model

from .. import config as settings
from . import options as most


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


def model(name: str, kind: type | None, taken: dict[str, float | None], **first: Any) -> type[BaseModel]:
    """The JSON of a request: fields of its own, and options of the command line by name, none above the number given."""
    known = {} if kind is None else {o.name: o for o in settings.options(kind)}
    fields = dict(first)
    for name_, highest in taken.items():
        o = known[name_]
        plain = list[str] if o.many else o.type
        bounds = [value for value in (highest, o.maximum) if value is not None]
        limits = {} if o.many or o.type in (str, bool) else {"ge": o.minimum, "le": min(bounds, default=None)}
        length = {"max_length": most.TEXTS} if o.many else {"max_length": most.CHARACTERS} if o.type is str else {}
        default = list(o.default) if o.many else o.default if highest is None or o.default is None else min(o.default, highest)
        about = Field(default, description=o.help, **limits, **length)
        fields[name_] = (plain | None if o.optional else plain, about)
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


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
    asked = model("Texts", kind, taken, texts=texts(longest))

    def items(request: Any) -> tuple[list[str], Any]:
        return request.texts, chosen(kind, request, ("texts",))

    def answer(some: list[str], options: Any) -> list[Any]:
        return [plain(one) for one in run.task.predict(run, some, options)]

    return Endpoint("predict", "Answer texts.", asked, items, answer, together, {"texts": examples})


def of_one(
    run: Any, verb: str, summary: str, asked: type[BaseModel], answer: Callable[[Any], Any], example: Any, **more: Any
) -> Endpoint:
    """One question, one answer; answer(request) -> data."""
    return Endpoint(
        verb, summary, asked, lambda request: ([request], None), lambda some, _: [plain(answer(one)) for one in some], only,
        example, **more,
    )  # fmt: skip


def language(run: Any) -> list[Endpoint]:
    page, label = run.task, {"label": run.codec.labels[0]} if run.codec.labels else {}
    written = model("Prompt", page.Sample, SAMPLED | {"number": most.NUMBER, "beam": most.BEAM, "stop": None})
    read = model("Reading", page.Sample, {"label": None}, text=word("the text to read"))

    def sample(asked: Any) -> dict[str, Any]:
        return {"texts": page.samples(run, chosen(page.Sample, asked))}

    def score(asked: Any) -> dict[str, Any]:
        found = page.expected(run, asked.text, asked.label)
        return {"symbols": found[:-1], "next": found[-1].likeliest}

    prompt = "The " if run.codec.kind != "words" else "the"
    return [
        of_one(run, "sample", "Write texts.", written, sample, {"prompt": prompt, "length": 60, "seed": 1} | label),
        of_one(run, "score", "What was expected at each symbol of a text, and after it.", read, score, {"text": prompt} | label),
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
             "require": None, "temperature": None, "top_p": None, "seed": None}  # fmt: skip
    found = [of_texts(run, taken, ["Sunday, 9 November 2003"], most.SENTENCE)]
    if run.model.attention is None:
        return found
    one = model("Sentence", None, {}, text=word("the sentence", most.SENTENCE))

    def look(asked: Any) -> dict[str, Any]:
        seen = page.look(run, asked.text)
        return {"source": seen.source, "written": seen.written, "weights": seen.weights.round(4)}

    return [*found, of_one(run, "look", "Where the net looked as it wrote.", one, look, {"text": "Sunday, 9 November 2003"})]


OF_TASK: dict[str, Callable[[Any], list[Endpoint]]] = {
    "language": language, "classify": classify, "tag": tag, "translate": translate,
}  # fmt: skip

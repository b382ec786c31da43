"""What a run answers over a WebSocket: text and sound as they are written, what is heard as it is said.

A stream lives in the worker's thread and is advanced a little at a time, so that all streams of a run and its requests take
turns; texts that wait for a turn are multiplied together.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from . import answers, guard, pcm
from .worker import Work, Worker, one_by_one

Message = dict[str, Any] | bytes


Turn = tuple[list[Message], bool]  # its next messages, and whether they are the last


class Writing(NamedTuple):
    """WebSocket /RUN/stream: a request as JSON begins it; messages come until it is done or another request comes.

    begin  (request) -> what is going on then
    go_on  (those of several streams) -> a turn of each, or the error in its place
    """

    asked: type[BaseModel]
    begin: Callable[[Any], Any]
    go_on: Callable[[list[Any]], Sequence[Turn | Exception]]


class Hearing(NamedTuple):
    """WebSocket /RUN/listen: a request as JSON, then sound: mono, 16 bits, little-endian, `hertz` samples a second.

    begin  (request) -> what is told first, and a function that takes samples (N,), or None at the end, and gives messages
    """

    asked: type[BaseModel]
    begin: Callable[[Any], tuple[Message, Callable[[np.ndarray | None], list[Message]]]]


def of(run: Any) -> dict[str, Writing | Hearing]:
    """The streams of a run, by the last part of their address."""
    task = run.task.__name__.rpartition(".")[2]
    return OF_TASK[task](run) if task in OF_TASK else {}


AT_ONCE = 8  # symbols of a text in one turn


def language(run: Any) -> dict[str, Writing | Hearing]:
    page = run.task

    @lru_cache(8)
    def net(label: str | None, int8: bool) -> Any | None:  # which all streams share
        return page.packed(run.model, page.writer.label_asked(run.codec, label), int8)

    def begin(request: Any) -> Any:
        options = answers.chosen(page.Sample, request)
        return page.Watched(run, options, net(options.label, options.int8))

    def go_on(texts: list[Any]) -> list[Turn | Exception]:
        return [turn if isinstance(turn, Exception) else _told(*turn) for turn in page.write_on(run, texts, AT_ONCE)]

    return {"stream": Writing(answers.model(run, "stream", page.Sample, answers.SAMPLED), begin, go_on)}


def _told(symbols: list[Any], over: bool) -> Turn:
    return [{"text": one.text, "probability": one.probability, "likeliest": one.likeliest} for one in symbols], over


def wavenet(run: Any) -> dict[str, Writing | Hearing]:
    page, hertz = run.task, run.config.hertz
    if run.config.guide_by is not None:
        return {}

    def begin(request: Any) -> Iterator[Message]:
        yield {"hertz": hertz}
        for made in page.pieces(run, answers.chosen(page.Sample, request), np.zeros(0, np.float32)):
            yield pcm.pack(made[0])

    go_on = one_by_one(lambda going: _advanced(going, 1))
    return {"stream": Writing(answers.model(run, "stream", page.Sample, answers.MADE), begin, go_on)}


def trigger(run: Any) -> dict[str, Writing | Hearing]:
    page, detector = run.task, run.task.detector(run.model)

    def begin(request: Any) -> tuple[Message, Callable[[np.ndarray | None], list[Message]]]:
        net = page.at_threshold(copy.copy(detector), request.threshold)  # all streams share the weights
        state, answered = net.start(), 0

        def hear(samples: np.ndarray | None) -> list[Message]:
            nonlocal state, answered
            if samples is None:
                return []
            probabilities, events, state = net(samples, state)
            before, answered = answered, answered + len(probabilities)
            times = net.offset + net.hop * np.arange(before + 1, answered + 1)
            told = [page.told_of(event) for event in events]
            return [{"times": times.round(3).tolist(), "probabilities": probabilities.round(4).tolist(), "events": told}]

        return {"hertz": net.rate, "threshold": round(net.rule.threshold, 4)}, hear

    return {"listen": Hearing(answers.model(run, "listen", page.Predict, {"threshold": None}), begin)}


def speech(run: Any) -> dict[str, Writing | Hearing]:
    page = run.task
    if not run.model.streams:
        return {}

    @lru_cache(8)
    def net(options: Any) -> Any:
        return page.transcriber(run, options, options.pause)

    def begin(request: Any) -> tuple[Message, Callable[[np.ndarray | None], list[Message]]]:
        return {"hertz": run.model.logmel.rate}, page.Following(run, net(answers.chosen(page.Listen, request)))

    taken = {"pause": None, "beam": 1000, "weight": None, "insertion": None, "hot": None, "bonus": None}
    return {"listen": Hearing(answers.model(run, "listen", page.Listen, taken), begin)}


OF_TASK: dict[str, Callable[[Any], dict[str, Writing | Hearing]]] = {
    "language": language, "wavenet": wavenet, "trigger": trigger, "speech": speech,
}  # fmt: skip


# --- the socket

STOP, END = (re.compile(rf'\s*{{\s*"{word}"\s*:\s*true\s*}}\s*') for word in ("stop", "end"))


class Closed(Exception):
    """The stream is over: a WebSocket's code and why."""

    def __init__(self, code: int, why: str):
        super().__init__(code, why)
        self.code, self.why = code, why


class Line:
    """A WebSocket whose silences and whose readers' silences end it after `idle` seconds."""

    def __init__(self, socket: WebSocket, idle: float):
        self.socket, self.idle = socket, idle

    async def open(self) -> None:
        offered = self.socket.scope["subprotocols"]
        await self.socket.accept(guard.PROTOCOL if guard.PROTOCOL in offered else None)

    def ahead(self) -> asyncio.Future:
        """The next message, while others are sent; that none comes is nobody's matter if nobody asks."""
        hearing = asyncio.ensure_future(self._receive())
        hearing.add_done_callback(lambda heard: heard.cancelled() or heard.exception())
        return hearing

    async def hear(self, ahead: asyncio.Future | None = None) -> str | bytes:
        """The next message; Closed where it is not there in time."""
        try:
            async with asyncio.timeout(self.idle):
                return await (ahead or self._receive())
        except TimeoutError:
            raise Closed(1000, f"nothing came for {self.idle:g} s") from None

    async def _receive(self) -> str | bytes:
        message = await self.socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
        return message["text"] if message.get("text") is not None else message["bytes"]

    async def say(self, message: Message) -> None:
        said = self.socket.send_bytes(message) if isinstance(message, bytes) else self.socket.send_text(_json(message))
        try:
            async with asyncio.timeout(self.idle):
                await said
        except TimeoutError:
            raise Closed(1008, f"nothing was read for {self.idle:g} s") from None


def _json(message: dict[str, Any]) -> str:
    return json.dumps(message, ensure_ascii=False)


def asked_for(kind: type[BaseModel], message: str | bytes) -> Any:
    """A request that came as a message; Closed where it is none."""
    try:
        return kind.model_validate_json(message)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise Closed(1003, f"{'.'.join(map(str, first['loc'])) or 'the message'}: {first['msg']}"[:120]) from None


async def write(line: Line, worker: Worker, kind: Writing) -> None:
    """One text or sound after another, until the caller leaves."""
    begin, work = Work(one_by_one(kind.begin), "begin"), Work(kind.go_on, "stream")
    hearing = line.ahead()
    try:
        while True:
            message = await line.hear(hearing)
            hearing = line.ahead()
            if isinstance(message, str) and STOP.fullmatch(message):
                continue
            (going,) = await worker.ask(begin, [asked_for(kind.asked, message)], counted=False)
            while not hearing.done():
                ((messages, ended),) = await worker.ask(work, [going], counted=False)
                for each in messages:
                    await line.say(each)
                if ended:
                    await line.say({"done": True})
                    break
    finally:
        hearing.cancel()


async def listen(line: Line, worker: Worker, kind: Hearing) -> None:
    """One sound, to its end."""
    asked = asked_for(kind.asked, await line.hear())
    begin = Work(one_by_one(kind.begin), "begin")
    ((first, hear),) = await worker.ask(begin, [asked], counted=False)
    work = Work(one_by_one(lambda piece: piece[0](piece[1])), "listen")
    await line.say(first)
    ended = False
    while not ended:
        heard = await line.hear()
        ended = isinstance(heard, str)
        if ended and not END.fullmatch(heard):
            raise Closed(1003, 'sound comes as bytes; {"end": true} ends it')
        if not ended and len(heard) % 2:
            raise Closed(1003, "samples have 16 bits; the number of bytes is odd")
        (messages,) = await worker.ask(work, [(hear, None if ended else pcm.unpack(heard))], counted=False)
        for each in messages:
            await line.say(each)
    await line.say({"done": True})


def _advanced(going: Iterator[Message], number: int) -> Turn:
    messages = list(itertools.islice(going, number))
    return messages, len(messages) < number

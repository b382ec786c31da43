"""What a run answers over a WebSocket: text and sound as they are written, what is heard as it is said.

A stream is a generator that lives in the worker's thread: it is advanced a little at a time, so that all streams of a run and
its requests take turns.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from . import answers, guard
from .worker import Work, Worker

Message = dict[str, Any] | bytes


class Writing(NamedTuple):
    """WebSocket /RUN/stream: a request as JSON begins it; messages come until it is done or another request comes."""

    asked: type[BaseModel]
    begin: Callable[[Any], Iterator[Message]]
    at_once: int  # messages in one turn


def writing(run: Any) -> Writing | None:
    """How a run writes as one watches, if it does."""
    task = run.task.__name__.rpartition(".")[2]
    return OF_TASK[task](run) if task in OF_TASK else None


def language(run: Any) -> Writing:
    page = run.task
    asked = answers.model("Stream", page.Sample, answers.SAMPLED)

    def begin(request: Any) -> Iterator[Message]:
        for one in page.watched(run, answers.chosen(page.Sample, request)):
            yield {"text": one.text, "probability": one.probability, "likeliest": one.likeliest}

    return Writing(asked, begin, 8)


OF_TASK: dict[str, Callable[[Any], Writing]] = {"language": language}


# --- the socket


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

    async def hear(self) -> str | bytes:
        """The next message."""
        try:
            message = await asyncio.wait_for(self.socket.receive(), self.idle)
        except TimeoutError:
            raise Closed(1000, f"nothing came for {self.idle:g} s") from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
        return message["text"] if message.get("text") is not None else message["bytes"]

    async def say(self, message: Message) -> None:
        said = self.socket.send_bytes(message) if isinstance(message, bytes) else self.socket.send_text(_json(message))
        try:
            await asyncio.wait_for(said, self.idle)
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
    work = Work(lambda some: [_advanced(one, kind.at_once) for one in some], "stream")
    hearing = asyncio.ensure_future(line.hear())
    try:
        while True:
            message = await hearing
            hearing = asyncio.ensure_future(line.hear())
            if message == '{"stop":true}':
                continue
            going = kind.begin(asked_for(kind.asked, message))
            while not hearing.done():
                ((messages, ended),) = await worker.ask(work, [going], counted=False)
                for each in messages:
                    await line.say(each)
                if ended:
                    await line.say({"done": True})
                    break
    finally:
        hearing.cancel()


def _advanced(going: Iterator[Message], number: int) -> tuple[list[Message], bool]:
    """Its next messages, and whether they are the last."""
    messages = list(itertools.islice(going, number))
    return messages, len(messages) < number

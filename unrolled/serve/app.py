"""The routes: what every run answers, the page, health and numbers."""

# annotations are not postponed here: FastAPI reads them, and some are made while the program runs

import re
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, NamedTuple

from fastapi import FastAPI, Query, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocketDisconnect, WebSocketState

from .. import __version__, runs_page
from ..errors import UserError
from ..template import fragment
from . import answers, guard, record, streams
from .options import Serve
from .worker import Full, Work, Worker


class Seat(NamedTuple):
    """A run that is served."""

    name: str
    run: Any
    worker: Worker
    endpoints: list[answers.Endpoint]
    streams: dict[str, streams.Writing | streams.Hearing]


def application(runs: dict[str, Any], options: Serve) -> tuple[guard.Guard, list[Worker]]:
    """The server's application for runs by name, and the workers behind it; models are warm when it returns."""
    meters = record.Meters()
    app = FastAPI(
        title="unrolled", version=__version__, docs_url=None, redoc_url=None, openapi_url="/openapi.json",
        max_body_size=int(options.body * 1e6), description="Recurrent sequence models. No request names a path or an address.",
    )  # fmt: skip
    seats = [_seat(name, run, options, meters) for name, run in runs.items()]
    for seat in seats:
        for endpoint in seat.endpoints:
            _answer(app, seat, endpoint)
        for verb, kind in seat.streams.items():
            _stream(app, seat, verb, kind, options, meters)
    _about(app, seats, meters)
    _failures(app, runs)
    _show(app.openapi(), seats)  # which is kept: to make it takes a while
    token, loopback = options.token, guard.is_loopback(options.host)
    known = {f"/{seat.name}/{verb}" for seat in seats for verb in _verbs(seat)}
    guarded = guard.Guard(
        app, loopback, token, (options.host, *options.allow), meters, _place(known), _full(seats), policy(),
        int(options.body * 1e6),
    )  # fmt: skip
    return guarded, [seat.worker for seat in seats]


def _seat(name: str, run: Any, options: Serve, meters: record.Meters) -> Seat:
    def told(items: int, seconds: float) -> None:
        meters.count("unrolled_items_total", items, run=name)
        meters.count("unrolled_calls_total", run=name)
        meters.count("unrolled_model_seconds_total", seconds, run=name)

    worker = Worker(name, options.queue, options.deadline, told)
    meters.gauge("unrolled_waiting", lambda: worker.waiting, run=name)
    return Seat(name, run, worker, answers.endpoints(run), streams.of(run))


def _verbs(seat: Seat) -> list[str]:
    return [*(endpoint.verb for endpoint in seat.endpoints), *seat.streams]


def _place(known: set[str]) -> Callable[[str], dict[str, str]]:
    """Labels of a path; what is no route of ours is counted as one."""
    plain = {"/": "page", "/healthz": "healthz", "/metrics": "metrics", "/runs": "runs", "/openapi.json": "openapi"}

    def place(path: str) -> dict[str, str]:
        if path in known:
            _, run, verb = path.split("/")
            return {"run": run, "verb": verb}
        return {"run": "", "verb": plain.get(path, "unknown")}

    return place


def _full(seats: list[Seat]) -> Callable[[str], int | None]:
    """Where too many wait, by a path: the seconds after which to ask again."""
    workers = {f"/{seat.name}/{endpoint.verb}": seat.worker for seat in seats for endpoint in seat.endpoints}
    return lambda path: workers[path].full() if path in workers else None


# --- what runs answer


def _answer(app: FastAPI, seat: Seat, endpoint: answers.Endpoint) -> None:
    """POST /RUN/verb."""

    async def of_json(asked: endpoint.asked) -> Any:
        items, options = endpoint.items(asked)
        return await ask(items, options)

    async def of_file(request: Request, asked: Annotated[endpoint.asked, Query()]) -> Any:
        _, options = endpoint.items(asked)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        return await ask([(await request.body(), kind)], options)

    async def ask(items: list[Any], options: Any) -> Any:
        work = Work(lambda some: endpoint.answer(some, options), (endpoint.verb, options))
        found = await seat.worker.ask(work, items)
        reply = endpoint.reply(found)
        return Response(reply, media_type=endpoint.sends) if isinstance(reply, bytes) else JSONResponse(reply)

    app.post(
        f"/{seat.name}/{endpoint.verb}", summary=endpoint.summary, tags=[seat.name], operation_id=f"{seat.name}-{endpoint.verb}",
        responses={200: {"content": {endpoint.sends: {}}}, **FAILURES}, openapi_extra=_requested(endpoint),
        response_class=JSONResponse,
    )(of_file if endpoint.file else of_json)  # fmt: skip


def _show(schema: dict[str, Any], seats: list[Seat]) -> None:
    """Put what each run really answers to its example beside it."""
    for seat in seats:
        for endpoint in seat.endpoints:
            reply = _example(endpoint)
            if not isinstance(reply, bytes):
                answered = schema["paths"][f"/{seat.name}/{endpoint.verb}"]["post"]["responses"]["200"]
                answered["content"] = {endpoint.sends: {"example": reply}}


def _example(endpoint: answers.Endpoint) -> Any:
    """What is answered to the example; the model has answered once then, and is warm."""
    asked = endpoint.asked() if endpoint.file else endpoint.asked(**endpoint.example)
    items, options = endpoint.items(asked)
    found = endpoint.answer([endpoint.example] if endpoint.file else items, options)
    for one in found:
        if isinstance(one, Exception):
            raise one
    return endpoint.reply(list(found))


def _requested(endpoint: answers.Endpoint) -> dict[str, Any]:
    if endpoint.file is None:
        return {"requestBody": {"content": {"application/json": {"example": endpoint.example}}}}
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {"requestBody": {"required": True, "content": {kind: binary for kind in answers.KINDS[endpoint.file]}}}


FAILURES: dict[int | str, dict[str, Any]] = {
    401: {"description": "the token is missing or wrong"}, 403: {"description": "the Host or Origin is another's"},
    413: {"description": "the body is too large"}, 422: {"description": "the request cannot be answered; the message says why"},
    429: {"description": "too many wait; Retry-After says for how long"}, 500: {"description": "a fault; the log has the id"},
    504: {"description": "no answer by the deadline"},
}  # fmt: skip


def _stream(
    app: FastAPI, seat: Seat, verb: str, kind: streams.Writing | streams.Hearing, options: Serve, meters: record.Meters
) -> None:
    """WebSocket /RUN/verb."""
    talk = streams.write if isinstance(kind, streams.Writing) else streams.listen
    opened: set[WebSocket] = set()
    meters.gauge("unrolled_streams", lambda: len(opened), run=seat.name)

    @app.websocket(f"/{seat.name}/{verb}")
    async def stream(socket: WebSocket) -> None:
        if len(opened) >= options.streams:
            await socket.send_denial_response(failed(socket, 429, "too many streams are open", retry_after="1"))
            return
        line = streams.Line(socket, options.idle)
        opened.add(socket)
        try:
            await line.open()
            await talk(line, seat.worker, kind)
            await socket.close()
        except WebSocketDisconnect:
            pass
        except streams.Closed as end:
            await socket.close(end.code, end.why)
        except UserError as error:
            await line.say({"error": _scrubbed(error, seat.run, seat.name)})
            await socket.close(1003)
        except TimeoutError:
            await socket.close(1013, "no answer by the deadline")
        finally:
            opened.discard(socket)
            if socket.application_state == WebSocketState.CONNECTED and socket.client_state == WebSocketState.CONNECTED:
                await socket.close(1011)


# --- the rest


def _about(app: FastAPI, seats: list[Seat], meters: record.Meters) -> None:
    told = [_told(seat) for seat in seats]

    @app.get("/healthz", include_in_schema=False)
    async def health() -> Any:
        alive = all(seat.worker.thread.is_alive() for seat in seats)
        return JSONResponse({"status": "ok" if alive else "a model's thread has ended"}, 200 if alive else 503)

    @app.get("/metrics", summary="Numbers for Prometheus.", response_class=Response)
    async def metrics() -> Any:
        return Response(meters.text(), media_type="text/plain; version=0.0.4")

    @app.get("/runs", summary="The runs that are served, and what each may be asked.")
    async def runs() -> Any:
        return JSONResponse({"runs": told})

    @app.get("/", include_in_schema=False)
    async def page() -> Any:
        return Response(page_bytes(), media_type="text/html; charset=utf-8")


def _told(seat: Seat) -> dict[str, Any]:
    run = seat.run
    examples = {endpoint.verb: endpoint.example for endpoint in seat.endpoints if not endpoint.file}
    return {
        "name": seat.name, "task": run.task.__name__.rpartition(".")[2], "verbs": [one.verb for one in seat.endpoints],
        "streams": list(seat.streams), "labels": list(getattr(run.codec, "labels", ()))[:200],
        "symbols": getattr(run.codec, "kind", None), "hertz": getattr(run.config, "hertz", None), "examples": examples,
    }  # fmt: skip


@cache
def page_bytes() -> bytes:
    return runs_page.page(fragment("server.js"))


def policy() -> str:
    """What the page may load: itself alone, and the one script and the one style that stand in it."""
    page = page_bytes().decode()
    script, style = (re.search(rf"<{tag}>(.*?)</{tag}>", page, re.S)[1] for tag in ("script", "style"))
    return (
        f"default-src 'none'; {runs_page.inside(script, style)}; img-src 'self' blob: data:; media-src blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


# --- what goes wrong


def failed(request: Any, status: int, message: str, next: str | None = None, **headers: str) -> Response:
    return guard.failure(status, message, request.state.number, next, **headers)


def _scrubbed(error: UserError, run: Any, name: str) -> dict[str, str]:
    """A message without the server's paths."""
    said = {"message": error.what} | ({"next": error.fix} if error.fix else {})
    return {key: text.replace(str(run.folder), name) for key, text in said.items()}


def _failures(app: FastAPI, runs: dict[str, Any]) -> None:
    @app.exception_handler(UserError)
    async def mistaken(request: Request, error: UserError) -> Response:
        name = request.url.path.split("/")[1]
        said = _scrubbed(error, runs[name], name)
        return failed(request, 422, said["message"], said.get("next"))

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]  # without what was sent
        place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query"))
        return failed(request, 422, f"{place or 'the body'}: {first['msg']}", "/openapi.json says what is taken")

    @app.exception_handler(Full)
    async def full(request: Request, error: Full) -> Response:
        return guard.crowded(error.seconds, request.state.number)

    @app.exception_handler(TimeoutError)
    async def late(request: Request, error: TimeoutError) -> Response:
        return failed(request, 504, "no answer by the deadline", "ask for less at once")

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        return failed(request, error.status_code, str(error.detail).lower(), **(error.headers or {}))

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> Response:
        return failed(request, 500, "something went wrong here; the log has it under this id")

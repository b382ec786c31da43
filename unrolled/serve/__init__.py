"""Runs as a service: one process, HTTP and WebSockets, the page; every limit in options.py.

options  what may be told, what no request may exceed      answers  what each task answers, over HTTP
worker   one thread a run; batches of what waits           streams  what is written or heard as it comes
guard    who may ask                                       record   logs and numbers
app      the routes
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import MISSING_EXTRA, UserError, of_system
from .options import Serve

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
TAKEN = ("runs", "healthz", "metrics", "openapi.json", "favicon.ico")
GRACE = 4  # seconds that requests have to end once the server is asked to
LAST = 0.3  # more, that a call of a model has to end: what it has put on disk for its reader is removed then


def check_packages() -> None:
    """A UserError where the packages of the extra are not installed."""
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
        import websockets  # noqa: F401
    except ImportError as error:
        fix = 'pip install "unrolled[serve]"'
        raise UserError(f"serving needs `{error.name}`, which is not installed", fix=fix, code=MISSING_EXTRA) from None


def named(folders: Sequence[str]) -> dict[str, Path]:
    """Runs by the names of their folders; a UserError where two have one, or it cannot stand in an address."""
    found: dict[str, Path] = {}
    for folder in map(Path, folders):
        name = folder.resolve().name
        if name in found:
            raise UserError(f"`{folder}` and `{found[name]}` have one name: both would be at /{name}", fix="rename one of them")
        if not NAME.fullmatch(name) or name in TAKEN:
            fix = "rename the folder: letters, digits, . _ -"
            raise UserError(f"`{folder}` cannot be served under its name, `{name}`", fix=fix)
        found[name] = folder
    return found


class Served(NamedTuple):
    """A server that listens and does not answer yet: server.run([listening]) does."""

    server: Any  # uvicorn's
    listening: socket.socket
    address: str
    workers: list[Any]


def serve(folders: Sequence[str], options: Serve, ready: Callable[[str], None]) -> None:
    """Serve runs until the process is told to end, and end it with 0; ready(address) once requests are answered."""
    check_packages()
    from .. import api
    from . import guard, record

    options = dataclasses.replace(options, token=options.token or os.environ.get("UNROLLED_TOKEN") or None)
    guard.check_token(options.host, options.token)
    paths = named(folders)
    served = prepared({name: api.load(path) for name, path in paths.items()}, options)
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn has its own while it runs, and then sends itself the signal again
        signal.signal(number, lambda *_: setattr(served.server, "should_exit", True))
    record.log("ready", address=served.address, runs=list(paths))
    ready(served.address)
    served.server.run([served.listening])
    record.log("ended")
    until = time.monotonic() + LAST
    for worker in served.workers:
        worker.close(max(0, until - time.monotonic()))
    sys.stdout.flush()
    os._exit(0)  # Python's own way out takes a second or more of what was loaded, and waits for threads that still compute


def prepared(runs: dict[str, Any], options: Serve) -> Served:
    """A server of runs by name, each of which has answered once and is warm; a UserError where the port is taken."""
    import uvicorn

    from . import app, record

    listening = _listening(options)
    application, workers = app.application(runs, options)
    server = uvicorn.Server(uvicorn.Config(application, **settings(options)))
    logging.getLogger("uvicorn").handlers = [record.Lines(logging.WARNING)]
    host, port = listening.getsockname()[:2]
    return Served(server, listening, f"http://{f'[{host}]' if ':' in host else host}:{port}/", workers)


def settings(options: Serve) -> dict[str, Any]:
    """What uvicorn is told."""
    return {
        "http": "h11", "ws": "websockets-sansio", "loop": "asyncio", "ws_max_size": int(options.message * 1e6),
        "ws_per_message_deflate": False, "ws_max_queue": 4, "access_log": False, "log_config": None, "log_level": "warning",
        "server_header": False, "proxy_headers": False, "timeout_graceful_shutdown": GRACE, "lifespan": "off",
    }  # fmt: skip


def _listening(options: Serve) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family, backlog=2048)
    except OSError as error:
        raise of_system(error, "listening at", f"{options.host}:{options.port}") from None

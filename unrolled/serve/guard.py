"""Who may ask: the Host and Origin that a request names, the token it shows; and what every answer carries.

A page elsewhere that a browser has open may send requests here. It cannot choose their Host (so a name of its own that was made
to lead here, DNS rebinding, is refused) nor leave out their Origin (so its requests are refused too); and without the token
it learns nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import secrets
import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response

from ..errors import UserError
from . import record

OPEN = ("/", "/healthz")  # no token is needed for what tells nothing
PROTOCOL = "unrolled"  # of WebSockets; a browser cannot set their headers, so the token comes as another protocol
TOKEN = "token."
CARRIED = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
}


def failure(status: int, message: str, number: str, next: str | None = None, **headers: str) -> Response:
    """An answer that says what is wrong; `number` is the request's, as the log has it."""
    said = {"message": message} | ({"next": next} if next else {})
    content = json.dumps({"error": said, "id": number}, ensure_ascii=False)
    return Response(content, status, {name.replace("_", "-"): value for name, value in headers.items()}, "application/json")


def crowded(seconds: int, number: str) -> Response:
    """The answer where too many wait."""
    return failure(429, "too many requests wait", number, retry_after=str(seconds))


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_token(host: str, token: str | None) -> None:
    """A UserError where others can reach the server and need no token, or the token is none."""
    if token is None and not is_loopback(host):
        fix = "set UNROLLED_TOKEN to a long random text, or leave out --host"
        raise UserError(f"`--host {host}` lets others ask; a token is needed there", fix=fix)
    if token is not None and (len(token) < 16 or not token.isascii() or not token.replace("-", "").replace("_", "").isalnum()):
        fix = "python -c 'import secrets; print(secrets.token_urlsafe(24))' makes one"
        raise UserError("`--token` must have at least 16 letters, digits, - or _", fix=fix)


class Guard:
    """An ASGI application before another.

    token  what callers must show, or None
    hosts  names that the Host header may have, beside addresses
    place  (path) -> the labels that a request is counted under
    full   (path) -> seconds after which to ask again, where too many wait for what stands there; else None. What is refused is
           refused here: to read the request first, and find it well, takes a server ten times as long
    policy  what the page may load (CSP)
    body   bytes that a request may say it has; one that does not say is counted while it is read, by the application
    """

    def __init__(
        self, app: Any, loopback: bool, token: str | None, hosts: tuple[str, ...], meters: record.Meters,
        place: Callable[[str], dict[str, str]], full: Callable[[str], int | None], policy: str, body: int,
    ):  # fmt: skip
        self.app, self.loopback, self.token, self.meters, self.place, self.full = app, loopback, token, meters, place, full
        self.hosts = {"localhost", *hosts} | (set() if loopback else {socket.gethostname().lower()})
        self.body = body
        self.carried = CARRIED | {"content-security-policy": policy}

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        number, began, status = secrets.token_hex(8), time.perf_counter(), 0
        scope.setdefault("state", {})["number"] = number

        async def sending(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = number
                for name, value in self.carried.items():
                    headers.setdefault(name, value)
            if message["type"] == "websocket.accept":
                status = 101
            await send(message)

        try:
            await (self._refused(scope, number) or self.app)(scope, receive, sending)
        except asyncio.CancelledError:  # the server ends, and this was not done in time
            said = "the server ends, and there was no time left"
            if not status:
                refusal = failure(503, said, number, "ask again in a moment", retry_after="5")
                await refusal(scope, receive, sending)
        except Exception as error:
            record.log_failure(number, error)
            if not status:
                await failure(500, "something went wrong here; the log has it under this id", number)(scope, receive, sending)
        seconds, labels = time.perf_counter() - began, self.place(scope["path"]) | {"status": str(status)}
        self.meters.count("unrolled_requests_total", **labels)
        if scope["type"] == "http":
            self.meters.time("unrolled_request_seconds", seconds, **labels)
        if scope["path"] not in ("/healthz", "/metrics"):
            record.log("request", id=number, kind=scope["type"], **labels, milliseconds=round(1000 * seconds, 1))

    def _refused(self, scope: dict[str, Any], number: str) -> Response | None:
        """Why a request is not let through, or None."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._known(host):
            return failure(403, "the Host header names another server", number, "unrolled serve --allow NAME")
        origin = headers.get("origin")
        if origin is not None and _host(origin) != host.lower():
            return failure(403, "the Origin header names another page", number)
        if self.token is not None and scope["path"] not in OPEN and not self._shown(headers):
            return failure(401, "the token is missing or wrong", number, "Authorization: Bearer TOKEN", www_authenticate="Bearer")
        if headers.get("content-length", "0").isdecimal() and int(headers.get("content-length", "0")) > self.body:
            return failure(413, f"the body is too large; allowed are {self.body / 1e6:g} megabytes", number)
        if scope["type"] == "http" and scope["method"] == "POST" and (seconds := self.full(scope["path"])) is not None:
            return crowded(seconds, number)
        return None

    def _known(self, host: str) -> bool:
        """An address cannot be made to lead elsewhere; a name can, unless it is one of ours."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name.lower() in self.hosts:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self.loopback

    def _shown(self, headers: Headers) -> bool:
        kind, _, shown = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            protocols = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
            shown = next((name.removeprefix(TOKEN) for name in protocols if name.startswith(TOKEN)), "")
        return secrets.compare_digest(shown.strip().encode(), self.token.encode())


def _host(origin: str) -> str | None:
    """Which host an Origin names; None of what is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None

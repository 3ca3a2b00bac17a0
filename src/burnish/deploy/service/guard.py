"""What stands before every route: identity, key, size, time, and clients that went away."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any
from uuid import uuid4

from burnish.deploy.service.metrics import Metrics
from burnish.deploy.service.page import FILES
from burnish.deploy.service.refusal import Refused, busy
from burnish.deploy.service.settings import Settings

logger = logging.getLogger("burnish.service")

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# A client's own request id is kept if it can stand in a log, a header and a page.
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
# Bodies that one process holds at once, in full ones: many connections must not fill the memory.
BODIES = 16
# Answered without the key: probes have none, and the page is where a person types it.
OPEN = {"/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", *FILES, "/monitor"}


class Guard:
    """ASGI middleware.

    Gives every request an id, asks for the key, reads the body within its limits before the app
    sees it, answers 504 after ``timeout_s``, drops the work of clients that went away, counts.
    A crash below becomes a bare 500; its traceback goes to the log.

    Args:
        app: what answers.
        settings: with the limits.
        metrics: that count.
    """

    def __init__(self, app: App, settings: Settings, metrics: Metrics) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = perf_counter()
        response = _Response(send, request_id(scope), scope["path"])
        scope["state"] = {**scope.get("state", {}), "id": response.id, "begun": begun}
        try:
            await self._guarded(scope, receive, response)
        except Refused as refused:
            await response.refuse(refused)
        except Exception:
            logger.exception("%s failed", scope["path"])
            await response.refuse(Refused(500, "something went wrong in the service"))
        finally:
            route = getattr(scope.get("route"), "path", "other")
            status = response.status or "disconnected"
            self._metrics.requests.labels(route, status).inc()
            self._metrics.seconds.labels(route).observe(perf_counter() - begun)

    async def _guarded(self, scope: Scope, receive: Receive, response: _Response) -> None:
        self._check_key(scope)
        length = _header(scope, b"content-length")
        if length is not None and length.isdigit() and int(length) > self._settings.max_body:
            raise self._too_large()
        body = bytearray()
        try:
            if await self._read(receive, body):
                scope["state"]["begun"] = perf_counter()  # the client's line is not our time
                await self._answer(scope, bytes(body), receive, response)
        finally:
            self._held -= len(body)

    def _check_key(self, scope: Scope) -> None:
        key = self._settings.api_key
        path = scope["path"]
        if key is None or path in OPEN:
            return
        scheme, _, token = (_header(scope, b"authorization") or b"").partition(b" ")
        bearer = token.strip() if scheme.lower() == b"bearer" else b""
        given = _header(scope, b"x-api-key") or bearer
        # In constant time: how much of a guess was right must not show.
        if not hmac.compare_digest(given, key.encode()):
            raise Refused(
                401, "the API key is missing or wrong", {"WWW-Authenticate": 'Bearer realm="api"'}
            )

    async def _read(self, receive: Receive, body: bytearray) -> bool:
        """The whole body; False if the client went away."""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return False
            piece = message.get("body", b"")
            body += piece
            self._held += len(piece)
            if len(body) > self._settings.max_body:
                raise self._too_large()
            if self._held > BODIES * self._settings.max_body:
                raise busy("too many large requests at once")
            if not message.get("more_body", False):
                return True

    async def _answer(
        self, scope: Scope, body: bytes, receive: Receive, response: _Response
    ) -> None:
        # After the body nothing can come but the news that the client is gone.
        gone = asyncio.ensure_future(receive())
        task = asyncio.ensure_future(self._app(scope, _replayed(body, gone), response.send))
        try:
            seconds = self._settings.timeout_s
            done, _ = await asyncio.wait(
                {task, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if task in done:
                await task
            elif not done:
                raise Refused(504, f"no answer within {seconds:g} seconds")
        finally:
            for one in (task, gone):
                one.cancel()
            await asyncio.gather(task, gone, return_exceptions=True)

    def _too_large(self) -> Refused:
        return Refused(413, f"the request is larger than {self._settings.max_body_mb:g} MB")


class _Response:
    """Remembers what was sent, and refuses if nothing was."""

    def __init__(self, send: Send, id: str, path: str) -> None:
        self.id = id
        self._path = path
        self.status: int | None = None
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = [(b"x-request-id", self.id.encode()), (b"x-content-type-options", b"nosniff")]
            message = {**message, "headers": [*message.get("headers", []), *own]}
        await self._send(message)

    async def refuse(self, refused: Refused) -> None:
        if self.status is not None:
            return
        body = refused.body(self.id, self._path)
        headers = {**refused.headers, "Content-Type": "application/json"}
        headers["Content-Length"] = str(len(body))
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        start = {"type": "http.response.start", "status": refused.status, "headers": raw}
        await self.send(start)
        await self.send({"type": "http.response.body", "body": body})


def request_id(scope: Scope) -> str:
    """The client's, if it sent a harmless one, else a new one."""
    given = _header(scope, b"x-request-id")
    if given is not None and REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return uuid4().hex


def _header(scope: Scope, name: bytes) -> bytes | None:
    found: bytes | None = next((value for key, value in scope["headers"] if key == name), None)
    return found


def _replayed(body: bytes, gone: asyncio.Future[Message]) -> Receive:
    """The body in one piece for the app, then the disconnection."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else await asyncio.shield(gone)

    return receive

"""What stands before every route: identity, key, size, time, and clients that went away."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any
from uuid import uuid4

from burnish.deploy.service.admission import Scope, check, header
from burnish.deploy.service.metrics import Metrics
from burnish.deploy.service.refusal import Refused, busy
from burnish.deploy.service.settings import Settings

logger = logging.getLogger("burnish.service")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# A client's own request id is kept if it can stand in a log, a header and a page.
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
# Bodies that one process holds at once, in full ones: many connections must not fill the memory.
BODIES = 16


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
        bare = scope["method"] == "HEAD"
        response = _Response(send, request_id(scope), scope["path"], bare)
        state = {**scope.get("state", {}), "id": response.id, "begun": begun}
        # Whatever answers to GET answers to HEAD (RFC 9110, 9.3.2).
        scope = {**scope, "state": state, "method": "GET" if bare else scope["method"]}
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
        check(scope, self._settings)
        length = header(scope, b"content-length")
        told = int(length) if length is not None and length.isdigit() else 0
        self._check_size(told)
        body = bytearray()
        held = 0
        try:
            if await self._read(receive, body, told):
                held, whole = len(body), bytes(body)
                body.clear()  # one copy is enough
                scope["state"]["begun"] = perf_counter()  # the client's line is not our time
                await self._answer(scope, whole, receive, response)
        finally:
            self._held -= held or len(body)

    async def _read(self, receive: Receive, body: bytearray, told: int) -> bool:
        """The whole body, of a length that was told or 0; False if the client went away."""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return False
            piece = message.get("body", b"")
            body += piece
            self._held += len(piece)
            self._check_size(max(told, len(body)))
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

    def _check_size(self, size: int) -> None:
        """Make sure that a body may be held; when room gets scarce, the largest have none first."""
        most = self._settings.max_body
        if size > most:
            raise Refused(413, f"the request is larger than {self._settings.max_body_mb:g} MB")
        # The largest may fill half of the room, and the smaller a body the more.
        if size and self._held > BODIES * (most - size / 2):
            raise busy("too many large requests at once")


class _Response:
    """Remembers what was sent, and refuses if nothing was; ``bare``: sends no body."""

    def __init__(self, send: Send, id: str, path: str, bare: bool) -> None:
        self.id = id
        self._path = path
        self._bare = bare
        self.status: int | None = None
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = [(b"x-request-id", self.id.encode()), (b"x-content-type-options", b"nosniff")]
            message = {**message, "headers": [*message.get("headers", []), *own]}
        elif self._bare:
            message = {**message, "body": b""}
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
    given = header(scope, b"x-request-id")
    if given is not None and REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return uuid4().hex


def _replayed(body: bytes, gone: asyncio.Future[Message]) -> Receive:
    """The body in one piece for the app, then the disconnection."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else await asyncio.shield(gone)

    return receive

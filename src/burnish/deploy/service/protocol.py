"""uvicorn's HTTP/1.1 with clocks on clients: who dribbles, or reads nothing, is cut off.

uvicorn itself waits for ever for the end of a request's head or body.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

# Seconds that an idle connection may still bring a request after the service was told to stop:
# its client cannot know, and the request may be in the socket already.
GRACE = 0.5


def _bare(status: str, *headers: str) -> bytes:
    """A response for a client that no request can be told from."""
    lines = (f"HTTP/1.1 {status}", "content-length: 0", "connection: close", *headers, "", "")
    return "\r\n".join(lines).encode()


TOO_SLOW = _bare("408 Request Timeout")
TOO_MANY = _bare("503 Service Unavailable", "retry-after: 1")


class Clocked(H11Protocol):
    """One connection.

    Args:
        config: of uvicorn.
        server_state: with all connections.
        app_state: of the lifespan.
        receive_seconds: for a request to arrive, and for a client to take an answer.
        max_connections: of this process; more are told so and closed.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        receive_seconds: float,
        max_connections: int,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._seconds = receive_seconds
        self._most = max_connections
        self._clock: asyncio.TimerHandle | None = None
        self._leaving = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock, or refuse one connection too many."""
        super().connection_made(transport)
        if len(self.connections) > self._most:
            transport.write(TOO_MANY)
            self._close()
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        """The clock runs from the first byte of a request to its last."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._watch()
        if self._leaving and self.cycle is not None and not self.cycle.response_started:
            self._last_answer()

    def on_response_complete(self) -> None:
        """A pipelined request is parsed here: its clock runs as any other's.

        Not that of an idle connection, which closes in a time of its own.
        """
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read its answer: it gets as long as for sending."""
        super().pause_writing()
        self.loop.call_later(self._seconds, self._still_paused)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, though its client may never take the last bytes."""
        super().timeout_keep_alive_handler()
        self._close()

    def shutdown(self) -> None:
        """Answer what is being asked, and what may be on its way, then close."""
        self._leaving = True
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(GRACE, self._leave)
        else:
            self._last_answer()

    def _last_answer(self) -> None:
        self.cycle.keep_alive = False
        headers: list[tuple[bytes, bytes]] = self.cycle.scope["headers"]  # type: ignore[assignment]
        if CLOSE_HEADER not in headers:
            headers.append(CLOSE_HEADER)  # uvicorn repeats it in the response

    def _leave(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self._close()

    def _watch(self) -> None:
        """Let the clock run as long as a request is incomplete."""
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop_clock()
        elif self._clock is None:
            self._clock = self.loop.call_later(self._seconds, self._too_slow)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _too_slow(self) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(TOO_SLOW)
        self._close()

    def _still_paused(self) -> None:
        if self.flow.write_paused:
            self.transport.abort()

    def _close(self) -> None:
        """Send what is left, for a while."""
        self.transport.close()
        self.loop.call_later(self._seconds, self.transport.abort)

"""An answer that is an error: its status and its words, the same for every route."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

RETRY_SECONDS = 1  # a full queue of 256 is worked off in seconds


class Refused(Exception):  # noqa: N818
    """A request, or one input of it, that is not answered with a prediction.

    Args:
        status: of HTTP.
        message: in a sentence, for the person who asked; names no path and no version.
        headers: of the response.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {"status": self.status, "message": self.message}

    def body(self, request_id: str, path: str) -> bytes:
        """Of the response, if the whole request for a path is refused."""
        told: dict[str, Any] = {"id": request_id, "error": self.told()}
        if path == "/v2" or path.startswith("/v2/"):  # the Open Inference Protocol wants just this
            told = {"error": self.message}
        return json.dumps(told, ensure_ascii=False).encode()


def busy(what: str) -> Refused:
    """503 with the time after which to ask again."""
    return Refused(503, f"{what}; try again", {"Retry-After": str(RETRY_SECONDS)})


def wrong_field(field: str, message: str) -> Refused:
    """422 that names the field."""
    return Refused(422, f"{field}: {message}")

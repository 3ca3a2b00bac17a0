"""Who may ask at all: by the way a request is framed, the host it names and the key it carries."""

from __future__ import annotations

import hmac
import re
from collections.abc import MutableMapping
from typing import Any

from burnish.deploy.service.monitor import knows
from burnish.deploy.service.page import FILES
from burnish.deploy.service.refusal import Refused
from burnish.deploy.service.settings import Settings

Scope = MutableMapping[str, Any]

# Answered without the key: probes have none, and the page is where a person types it.
OPEN = {"/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", *FILES, "/monitor"}
# Opened by browsers, which send the key as a password; they change nothing, whoever made them.
READ = {"/docs", "/openapi.json"}
LOCAL = re.compile(rb"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.IGNORECASE)


def check(scope: Scope, settings: Settings) -> None:
    """Let a request in.

    Args:
        scope: of ASGI.
        settings: with the key.

    Raises:
        Refused: with 400 if it is framed in two ways or names a foreign host, 401 without the key.
    """
    if header(scope, b"content-length") and header(scope, b"transfer-encoding"):
        # Something in between may have believed the other one (RFC 9112, 6.1).
        raise Refused(
            400, "Content-Length and Transfer-Encoding exclude each other", {"Connection": "close"}
        )
    if settings.api_key is not None:
        _check_key(scope, settings.api_key)
    elif settings.loopback:
        _check_host(scope)


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first of a name, which is in lower case."""
    found: bytes | None = next((value for key, value in scope["headers"] if key == name), None)
    return found


def _check_host(scope: Scope) -> None:
    """A page from elsewhere can have its own name resolved to this machine (DNS rebinding)."""
    host = header(scope, b"host")
    if host is not None and not LOCAL.fullmatch(host):
        raise Refused(400, "Host: without a key this service answers to localhost only")


def _check_key(scope: Scope, key: str) -> None:
    path = scope["path"]
    if path in OPEN:
        return
    authorization = header(scope, b"authorization") or b""
    reads = path in READ and scope["method"] == "GET"
    if reads and knows(key, authorization.decode("latin-1")):
        return
    scheme, _, token = authorization.partition(b" ")
    bearer = token.strip() if scheme.lower() == b"bearer" else b""
    given = header(scope, b"x-api-key") or bearer
    # In constant time: how much of a guess was right must not show.
    if not hmac.compare_digest(given, key.encode()):
        wanted = 'Basic realm="the API key as password"' if reads else 'Bearer realm="api"'
        raise Refused(401, "the API key is missing or wrong", {"WWW-Authenticate": wanted})

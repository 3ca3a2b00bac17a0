"""The page at ``/``, on which a person tries the model; needs neither a key nor the network.

Its files are plain: nothing is filled in here. Its script asks ``/model/info`` what is served.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

FOLDER = Path(__file__).with_name("pages")
# By address: the file and its media type.
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page/icon.svg": ("icon.svg", "image/svg+xml"),
}
# Nothing but this service's own files; blob: is the preview of the picture that was chosen.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # a newer service has newer pages
}


def page_router() -> APIRouter:
    """The routes of :data:`FILES`, open to everybody."""
    router = APIRouter(include_in_schema=False)
    for address, (name, media_type) in FILES.items():
        content = (FOLDER / name).read_bytes()
        router.add_api_route(address, _answering(content, media_type), methods=["GET", "HEAD"])
    return router


def _answering(content: bytes, media_type: str) -> Callable[[], Response]:
    def answer() -> Response:
        return Response(content, media_type=media_type, headers=HEADERS)

    return answer

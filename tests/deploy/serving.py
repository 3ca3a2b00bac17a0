"""Ways to ask a service in tests: in this process without sockets, and over real ones."""

from __future__ import annotations

import asyncio
import base64
import io
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
from fastapi import FastAPI
from numpy.typing import NDArray
from PIL import Image

from burnish.deploy.service.app import create_app
from burnish.deploy.service.running import _config, address, listening
from burnish.deploy.service.settings import Settings


def settings(bundle: Path, **given: Any) -> Settings:
    """One thread, so that tests do not fight for cores; a free port."""
    return Settings(bundle, **{"threads": 1, "port": 0, **given})


@asynccontextmanager
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Asks an app that is started, without a socket."""
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as asking:
            yield asking


def sent(app: FastAPI, *requests: Any) -> list[httpx.Response]:
    """The answers to ``(method, path, options)``, asked at once."""

    async def run() -> list[httpx.Response]:
        async with client(app) as asking:
            return await asyncio.gather(*(asking.request(m, p, **o) for m, p, o in requests))

    return asyncio.run(run())


@contextmanager
def running(given: Settings) -> Iterator[str]:
    """A real server in a thread; yields its address."""
    listener = listening(given)
    server = uvicorn.Server(_config(given, create_app(given)))
    thread = threading.Thread(target=server.run, args=([listener],))
    where = address(listener)
    thread.start()
    try:
        yield where
    finally:
        server.should_exit = True
        thread.join(30)


def connected(where: str) -> socket.socket:
    """A connection to a server, for requests that no library would send."""
    host, _, port = where.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), 20)


def noise(height: int = 6, width: int = 8, seed: int = 0) -> NDArray[np.uint8]:
    """Pixels, uint8 ``[height, width, 3]``."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def png(pixels: NDArray[np.uint8], format: str = "PNG", **save: Any) -> bytes:
    """Pixels as a file."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format, **save)
    return out.getvalue()


def base64_of(data: bytes) -> str:
    """As JSON carries it."""
    return base64.b64encode(data).decode()

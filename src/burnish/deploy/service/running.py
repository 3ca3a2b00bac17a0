"""From settings to a running service: socket, processes, signals."""

from __future__ import annotations

import functools
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from typing import Any

from burnish.deploy.extras import needed
from burnish.deploy.service.metrics import SHARED
from burnish.deploy.service.settings import Settings
from burnish.errors import BundleError, BurnishError, ConfigError

# Connections that the kernel keeps for us, and that asyncio accepts in one go, before it looks at
# the first of them: so many may be open above max_connections, and as many that are being closed.
BACKLOG = 256
OTHER_FILES = 256  # that a process has open
# Of a request's head; the kernel's default for most proxies is 8 KiB.
MOST_HEAD = 32 * 1024
# A worker that hangs is replaced; a busy one must not be taken for it.
HEALTHCHECK_SECONDS = 30
CANNOT_START = 3  # uvicorn's exit code of a worker that would fail again


def serve(settings: Settings) -> None:
    """Answer until SIGTERM or Ctrl-C; accepted requests are answered before it returns.

    Raises:
        BundleError: if a bundle is damaged, or an extra is missing.
        ConfigError: if the port cannot be had.
    """
    for module in ("uvicorn", "fastapi", "python_multipart", "prometheus_client"):
        needed(module, "serve")
    with listening(settings) as listener, tempfile.TemporaryDirectory() as shared:
        _obey_signals()
        _make_room(settings)
        _quiet()
        if settings.workers > 1:
            os.environ[SHARED] = shared  # before prometheus_client is imported anywhere
            _many(settings, listener)
        else:
            _one(settings, listener)


def listening(settings: Settings) -> socket.socket:
    """The socket that all workers share.

    Raises:
        ConfigError: if the address cannot be had.
    """
    host, port = settings.host, settings.port
    try:
        family, *_, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # With the protocol named: else asyncio leaves Nagle's algorithm on, and every answer,
        # written in two pieces, waits 40 ms for the client's delayed acknowledgement.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise ConfigError(f"host: {host} is no address of this machine ({error})") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(place)
        listener.listen(BACKLOG)  # here: bind alone does not notice another listener
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"port: {port} at {host} cannot be had ({error.strerror}); another one, or 0 for any?"
        ) from error
    listener.set_inheritable(True)
    return listener


def address(listener: socket.socket) -> str:
    """For a browser."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _one(settings: Settings, listener: socket.socket) -> None:
    import uvicorn

    from burnish.deploy.service.app import create_app

    server = uvicorn.Server(_config(settings, create_app(settings)))
    print(f"serving at {address(listener)}  (Ctrl-C stops)", flush=True)
    server.run(sockets=[listener])
    # A thread that decodes or computes cannot be stopped, and Python would wait for it.
    last = threading.Timer(settings.shutdown_s, os._exit, [0])
    last.daemon = True
    last.start()


def _many(settings: Settings, listener: socket.socket) -> None:
    from uvicorn.supervisors import Multiprocess

    # What a dead worker counted stays; what waited in it does not.
    forget = needed("prometheus_client.multiprocess", "serve").mark_process_dead

    class Workers(Multiprocess):
        """Replaces workers that die, and does not wait for ever for those that shall end."""

        known: frozenset[int | None] = frozenset()

        def keep_subprocess_alive(self) -> None:
            super().keep_subprocess_alive()
            now = frozenset(worker.pid for worker in self.processes)
            for gone in self.known - now:
                forget(gone)
            self.known = now

        def terminate_all(self) -> None:
            # The last to hold the socket would have the kernel accept what nobody answers.
            listener.close()
            super().terminate_all()

        def join_all(self) -> None:
            for worker in self.processes:
                worker.process.join(2 * settings.shutdown_s)
                if worker.process.is_alive():
                    worker.process.kill()

    workers = Workers(_config(settings, functools.partial(worker_app, settings)), [listener])
    print(f"serving at {address(listener)} with {settings.workers} workers", flush=True)
    workers.run()
    if any(worker.exitcode == CANNOT_START for worker in workers.processes):
        raise BundleError(f"{settings.bundle}: a worker could not start with it")


def worker_app(settings: Settings) -> Any:
    """The app of one of several processes; a mistake that shows only now stops them all."""
    from burnish.deploy.service.app import create_app

    _quiet()
    _end_with_parent()
    try:
        return create_app(settings)
    except BurnishError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(CANNOT_START)


def _end_with_parent() -> None:
    """Workers whose supervisor was killed would hold the port for ever."""
    parent = os.getppid()

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=look, daemon=True).start()


def _quiet() -> None:
    """Crashes are told; what strangers send is not worth a line each."""
    logging.basicConfig(format="%(asctime)s %(message)s")
    for name in ("uvicorn.error", "python_multipart"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("asyncio").addFilter(_told_once)
    warnings.simplefilter("ignore")  # Pillow's, of pictures that are refused anyway


_told: set[str] = set()


def _told_once(record: logging.LogRecord) -> bool:
    """Without open files asyncio reports every single connection, with a traceback."""
    begins = record.getMessage()[:40]
    known = begins in _told
    _told.add(begins)
    return not (known and begins.startswith("socket.accept()"))


def _make_room(settings: Settings) -> None:
    """Raise the limit of open files: a crowd is accepted in one go before it can be refused."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.max_connections + 4 * BACKLOG + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _obey_signals() -> None:
    """End with exit code 0: uvicorn raises the signal again once it has shut down."""
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: None)


def _config(settings: Settings, app: Any) -> Any:
    import uvicorn

    from burnish.deploy.service.protocol import Clocked

    protocol: Any = functools.partial(
        Clocked,
        receive_seconds=settings.receive_s,
        max_connections=settings.max_connections,
    )
    return uvicorn.Config(
        app,
        factory=settings.workers > 1,
        http=protocol,
        ws="none",
        lifespan="on",
        workers=settings.workers,
        backlog=BACKLOG,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=MOST_HEAD,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_s)),
        timeout_worker_healthcheck=HEALTHCHECK_SECONDS,
    )

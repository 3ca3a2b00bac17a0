"""What a service was told: the keys of ``conf/serve.yaml``, checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from burnish.data.cores import cores
from burnish.errors import ConfigError

MEGABYTE = 1_000_000
KEY_VARIABLE = "BURNISH_API_KEY"


@dataclass(frozen=True)
class Settings:
    """How a bundle is served; plain, so that it reaches worker processes.

    Args:
        bundle: the folder of the exported net.
        shadow: a second bundle's folder.
        split: share of the requests that the second bundle answers.
        host: address to listen at.
        port: 0 takes a free one.
        workers: processes.
        threads: of one inference; None: the cores divided among the workers.
        max_batch: inputs of one inference.
        max_wait_ms: that the first input of a batch waits for others on their way.
        queue: inputs that may wait; more are refused.
        timeout_s: for one answer.
        receive_s: for a request to arrive.
        shutdown_s: for the accepted requests when the service is told to stop.
        max_connections: of one worker.
        max_body_mb: megabytes of a request.
        max_pixels: of an image before it is resized.
        max_items: of a request.
        max_characters: of a text.
        api_key: that requests must carry; None: anybody may ask.
        cors: origins whose pages may ask; ``*`` is any.
        log: SQLite file of predictions.
        log_max_mb: that it may grow to.
        log_inputs: whether the inputs are kept in it.
    """

    bundle: Path
    shadow: Path | None = None
    split: float = 0.0
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    threads: int | None = None
    max_batch: int = 16
    max_wait_ms: float = 2.0
    queue: int = 256
    timeout_s: float = 30.0
    receive_s: float = 20.0
    shutdown_s: float = 30.0
    max_connections: int = 512
    max_body_mb: float = 10.0
    max_pixels: int = 25_000_000
    max_items: int = 64
    max_characters: int = 100_000
    api_key: str | None = None
    cors: tuple[str, ...] = ()
    log: Path | None = None
    log_max_mb: float = 100.0
    log_inputs: bool = False

    def __post_init__(self) -> None:
        if problems := list(_problems(self)):
            raise ConfigError(problems)

    @property
    def max_body(self) -> int:
        """Bytes of a request."""
        return int(self.max_body_mb * MEGABYTE)

    @property
    def cores(self) -> int:
        """For one worker, at least 1."""
        return max(1, cores() // self.workers)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can ask."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def settings(options: Mapping[str, Any], bundle: Path, shadow: Path | None = None) -> Settings:
    """The settings that were typed.

    Args:
        options: keys of ``conf/serve.yaml``; those of no :class:`Settings` field are ignored.
        bundle: what ``run`` became.
        shadow: what ``shadow`` became.

    Raises:
        ConfigError: naming every value out of its range.
    """
    known = {field.name for field in fields(Settings)}
    given = {name: value for name, value in options.items() if name in known}
    key = given.get("api_key")
    if key is None:
        key = os.environ.get(KEY_VARIABLE)
    return Settings(
        **{
            **given,
            "bundle": bundle,
            "shadow": shadow,
            "cors": tuple(map(str, given.get("cors", ()))),
            "api_key": None if key is None else str(key),
            "log": None if given.get("log") is None else Path(str(given["log"])).expanduser(),
        }
    )


_AT_LEAST = {
    "workers": 1, "threads": 1, "max_batch": 1, "max_wait_ms": 0, "queue": 1, "max_connections": 1,
    "max_pixels": 1, "max_items": 1, "max_characters": 1, "port": 0,
}  # fmt: skip
_ABOVE_0 = ("timeout_s", "receive_s", "shutdown_s", "max_body_mb", "log_max_mb")


def _problems(given: Settings) -> list[str]:
    found = []
    for name, least in _AT_LEAST.items():
        value = getattr(given, name)
        if value is not None and (isinstance(value, bool | str) or not value >= least):
            found.append(f"{name}: must be a number of at least {least}, found {value!r}")
    found += [
        f"{name}: must be above 0, found {getattr(given, name)}"
        for name in _ABOVE_0
        if not 0 < getattr(given, name) < float("inf")
    ]
    if given.port > 65535:
        found.append(f"port: must be at most 65535, found {given.port}")
    if not 0 <= given.split <= 1:
        found.append(f"split: must be between 0 and 1, found {given.split}")
    if given.split and given.shadow is None:
        found.append(f"split: {given.split} needs a second bundle: shadow=FOLDER")
    if given.api_key is not None and (not given.api_key or given.api_key != given.api_key.strip()):
        wrong = "with white space around it" if given.api_key.strip() else "that is empty"
        found.append(
            f"api_key: found a key {wrong}, which no request can carry; unset {KEY_VARIABLE} and "
            "leave api_key out to serve without one"
        )
    if given.max_items > given.queue:
        found.append(
            f"max_items: a request of {given.max_items} inputs never fits a queue of {given.queue}"
        )
    return found

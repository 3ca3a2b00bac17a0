"""Fetching what is missing, once, however many processes want it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock

from burnish.errors import DataError


def ensure_files(
    missing: Callable[[], Sequence[Path]],
    fetch: Callable[[], object],
    *,
    root: Path,
    allowed: bool,
    by_hand: str,
) -> None:
    """Fetch files under a lock if some are missing; touch nothing if all are there.

    Args:
        missing: lists the files that are not there.
        fetch: brings them.
        root: folder of the data sets, made if need be; the lock lies in it.
        allowed: whether to fetch at all.
        by_hand: one sentence on how to get them without the network.

    Raises:
        DataError: naming the files, if fetching is not allowed or failed.
    """
    absent = missing()
    if not absent:
        return
    listed = f"{absent[0].parent}: missing {', '.join(path.name for path in absent)}."
    if not allowed:
        raise DataError(f"{listed} Set data.download=true, or without a network: {by_hand}")
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".burnish-download.lock"):
        if not missing():
            return
        try:
            fetch()
        except (OSError, RuntimeError) as error:  # URLError is an OSError
            raise DataError(f"{listed} Download failed: {error}. By hand: {by_hand}") from error
    if missing():
        raise DataError(f"{listed} The download did not bring them. By hand: {by_hand}")

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from burnish.data.download import ensure_files
from burnish.errors import DataError


def ensure(root: Path, fetch: Any, allowed: bool = True) -> None:
    wanted = [root / "raw" / "a.gz", root / "raw" / "b.gz"]
    ensure_files(
        lambda: [path for path in wanted if not path.exists()],
        fetch,
        root=root,
        allowed=allowed,
        by_hand="copy them",
    )


def test_processes_that_start_together_fetch_once(tmp_path: Path) -> None:
    calls: list[int] = []

    def fetch() -> None:
        calls.append(1)
        time.sleep(0.1)  # long enough for the others to arrive at the lock
        (tmp_path / "raw").mkdir()
        for name in ("a.gz", "b.gz"):
            (tmp_path / "raw" / name).touch()

    threads = [threading.Thread(target=ensure, args=(tmp_path, fetch)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_nothing_is_fetched_unless_allowed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing a\.gz, b\.gz.*data\.download=true.*copy them"):
        ensure(tmp_path, lambda: pytest.fail("fetched"), allowed=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [RuntimeError("File not found or corrupted."), OSError("offline")]
)
def test_a_failed_download_says_how_to_do_without(tmp_path: Path, error: Exception) -> None:
    def fetch() -> None:
        raise error

    with pytest.raises(DataError, match=f"missing a.gz, b.gz. Download failed: {error}.*copy them"):
        ensure(tmp_path, fetch)


def test_a_download_that_brings_too_little_is_noticed(tmp_path: Path) -> None:
    def fetch() -> None:
        (tmp_path / "raw").mkdir()
        (tmp_path / "raw" / "a.gz").touch()

    with pytest.raises(DataError, match="did not bring them"):
        ensure(tmp_path, fetch)

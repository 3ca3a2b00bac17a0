"""One accelerator device for each job: handed out, and kept by a lock until the process ends."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from burnish.errors import ConfigError


class Devices:
    """The devices of this worker.

    Several workers on one machine take different ones: each is claimed by a lock on a file, which
    the kernel opens when the process dies.

    Args:
        wanted: ``auto`` for all GPUs, or their numbers.
        jobs: how many run at once: so many are claimed.

    Raises:
        ConfigError: if there are fewer free ones.
    """

    def __init__(self, wanted: str | Sequence[int], jobs: int) -> None:
        self.claimed: list[int] = []
        self._locks: list[FileLock] = []
        numbers = _all() if wanted == "auto" else [int(number) for number in wanted]
        for number in numbers:
            if len(self.claimed) < jobs and self._claim(number):
                self.claimed.append(number)
        if len(self.claimed) < jobs and numbers:
            self.release()
            raise ConfigError(
                f"search.devices: {jobs} jobs at once need as many devices; of {numbers} "
                f"{len(self.claimed)} are free; lower search.n_jobs or wait for the others"
            )

    def _claim(self, number: int) -> bool:
        folder = Path(tempfile.gettempdir()) / "burnish-devices"
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{number}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return False
        self._locks.append(lock)
        return True

    def override(self, job: int) -> list[str]:
        """The override that puts a job on its device; none on a machine without GPUs.

        Args:
            job: position among the jobs that run at once.
        """
        return [f"trainer.devices=[{self.claimed[job]}]"] if self.claimed else []

    def __enter__(self) -> Devices:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()

    def release(self) -> None:
        """Let others have them."""
        for lock in self._locks:
            lock.release()
        self._locks = []


def _all() -> list[int]:
    import torch

    return list(range(torch.cuda.device_count()))

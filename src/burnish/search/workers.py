"""Who works on a study, and what becomes of the trials of those who died."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, TrialState

# A worker on another machine that was silent for so long is dead.
BEAT_SECONDS = 30
SILENT_SECONDS = 300
# Between being asked for and getting its worker's name a trial may wait for SQLite's lock.
NAMELESS_SECONDS = 90
# Parameters that took their process with them so often (the kernel kills what eats all memory)
# are not tried again: the search would never end.
MOST_ATTEMPTS = 4


class Worker:
    """This process, as the study knows it.

    Its life is told twice: by a lock on a file, which the kernel opens when the process dies, for
    workers of the same machine; and by a heartbeat in the study, for those of other machines.

    Args:
        study: that it works on.
    """

    def __init__(self, study: optuna.Study) -> None:
        self.id = f"{socket.gethostname()}-{secrets.token_hex(3)}"
        self._study = study
        self._lock = FileLock(_locks() / f"{self.id}.lock")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, daemon=True)

    def __enter__(self) -> Worker:
        self._lock.acquire()
        self._beat()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
        self._lock.release()
        Path(self._lock.lock_file).unlink(missing_ok=True)

    def _beat(self) -> None:
        self._study.set_user_attr(
            f"worker {self.id}", {"machine": _machine(), "beat": int(time.time())}
        )

    def _beat_on(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            try:
                self._beat()
            except Exception:  # the database is away: the trials' own calls will say so
                continue


def _locks() -> Path:
    folder = Path(tempfile.gettempdir()) / f"burnish-workers-{getpass.getuser()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _machine() -> str:
    """The same for all who see each other's locks; two containers of one name may not."""
    path = _locks() / "machine"
    if not path.exists():
        fresh = path.with_name(f"machine.{os.getpid()}")
        fresh.write_text(f"{socket.gethostname()}-{secrets.token_hex(8)}")
        with suppress(FileExistsError):
            os.link(fresh, path)  # who comes first decides
        fresh.unlink()
    return path.read_text()


def is_alive(worker: str, attrs: dict[str, Any]) -> bool:
    """Whether a worker still lives.

    Args:
        worker: its id.
        attrs: of the study.
    """
    known = attrs.get(f"worker {worker}")
    if known is None:
        return False
    if known["machine"] != _machine():
        return bool(time.time() - known["beat"] < SILENT_SECONDS)
    path = _locks() / f"{worker}.lock"
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def bury(study: optuna.Study, trials: Iterable[FrozenTrial]) -> list[int]:
    """Fail the running trials of dead workers and put their parameters back into the queue.

    Args:
        study: of the trials.
        trials: all of them.

    Returns:
        Numbers of the trials that were failed.
    """
    buried = []
    attrs: dict[str, Any] | None = None
    for trial in trials:
        if trial.state != TrialState.RUNNING:
            continue
        attrs = study.user_attrs if attrs is None else attrs
        worker = trial.user_attrs.get("worker")
        if worker is None and not _forgotten(trial):
            continue  # asked for this very moment
        if worker is not None and is_alive(worker, attrs):
            continue
        if requeue(study, trial, "its process died"):
            buried.append(trial.number)
    return buried


def _forgotten(trial: FrozenTrial) -> bool:
    begun = trial.datetime_start
    return begun is not None and time.time() - begun.timestamp() > NAMELESS_SECONDS


def requeue(study: optuna.Study, trial: FrozenTrial, reason: str) -> bool:
    """Mark a trial as interrupted, and have its parameters tried again.

    Returns:
        False if another worker was faster.
    """
    attempt = int(trial.user_attrs.get("attempt", 1))
    # Not through the study: attributes of a trial that this process did not ask for.
    storage = study._storage
    try:
        storage.set_trial_user_attr(trial._trial_id, "error", f"interrupted: {reason}")
        storage.set_trial_user_attr(trial._trial_id, "interrupted", True)
        if attempt >= MOST_ATTEMPTS:
            text = f"{reason}; tried {attempt} times, and not again"
            storage.set_trial_user_attr(trial._trial_id, "error", text)
            storage.set_trial_user_attr(trial._trial_id, "interrupted", False)
        study.tell(trial.number, state=TrialState.FAIL)
    except (RuntimeError, ValueError, optuna.exceptions.UpdateFinishedTrialError):
        return False
    if attempt < MOST_ATTEMPTS:
        study.enqueue_trial(
            trial.params, user_attrs={"again_of": trial.number, "attempt": attempt + 1}
        )
    return True

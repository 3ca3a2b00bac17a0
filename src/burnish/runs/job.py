"""A job of a multirun, made to look like a run of its own.

Lightning starts the other processes of a distributed run by repeating the command line of this
one. In a multirun that would start the whole sweep again in each of them (Lightning 2.6); they
shall repeat this job alone, in its folder. Afterwards nothing of it may be left for the next job.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import read_write

# Lightning's thread of this name looks every 5 seconds, and kills this process, the sweep, if one
# of the others has failed.
OBSERVER = "child-process-observer"
GRACE_SECONDS = 3


@contextmanager
def as_single_run(program: Sequence[str], overrides: Sequence[str], folder: Path) -> Iterator[None]:
    """Let this process look as if it had been started for this job.

    Args:
        program: the command line up to the overrides, without ``-m``.
        overrides: of the job.
        folder: of its run.
    """
    state: Any = HydraConfig.instance().cfg
    with read_write(state.hydra.run):
        state.hydra.run.dir = str(folder)  # Lightning hands it on
    argv, environment = sys.argv, dict(os.environ)
    sys.argv = [str(Path(program[0]).absolute()), *program[1:], *overrides]
    # In a launcher's worker the main module is the launcher's, and Lightning would start that.
    main = sys.modules["__main__"]
    spec, main.__spec__ = main.__spec__, None
    try:
        yield
    finally:
        sys.argv = argv
        main.__spec__ = spec
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        _leave_the_group()
        _end_the_others()


def fail_after_the_first() -> None:
    """In another process than a job's first, which has failed: let the first one fail, and end it.

    Leaving the group wakes it from whatever it waits for. If it cannot be woken, because it waits
    for this process to join, the wait is over and Lightning ends both.
    """
    _leave_the_group()
    time.sleep(2 * GRACE_SECONDS)


def _leave_the_group() -> None:
    torch = sys.modules.get("torch")
    if torch and torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _end_the_others() -> None:
    for thread in threading.enumerate():
        if thread.name == OBSERVER:
            others: list[subprocess.Popen[bytes]] = thread._child_processes  # type: ignore[attr-defined]
            for process in others:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE_SECONDS)
                process.kill()
                process.wait()
            others.clear()  # the thread ends

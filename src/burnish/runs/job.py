"""A job of a multirun, made to look like a run of its own.

Lightning starts the other processes of a distributed run by repeating the command line of this
one. In a multirun that would start the whole sweep again in each of them (Lightning 2.6); they
shall repeat this job alone, in its folder. Afterwards nothing of it may be left for the next job.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import read_write


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
    sys.argv = [*program, *overrides]
    try:
        yield
    finally:
        sys.argv = argv
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        _leave_the_group()


def _leave_the_group() -> None:
    torch = sys.modules.get("torch")
    if (
        torch is not None
        and torch.distributed.is_available()
        and torch.distributed.is_initialized()
    ):
        torch.distributed.destroy_process_group()

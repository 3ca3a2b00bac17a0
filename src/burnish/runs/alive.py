"""Whether a run that last said "running" still does: nobody writes down that he was killed."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from burnish.runs.words import one_line, span

# On another machine the files alone can tell; an epoch may well be silent for this long.
SILENT_SECONDS = 3600
LARGEST_PID = 2**31 - 1


def this_host() -> str:
    """The name of this machine, as runs write it down."""
    return platform.node()


def what_became(result: Mapping[str, Any], written: float, heard: float) -> tuple[str, str]:
    """Status and reason of a run whose last word is "running".

    ``running`` if its process lives on this machine, or it was heard of lately from another;
    ``killed`` if its process is gone from this machine; ``lost?`` if that cannot be told.

    Args:
        result: of ``result.json``, with ``pid`` and, if it was written down, ``host``.
        written: when ``result.json`` was written, in seconds since 1970.
        heard: when any of its files was.
    """
    pid, host = result.get("pid"), result.get("host")
    silent = time.time() - heard
    if isinstance(host, str) and host != this_host():
        said = f"on {one_line(host)}, silent for {span(max(0.0, silent))}"
        return ("running" if silent < SILENT_SECONDS else "lost?"), said
    if type(pid) is not int or not 0 < pid <= LARGEST_PID:
        return "lost?", "it names no process"
    alive = _lives(pid, written)
    if alive is None:
        return ("running" if silent < SILENT_SECONDS else "lost?"), f"process {pid}"
    if alive:
        return "running", f"process {pid} of this machine"
    if host is None:
        return "lost?", f"no process {pid} on this machine, and which it ran on was not kept"
    return "killed", f"its process {pid} is gone from this machine"


def _lives(pid: int, before: float) -> bool | None:
    """Whether process ``pid`` exists and was there at the time ``before``; None: cannot be told."""
    if os.name != "posix":  # there, signal 0 is no question but ends the process
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, but there
    try:
        state, *numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        began = int(numbers[18]) / os.sysconf("SC_CLK_TCK")  # after the start of the machine
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - began
    except (OSError, ValueError, IndexError, AttributeError):  # not Linux: the number must do
        return True
    # Numbers of processes are given again; and a killed one keeps its own until its parent asks.
    return state != "Z" and time.time() - age < before + 2

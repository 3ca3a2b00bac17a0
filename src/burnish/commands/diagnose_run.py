"""diagnose run=: a look at the curves of a run that has begun, without torch."""

from __future__ import annotations

import time

from burnish.diagnosis.curve_figures import drawn
from burnish.diagnosis.page import as_json, page
from burnish.diagnosis.run import diagnose_run
from burnish.diagnosis.terminal import end, say
from burnish.diagnosis.verdict import exit_code
from burnish.runs.curves import read_curves
from burnish.runs.folder import RunFolder


def look_back(run: RunFolder) -> int:
    """Say what the curves show; ``diagnosis.json`` and ``diagnosis/index.html`` go into the run.

    Args:
        run: going on or ended.

    Returns:
        The exit code: 1 if something is broken, else 0.

    Raises:
        RunError: if the curves cannot be read.
    """
    started = time.monotonic()
    curves = read_curves(run.path)
    verdicts = diagnose_run(run)
    for verdict in verdicts:
        say(verdict)
    run.write_json("diagnosis", as_json(verdicts))
    folder = run.path / "diagnosis"
    folder.mkdir(exist_ok=True)
    path = page(run.path.name, "The curves of the run.", drawn(verdicts, curves)).write(folder)
    end(verdicts, path, time.monotonic() - started)
    return exit_code(verdicts)

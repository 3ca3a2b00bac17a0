"""Which check names which broken set-up, and that a healthy one passes.

    python benchmarks/diagnosis.py

Eight set-ups on scikit-learn's digits (tests/diagnosis/broken.py), each diagnosed as
``burnish diagnose`` does. Printed: a row a set-up with the status of every check (. ok, n note,
B broken), the check that is to name it, whether it did, and the seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from burnish.commands.diagnose import diagnose
from burnish.config.check import check
from burnish.config.diagnosis import CHECKS
from burnish.config.paths import conf_dir
from burnish.config.resolvers import register
from burnish.runs.folder import RunFolder

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "diagnosis"))
from broken import HEALTHY, SETUPS

MARKS = {"ok": ".", "note": "n", "broken": "B"}


def diagnosed(overrides: tuple[str, ...]) -> dict[str, str]:
    """The status of every check by its name."""
    with initialize_config_dir(config_dir=str(conf_dir())):
        cfg = compose("train", ["name=x", "trainer=cpu", *HEALTHY, *overrides])
        config: Any = OmegaConf.to_container(cfg, resolve=True)
    if problems := check(config, ["broken"]):
        sys.exit("\n".join(problems))
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        diagnose(config, Path(folder), CHECKS, ["broken"])
        found = RunFolder(Path(folder)).read_json("diagnosis")["checks"]
    return {verdict["check"]: verdict["status"] for verdict in found}


def main() -> None:
    """Print the table; ends with 1 if a set-up was not named, or the healthy one was."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    register()
    wrong = 0
    for name, (culprit, overrides) in SETUPS.items():
        started = time.monotonic()
        statuses = diagnosed(overrides)
        good = statuses[culprit] == "broken" if culprit else "broken" not in statuses.values()
        wrong += not good
        if name == "healthy":
            print(f"{'':<35}{' '.join(f'{check[:5]:<5}' for check in statuses)}")
        marks = " ".join(f"{MARKS[status]:<5}" for status in statuses.values())
        seconds = time.monotonic() - started
        print(
            f"{name:<35}{marks} {culprit or 'none':<14}{'yes' if good else 'NO'}  {seconds:.1f} s"
        )
        sys.stdout.flush()
    sys.exit(int(wrong > 0))


if __name__ == "__main__":
    main()

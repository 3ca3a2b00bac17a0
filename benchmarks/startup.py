"""What a command costs before it does anything: CPU time against ``import hydra``.

    python benchmarks/startup.py

Rounds are interleaved; the median is printed. The bare ``import hydra`` is the unit.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRAIN = str(ROOT / "src" / "train.py")
ROUNDS = 9
CASES = {
    "import hydra": ["-c", "import hydra"],
    "train --cfg job": [TRAIN, "--cfg", "job"],
    "train --help": [TRAIN, "--help"],
    "train optimizer.lrr=1 (refused)": [TRAIN, "optimizer.lrr=1"],
    "train optimizer.lr=abc (refused)": [TRAIN, "optimizer.lr=abc"],
}


def cpu_seconds(arguments: list[str]) -> float:
    """User and system time of one fresh interpreter."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run([sys.executable, *arguments], capture_output=True, check=False, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    for arguments in CASES.values():  # bytecode and disk cache
        cpu_seconds(arguments)
    seconds: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(ROUNDS):
        for name, arguments in CASES.items():
            seconds[name].append(cpu_seconds(arguments))
    unit = statistics.median(seconds["import hydra"])
    print(f"{'command':<36}{'CPU ms':>8}{'ratio':>8}")
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"{name:<36}{median * 1000:>8.0f}{median / unit:>8.2f}")


if __name__ == "__main__":
    main()

"""Where a result came from: code, versions, hardware, seed and data."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "burnish", "torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "omegaconf",
    "optuna", "tensorboard", "numpy", "pillow", "scikit-learn",
)  # fmt: skip
MAX_DIFF_CHARACTERS = 200_000


def provenance(seed: int, data: dict[str, Any]) -> dict[str, Any]:
    """Everything that is needed to tell two runs apart.

    Args:
        seed: the run's seed.
        data: the data set's fingerprint and class counts.
    """
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "folder": str(Path.cwd()),
        "git": git_state(Path.cwd()),
        "versions": {"python": platform.python_version()} | versions(),
        "hardware": _hardware(),
        "seed": seed,
        "data": data,
    }


@cache
def git_state(folder: Path) -> dict[str, str] | None:
    """Commit and uncommitted difference of the repository around ``folder``; None without one.

    Asked once in a process: its modules are those of its start, whatever is edited meanwhile, so
    the later trials of a sweep run the code that the first one found.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    diff = _git(folder, "diff", "HEAD") or ""
    if len(diff) > MAX_DIFF_CHARACTERS:
        diff = diff[:MAX_DIFF_CHARACTERS] + "\n... cut\n"
    return {"commit": commit.strip(), "diff": diff}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


@cache
def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Of those that are installed."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _hardware() -> dict[str, Any]:
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpus": gpus,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()

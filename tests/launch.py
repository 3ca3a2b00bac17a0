"""Ways to run burnish in tests: composed configurations in this process, commands in another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from burnish.config.paths import conf_dir
from burnish.config.resolvers import register

ROOT = Path(__file__).resolve().parents[1]

# The smallest real training: an MLP on 200 digits, quick and deterministic.
TINY = (
    "name=tiny",
    "trainer=cpu",
    "model=mlp",
    "data.limit=200",
    "data.batch_size=32",
    "trainer.max_epochs=2",
    "callbacks.progress.enabled=false",
)


def composed(*overrides: str, root: str = "train") -> dict[str, Any]:
    """A configuration as plain containers, as the command line would resolve it."""
    register()
    with initialize_config_dir(config_dir=str(conf_dir())):
        cfg = compose(root, list(overrides))
        return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


def environment() -> dict[str, str]:
    """One thread: two test workers share two cores."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def launch(
    verb: str, *arguments: str, cwd: Path, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run ``python src/<verb>.py`` as a user would, from ``cwd``."""
    return subprocess.run(
        [sys.executable, str(ROOT / "src" / f"{verb}.py"), *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def start(verb: str, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """Start it and go on: for tests that interrupt it."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "src" / f"{verb}.py"), *arguments],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def only_run(cwd: Path) -> Path:
    """The one run folder under ``cwd/outputs``."""
    (result,) = cwd.glob("outputs/train/*/*/result.json")
    return result.parent


def result_of(run: Path) -> dict[str, Any]:
    """``result.json``."""
    return json.loads((run / "result.json").read_text())  # type: ignore[no-any-return]


def weights_of(run: Path, which: str = "last") -> dict[str, torch.Tensor]:
    """The weights in a run's checkpoint."""
    checkpoint = torch.load(run / "checkpoints" / f"{which}.ckpt", weights_only=True)
    return checkpoint["state_dict"]  # type: ignore[no-any-return]


def assert_equal_weights(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    """Bit-equal, name for name."""
    assert list(a) == list(b)
    for name in a:
        assert torch.equal(a[name], b[name]), name

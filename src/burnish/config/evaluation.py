"""The configuration under which a run is evaluated: its own, but for where and on what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burnish.errors import ConfigError

SPLITS = ("train", "val", "test")
ACCELERATORS = (None, "auto", "cpu", "gpu", "cuda", "mps")


def evaluated(saved: Mapping[str, Any], command: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the ``eval`` command's few keys into a run's configuration.

    Args:
        saved: the run's configuration.
        command: the composed ``conf/eval.yaml``; null keeps what the run did.

    Raises:
        ConfigError: for an unknown split or accelerator, or a run's config that lacks a part.
    """
    problems = []
    if command["split"] not in SPLITS:
        problems.append(f"split: must be one of {', '.join(SPLITS)}, found {command['split']!r}")
    if command["trainer"]["accelerator"] not in ACCELERATORS:
        names = ", ".join(str(a) for a in ACCELERATORS[1:])
        found = command["trainer"]["accelerator"]
        problems.append(f"trainer.accelerator: must be one of {names}, found {found!r}")
    problems += [
        f"run: its config.yaml has no {part!r}; is it a training run's folder?"
        for part in ("data", "model", "loss", "trainer", "seed")
        if part not in saved
    ]
    if problems:
        raise ConfigError(problems)
    config = {**saved, "augment": {}}
    for group in ("data", "trainer"):
        given = {key: value for key, value in command[group].items() if value is not None}
        config[group] = {**saved[group], **given}
    if command["compile"] is not None:
        config["compile"] = command["compile"]
    return config

"""The configuration under which a run is evaluated: its own, but for where and on what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burnish.config.rules import check_values
from burnish.config.saved import without_effects
from burnish.errors import ConfigError

SPLITS = ("train", "val", "test")
# By what data is told where it lies.
PLACES = ("root", "path", "train", "val", "test")
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
    problems += check_values({key: command.get(key) for key in ("report", "layer")})
    problems += [
        f"run: its config.yaml has no {part!r}; is it a training run's folder?"
        for part in ("seed", "compile")
        if part not in saved
    ]
    problems += [
        f"run: {part} in its config.yaml must be a mapping with _target_, found {saved.get(part)!r}"
        for part in ("data", "model", "loss", "trainer", "optimizer", "scheduler")
        if not isinstance(saved.get(part), Mapping)
        or ("_target_" not in saved[part] and part != "scheduler")
    ]
    problems += [
        f"data.{key}: the data of this run has no such key; it has "
        + ", ".join(f"data.{name}" for name in PLACES if name in saved["data"])
        for key, value in command["data"].items()
        if value is not None and isinstance(saved.get("data"), Mapping) and key not in saved["data"]
    ]
    if problems:
        raise ConfigError(problems)
    config: dict[str, Any] = {**saved, "augment": {}, "callbacks": {}, "logger": {}}
    for group in ("data", "trainer"):
        given = {key: value for key, value in command[group].items() if value is not None}
        config[group] = {**saved[group], **given}
    config["trainer"] = {
        key: value for key, value in config["trainer"].items() if not isinstance(value, Mapping)
    }
    config["data"] = without_effects(config["data"])
    if command["compile"] is not None:
        config["compile"] = command["compile"]
    return config

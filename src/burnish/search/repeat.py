"""The command that repeats a trial as a run of its own: without the search, with all it brought."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from burnish.config.rules import leaves
from burnish.config.typed import program

# Not the search's business: a repeated run is scored on the test split and keeps its own folder.
LEFT_OUT = ("test", "search.", "hydra.", "paths.")


def repeated(loader: ConfigLoader, config: DictConfig, arguments: Sequence[str]) -> str:
    """The beginning of the command; a trial's own overrides follow it.

    A file of ``conf/search`` may choose a data set or a number of epochs. What it chose is found
    by composing the configuration without it, and spelled out.

    Args:
        loader: of Hydra.
        config: of the sweep.
        arguments: as typed.
    """
    parsed = OverridesParser.create().parse_overrides([*arguments])
    kept = [
        str(o.input_line)
        for o in parsed
        if not o.is_sweep_override() and not o.key_or_group.startswith("search")
    ]
    base = _composed(loader, config, kept)
    chosen = [
        f"{group}={choice}"
        for group, choice in config.hydra.runtime.choices.items()
        if not group.startswith(("hydra/", "search"))
        and base.hydra.runtime.choices.get(group) != choice
    ]
    base = _composed(loader, config, [*kept, *chosen])
    had, wanted = _leaves(base), _leaves(config)
    values = [f"{k}={_text(v)}" for k, v in wanted.items() if k in had and had[k] != v]
    return shlex.join([*_program(), *kept, *chosen, *values])


def _composed(loader: ConfigLoader, config: DictConfig, overrides: list[str]) -> DictConfig:
    return loader.load_configuration(
        config_name=config.hydra.job.config_name, overrides=overrides, run_mode=RunMode.MULTIRUN
    )


def _leaves(config: DictConfig) -> Mapping[str, Any]:
    plain = OmegaConf.to_container(config, resolve=False)
    return {key: value for key, value in leaves(plain) if not key.startswith(LEFT_OUT)}


def _text(value: Any) -> str:
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def _program() -> list[str]:
    typed = program(
        sys.argv if sys.argv[0].endswith(".py") else ["burnish", "train", *sys.argv[1:]]
    )
    return ["python", *typed] if sys.argv[0].endswith(".py") else typed

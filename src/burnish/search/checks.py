"""All that can be said of a search before its first trial; each mistake with its key."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf, open_dict
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner
from optuna.samplers import BaseSampler

from burnish.config.check import check
from burnish.config.compose import COMPOSITION_ERRORS, explain
from burnish.config.plain import resolved, trusted
from burnish.config.rules import leaves
from burnish.config.typed import config_dirs
from burnish.errors import ConfigError
from burnish.runs.console import short
from burnish.search.launching import InProcess
from burnish.search.settings import Settings, settings
from burnish.search.space import Space

# Keys by which the start of a search may differ from the one it goes on with.
OF_THE_MACHINE = (
    "search.", "hydra.", "paths.", "name", "test", "trust", "traceback", "resume", "logger.",
    "callbacks.progress", "data.root", "data.num_workers", "data.device_resident", "data.download",
    "data.cache_dir", "trainer.accelerator", "trainer.devices", "trainer.num_nodes",
    "trainer.strategy", "trainer.enable_", "trainer.default_root_dir",
)  # fmt: skip
# What the stock sweeper reads under other names; conf/search fills it in.
STOCK_KEYS = {
    "n_trials": "n_trials", "n_jobs": "n_jobs", "storage": "storage", "study_name": "study",
}  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """What Hydra's plugin makes of its part of the configuration.

    Args:
        sampler: makes a sampler from a seed, or from a grid and a seed.
        pruner: stops trials that fall behind.
        direction: of the monitored metric, as configured.
        seed: of the sampler; None: another at every start.
        params: a search space in the stock sweeper's place for it.
        extend: the stock sweeper's ``custom_search_space``.
        failing: the stock sweeper's ``max_failure_rate``.
    """

    sampler: Callable[..., BaseSampler]
    pruner: BasePruner
    direction: Any
    seed: int | None
    params: Mapping[str, Any]
    extend: Callable[[DictConfig, optuna.Trial], None] | None
    failing: float


def settings_of(config: DictConfig) -> Settings:
    """The ``search`` node, checked."""
    if OmegaConf.select(config, "search") is None:
        raise ConfigError(
            "search: hydra/sweeper=burnish_optuna needs one: add search=default to the command"
        )
    node: Any = resolved(config.search)
    return settings(node)


def directions_of(config: DictConfig, given: Settings, parts: Parts, *, inside: bool) -> list[str]:
    """The direction of each objective, and everything that does not go together.

    Args:
        config: of the sweep.
        given: the settings.
        parts: sampler, pruner and the rest of ``hydra.sweeper``.
        inside: whether trials run in this process.

    Raises:
        ConfigError: naming every mistake.
    """
    problems = [
        f"hydra.sweeper.{key}: is not read; write search.{ours}={value}"
        for key, ours in STOCK_KEYS.items()
        if (value := config.hydra.sweeper.get(key)) != getattr(given, ours)
    ]
    direction = getattr(parts.direction, "name", parts.direction)
    expected = {"max": "maximize", "min": "minimize"}.get(config.mode)
    if direction not in ("maximize", "minimize"):
        problems.append(
            f"hydra.sweeper.direction: {config.monitor} needs maximize or minimize, "
            f"found {direction!r}"
        )
    elif expected is not None and direction != expected:
        problems.append(
            f"hydra.sweeper.direction: {direction}, but mode={config.mode} keeps the other best "
            f"checkpoint of {config.monitor}; leave it at {expected}"
        )
    if config.test:
        problems.append(
            "test: the test split is no guide in a search, so no trial is scored on it; leave "
            "test=false and add search.final=eval or search.final=retrain"
        )
    if given.against and not isinstance(parts.pruner, NopPruner):
        problems.append(
            "hydra/sweeper/pruner: with search.against there is no order in which a trial could "
            "fall behind; add hydra/sweeper/pruner=none"
        )
    epochs = config.trainer.max_epochs
    if isinstance(parts.pruner, HyperbandPruner) and (epochs is None or epochs < 1):
        problems.append(
            f"trainer.max_epochs: hyperband divides the epochs among its trials, found {epochs}; "
            "set it, or choose hydra/sweeper/pruner=median"
        )
    if inside and given.n_jobs > 1:
        problems.append(
            f"search.n_jobs: {given.n_jobs} jobs at once need a launcher: hydra/launcher=joblib "
            "(or start the same command several times)"
        )
    if not inside and given.storage is None:
        problems.append(
            "search.storage: jobs in other processes find their trial through a database; "
            "null keeps the study in this one"
        )
    if problems:
        raise ConfigError(problems)
    return [direction, *["minimize"] * len(given.against)]


def refuse_what_fails(jobs: InProcess, space: Space, arguments: Sequence[str]) -> None:
    """Compose and check trials from the edges of the space: a mistake must not wait its turn."""
    problems: list[str] = []
    for probe in space.probes():
        overrides = [*space.fixed, *probe]
        try:
            config = jobs.compose(overrides)
        except COMPOSITION_ERRORS as error:
            found, _ = explain("train", overrides, config_dirs(sys.argv)[0])
            problems += found or [" ".join(str(error).split())]
            continue
        with open_dict(config):
            del config["hydra"], config["search"]
        problems += check(resolved(config), trusted(config, [*arguments]))
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))


def refuse_runs_of_another(study: optuna.Study, folder: Path) -> None:
    """A database that was deleted, moved or kept in memory begins at trial 0 again."""
    numbers = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
    if numbers and max(numbers) >= len(study.get_trials(deepcopy=False)):
        raise ConfigError(
            f"search.study: {short(folder)} holds runs that study {study.study_name!r} does not "
            "know; choose another name, search.study=..., or move the folder away"
        )


def identity(config: DictConfig, space: Space) -> dict[str, Any]:
    """What decides a trial's result besides its parameters, as dotted keys."""
    plain = OmegaConf.to_container(config, resolve=False)
    swept = {name.lstrip("+") for name in space.names()}
    return {
        key: value
        for key, value in leaves(plain)
        if not key.startswith(OF_THE_MACHINE)
        and key not in swept
        and key.partition(".")[0] not in swept
    } | {"typed": [o for o in space.fixed if o.lstrip("+~").partition(".")[0] in swept]}

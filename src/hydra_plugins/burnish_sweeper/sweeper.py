"""Hydra's side of a search. Hydra imports this at every start: nothing heavy at module level.

The stock Optuna sweeper gives the grammar of search spaces, the samplers and the launchers;
:mod:`burnish.search` gives the loop: pruning, a total over all starts, the return of what was
interrupted, results after every trial.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.errors import InstantiationException
from hydra.types import HydraContext, TaskFunction
from hydra.utils import execution_whitelist, instantiate
from hydra_plugins.hydra_optuna_sweeper.config import OptunaSweeperConf
from hydra_plugins.hydra_optuna_sweeper.optuna_sweeper import OptunaSweeper
from omegaconf import MISSING, DictConfig, OmegaConf

STOCK = "hydra_plugins.hydra_optuna_sweeper.*"


@dataclass
class PrunerConf:
    """A pruner of Optuna."""

    _target_: str = MISSING


@dataclass
class NoPrunerConf(PrunerConf):
    """Every trial runs to its end."""

    _target_: str = "optuna.pruners.NopPruner"


@dataclass
class MedianPrunerConf(PrunerConf):
    """Stops a trial whose best value so far is worse than the median of the others' there."""

    _target_: str = "optuna.pruners.MedianPruner"
    n_startup_trials: int = 5
    n_warmup_steps: int = 0
    interval_steps: int = 1
    n_min_trials: int = 1


@dataclass
class PercentilePrunerConf(MedianPrunerConf):
    """Stops a trial that is not among the best per cent of the others."""

    _target_: str = "optuna.pruners.PercentilePruner"
    percentile: float = 25.0


@dataclass
class SuccessiveHalvingPrunerConf(PrunerConf):
    """Of each rung, only the best 1 / reduction_factor go on (ASHA, Li et al. 2020)."""

    _target_: str = "optuna.pruners.SuccessiveHalvingPruner"
    min_resource: Any = "auto"
    reduction_factor: int = 4
    min_early_stopping_rate: int = 0
    bootstrap_count: int = 0


@dataclass
class HyperbandPrunerConf(PrunerConf):
    """Several brackets of successive halving (Li et al. 2018)."""

    _target_: str = "optuna.pruners.HyperbandPruner"
    min_resource: int = 1
    max_resource: Any = "auto"
    reduction_factor: int = 3
    bootstrap_count: int = 0


@dataclass
class BurnishOptunaConf(OptunaSweeperConf):
    """The stock sweeper's configuration and a pruner; what else there is stands in ``search``."""

    _target_: str = "hydra_plugins.burnish_sweeper.sweeper.BurnishSweeper"
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "tpe"}, {"pruner": "median"}])
    pruner: PrunerConf = MISSING
    n_jobs: int = 1
    max_failure_rate: float = 1.0


class BurnishSweeper(OptunaSweeper):
    """Hands a search to :mod:`burnish.search.sweep`, once Hydra has set it up.

    Args:
        sampler: node with the sampler's ``_target_``.
        pruner: node with the pruner's ``_target_``.
        direction: of the monitored metric.
        max_failure_rate: the share of failed trials above which it gives up.
        custom_search_space: dotted name of a function that adds parameters to a trial by code.
        params: a search space, in addition to ``search.space``.
        **stock: what the stock sweeper has besides; here it stands in the ``search`` node.
    """

    def __init__(
        self,
        sampler: Any,
        pruner: Any,
        direction: Any,
        max_failure_rate: float,
        custom_search_space: str | None,
        params: Any,
        **stock: Any,
    ) -> None:
        self.sampler = sampler
        self.pruner = pruner
        self.direction = direction
        self.max_failure_rate = max_failure_rate
        self.custom_search_space = custom_search_space
        self.params = params

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what Hydra gives; the launcher is made when the search has passed its checks."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def sweep(self, arguments: list[str]) -> None:
        """Run the search."""
        from burnish.config.plain import trusted
        from burnish.search.checks import Parts
        from burnish.search.sweep import search

        assert self.config is not None
        assert self.hydra_context is not None
        packages = trusted(self.config, arguments)
        node: Any = OmegaConf.to_container(self.sampler, resolve=True)
        seed = node.pop("seed", None)
        parts = Parts(
            sampler=_made({**node, "_partial_": True}, "optuna.samplers.*", STOCK),
            pruner=make_pruner(self.pruner),
            direction=self.direction,
            seed=seed,
            params=dict(self.params or {}),
            extend=_extension(self.custom_search_space, packages),
            failing=self.max_failure_rate,
        )
        search(
            self.config,
            self.hydra_context,
            self.task_function,
            arguments,
            parts,
            around=_shared,
            score=partial(_score, packages=packages),
        )


def make_pruner(node: Any) -> Any:
    """The pruner of ``hydra.sweeper.pruner``."""
    # Plain: for a node in its tree, instantiate copies the whole tree.
    return _made(OmegaConf.to_container(node, resolve=True), "optuna.pruners.*")


def _made(node: Any, *admitted: str) -> Any:
    return instantiate(
        node, _execution_whitelist_=execution_whitelist(admitted, reset=True), _convert_="all"
    )


def _extension(name: str | None, packages: list[str]) -> Any:
    if name is None:
        return None
    from burnish.config.targets import whitelist
    from burnish.errors import ConfigError

    if name.partition(".")[0] not in packages:
        raise ConfigError(
            f"hydra.sweeper.custom_search_space: {name} is code of yours: add "
            f"trust=[{name.partition('.')[0]}] to the command line"
        )
    try:
        return _made({"_target_": name, "_partial_": True}, *whitelist("", packages))
    except InstantiationException as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"hydra.sweeper.custom_search_space: {name}: {reason}") from error


def _shared() -> Any:
    """Data sets of equal configuration are read once for the trials of this process."""
    from burnish.data.sharing import shared

    return shared()


def _score(folder: Path, packages: list[str]) -> None:
    """Score a trial's best checkpoint on the test split."""
    from burnish.commands.evaluate import evaluate
    from burnish.runs.folder import RunFolder

    run = RunFolder(folder)
    evaluate(run.read_config(), run, run.checkpoint("best"), "test", packages)


for _name, _node in {
    "none": NoPrunerConf,
    "median": MedianPrunerConf,
    "percentile": PercentilePrunerConf,
    "successive_halving": SuccessiveHalvingPrunerConf,
    "hyperband": HyperbandPrunerConf,
}.items():
    ConfigStore.instance().store(
        group="hydra/sweeper/pruner", name=_name, node=_node, provider="burnish"
    )
ConfigStore.instance().store(
    group="hydra/sweeper", name="burnish_optuna", node=BurnishOptunaConf, provider="burnish"
)

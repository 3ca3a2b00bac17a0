"""Samplers that several workers, and one that starts again, can share a seed of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GridSampler, QMCSampler
from optuna.trial import FrozenTrial, TrialState

from burnish.errors import ConfigError
from burnish.search.space import Space


class SeededByTrial(BaseSampler):
    """Draws each trial with a generator of its own, seeded by the seed and the trial's number.

    A seeded sampler of Optuna draws the same parameters in every process that starts it: in a
    second worker, and in the one that goes on after a kill. Trial numbers are given once, so here
    all draws differ, and a repeated search with one worker repeats them. Samplers keep what they
    learn in the study, so that a fresh one for each trial loses nothing.

    Args:
        make: makes the sampler, called with ``seed=``.
        seed: of the search.
    """

    def __init__(self, make: Callable[..., BaseSampler], seed: int) -> None:
        self._make = make
        self._seed = seed
        self._sampler = make(seed=seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """A new sampler for the trial."""
        # Distinct for every (seed, trial) below 2^16 seeds; NumPy's seeds end at 2^32.
        self._sampler = self._make(seed=((self._seed << 16) + trial.number) % 2**32)
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The sampler's own answer."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The sampler's own answer."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The sampler's own answer."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """The sampler's own answer."""
        self._sampler.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """Nothing to do: no two trials share a generator."""


class Grid(GridSampler):
    """Optuna's grid, for ask and tell: it would stop the study, which only ``optimize`` can."""

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """The loop counts by itself."""


def sampler_of(make: Callable[..., BaseSampler], seed: int | None, space: Space) -> BaseSampler:
    """The sampler of a search.

    Args:
        make: the sampler's class with its arguments but the seed; of a grid, without its points.
        seed: None: another one at every start.
        space: to sample.

    Raises:
        ConfigError: if a grid is asked for and the space is none.
    """
    if is_grid(make):
        return Grid(grid_of(space), seed=seed)
    if seed is None:
        return make()
    sampler = make(seed=seed)
    # The workers of a quasi-random sequence share its seed and take turns in it.
    return sampler if isinstance(sampler, QMCSampler) else SeededByTrial(make, seed)


def is_grid(make: Callable[..., BaseSampler]) -> bool:
    """Whether it makes Optuna's grid."""
    return getattr(make, "func", None) is GridSampler


def grid_of(space: Space) -> dict[str, list[Any]]:
    """Every parameter's values.

    Raises:
        ConfigError: for parameters without separate values, and for conditions.
    """
    problems = []
    grid = {}
    if space.branches:
        problems.append("search.when: a grid knows no conditions; take another sampler")
    for name, distribution in space.always.items():
        try:
            grid[name] = list(OptunaSweeperImpl._to_grid_sampler_choices(distribution))
        except ValueError:
            problems.append(
                f"{name}: a grid needs separate values: choice(...) or range(start, stop, step)"
            )
    if problems:
        raise ConfigError(problems)
    return grid

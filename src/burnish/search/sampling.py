"""Samplers that several workers, and one that starts again, can share a seed of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GridSampler
from optuna.trial import FrozenTrial, TrialState


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

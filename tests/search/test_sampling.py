"""Seeds: workers and restarts never draw the same twice, one worker always draws the same."""

from __future__ import annotations

from functools import partial

import optuna
import pytest
from optuna.samplers import CmaEsSampler, NSGAIISampler, RandomSampler, TPESampler

from burnish.search.sampling import Grid, SeededByTrial


def drawn(study, count):
    values = []
    for _ in range(count):
        trial = study.ask()
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 1e-4, 1, log=True)
        values.append((x, y))
        study.tell(trial, (x - 0.3) ** 2 + y)
    return values


def study_in(storage, make, seed=0):
    return optuna.create_study(
        study_name="s", storage=storage, sampler=SeededByTrial(make, seed), load_if_exists=True
    )


SAMPLERS = [
    RandomSampler,
    partial(TPESampler, n_startup_trials=3),
    partial(NSGAIISampler, population_size=4),
    CmaEsSampler,
]


@pytest.mark.parametrize("make", SAMPLERS)
def test_a_search_repeats_itself_and_a_restart_goes_on_as_if_there_had_been_none(make):
    whole = drawn(study_in(optuna.storages.InMemoryStorage(), make), 8)
    storage = optuna.storages.InMemoryStorage()
    assert drawn(study_in(storage, make), 5) + drawn(study_in(storage, make), 3) == whole


# A child of NSGA-II may equal a parent, in one process too.
@pytest.mark.parametrize("make", [m for m in SAMPLERS if getattr(m, "func", m) != NSGAIISampler])
def test_workers_in_turn_draw_distinct_parameters(make):
    storage = optuna.storages.InMemoryStorage()
    one, other = study_in(storage, make), study_in(storage, make)
    values = [value for _ in range(6) for study in (one, other) for value in drawn(study, 1)]
    assert len(set(values)) == 12


def test_another_seed_draws_others():
    memory = optuna.storages.InMemoryStorage
    assert drawn(study_in(memory(), RandomSampler, 0), 3) != drawn(
        study_in(memory(), RandomSampler, 1), 3
    )


def test_a_grid_is_walked_once_by_two_workers():
    storage, grid = optuna.storages.InMemoryStorage(), {"a": [1, 2, 3], "b": ["x", "y"]}
    studies = [
        optuna.create_study(
            study_name="g", storage=storage, sampler=Grid(grid, seed=0), load_if_exists=True
        )
        for _ in range(2)
    ]
    met = []
    for i in range(6):
        trial = studies[i % 2].ask()
        met.append(
            (trial.suggest_categorical("a", [1, 2, 3]), trial.suggest_categorical("b", "xy"))
        )
        studies[i % 2].tell(trial, 0.0)
    assert sorted(met) == [(a, b) for a in (1, 2, 3) for b in "xy"]

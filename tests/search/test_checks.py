"""What a search refuses before its first trial, and what it gives back when it is stopped."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState
from sweeps import LR, Here, sweep_in

from burnish.runs.outcome import Outcome
from burnish.search.loop import Loop
from burnish.search.settings import Settings
from burnish.search.space import Space, read_space
from burnish.search.storage import located, open_storage

X = {"x": "interval(0, 1)"}


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("search=hyperband trainer.max_epochs=-1 trainer.max_steps=5", "trainer.max_epochs: hyper"),
        ("hydra/sweeper/sampler=foo", "cmaes gp grid"),
        ("search.space={optimizer.lr:3}", "search.space: stands in a file"),
        ("search.against=parameters", "search.against: must be a list"),
        ("search.trial=3", "search.trial: is set by the search"),
        ("search.storage=sqlite:////no/such/folder/x.db", "/no/such/folder does not exist"),
    ],
)
def test_a_mistake_is_answered_with_its_key(here: Here, typed: str, answer: str):
    done = here(LR, *typed.split())
    assert done.code == 2
    assert answer in done.err
    assert "Traceback" not in done.err
    assert not list(here.cwd.rglob("result.json"))


def test_a_value_under_a_group_that_varies_is_part_of_the_experiment(here: Here):
    words = ("search=grid", "optimizer=choice(adamw,sgd)", "search.n_trials=1")
    assert here(*words, "optimizer.lr=0.1").code == 0
    done = here(*words, "optimizer.lr=0.00001")
    assert done.code == 2
    assert "typed: ['optimizer.lr=0.1']" in done.err


def test_successive_halving_prunes_after_the_first_epoch(here: Here):
    words = ("search=asha_like", LR, "search.n_trials=8", "trainer.max_epochs=3")
    assert here(*words).code == 0
    trials = sweep_in(here.cwd).trials
    pruned = [t for t in trials if t.state == TrialState.PRUNED]
    assert 1 in {max(t.intermediate_values) for t in pruned}


def test_a_condition_holds_by_the_choice_of_the_configuration_too():
    when = {"optimizer=sgd": {"optimizer.momentum": "interval(0.5, 0.9)"}}
    for choice, names in (("sgd", {"x", "optimizer.momentum"}), ("adamw", {"x"})):
        space = read_space(X, when, (), {"optimizer": choice})
        trial = optuna.create_study().ask()
        space.suggest(trial)
        assert set(trial.params) == names


class Stopped(Space):
    """Ctrl-C comes while parameters are drawn."""

    def suggest(self, trial: optuna.Trial) -> list[str]:
        super().suggest(trial)
        raise KeyboardInterrupt


def test_a_trial_that_was_asked_for_and_not_launched_is_given_back(tmp_path):
    storage = open_storage(located("s.db", tmp_path))
    study = optuna.create_study(study_name="s", storage=storage)

    def launch(jobs):
        return iter([Outcome(values=(0.5,)) for _ in jobs])

    def loop(space: Space) -> Loop:
        return Loop(study, space, Settings("s", n_trials=1), ["x"], tmp_path, launch)

    with pytest.raises(KeyboardInterrupt):
        loop(Stopped(read_space(X, {}, ()).always)).run()
    assert [t.state for t in study.trials] == [TrialState.FAIL, TrialState.WAITING]
    loop(read_space(X, {}, ())).run()
    first, second = study.trials
    assert first.user_attrs["interrupted"] is True
    assert second.state == TrialState.COMPLETE
    assert second.params == first.params

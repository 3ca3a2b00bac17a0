"""Search spaces: Hydra's grammar, conditions, and every mistake in words."""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from burnish.errors import ConfigError
from burnish.search.space import read_space

LR = {"optimizer.lr": "tag(log, interval(1e-4, 1e-1))"}


def draw(space, **fixed):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial(fixed)
    trial = study.ask()
    return trial, space.suggest(trial)


def problems(space=None, when=None, arguments=()):
    with pytest.raises(ConfigError) as caught:
        read_space(space or {}, when or {}, arguments)
    return caught.value.problems


def test_each_expression_is_the_distribution_that_it_says():
    space = read_space(
        {
            **LR,
            "model.dropout": "interval(0, 0.5)",
            "trainer.max_epochs": "int(interval(2, 8))",
            "data.batch_size": "choice(32, 64)",
            "model.width": "range(8, 33, 8)",
            "model": "mlp, resnet18",
        },
        {},
        (),
    )
    assert space.always == {
        "optimizer.lr": FloatDistribution(1e-4, 1e-1, log=True),
        "model.dropout": FloatDistribution(0, 0.5),
        "trainer.max_epochs": IntDistribution(2, 8),
        "data.batch_size": CategoricalDistribution((32, 64)),
        "model.width": IntDistribution(8, 32, step=8),
        "model": CategoricalDistribution(("mlp", "resnet18")),
    }


def test_the_command_line_extends_narrows_and_takes_out():
    space = read_space(
        {**LR, "data.batch_size": "choice(32, 64)"},
        {},
        ["optimizer.lr=interval(0.1, 0.2)", "data.batch_size=128", "model.dropout=0.1,0.2", "~x.y"],
    )
    assert set(space.always) == {"optimizer.lr", "model.dropout"}
    assert space.always["optimizer.lr"] == FloatDistribution(0.1, 0.2)
    assert space.fixed == ("data.batch_size=128", "~x.y")


def test_a_parameter_is_switched_off_by_null():
    assert set(read_space({**LR, "model.dropout": None}, {}, ()).always) == {"optimizer.lr"}


def test_a_branch_is_drawn_by_the_trials_that_enter_it_only():
    space = read_space(
        {"optimizer": "choice(adamw, sgd)"},
        {
            "optimizer=sgd": {"optimizer.momentum": "interval(0.5, 0.9)"},
            "optimizer=adamw": {"optimizer.weight_decay": "tag(log, interval(1e-5, 1e-1))"},
        },
        (),
    )
    trial, overrides = draw(space, optimizer="sgd")
    assert set(trial.params) == {"optimizer", "optimizer.momentum"}
    assert overrides == [
        "optimizer=sgd",
        f"optimizer.momentum={trial.params['optimizer.momentum']}",
    ]
    trial, _ = draw(space, optimizer="adamw")
    assert set(trial.params) == {"optimizer", "optimizer.weight_decay"}


def test_a_branch_of_a_choice_that_was_made_on_the_command_line():
    when = {"optimizer=sgd": {"optimizer.momentum": "interval(0.5, 0.9)"}}
    chosen = read_space({"optimizer": "choice(adamw, sgd)", **LR}, when, ["optimizer=sgd"])
    assert set(draw(chosen)[0].params) == {"optimizer.lr", "optimizer.momentum"}
    other = read_space({"optimizer": "choice(adamw, sgd)", **LR}, when, ["optimizer=adamw"])
    assert set(draw(other)[0].params) == {"optimizer.lr"}


def test_the_probes_meet_every_bound_and_choice():
    space = read_space(
        {"optimizer": "choice(adamw, sgd)", "model.dropout": "interval(0, 0.5)"},
        {"optimizer=sgd": {"optimizer.momentum": "interval(0.5, 0.9)"}},
        (),
    )
    met = {override for probe in space.probes() for override in probe}
    assert met == {
        "optimizer=adamw", "optimizer=sgd", "model.dropout=0.0", "model.dropout=0.5",
        "optimizer.momentum=0.5", "optimizer.momentum=0.9",
    }  # fmt: skip
    for probe in space.probes():
        assert ("optimizer=sgd" in probe) == any("momentum" in o for o in probe)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("interval(0.5, 0.1)", "upside down; did you mean interval(0.1, 0.5)"),
        ("interval(0.1, 0.1)", "is empty"),
        ("tag(log, interval(0, 0.1))", "must begin above 0"),
        ("tag(log, interval(-1, 0.1))", "must begin above 0"),
        ("range(3, 3)", "at least one value"),
        ("0.1", "is one value; write interval(low, high)"),
        ("interval(0.1", "cannot be read"),
    ],
)
def test_what_cannot_be_searched_is_said_with_its_key(expression, words):
    (line,) = problems({**LR, "model.dropout": expression})
    assert "model.dropout" in line
    assert words in line


def test_all_mistakes_are_named_at_once():
    found = problems({"a": "interval(1, 0)", "b": "7"}, {"c=d": {"e": "interval(0, 1)"}})
    assert [line.partition(" ")[0] for line in found] == ["search.space:"] * 2 + ["search.when:"]


def test_a_condition_that_never_holds():
    when = {"optimizer=adagrad": {"optimizer.eps": "interval(0, 1)"}}
    (line,) = problems({"optimizer": "choice(adamw, sgd)"}, when)
    assert "never holds" in line
    assert "adamw, sgd" in line


def test_an_empty_space():
    (line,) = problems()
    assert "search.space: is empty" in line

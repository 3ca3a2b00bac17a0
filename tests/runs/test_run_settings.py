"""What differs between configurations, and from the defaults as Hydra composes them."""

from __future__ import annotations

import pytest

from burnish.config.paths import conf_dir
from burnish.runs.settings import changed, defaults, differing, experiment_of
from launch import composed


def test_only_what_differs_is_told_and_of_classes_what_all_have():
    a = {"model": {"_target_": "x.MLP", "sizes": [1], "dropout": 0.1}, "lr": 0.001, "t": True}
    b = {"model": {"_target_": "y.CNN", "hidden": 8, "dropout": 0.5}, "lr": "1e-3", "t": 1}
    c = {**a, "lr": 0.01, "more": {"k": None}}
    assert dict(differing([a, b])) == {
        "model": ("MLP", "CNN"), "model.dropout": (0.1, 0.5), "t": ("true", 1),
    }  # fmt: skip
    assert dict(differing([a, c])) == {"lr": (0.001, 0.01), "more": ("-", "{...}")}
    assert dict(differing([a, a, a])) == {}


def test_an_experiment_is_the_same_with_another_seed_name_and_place():
    here = {"seed": 1, "paths": {"data": "d"}, "data": {"root": "d", "fold": 1, "x": 2}}
    there = {"name": "b", "paths": {"data": "e"}, "data": {"root": "e", "x": 2}}
    assert experiment_of(here) == experiment_of(there) == {"data": {"x": 2}}
    own = {**here, "data": {"root": "my/pictures"}}  # no data set of ours: the folder is the data
    assert experiment_of(own) == {"data": {"root": "my/pictures"}}


def test_the_defaults_differ_in_nothing_from_what_hydra_composes():
    assert changed(composed("name=any"), defaults(conf_dir())) == []


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["optimizer.lr=0.01"], {"optimizer.lr": (0.01, 0.001)}),
        (["optimizer.lr=1e-3", "seed=0"], {}),
        (["seed=4"], {"seed": (4, 0)}),
        (
            ["model=mlp", "model.sizes=[9]"],
            {"model": ("MLP", "SimpleCNN"), "model.sizes": ([9], "-"), "model.dropout": (0.2, 0.5)},
        ),
        (["callbacks.ema.enabled=true"], {"callbacks.ema.enabled": ("true", "false")}),
        (["trainer=cpu"], {"trainer.accelerator": ("cpu", "auto")}),
    ],
)
def test_what_was_typed_is_what_changed(typed, expected):
    found = changed(composed("name=any", *typed), defaults(conf_dir()))
    assert {key: values for key, *values in found} == {
        key: list(values) for key, values in expected.items()
    }

"""Where studies are kept: what cannot be used, and what belongs to another search, is refused."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import optuna
import pytest

from burnish.errors import ConfigError, RunError
from burnish.search.space import read_space
from burnish.search.storage import located, masked, open_existing, open_storage, open_study

SPACE = read_space({"optimizer.lr": "interval(0, 1)"}, {}, ())


def opened(storage, **changes):
    given = {
        "metrics": ["val/accuracy"], "directions": ["maximize"], "space": SPACE,
        "fixed": {"model._target_": "mlp", "trainer.max_epochs": 3},
        "sampler": optuna.samplers.RandomSampler(), "pruner": optuna.pruners.NopPruner(),
    }  # fmt: skip
    return open_study(located(storage, Path()), "s", **{**given, **changes})


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/study.db"


def test_the_second_opening_finds_the_first(url):
    opened(url).add_trial(optuna.create_trial(value=0.5))
    again = opened(url)
    assert [t.value for t in again.trials] == [0.5]
    assert again.metric_names == ["val/accuracy"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"directions": ["minimize"]}, "has the directions maximize, this search minimize"),
        ({"directions": ["maximize", "minimize"]}, "this search maximize, minimize"),
        ({"metrics": ["val/f1"]}, "optimises val/accuracy, this search val/f1"),
        (
            {"space": read_space({"optimizer.lr": "interval(0, 2)"}, {}, ())},
            "searches optimizer.lr",
        ),
        (
            {"fixed": {"model._target_": "cnn", "trainer.max_epochs": 3}},
            "begun with model._target_",
        ),
        ({"fixed": {"model._target_": "mlp"}}, "trainer.max_epochs: 3, this search has nothing"),
    ],
)
def test_another_search_under_the_same_name_is_refused(url, changes, words):
    values = [0.5] * len(opened(url).directions)
    opened(url).add_trial(optuna.create_trial(values=values))
    with pytest.raises(ConfigError) as caught:
        opened(url, **changes)
    assert words in str(caught.value)
    assert "search.study=" in str(caught.value)


def test_a_study_of_the_stock_sweeper_is_not_taken_over(url):
    study = optuna.create_study(
        study_name="s", storage=open_storage(located(url, Path())), direction="maximize"
    )
    study.add_trial(optuna.create_trial(value=1.0))
    with pytest.raises(ConfigError, match="was not made by this sweeper"):
        opened(url)


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "x.db"
    path.write_bytes(b"not a database at all, but long enough to be read as one" * 30)
    with pytest.raises(ConfigError, match=r"x\.db cannot be used: file is not a database"):
        opened(f"sqlite:///{path}")
    assert path.read_bytes().startswith(b"not a database")


def test_an_unreachable_server_is_named_without_its_password():
    with pytest.raises(ConfigError) as caught:
        opened("postgresql://me:secret@127.0.0.1:1/x")
    assert "me:***@127.0.0.1:1/x" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["://", "nosuchdb://host/x"])
def test_a_url_of_nothing(url):
    with pytest.raises(ConfigError, match=r"^search\.storage: "):
        opened(url)


def test_a_folder_knows_its_study_wherever_it_lies(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    opened(f"sqlite:///{folder}/study.db").add_trial(optuna.create_trial(value=0.5))
    (folder / "study.yaml").write_text(f"study: s\nstorage: {folder}/study.db\n")
    moved = folder.rename(tmp_path / "中 文=1%20?")
    assert [t.value for t in open_existing(moved).trials] == [0.5]


def test_looking_at_a_strangers_folder_writes_nothing(tmp_path):
    folder, victim = tmp_path / "a", tmp_path / "victim.db"
    folder.mkdir()
    with sqlite3.connect(victim) as database:
        database.execute("create table cookies (x)")
    before = victim.read_bytes()
    (folder / "study.yaml").write_text(f"study: s\nstorage: sqlite:///{victim}\n")
    with pytest.raises(RunError, match="if that is yours: --storage"):
        open_existing(folder)
    (folder / "study.db").symlink_to(victim)
    with pytest.raises(RunError, match="if that is yours: --storage"):
        open_existing(folder)
    with pytest.raises(ConfigError, match="cannot be used"):
        open_existing(folder, f"sqlite:///{victim}")
    assert victim.read_bytes() == before


def test_folders_that_are_of_no_sweep(tmp_path):
    with pytest.raises(RunError, match=r"holds no study\.yaml"):
        open_existing(tmp_path)
    (tmp_path / "study.yaml").write_text("[1, 2")
    with pytest.raises(RunError, match="must say study and storage"):
        open_existing(tmp_path)
    (tmp_path / "study.yaml").write_text("study: s\nstorage: null\n")
    with pytest.raises(RunError, match="kept in memory"):
        open_existing(tmp_path)
    (tmp_path / "study.db").touch()
    with pytest.raises((ConfigError, RunError)):
        open_existing(tmp_path)


def test_a_storage_is_a_file_of_the_folder_or_a_url(tmp_path):
    odd = tmp_path / "中 文=1%20"
    assert located("study.db", odd).database == str(odd / "study.db")
    assert located(None, odd) is None
    assert located("postgresql://me@host/x", odd).drivername == "postgresql+psycopg2"
    assert masked(located("study.db", odd)) == str(odd / "study.db")


def test_a_password_is_never_shown():
    url = located("postgresql://me:secret@host/x", Path())
    assert masked(url) == "postgresql+psycopg2://me:***@host/x"
    assert masked(None) == "memory"


def test_before_anything_counts_a_mistake_in_the_configuration_may_be_mended(url):
    study = opened(url)
    interrupted = optuna.create_trial(
        state=optuna.trial.TrialState.FAIL, user_attrs={"interrupted": True}
    )
    study.add_trial(interrupted)
    study.enqueue_trial({"optimizer.lr": 0.5})
    assert opened(url, fixed={"data.root": "right"}).user_attrs["fixed"] == {"data.root": "right"}

"""burnish study: what it says, writes and refuses, on studies in real files."""

from __future__ import annotations

import sys
from pathlib import Path

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from burnish.cli import command
from burnish.commands.study import main
from burnish.errors import ConfigError, RunError

optuna.logging.set_verbosity(optuna.logging.WARNING)
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

EVIL = "\x1b[31m<b>red</b>\nnext"
SPACE: dict[str, BaseDistribution] = {
    "optimizer.lr": FloatDistribution(1e-5, 1, log=True),
    "model": CategoricalDistribution(["mlp", EVIL]),
}


def make(folder: Path, *metrics: str, n_trials: int = 12) -> optuna.Study:
    """An empty study with the files that a search leaves."""
    folder.mkdir(parents=True)
    storage = f"sqlite:///{folder / 'study.db'}"
    (folder / "study.yaml").write_text(f"study: {folder.name}\nstorage: {storage}\n")
    directions = ["maximize", "minimize"][: len(metrics)]
    study = optuna.create_study(study_name=folder.name, storage=storage, directions=directions)
    study.set_metric_names(list(metrics))
    study.set_user_attr("n_trials", n_trials)
    study.set_user_attr(
        "command", f"python src/train.py -m search=mnist search.n_trials={n_trials}"
    )
    study.set_user_attr("repeat", "python src/train.py data=mnist")
    return study


def add(study: optuna.Study, *values: float, lr: float = 0.01, model: str = "mlp") -> None:
    params = {"optimizer.lr": lr, "model": model}
    overrides = [f"optimizer.lr={lr}", f"model='{model}'"]
    study.add_trial(
        create_trial(
            state=TrialState.COMPLETE if values else TrialState.FAIL,
            values=values or None,
            params=params,
            distributions=SPACE,
            user_attrs={
                "overrides": overrides, "epochs": 3, **({} if values else {"error": f"{EVIL} no"}),
            },
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six trials: values 0.50 to 0.54, of which the fourth is the best, and a failure."""
    folder = tmp_path_factory.mktemp("search") / "mnist"
    study = make(folder, "val/accuracy")
    for value, lr in ((0.50, 0.1), (0.53, 0.2), (0.51, 0.3), (0.54, 0.4), (0.52, 0.5)):
        add(study, value, lr=lr, model=EVIL if value == 0.54 else "mlp")
    add(study)
    return folder


def rows_after(text: str, title: str) -> list[list[str]]:
    """The table below a title, without its header."""
    lines = text.split(f"\n{title}\n")[1].split("\n\n")[0].splitlines()
    return [line.split() for line in lines[1:]]


def test_it_says_what_matters(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(searched), "--top", "3", "--no-page"]) == 0
    said = capsys.readouterr().out
    assert "trials      6 of 12: 5 complete, 1 failed; 6 remaining" in said
    assert "best        0.54 in trial 3" in said
    assert "18 in all" in said
    assert [row[:3] for row in rows_after(said, "best trials")] == [
        ["3", "0.54", "0.4"], ["1", "0.53", "0.2"], ["4", "0.52", "0.5"],
    ]  # fmt: skip
    assert "need at least 15 complete trials; there are 5" in said
    assert "python src/train.py data=mnist optimizer.lr=0.4 'model=" in said
    assert "python src/train.py -m search=mnist search.n_trials=12" in said
    assert "src/eval.py" not in said
    assert not (searched / "index.html").exists()


def test_no_control_character_reaches_the_terminal_and_no_markup_the_page(
    searched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(searched)]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\\x1b[31m<b>red</b> no" not in said  # the reason is the first line only
    assert "1 x  \\x1b[31m<b>red</b>" in said
    html = (searched / "index.html").read_text(encoding="utf-8")
    assert "\x1b" not in html
    assert "<b>red" not in html
    assert "&lt;b&gt;red" in html
    assert str(searched / "index.html") in said
    assert {"history.png", "parallel.png"} <= {path.name for path in searched.iterdir()}


def test_the_best_trial_is_scored_by_its_checkpoint(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "a search" / "x"
    study = make(folder, "val/accuracy")
    add(study, 0.5)
    add(study, 0.6)
    checkpoints = folder / "1" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "best.ckpt").touch()
    main([str(folder), "--no-page"])
    assert "python src/eval.py 'run='\"'\"'a search/x/1'\"'\"''" in capsys.readouterr().out


def test_the_front_of_two_objectives(tmp_path: Path, capsys) -> None:
    study = make(tmp_path / "two", "val/accuracy", "parameters")
    for accuracy, parameters in ((0.9, 1000), (0.8, 2000), (0.7, 10), (0.95, 5000)):
        add(study, accuracy, parameters)
    assert main([str(tmp_path / "two"), "--top", "2"]) == 0
    said = capsys.readouterr().out
    assert [row[:3] for row in rows_after(said, "Pareto front, 3 of 4 complete trials")][:2] == [
        ["3", "0.95", "5,000"], ["0", "0.9", "1,000"],
    ]  # fmt: skip
    assert "and 1 more on the front: --top 3 shows all" in said
    assert (tmp_path / "two" / "pareto-0-1.png").exists()


@pytest.mark.parametrize("failures", [0, 2])
def test_a_study_without_a_result(tmp_path: Path, capsys, failures: int) -> None:
    study = make(tmp_path / "none", "val/accuracy")
    for _ in range(failures):
        add(study)
    assert main([str(tmp_path / "none")]) == 0
    said = capsys.readouterr().out
    assert ("No trial is complete yet: 2 failed" if failures else "No trial was started") in said
    assert f"{12 - failures} remaining" in said
    assert "repeat" not in said


def test_what_is_refused(tmp_path: Path, searched: Path) -> None:
    with pytest.raises(RunError, match="is no folder"):
        main([str(tmp_path / "missing")])
    with pytest.raises(RunError, match=r"study\.yaml"):
        main([str(tmp_path)])
    with pytest.raises(ConfigError, match="--top: must be at least 1, found 0"):
        main([str(searched), "--top", "0"])
    with pytest.raises(ConfigError, match="nonsense does not exist"):
        main([str(searched), "--storage", "nonsense"])


@pytest.mark.parametrize(("argument", "code"), [("missing", 2), ("", 0), ("--help", 0)])
def test_exit_codes_and_no_traceback(
    searched: Path, capsys, monkeypatch, argument: str, code: int
) -> None:
    monkeypatch.setattr(sys, "argv", ["burnish", argument or str(searched), "--no-page"])
    with pytest.raises(SystemExit) as exit_:
        command("study")
    assert exit_.value.code == code
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    assert ("error: missing: is no folder" in shown.err) == (code == 2)

"""Searches that are killed, stopped, starved of memory or typed wrong."""

from __future__ import annotations

import random
import signal
import time

import pytest
from optuna.trial import TrialState
from sweeps import LR, OWN, arguments, search, sweep_in, write_project

from launch import start


@pytest.fixture
def project(tmp_path):
    return write_project(tmp_path)


def assert_tried_again(sweep, numbers):
    """Their parameters are those of a finished trial that says so."""
    again = {t.user_attrs.get("again_of"): t for t in sweep.trials}
    for number in numbers:
        interrupted = sweep.trials[number]
        assert interrupted.state == TrialState.FAIL
        assert interrupted.user_attrs["interrupted"] is True
        assert again[number].params == interrupted.params
        assert again[number].user_attrs["attempt"] == 2


def killed_and_gone_on(here, moment, *more):
    """A process that is killed in its third trial; this one goes on."""
    (here.cwd / "moment").write_text(moment)
    words = (*OWN, LR, "search.n_trials=5", *more)
    assert search(*words, cwd=here.cwd).returncode == -signal.SIGKILL
    sweep = sweep_in(here.cwd)
    assert sweep.states() == ["COMPLETE", "COMPLETE", "RUNNING"]
    mark = sweep.folder / "1" / "mark"
    mark.touch()
    before = (sweep.folder / "1" / "result.json").read_text()
    done = here(*words)
    assert done.code == 0, done.out + done.err
    assert "interrupted before: trials 2" in done.out
    assert len(sweep.finished()) == 5
    assert set(sweep.states()) == {"COMPLETE", "FAIL"}
    assert_tried_again(sweep, [2])
    assert mark.exists()
    assert (sweep.folder / "1" / "result.json").read_text() == before
    assert len({t.params["optimizer.lr"] for t in sweep.finished()}) == 5
    return sweep


def test_a_killed_search_goes_on_where_it_was_killed(project, here):
    sweep = killed_and_gone_on(here, "training KILL 3")
    assert here(*OWN, LR, "search.n_trials=7").code == 0
    assert len(sweep.finished()) == 7
    before = len(sweep.trials)
    done = here(*OWN, LR, "search.n_trials=7")
    assert done.code == 0
    assert len(sweep.trials) == before
    assert "7 finished before" in done.out


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["building", "validating"])
def test_the_moment_of_the_kill_does_not_matter(project, here, moment):
    killed_and_gone_on(here, f"{moment} KILL 3")


@pytest.mark.slow
def test_a_kill_while_parameters_are_drawn_loses_none(project, here):
    killed_and_gone_on(here, "asking KILL 2", BY_CODE)


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing(project, here):
    words = (*OWN, LR, "search.n_trials=12", "trainer.max_epochs=6")
    for i in range(4):
        process = start("train", *arguments(*words), cwd=here.cwd)
        sweep = sweep_in(here.cwd)
        while process.poll() is None and len(list(sweep.folder.glob("*/result.json"))) < 2 * i + 1:
            time.sleep(0.1)
        time.sleep(random.Random(i).uniform(0, 0.8))
        process.kill()
        process.communicate()
    assert here(*words).code == 0
    assert len(sweep.finished()) == 12
    assert set(sweep.states()) <= {"COMPLETE", "FAIL", "PRUNED"}
    interrupted = [t.number for t in sweep.trials if t.user_attrs.get("interrupted")]
    assert len(sweep.trials) == 12 + len(interrupted)
    assert interrupted
    attempts = {t.user_attrs.get("again_of") for t in sweep.trials}
    assert set(interrupted) <= attempts


BY_CODE = "hydra.sweeper.custom_search_space=mine.extend"


def test_a_space_by_code_needs_trust(project, here):
    refused = here(LR, "search.n_trials=1", BY_CODE)
    assert refused.code == 2
    assert refused.err.startswith("error: hydra.sweeper.custom_search_space: mine.extend")
    assert "trust=[mine]" in refused.err
    done = here(*OWN, LR, "search.n_trials=1", BY_CODE)
    assert done.code == 0, done.err
    (trial,) = sweep_in(project).trials
    assert set(trial.params) == {"optimizer.lr", "optimizer.weight_decay"}


@pytest.mark.parametrize("lost", ["memory", "file"])
def test_a_new_study_overwrites_no_run_of_a_former_one(here, lost):
    """It begins again at trial 0, in a folder that holds another trial 0."""
    words = (LR, "search.n_trials=2", *(["search.storage=null"] if lost == "memory" else []))
    assert here(*words).code == 0
    folder = sweep_in(here.cwd).folder
    (folder / "study.db").unlink(missing_ok=True)
    before = {path: path.read_bytes() for path in folder.glob("[0-9]*/**/*") if path.is_file()}
    assert before
    here(*words, "optimizer=sgd")
    assert {path: path.read_bytes() for path in before if path.is_file()} == before


def test_ctrl_c_stops_a_search_that_goes_on_later(project, here):
    (project / "moment").write_text("training INT 2")
    words = (*OWN, LR, "search.n_trials=3")
    stopped = here(*words)
    assert stopped.code == 130
    assert "the same command goes on" in stopped.out
    assert "Traceback" not in stopped.err
    sweep = sweep_in(project)
    assert sweep.states() == ["COMPLETE", "FAIL", "WAITING"]
    assert sweep.result(1)["status"] == "interrupted"
    assert here(*words).code == 0
    assert len(sweep.finished()) == 3
    assert_tried_again(sweep, [1])


ERRORS = {
    3: "nan",
    5: 'KeyError: "the user\'s own mistake"',
    7: "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB",
}


def test_failed_trials_do_not_take_the_others_with_them(project, here):
    done = here(*OWN, "search=grid", "model.number=0,1,2,3,4,5,6,7,8,9")
    assert done.code == 0, done.out + done.err
    sweep = sweep_in(project)
    by_number = {t.params["model.number"]: t for t in sweep.trials}
    assert sorted(by_number) == list(range(10))
    failed = {n: t for n, t in by_number.items() if t.state == TrialState.FAIL}
    assert sorted(failed) == sorted(ERRORS)
    for number, trial in failed.items():
        assert ERRORS[number] in trial.user_attrs["error"]
        result = sweep.result(trial.number)
        assert result["status"] == "failed"
        assert result["exception"]
    for number in (5, 7):
        log = (sweep.folder / str(failed[number].number) / "train.log").read_text()
        assert "Traceback" in log
        assert "mine.py" in log
    assert all(t.state == TrialState.COMPLETE for n, t in by_number.items() if n not in ERRORS)
    # Each net was the only one when it was made: no trial, failed or not, outlived its end.
    assert set((project / "alive.txt").read_text().split()) == {"1"}


def test_if_every_trial_fails_the_reason_is_said(project, here):
    done = here(*OWN, LR, "model.fault=raise", "search.n_trials=2")
    assert done.code == 2
    assert "none of 2 trials ended well" in done.err
    assert ERRORS[5] in done.err
    assert "Traceback" not in done.out + done.err


# What is typed, and what the one line that answers it must say.
MISTAKES = {
    "optimizer.lrr=interval(0,1)": "optimizer.lrr: there is no such key",
    "optimizer.lr=interval(1,0)": "optimizer.lr: interval(1,0) is upside down",
    "optimizer.lr=interval(1,1)": "optimizer.lr: interval(1,1) is empty",
    "optimizer.lr=tag(log,interval(0,1))": "optimizer.lr: tag(log,interval(0,1)) cannot be log",
    "model.dropout=interval(0,1.5)": "model.dropout: must be a number at least 0 and below 1",
    f"{LR} monitor=val/accurcy": "monitor: no metric is named 'val/accurcy'",
    f"{LR} monitor=val/loss": "mode: val/loss is better when it is minimal; set mode=min",
    f"{LR} hydra.sweeper.direction=foo": "hydra.sweeper.direction: val/accuracy needs",
    f"{LR} search.n_trials=0": "search.n_trials: must be a whole number of at least 1",
    f"{LR} +search.ntrials=3": "search.ntrials: nothing reads this key; did you mean",
    f"{LR} search.final=eval search.keep_checkpoints=none": "search.final: eval scores the best",
    f"search=grid {LR}": "optimizer.lr: a grid needs separate values",
    f"{LR} test=true": "test: the test split is no guide",
    f"{LR} search.n_jobs=2": "search.n_jobs: 2 jobs at once need a launcher",
    f"{LR} hydra.sweeper.n_trials=3": "hydra.sweeper.n_trials: ",
    f"{LR} search.storage=postgresql://me:secret@localhost:1/x": "search.storage: postgresql+psycopg2://me:***@",
    "": "search.space: is empty",
}


@pytest.mark.parametrize("typed", MISTAKES)
def test_a_mistake_is_answered_before_the_first_trial(here, typed):
    done = here(*typed.split())
    assert done.code == 2
    assert done.err.startswith(f"error: {MISTAKES[typed]}"), done.err
    assert done.err.count("\n") == 1
    assert "secret" not in done.err
    assert not list(here.cwd.iterdir())


def test_a_file_that_is_no_database_is_named(here):
    file = here.cwd / "study.db"
    file.write_text("optimizer.lr,accuracy\n" * 100)
    done = here(LR, f"search.storage=sqlite:///{file}")
    assert done.code == 2
    assert "study.db cannot be used: file is not a database" in done.err
    assert done.err.count("\n") == 1
    assert file.read_text() == "optimizer.lr,accuracy\n" * 100


def test_a_search_needs_many_runs(here):
    done = here.command(*arguments(LR)[1:])
    assert done.code == 2
    done = here.command("search=default", "model=mlp")
    assert done.code == 2, sorted(here.cwd.rglob("*"))
    assert done.err.startswith("error: search: is for many runs: add -m")
    assert not list(here.cwd.rglob("*.*"))


OTHERS = {
    "monitor=val/loss mode=min": "has the directions maximize, this search minimize",
    "optimizer.lr=tag(log,interval(1e-4,1))": "searches optimizer.lr: ",
    "model.dropout=interval(0,0.5)": "searches model.dropout: nothing",
    "data.limit=150": "was begun with data.limit: 200, this search has 150",
    "optimizer=sgd": "was begun with optimizer._target_: torch.optim.AdamW",
}


def test_a_study_is_not_continued_with_another_experiment(here):
    assert here(LR, "search.n_trials=1").code == 0
    sweep = sweep_in(here.cwd)
    for typed, answer in OTHERS.items():
        done = here(*([] if typed.startswith("optimizer.lr") else [LR]), *typed.split())
        assert done.code == 2, typed
        assert "search.study: study 'tiny' in outputs/search/tiny/study.db" in done.err
        assert answer in done.err, done.err
        assert "choose another name: search.study=" in done.err
        assert "Traceback" not in done.err
    assert len(sweep.trials) == 1

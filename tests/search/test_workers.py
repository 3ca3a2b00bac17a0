"""Trials of dead workers are failed and tried again; those of living ones are left alone."""

from __future__ import annotations

import subprocess
import sys
import time

import optuna
import pytest
from optuna.trial import TrialState

from burnish.search.storage import located, open_storage
from burnish.search.workers import MOST_ATTEMPTS, Worker, bury, is_alive


@pytest.fixture
def study(tmp_path):
    return optuna.create_study(study_name="s", storage=open_storage(located("s.db", tmp_path)))


def asked(study, worker):
    trial = study.ask()
    trial.set_user_attr("worker", worker)
    trial.suggest_float("x", 0, 1)
    return trial


def states(study):
    return [t.state for t in study.get_trials(deepcopy=False)]


def test_a_living_workers_trial_is_left_alone(study):
    with Worker(study) as worker:
        asked(study, worker.id)
        assert is_alive(worker.id, study.user_attrs)
        assert bury(study, study.trials) == []
    assert states(study) == [TrialState.RUNNING]


def test_a_killed_workers_trial_is_tried_again(study, tmp_path):
    code = f"""
import optuna, os, signal
from burnish.search.storage import located, open_storage
from burnish.search.workers import Worker
from pathlib import Path
storage = open_storage(located("s.db", Path({str(tmp_path)!r})))
study = optuna.load_study(study_name="s", storage=storage)
with Worker(study) as worker:
    trial = study.ask(); trial.set_user_attr("worker", worker.id); trial.suggest_float("x", 0, 1)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert bury(study, study.trials) == [0]
    assert bury(study, study.trials) == []
    first, second = study.trials
    assert first.state == TrialState.FAIL
    assert first.user_attrs["interrupted"] is True
    assert second.state == TrialState.WAITING
    again = study.ask()
    assert again.suggest_float("x", 0, 1) == first.params["x"]
    assert again.user_attrs["again_of"] == 0


def test_a_worker_of_another_machine_lives_by_its_heartbeat(study):
    for age, alive in ((10, True), (3600, False)):
        beat = {"machine": "elsewhere", "beat": time.time() - age}
        assert is_alive("elsewhere-1", {"worker elsewhere-1": beat}) is alive
    assert not is_alive("unknown", {})


def test_parameters_that_kill_every_time_are_given_up(study):
    asked(study, "gone-1")
    for attempt in range(1, MOST_ATTEMPTS + 1):
        assert len(bury(study, study.trials)) == 1
        if attempt < MOST_ATTEMPTS:
            asked(study, "gone-1")
    assert states(study) == [TrialState.FAIL] * MOST_ATTEMPTS
    assert [t.user_attrs["interrupted"] for t in study.trials] == [True] * 3 + [False]
    assert "not again" in study.trials[-1].user_attrs["error"]


def test_only_one_of_two_workers_puts_it_back(study, tmp_path):
    asked(study, "gone-1")
    other = optuna.load_study(study_name="s", storage=open_storage(located("s.db", tmp_path)))
    seen = other.get_trials(deepcopy=False)
    assert bury(study, study.trials) == [0]
    assert bury(other, seen) == []
    assert states(study).count(TrialState.WAITING) == 1

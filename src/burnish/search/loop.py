"""The trial loop: ask for parameters, launch, tell; again and again until the total is reached."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from burnish.errors import DataError
from burnish.runs.console import open_log, say
from burnish.runs.outcome import Outcome, described
from burnish.search.devices import Devices
from burnish.search.launching import Job, Launch, quoted
from burnish.search.results import (
    LiveTable,
    best_trials,
    drop_checkpoints,
    is_finished,
    write_results,
)
from burnish.search.settings import Settings
from burnish.search.space import Space
from burnish.search.trial import ASKED
from burnish.search.workers import Worker, bury, requeue

# Extends a trial by code: the stock sweeper's custom_search_space, config and log already bound.
Extend = Callable[[optuna.Trial], None]


@dataclass
class Loop:
    """Trials of one study until there are as many as asked for, over all starts and machines.

    Args:
        study: opened.
        space: what varies.
        settings: of the search.
        metrics: names of the objectives.
        folder: of the sweep; a trial's run folder lies in it, named by its number.
        launch: runs jobs.
        extend: adds parameters to a trial by code.
        failing: the share of failed trials above which it gives up; 1: never.
    """

    study: optuna.Study
    space: Space
    settings: Settings
    metrics: Sequence[str]
    folder: Path
    launch: Launch
    extend: Extend | None = None
    failing: float = 1.0

    def run(self) -> None:
        """Run trials until the total is reached."""
        self._ended = self._failed = 0
        self._dropped: set[int] = set()
        self._table = LiveTable(self.metrics, self.settings.n_trials)
        with (
            Devices(self.settings.devices or (), self.settings.n_jobs) as devices,
            Worker(self.study) as self._worker,
        ):
            self._held: list[optuna.Trial] = []
            try:
                while self._ask():
                    self._launch(devices)
                    if self._failed > self.failing * self._ended:
                        say(f"{self._failed} of {self._ended} failed, more than max_failure_rate")
                        break
            except BaseException as error:  # Ctrl-C and SIGTERM are not Exceptions
                self._give_back(described(error))
                raise

    def _ask(self) -> bool:
        """Hold as many trials as run at once, unless the total is reached before."""
        trials = self.study.get_trials(deepcopy=False)
        if buried := bury(self.study, trials):
            numbers = ", ".join(map(str, buried))
            say(f"interrupted before: trials {numbers}; their parameters are tried again")
            trials = self.study.get_trials(deepcopy=False)
        taken = sum(is_finished(t) or t.state == TrialState.RUNNING for t in trials)
        for _ in range(min(self.settings.n_jobs, self.settings.n_trials - taken)):
            self._draw()
        return bool(self._held)

    def _draw(self) -> None:
        trial = self.study.ask()
        self._held.append(trial)
        trial.set_user_attr("worker", self._worker.id)
        overrides = self.space.suggest(trial)
        if self.extend is not None:
            known = set(trial.params)
            self.extend(trial)
            overrides += [f"{n}={v}" for n, v in trial.params.items() if n not in known]
        trial.set_user_attr("overrides", overrides)
        ASKED[self.study.study_name, trial.number] = trial

    def _launch(self, devices: Devices) -> None:
        jobs = [self._job(trial, devices.override(i)) for i, trial in enumerate(self._held)]
        for outcome in self.launch(jobs):
            open_log(self.folder / "sweep.log")
            if outcome.refused and self._ended == 0:
                raise DataError(outcome.error)  # no other trial would find its data either
            self._tell(self._held[0], outcome)
            ASKED.pop((self.study.study_name, self._held.pop(0).number), None)

    def _give_back(self, reason: str) -> None:
        open_log(self.folder / "sweep.log")
        for trial in self._held:
            requeue(self.study, _frozen(trial), reason)
            ASKED.pop((self.study.study_name, trial.number), None)
        self._write()
        say("stopped; the same command goes on, with the parameters of what was interrupted")

    def _job(self, trial: optuna.Trial, device: Sequence[str]) -> Job:
        overrides = (
            *self.space.fixed,
            *trial.user_attrs["overrides"],
            *device,
            f"search.trial={trial.number}",
            f"search.study={quoted(self.study.study_name)}",
        )
        return Job(self.folder / str(trial.number), overrides)

    def _tell(self, trial: optuna.Trial, outcome: Outcome) -> None:
        error = outcome.error or self._wrong(outcome.values)
        self._ended += 1
        self._failed += bool(error)
        if error:
            trial.set_user_attr("error", error[:2000])
        else:
            trial.set_user_attr("epochs", outcome.epochs)
        trial.set_user_attr("seconds", outcome.seconds)
        try:
            if error:
                self.study.tell(trial, state=TrialState.FAIL)
            elif outcome.pruned:
                self.study.tell(trial, state=TrialState.PRUNED)
            else:
                self.study.tell(trial, outcome.values)
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
            say(f"trial {trial.number}: another worker had given it up")
        trials = self._write()
        self._table.row(self.study, trials[trial.number], trials)

    def _wrong(self, values: Sequence[float]) -> str:
        if len(values) != len(self.metrics):
            return f"{self.metrics[0]} was never measured"
        wrong = [f"{n} is {v}" for n, v in zip(self.metrics, values, strict=True) if math.isnan(v)]
        return ", ".join(wrong)

    def _write(self) -> list[FrozenTrial]:
        trials = self.study.get_trials(deepcopy=False)
        write_results(self.study, trials, self.folder, self.metrics)
        if self.settings.keep_checkpoints != "all":
            best = best_trials(self.study, trials)
            kept = best if self.settings.keep_checkpoints == "best" else []
            # Who was dropped never becomes the best again: the folders are gone through once.
            ended = {t.number for t in trials if t.state.is_finished()}
            outdone = ended - {t.number for t in kept} - self._dropped
            drop_checkpoints(self.folder, outdone)
            self._dropped |= outdone
        return trials


def _frozen(trial: optuna.Trial) -> FrozenTrial:
    return trial.study._storage.get_trial(trial._trial_id)

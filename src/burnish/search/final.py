"""What is done with the best trial when a search has ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState

from burnish.errors import RunError, TrainingError
from burnish.runs.console import open_log, say, short, table
from burnish.runs.folder import RunFolder
from burnish.runs.grouping import repeats_table
from burnish.runs.listing import read
from burnish.search.launching import Job, Launch
from burnish.search.results import best_trials
from burnish.search.settings import Settings
from burnish.search.space import Space

# Scores a run's best checkpoint on the test split.
Score = Callable[[Path], Any]


def finish(
    study: optuna.Study,
    space: Space,
    settings: Settings,
    folder: Path,
    launch: Launch,
    score: Score,
    seed: int,
) -> None:
    """Do what ``search.final`` asks for, unless that was done for this trial before.

    Args:
        study: ended.
        space: of the study.
        settings: of the search.
        folder: of the sweep.
        launch: runs jobs.
        score: evaluates a run folder on the test split.
        seed: of the trials; repetitions count on from it.
    """
    trials = study.get_trials(deepcopy=False)
    best = best_trials(study, trials)
    if settings.final == "none" or not best:
        return
    if any(trial.state == TrialState.RUNNING for trial in trials):
        say(
            f"\nother workers still run trials: the last of them does search.final={settings.final}"
        )
        return
    with FileLock(folder / "final.lock"):
        if settings.final == "eval":
            _evaluate(folder / str(best[0].number), best[0].value, score)
        else:
            _retrain(best[0], space, settings, folder, launch, seed)


def _evaluate(run: Path, value: float | None, score: Score) -> None:
    say(f"\nthe best trial's checkpoint on the test split, {short(run)}")
    if not (run / "checkpoints" / "best.ckpt").is_file():
        raise RunError(
            f"search.final: {short(run)} holds no checkpoint here; the worker that ran it has it"
        )
    if (now := RunFolder(run).read_json("result")["best"]["value"]) != value:
        raise RunError(
            f"search.final: {short(run)} was trained on since: {now}, in the search {value}; use "
            "search.final=retrain"
        )
    score(run)


def _retrain(
    best: FrozenTrial,
    space: Space,
    settings: Settings,
    folder: Path,
    launch: Launch,
    seed: int,
) -> None:
    seeds = range(seed, seed + settings.final_seeds)
    runs = [folder / "final" / f"trial-{best.number}-seed-{s}" for s in seeds]
    todo = [(run, s) for run, s in zip(runs, seeds, strict=True) if not _done(run)]
    say(
        f"\ntrial {best.number} is trained anew with {len(runs)} seed(s), {short(folder / 'final')}"
    )
    jobs = [
        Job(run, (*space.fixed, *best.user_attrs["overrides"], "test=true", f"seed={s}"))
        for run, s in todo
    ]
    for job, outcome in zip(jobs, launch(jobs) if jobs else (), strict=True):
        open_log(folder / "sweep.log")
        if outcome.error:
            raise TrainingError(f"{short(job.folder)}: {outcome.error}")
        say(f"  {short(job.folder)}: {outcome.values[0]:.4f}")
    say(f"\nmean ± standard deviation over {len(runs)} seeds")
    say(table(repeats_table([read(run) for run in runs])))


def _done(run: Path) -> bool:
    try:
        return bool(RunFolder(run).read_json("result").get("status") == "finished")
    except RunError:
        return False

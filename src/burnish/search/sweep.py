"""A search from its configuration to its end: check, open the study, run the trials, sum up."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import optuna
import yaml
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from optuna.exceptions import StorageInternalError
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from burnish.errors import RunError, TrainingError
from burnish.report.study_facts import StudyFacts
from burnish.runs.console import open_log, say, short
from burnish.runs.folder import write_atomically
from burnish.search.checks import (
    Parts,
    directions_of,
    identity,
    refuse_runs_of_another,
    refuse_what_fails,
    settings_of,
)
from burnish.search.final import Score, finish
from burnish.search.launching import ByLauncher, InProcess, Launch
from burnish.search.loop import Extend, Loop
from burnish.search.repeat import repeated
from burnish.search.results import is_finished
from burnish.search.sampling import grid_of, is_grid, sampler_of
from burnish.search.settings import Settings
from burnish.search.space import read_space
from burnish.search.storage import located, masked, open_study, reason

BASIC_LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


def search(
    config: DictConfig,
    context: HydraContext,
    task: TaskFunction,
    arguments: Sequence[str],
    parts: Parts,
    *,
    around: Callable[[], AbstractContextManager[Any]],
    score: Score,
) -> None:
    """Run a search.

    Args:
        config: of the sweep, composed by Hydra.
        context: of Hydra.
        task: what Hydra runs for each job.
        arguments: the overrides as typed.
        parts: sampler, pruner and the rest of ``hydra.sweeper``.
        around: opened around the trials that run in this process.
        score: evaluates a run folder on the test split.

    Raises:
        ConfigError: for everything that is wrong with the search, before its first trial.
        TrainingError: if no trial ended well.
    """
    given = settings_of(config)
    inside = config.hydra.launcher._target_ == BASIC_LAUNCHER
    directions = directions_of(config, given, parts, inside=inside)
    choices = config.hydra.runtime.choices
    space = read_space({**given.space, **parts.params}, given.when, arguments, choices)
    sampler = sampler_of(parts.sampler, parts.seed, space)
    if is_grid(parts.sampler):
        points = prod(map(len, grid_of(space).values()))
        given = replace(given, n_trials=min(given.n_trials, points))
    jobs = InProcess(context, task, config)
    refuse_what_fails(jobs, space, arguments)
    folder = Path(config.hydra.sweep.dir).absolute()
    if given.storage and "://" not in given.storage:
        folder.mkdir(parents=True, exist_ok=True)
    url = located(given.storage, folder)
    metrics = [config.monitor, *given.against]
    study = open_study(
        url,
        given.study,
        metrics,
        directions,
        space,
        identity(config, space),
        sampler=sampler,
        pruner=parts.pruner,
    )
    refuse_runs_of_another(study, folder)
    folder.mkdir(parents=True, exist_ok=True)
    _describe(study, given, url, folder, repeated(context.config_loader, config, arguments))
    launch = jobs if inside else _launcher(config, context, task)
    extend: Extend | None = partial(parts.extend, config) if parts.extend else None
    try:
        with around(), _database_errors(url):
            Loop(study, space, given, metrics, folder, launch, extend, parts.failing).run()
            open_log(folder / "sweep.log")
            _sum_up(study, folder, kept=url is not None)
            finish(study, space, given, folder, launch, score, int(config.seed))
    finally:
        open_log(None)


def _launcher(config: DictConfig, context: HydraContext, task: TaskFunction) -> Launch:
    launcher = Plugins.instance().instantiate_launcher(
        config=config, hydra_context=context, task_function=task
    )
    return ByLauncher(launcher)


@contextmanager
def _database_errors(url: URL | None) -> Iterator[None]:
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        raise RunError(
            f"search.storage: {masked(url)}: {reason(error)}; the same command goes on later"
        ) from error


def _describe(
    study: optuna.Study, given: Settings, url: URL | None, folder: Path, repeat: str
) -> None:
    """Leave beside the trials what ``burnish study`` needs, and say what begins."""
    typed = ["python", *sys.argv] if sys.argv[0].endswith(".py") else ["burnish", *sys.argv[1:]]
    hidden = [
        w if not w.lstrip("+").startswith("search.storage=") else "search.storage=..."
        for w in typed
    ]
    for key, value in (
        ("command", shlex.join(hidden)),
        ("repeat", repeat),
        ("n_trials", given.n_trials),
    ):
        if study.user_attrs.get(key) != value:
            study.set_user_attr(key, value)
    plain = {
        "study": given.study,
        "storage": masked(url) if url is not None else None,
        "command": shlex.join(hidden),
    }
    write_atomically(folder / "study.yaml", yaml.safe_dump(plain, sort_keys=False))
    open_log(folder / "sweep.log")
    trials = study.get_trials(deepcopy=False)
    done = sum(map(is_finished, trials))
    say(f"study       {given.study} in {masked(url)}")
    say(f"trials      {given.n_trials} in all, {done} finished before; run folders in "
        f"{short(folder)}\n")  # fmt: skip


def _sum_up(study: optuna.Study, folder: Path, *, kept: bool) -> None:
    facts = StudyFacts(study)
    counts = ", ".join(f"{count} {kind}" for kind, count in facts.counts.items() if count)
    say(f"\n{counts}; {facts.epochs:,} epochs")
    if facts.counts["running"]:
        say(f"{facts.counts['running']} still run, held by other workers")
    if not facts.ranked:
        raise _all_failed(facts, folder)
    for trial in facts.ranked[: 1 if facts.single else 10]:
        values = zip(facts.metrics, trial.values, strict=True)
        say(f"best        trial {trial.number}: {'  '.join(f'{n} {v:.6g}' for n, v in values)}")
    say(f"repeat      {facts.repeat(facts.ranked[0])}")
    if kept:
        say(f"look        burnish study {shlex.quote(short(folder))}")


def _all_failed(facts: StudyFacts, folder: Path) -> TrainingError:
    reason, trials = facts.failures[0] if facts.failures else ("pruned", [])
    return TrainingError(
        f"search: none of {facts.ended} trials ended well; {len(trials)} of them: {reason}; what "
        f"they left is in {short(folder)}"
    )

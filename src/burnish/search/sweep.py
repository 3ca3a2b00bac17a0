"""A search from its configuration to its end: check, open the study, run the trials, sum up."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import optuna
import yaml
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler, GridSampler, QMCSampler

from burnish.config.check import check
from burnish.config.compose import COMPOSITION_ERRORS, explain
from burnish.config.plain import resolved, trusted
from burnish.config.rules import leaves
from burnish.config.typed import config_dirs
from burnish.errors import ConfigError, TrainingError
from burnish.report.study_facts import StudyFacts
from burnish.runs.console import open_log, say, short
from burnish.runs.folder import write_atomically
from burnish.search.final import Score, finish
from burnish.search.launching import ByLauncher, InProcess, Launch
from burnish.search.loop import Extend, Loop
from burnish.search.repeat import repeated
from burnish.search.results import is_finished
from burnish.search.sampling import Grid, SeededByTrial
from burnish.search.settings import Settings, settings
from burnish.search.space import Space, read_space
from burnish.search.storage import masked, open_study

# Keys by which the start of a search may differ from the one it goes on with.
OF_THE_MACHINE = (
    "search.", "hydra.", "paths.", "name", "test", "trust", "traceback", "resume", "logger.",
    "callbacks.progress", "data.root", "data.num_workers", "data.device_resident", "data.download",
    "data.cache_dir", "trainer.accelerator", "trainer.devices", "trainer.num_nodes",
    "trainer.strategy", "trainer.enable_", "trainer.default_root_dir",
)  # fmt: skip
# What the stock sweeper reads under other names; conf/search fills it in.
STOCK_KEYS = {
    "n_trials": "n_trials", "n_jobs": "n_jobs", "storage": "storage", "study_name": "study",
}  # fmt: skip
BASIC_LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


@dataclass(frozen=True)
class Parts:
    """What Hydra's plugin makes of its part of the configuration.

    Args:
        sampler: makes a sampler from a seed, or from a grid and a seed.
        pruner: stops trials that fall behind.
        direction: of the monitored metric, as configured.
        seed: of the sampler; None: another at every start.
        params: a search space in the stock sweeper's place for it.
        extend: the stock sweeper's ``custom_search_space``.
        failing: the stock sweeper's ``max_failure_rate``.
    """

    sampler: Callable[..., BaseSampler]
    pruner: BasePruner
    direction: Any
    seed: int | None
    params: Mapping[str, Any]
    extend: Callable[[DictConfig, optuna.Trial], None] | None
    failing: float


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
    given = _settings(config)
    inside = config.hydra.launcher._target_ == BASIC_LAUNCHER
    directions = _directions(config, given, parts, inside)
    space = read_space({**given.space, **parts.params}, given.when, arguments)
    given = _within_grid(given, parts, space)
    jobs = InProcess(context, task, config)
    _refuse_what_fails(jobs, space, arguments)
    folder = Path(config.hydra.sweep.dir).absolute()
    metrics = [config.monitor, *given.against]
    study = open_study(
        given.storage,
        given.study,
        metrics,
        directions,
        space,
        _identity(config, space),
        sampler=_sampler(parts, space),
        pruner=parts.pruner,
    )
    _refuse_runs_of_another(study, folder)
    folder.mkdir(parents=True, exist_ok=True)
    _describe(study, given, folder, repeated(context.config_loader, config, arguments))
    launch: Launch = jobs
    if not inside:
        launch = ByLauncher(
            Plugins.instance().instantiate_launcher(
                config=config, hydra_context=context, task_function=task
            )
        )
    extend: Extend | None = partial(parts.extend, config) if parts.extend else None
    try:
        with around():
            Loop(study, space, given, metrics, folder, launch, extend, parts.failing).run()
            open_log(folder / "sweep.log")
            _sum_up(study, folder, kept=given.storage is not None)
            finish(study, space, given, folder, launch, score, int(config.seed))
    finally:
        open_log(None)


def _settings(config: DictConfig) -> Settings:
    if OmegaConf.select(config, "search") is None:
        raise ConfigError(
            "search: hydra/sweeper=burnish_optuna needs one: add search=default to the command"
        )
    node: Any = resolved(config.search)
    return settings(node)


def _directions(config: DictConfig, given: Settings, parts: Parts, inside: bool) -> list[str]:
    problems = [
        f"hydra.sweeper.{key}: is not read; write search.{ours}={value}"
        for key, ours in STOCK_KEYS.items()
        if (value := config.hydra.sweeper.get(key)) != getattr(given, ours)
    ]
    direction = getattr(parts.direction, "name", parts.direction)
    expected = {"max": "maximize", "min": "minimize"}.get(config.mode)
    if direction not in ("maximize", "minimize"):
        problems.append(
            f"hydra.sweeper.direction: {config.monitor} needs maximize or minimize, "
            f"found {direction!r}"
        )
    elif expected is not None and direction != expected:
        problems.append(
            f"hydra.sweeper.direction: {direction}, but mode={config.mode} keeps the other best "
            f"checkpoint of {config.monitor}; leave it at {expected}"
        )
    if config.test:
        problems.append(
            "test: the test split is no guide in a search, so no trial is scored on it; leave "
            "test=false and add search.final=eval or search.final=retrain"
        )
    if given.against and not isinstance(parts.pruner, NopPruner):
        problems.append(
            "hydra/sweeper/pruner: with search.against there is no order in which a trial could "
            "fall behind; add hydra/sweeper/pruner=none"
        )
    if inside and given.n_jobs > 1:
        problems.append(
            f"search.n_jobs: {given.n_jobs} jobs at once need a launcher: hydra/launcher=joblib "
            "(or start the same command several times)"
        )
    if not inside and given.storage is None:
        problems.append(
            "search.storage: jobs in other processes find their trial through a database; "
            "null keeps the study in this one"
        )
    if problems:
        raise ConfigError(problems)
    return [direction, *["minimize"] * len(given.against)]


def _refuse_what_fails(jobs: InProcess, space: Space, arguments: Sequence[str]) -> None:
    """Compose and check trials from the edges of the space: a mistake must not wait its turn."""
    problems: list[str] = []
    for probe in space.probes():
        overrides = [*space.fixed, *probe]
        try:
            config = jobs.compose(overrides)
        except COMPOSITION_ERRORS as error:
            found, _ = explain("train", overrides, config_dirs(sys.argv)[0])
            problems += found or [" ".join(str(error).split())]
            continue
        with open_dict(config):
            del config["hydra"], config["search"]
        problems += check(resolved(config), trusted(config, [*arguments]))
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))


def _refuse_runs_of_another(study: optuna.Study, folder: Path) -> None:
    """A database that was deleted, moved or kept in memory begins at trial 0 again."""
    numbers = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
    if numbers and max(numbers) >= len(study.get_trials(deepcopy=False)):
        raise ConfigError(
            f"search.study: {short(folder)} holds runs that study {study.study_name!r} does not "
            "know; choose another name, search.study=..., or move the folder away"
        )


def _identity(config: DictConfig, space: Space) -> dict[str, Any]:
    """What decides a trial's result besides its parameters, as dotted keys."""
    plain = OmegaConf.to_container(config, resolve=False)
    swept = {name.lstrip("+") for name in space.names()}
    return {
        key: value
        for key, value in leaves(plain)
        if not key.startswith(OF_THE_MACHINE)
        and key not in swept
        and key.partition(".")[0] not in swept
    }


def _sampler(parts: Parts, space: Space) -> BaseSampler:
    if isinstance(parts.sampler, partial) and parts.sampler.func is GridSampler:
        return Grid(_grid(space), seed=parts.seed)
    if parts.seed is None:
        return parts.sampler()
    sampler = parts.sampler(seed=parts.seed)
    # The workers of a quasi-random sequence share its seed and take turns in it.
    return sampler if isinstance(sampler, QMCSampler) else SeededByTrial(parts.sampler, parts.seed)


def _grid(space: Space) -> dict[str, list[Any]]:
    from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl

    problems = []
    grid = {}
    if space.branches:
        problems.append("search.when: a grid knows no conditions; take another sampler")
    for name, distribution in space.always.items():
        try:
            grid[name] = list(OptunaSweeperImpl._to_grid_sampler_choices(distribution))
        except ValueError:
            problems.append(
                f"{name}: a grid needs separate values: choice(...) or range(start, stop, step)"
            )
    if problems:
        raise ConfigError(problems)
    return grid


def _within_grid(given: Settings, parts: Parts, space: Space) -> Settings:
    if not (isinstance(parts.sampler, partial) and parts.sampler.func is GridSampler):
        return given
    points = prod(len(values) for values in _grid(space).values())
    return replace(given, n_trials=min(given.n_trials, points))


def _describe(study: optuna.Study, given: Settings, folder: Path, repeat: str) -> None:
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
        "storage": masked(given.storage) if given.storage else None,
        "command": shlex.join(hidden),
    }
    write_atomically(folder / "study.yaml", yaml.safe_dump(plain, sort_keys=False))
    open_log(folder / "sweep.log")
    trials = study.get_trials(deepcopy=False)
    done = sum(map(is_finished, trials))
    say(f"study       {given.study} in {masked(given.storage)}")
    say(f"trials      {given.n_trials} in all, {done} finished before; run folders in "
        f"{short(folder)}\n")  # fmt: skip


def _sum_up(study: optuna.Study, folder: Path, *, kept: bool) -> None:
    facts = StudyFacts(study)
    counts = ", ".join(f"{count} {kind}" for kind, count in facts.counts.items() if count)
    say(f"\n{counts}; {facts.epochs:,} epochs")
    if not facts.ranked:
        raise _all_failed(facts, folder)
    for trial in facts.ranked[: 1 if facts.single else 10]:
        values = zip(facts.metrics, trial.values, strict=True)
        say(f"best        trial {trial.number}: {'  '.join(f'{n} {v:.6g}' for n, v in values)}")
    say(f"repeat      {facts.repeat(facts.ranked[0])}")
    if kept:
        say(f"look        burnish study {short(folder)}")


def _all_failed(facts: StudyFacts, folder: Path) -> TrainingError:
    reason, trials = facts.failures[0] if facts.failures else ("pruned", [])
    return TrainingError(
        f"search: none of {facts.ended} trials ended well; {len(trials)} of them: {reason}; what "
        f"they left is in {short(folder)}"
    )

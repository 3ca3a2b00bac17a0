"""What each verb does with a composed configuration: check it, then hand it to its command.

Nothing heavy is imported before a configuration is checked.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.errors import BurnishError, ConfigError, DataError
from burnish.runs.console import printable

if TYPE_CHECKING:  # it reads YAML
    from burnish.runs.folder import RunFolder


def report(error: BurnishError) -> None:
    """Say a user's mistakes on stderr, one a line."""
    found = error.problems if isinstance(error, ConfigError) else [str(error)]
    problems = [printable(problem) for problem in found]
    if len(problems) == 1:
        print(f"error: {problems[0]}", file=sys.stderr)
    else:
        print(f"{len(problems)} errors:", file=sys.stderr)
        for problem in problems:
            print(f"  {problem}", file=sys.stderr)


def _train(cfg: Any) -> Any:
    overrides, folder = hydra_state()
    started = time.monotonic()
    try:
        trial = _trial(cfg)
        config, trusted = checked_training(cfg, overrides)
        from burnish.commands.train import train

        multirun = is_multirun()
        outcome = train(
            config,
            folder,
            _of_the_run(overrides),
            trusted,
            forget_refused=not multirun,
            trial=trial,
        )
        if _is_search(cfg):
            return outcome
        return outcome.values[0] if outcome.values else None  # what other sweepers expect
    except BaseException as error:
        if isinstance(error, BurnishError) and is_multirun():
            _record(error, folder, _of_the_run(overrides), quiet=_is_search(cfg))
        # Hydra made it before anything was checked.
        _discard(folder, Path(cfg.paths.outputs).absolute())
        if _is_search(cfg) and isinstance(error, Exception) and is_multirun():
            # Plain values only: an exception would keep the net alive by its traceback.
            from burnish.runs.outcome import Outcome, described

            return Outcome(
                error=described(error),
                seconds=round(time.monotonic() - started, 2),
                refused=isinstance(error, DataError),
            )
        if _is_search(cfg) and not _is_first():
            from burnish.runs.job import fail_after_the_first

            fail_after_the_first()
        raise


def _is_search(cfg: Any) -> bool:
    return cfg.get("search") is not None


def _is_first() -> bool:
    """Whether this is the first process of its machine in a distributed run."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0


def _of_the_run(overrides: list[str]) -> list[str]:
    """What a run's folder remembers: without what is the sweep's alone, its database say."""
    return [o for o in overrides if not o.lstrip("+").startswith(("search.", "search="))]


def _trial(cfg: Any) -> Any:
    """The trial that this job is, if it is one of a search.

    Raises:
        ConfigError: if a search was chosen for a single run.
    """
    if not _is_search(cfg):
        return None
    first = _is_first()
    if first and not is_multirun():
        raise ConfigError("search: is for many runs: add -m (python src/train.py -m search=...)")
    if cfg.search.trial is None:
        return None
    from hydra.core.hydra_config import HydraConfig
    from hydra_plugins.burnish_sweeper.sweeper import make_pruner

    from burnish.search.trial import Trial

    return Trial(
        number=cfg.search.trial if first else None,
        study=cfg.search.study,
        storage=cfg.search.storage,
        folder=Path(HydraConfig.get().sweep.dir),
        against=tuple(cfg.search.against or ()),
        pruner=make_pruner(HydraConfig.get().sweeper.pruner),
    )


def _record(
    error: BurnishError, folder: Path, overrides: list[str], *, quiet: bool = False
) -> None:
    """Say at once why a job of a multirun was refused, and keep it with the others."""
    from burnish.runs.folder import RunFolder

    if not quiet:
        print(f"\njob {folder.name}: {' '.join(overrides)}", file=sys.stderr)
        report(error)
    run = RunFolder(folder)
    run.write_yaml("overrides", overrides)
    run.update_result(status="failed", exception=str(error))


def is_multirun() -> bool:
    """Whether this job is one of many."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def checked_training(cfg: Any, overrides: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The configuration of a training as plain containers, and the packages it may name.

    Raises:
        ConfigError: naming every key that is wrong.
    """
    from burnish.config.check import check
    from burnish.config.diagnosis import OF_DIAGNOSIS
    from burnish.config.plain import resolved
    from burnish.config.plain import trusted as trusted_packages
    from burnish.config.saved import continued
    from burnish.runs.folder import find_run

    trusted = trusted_packages(cfg, overrides)
    config = resolved(cfg)
    for key in ("search", *OF_DIAGNOSIS):
        config.pop(key, None)
    problems = []
    for key in ("resume", "init_from"):
        if config[key]:
            try:
                folder, named = find_run(str(config[key]), key)
                named or folder.checkpoint("last" if key == "resume" else "best")
            except BurnishError as error:
                problems.append(str(error))
    if config["resume"] and not problems:
        config = {**continued(folder.read_config(), overrides), "resume": config["resume"]}
    if problems := problems + check(config, trusted):
        raise ConfigError(problems)
    return config, trusted


def _eval(cfg: Any) -> None:
    overrides, _ = hydra_state()
    asked = checked_evaluation(cfg, overrides)
    from burnish.commands.evaluate import evaluate

    evaluate(
        asked.config,
        asked.run,
        asked.checkpoint,
        asked.command["split"],
        asked.trusted,
        report=asked.command["report"],
        layer=asked.command["layer"],
    )


@dataclass(frozen=True)
class Evaluation:
    """What ``eval`` was asked for, checked.

    Args:
        config: of the run, with the command's changes.
        command: the command's own configuration.
        run: its folder; a bundle's.
        checkpoint: the weights; a bundle's net.
        trusted: packages that the configuration may name classes of.
    """

    config: dict[str, Any]
    command: dict[str, Any]
    run: RunFolder
    checkpoint: Path
    trusted: list[str]


def checked_evaluation(cfg: Any, overrides: list[str]) -> Evaluation:
    """The run or bundle that ``conf/eval.yaml`` names, everything in its configuration checked.

    Raises:
        BundleError: if the bundle is damaged or holds no configuration.
        ConfigError: naming every key that is wrong.
        RunError: if there is no such run or checkpoint.
    """
    from burnish.commands.exported import is_exported, on_cpu, open_run_or_bundle
    from burnish.config.evaluation import evaluated
    from burnish.config.plain import resolved
    from burnish.config.plain import trusted as trusted_packages

    trusted = trusted_packages(cfg, overrides)
    command = resolved(cfg)
    opened = open_run_or_bundle(str(command["run"]), command["checkpoint"], trusted)
    config = evaluated(opened.config, command)
    if is_exported(opened.checkpoint):
        config = on_cpu(config, command["trainer"]["accelerator"])
    return Evaluation(config, command, opened.run, opened.checkpoint, trusted)


def _explore(cfg: Any) -> None:
    from burnish.config.check import check_parts
    from burnish.config.plain import resolved
    from burnish.config.plain import trusted as trusted_packages

    overrides, folder = hydra_state()
    try:
        trusted = trusted_packages(cfg, overrides)
        config = resolved(cfg)
        if problems := check_parts(config, trusted):
            raise ConfigError(problems)
        from burnish.commands.explore import explore

        explore(config, folder, trusted, overrides)
    except BaseException:
        _discard(folder, Path(cfg.paths.outputs).absolute())
        raise


def _diagnose(cfg: Any) -> None:
    """Ends the process with 1 if something is broken.

    Raises:
        SystemExit: then.
    """
    overrides, folder = hydra_state()
    try:
        code = _diagnosed(cfg, overrides, folder)
    except BaseException:
        _discard(folder, Path(cfg.paths.outputs).absolute())
        raise
    if code:
        raise SystemExit(code)


def _diagnosed(cfg: Any, overrides: list[str], folder: Path) -> int:
    from burnish.config.diagnosis import chosen, only_run
    from burnish.config.plain import trusted as trusted_packages

    if is_multirun():
        raise ConfigError("diagnose: looks at one run at a time: leave out -m")
    if cfg.run is not None:
        only_run(overrides)
        from burnish.runs.folder import find_run

        run, _ = find_run(str(cfg.run))
        trusted = trusted_packages(cfg, overrides)
        from burnish.commands.diagnose_run import look_back

        return look_back(run, trusted)
    if cfg.resume:
        raise ConfigError(f"resume: this run has begun: look at its curves, run={cfg.resume}")
    checks = chosen(cfg)
    config, trusted = checked_training(cfg, overrides)
    from burnish.commands.diagnose import diagnose

    return diagnose(config, folder, checks, trusted, overrides)


TASKS: dict[str, Callable[[Any], Any]] = {
    "train": _train,
    "eval": _eval,
    "explore": _explore,
    "diagnose": _diagnose,
}


def hydra_state() -> tuple[list[str], Path]:
    """The job's overrides and its folder."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    state = HydraConfig.get()
    # Unresolved: an override may hold an interpolation, which is not Hydra's to resolve.
    overrides: Any = OmegaConf.to_container(state.overrides.task, resolve=False)
    return overrides, Path(state.runtime.output_dir)


def _discard(folder: Path, outputs: Path) -> None:
    """Remove a run folder that holds nothing, and the folders above it that held only that."""
    above = folder.parents if outputs in folder.parents else ()
    with suppress(OSError):
        for path in (folder, *above):
            path.rmdir()
            if path == outputs:
                break

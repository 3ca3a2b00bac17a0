"""The command line: compose with Hydra, check, hand over. Nothing heavy is imported before that.

``python src/train.py ...`` and ``burnish train ...`` are the same.
"""

from __future__ import annotations

import errno
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from burnish.config.paths import conf_dir
from burnish.config.resolvers import register
from burnish.errors import BurnishError, ConfigError, DataError, Interrupted
from burnish.runs.console import printable
from burnish.version import __version__

VERBS = {
    "train": "train a classifier from a composed configuration",
    "eval": "score a run's checkpoint on a split of its data",
    "explore": "report on a data set: classes, sizes, duplicates, samples",
    "split": "cut a table or a folder of pictures into train, val and test tables",
    "study": "look at a search: best trials, importances, a page of plots",
}
# These look at files: they take ordinary options, and nothing is composed.
OF_FILES = ("split", "study")

# What a full, foreign or missing disk answers.
OF_THE_DISK = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENOENT,
)  # fmt: skip

HELP = """burnish {version}: from a composed configuration to a trained and understood model

usage: burnish VERB [group=choice ...] [key=value ...]

{verbs}

burnish VERB --help says more.
"""


def main() -> None:
    """The ``burnish`` command."""
    launched = list(sys.argv)
    verb = launched[1] if len(launched) > 1 else "--help"
    if verb in ("-h", "--help"):
        verbs = "\n".join(f"  {name:<8}{text}" for name, text in VERBS.items())
        print(HELP.format(version=__version__, verbs=verbs))
        sys.exit(0)
    if verb == "--version":
        print(f"burnish {__version__}")
        sys.exit(0)
    if verb not in VERBS:
        near = get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        print(f"error: there is no verb {verb!r}; {hint}verbs: {', '.join(VERBS)}", file=sys.stderr)
        sys.exit(2)
    sys.argv = [launched[0], *launched[2:]]
    command(verb, launched)


def command(verb: str, launched: Sequence[str] | None = None) -> None:
    """Run one verb with the arguments in ``sys.argv`` and exit.

    Exit codes: 0 done, 1 a bug or something found wrong, 2 the user's mistake, 128 + signal.

    Args:
        verb: a key of :data:`VERBS`.
        launched: the argument vector of this process, if it differs from ``sys.argv``: Lightning
            starts the other processes of a distributed run by repeating it.
    """
    launched = list(launched or sys.argv)
    # Hydra would print its own report and exit with 1; with this it lets exceptions through.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    show = any(a in ("debug=traceback", "traceback=true", "traceback=True") for a in sys.argv)
    try:
        code = _run_on_files(verb) if verb in OF_FILES else _compose_and_run(verb, launched)
    except BurnishError as error:
        if show:
            traceback.print_exc()
        _report(error)
        code = 2
    except BrokenPipeError:  # whoever read the output, head say, has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141  # 128 + SIGPIPE, as a shell has it
    except OSError as error:
        if error.errno not in OF_THE_DISK:
            raise
        print(f"error: {error.filename or 'paths.outputs'}: {error.strerror}", file=sys.stderr)
        code = 2
    except Interrupted as error:
        code = 128 + error.signum
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


class _Refused(BaseException):
    """Carries the user's mistake past Hydra, which comments on every Exception of a job."""

    def __init__(self, error: BurnishError) -> None:
        super().__init__(str(error))
        self.error = error


def _report(error: BurnishError) -> None:
    found = error.problems if isinstance(error, ConfigError) else [str(error)]
    problems = [printable(problem) for problem in found]
    if len(problems) == 1:
        print(f"error: {problems[0]}", file=sys.stderr)
    else:
        print(f"{len(problems)} errors:", file=sys.stderr)
        for problem in problems:
            print(f"  {problem}", file=sys.stderr)


def _run_on_files(verb: str) -> int:
    run = import_module(f"burnish.commands.{verb}").main
    code: int = run(sys.argv[1:])
    return code


def _compose_and_run(verb: str, launched: list[str]) -> int:
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    register()
    typed = list(sys.argv[1:])
    reached = False

    def task(cfg: Any) -> Any:
        nonlocal reached
        reached = True
        register()  # a launcher may have brought this to another process
        if _is_multirun():
            from burnish.config.typed import program
            from burnish.runs.job import as_single_run

            overrides, folder = _hydra_state()
            # It may hold a password; the other processes of a job leave the database to the first.
            overrides = [o for o in overrides if not o.lstrip("+").startswith("search.storage=")]
            with as_single_run(program(launched), overrides, folder):
                return _TASKS[verb](cfg)  # Hydra must see a job fail
        sys.argv = launched
        try:
            return _TASKS[verb](cfg)
        except BurnishError as error:  # Hydra would only add lines to it
            raise _Refused(error) from error

    # For Hydra's own plugins, samplers of a sweep and the like; burnish's targets have their own.
    admitted = (
        "optuna.samplers.*", "hydra_plugins.*", "logging.*", "hydra._internal.*",
        "burnish.runs.repeats.RepeatsTable",
    )  # fmt: skip
    run = hydra.main(config_path=str(conf_dir()), config_name=verb, execution_whitelist=admitted)(
        task
    )
    try:
        run()
    except _Refused as refused:
        raise refused.error from refused.error.__cause__
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        if reached:
            raise
        raise ConfigError(_explained(verb, typed, error)) from error
    return 0


def _explained(verb: str, typed: list[str], error: Exception) -> list[str]:
    from burnish.config.check import check
    from burnish.config.compose import explain
    from burnish.config.plain import resolved
    from burnish.config.plain import trusted as trusted_packages
    from burnish.config.typed import config_dirs

    dirs, rest = config_dirs(typed)
    if dirs and not dirs[0].is_dir():
        return [f"--config-dir: {dirs[0]} is no folder"]
    overrides = [word for word in rest if not word.startswith("-")]
    problems, applied = explain(verb, overrides, dirs)
    if problems and verb == "train" and applied is not None:
        with suppress(ConfigError):  # what does not resolve may follow from the problems found
            config = resolved(applied)
            config.pop("search", None)
            return problems + check(config, trusted_packages(applied, overrides))
    if not problems and "INTERVAL_SWEEP" in str(error):
        key = next((o.partition("=")[0] for o in overrides if "interval(" in o), "interval")
        return [f"{key}: an interval is for a search: add search=default to the command"]
    return problems or [" ".join(str(error).split())]


# --- what is done with a composed configuration --------------------------------------------------


def _train(cfg: Any) -> Any:
    overrides, folder = _hydra_state()
    started = time.monotonic()
    try:
        trial = _trial(cfg)
        config, trusted = _checked_training(cfg, overrides)
        from burnish.commands.train import train

        multirun = _is_multirun()
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
        if isinstance(error, BurnishError) and _is_multirun():
            _record(error, folder, _of_the_run(overrides), quiet=_is_search(cfg))
        # Hydra made it before anything was checked.
        _discard(folder, Path(cfg.paths.outputs).absolute())
        if _is_search(cfg) and isinstance(error, Exception) and _is_multirun():
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
    if first and not _is_multirun():
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
        _report(error)
    run = RunFolder(folder)
    run.write_yaml("overrides", overrides)
    run.update_result(status="failed", exception=str(error))


def _is_multirun() -> bool:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def _checked_training(cfg: Any, overrides: list[str]) -> tuple[dict[str, Any], list[str]]:
    from burnish.config.check import check
    from burnish.config.plain import resolved
    from burnish.config.plain import trusted as trusted_packages
    from burnish.config.saved import continued
    from burnish.runs.folder import find_run

    trusted = trusted_packages(cfg, overrides)
    config = resolved(cfg)
    config.pop("search", None)
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
    from burnish.config.check import check_targets
    from burnish.config.evaluation import evaluated
    from burnish.config.plain import resolved
    from burnish.config.plain import trusted as trusted_packages
    from burnish.runs.folder import find_run

    overrides, _ = _hydra_state()
    trusted = trusted_packages(cfg, overrides)
    command_config = resolved(cfg)
    run, named = find_run(str(command_config["run"]))
    checkpoint = named or run.checkpoint(_which(command_config["checkpoint"]))
    saved = run.read_config()
    config = evaluated(saved, command_config)
    # All of it: what an evaluation leaves out is no reason to trust the folder.
    if problems := check_targets(saved, trusted):
        raise ConfigError([f"{run.path / 'config.yaml'}: {line}" for line in problems])
    from burnish.commands.evaluate import evaluate

    evaluate(config, run, checkpoint, command_config["split"], trusted)


def _explore(cfg: Any) -> None:
    from burnish.config.check import check_parts
    from burnish.config.plain import resolved
    from burnish.config.plain import trusted as trusted_packages

    overrides, folder = _hydra_state()
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


_TASKS: dict[str, Callable[[Any], Any]] = {"train": _train, "eval": _eval, "explore": _explore}


def _which(checkpoint: Any) -> str:
    if checkpoint not in ("best", "last"):
        raise ConfigError(f"checkpoint: must be best or last, found {checkpoint!r}")
    return str(checkpoint)


def _hydra_state() -> tuple[list[str], Path]:
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    state = HydraConfig.get()
    # Unresolved: an override may hold an interpolation, which is not Hydra's to resolve.
    overrides: Any = OmegaConf.to_container(state.overrides.task, resolve=False)
    return overrides, Path(state.runtime.output_dir)


def _discard(folder: Path, outputs: Path) -> None:
    """Remove a run folder that holds nothing, and the folders above it that held only that."""
    with suppress(OSError):
        for path in (folder, *folder.parents):
            path.rmdir()
            if path == outputs:
                break

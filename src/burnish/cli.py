"""The command line: compose with Hydra, check, hand over. Nothing heavy is imported before that.

``python src/train.py ...`` and ``burnish train ...`` are the same.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from burnish.config.paths import conf_dir
from burnish.errors import BurnishError, ConfigError, Interrupted
from burnish.jobs import TASKS, hydra_state, is_multirun, report
from burnish.version import __version__

VERBS = {
    "train": "train a classifier from a composed configuration",
    "eval": "score a run's checkpoint on a split of its data",
    "predict": "classify files, folders, tables or standard input",
    "export": "write a run's net as a bundle: ONNX, TorchScript and others, int8",
    "serve": "answer over HTTP from a bundle",
    "watch": "look at what a service logged: latency, confidence, drift",
    "diagnose": "check data, net, gradients and settings before a run, and its curves after",
    "explore": "report on a data set: classes, sizes, duplicates, samples",
    "split": "cut a table or a folder of pictures into train, val and test tables",
    "study": "look at a search: best trials, importances, a page of plots",
    "runs": "list, compare, sum up and clean what lies under outputs",
}
# These look at files: they take ordinary options, and nothing is composed.
OF_FILES = ("split", "study", "runs", "watch")
# These take one run or bundle and key=value, and compose no experiment either.
OF_ONE_NET = ("predict", "export", "serve")
# Refused with -m before Hydra makes a folder for the sweep.
OF_ONE_RUN = ("diagnose",)

# What a full, foreign or missing disk answers.
OF_THE_DISK = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM,
    errno.ENOTDIR, errno.ENOENT,
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
        verbs = "\n".join(f"  {name:<10}{text}" for name, text in VERBS.items())
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
        if verb in OF_FILES:
            code = _run_on_files(verb)
        elif verb in OF_ONE_NET:
            code = _run_with_options(verb)
        else:
            code = _compose_and_run(verb, launched)
    except BurnishError as error:
        if show:
            traceback.print_exc()
        report(error)
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

    def __init__(self, error: BurnishError | OSError) -> None:
        super().__init__(str(error))
        self.error = error


def _asks_for_many(word: str) -> bool:
    """Whether Hydra will read this word as ``--multirun``, which may be shortened."""
    return word == "-m" or (len(word) > len("--") and "--multirun".startswith(word))


def _run_on_files(verb: str) -> int:
    run = import_module(f"burnish.commands.{verb}").main
    code: int = run(sys.argv[1:])
    return code


def _run_with_options(verb: str) -> int:
    from burnish.config.options import help_of, options

    words = [w for w in sys.argv[1:] if w not in ("debug=traceback", "traceback=true")]
    if {"-h", "--help"} & set(words):
        print(help_of(verb))
        return 0
    given = options(verb, words)
    run = import_module(f"burnish.commands.{verb}").main
    code: int = run(given)
    return code


def _compose_and_run(verb: str, launched: list[str]) -> int:
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from burnish.config.resolvers import register

    typed = list(sys.argv[1:])
    if verb in OF_ONE_RUN and any(map(_asks_for_many, typed)):
        raise ConfigError(f"{verb}: looks at one run at a time: leave out -m")
    register()
    reached = False

    def task(cfg: Any) -> Any:
        nonlocal reached
        reached = True
        register()  # a launcher may have brought this to another process
        if is_multirun():
            from burnish.config.typed import program
            from burnish.runs.job import as_single_run

            overrides, folder = hydra_state()
            # It may hold a password; the other processes of a job leave the database to the first.
            overrides = [o for o in overrides if not o.lstrip("+").startswith("search.storage=")]
            with as_single_run(program(launched), overrides, folder):
                return TASKS[verb](cfg)  # Hydra must see a job fail
        sys.argv = launched
        try:
            return TASKS[verb](cfg)
        except (BurnishError, OSError) as error:  # Hydra would only add lines to it
            if isinstance(error, OSError) and error.errno not in OF_THE_DISK:
                raise
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
    from burnish.config.diagnosis import OF_DIAGNOSIS
    from burnish.config.plain import resolved
    from burnish.config.plain import trusted as trusted_packages
    from burnish.config.typed import config_dirs

    dirs, rest = config_dirs(typed)
    if dirs and not dirs[0].is_dir():
        return [f"--config-dir: {dirs[0]} is no folder"]
    overrides = [word for word in rest if not word.startswith("-")]
    problems, applied = explain(verb, overrides, dirs)
    if problems and verb in ("train", "diagnose") and applied is not None:
        with suppress(ConfigError):  # what does not resolve may follow from the problems found
            config = resolved(applied)
            for key in ("search", *OF_DIAGNOSIS):
                config.pop(key, None)
            return problems + check(config, trusted_packages(applied, overrides))
    if not problems and "INTERVAL_SWEEP" in str(error):
        key = next((o.partition("=")[0] for o in overrides if "interval(" in o), "interval")
        return [f"{key}: an interval is for a search: add search=default to the command"]
    return problems or [" ".join(str(error).split())]

"""diagnose: checks before the long run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.trainer.states import TrainerFn

from burnish.build import build_module
from burnish.commands.quiet import quiet
from burnish.commands.starting import data_of, find_start
from burnish.diagnosis.checks import CHECKS
from burnish.diagnosis.page import as_json, page
from burnish.diagnosis.subject import Subject, first_samples
from burnish.diagnosis.terminal import end, say
from burnish.diagnosis.verdict import Verdict, exit_code
from burnish.errors import BurnishError, ConfigError, Interrupted
from burnish.learner.freeze import Freeze
from burnish.learner.module import ClassifierModule
from burnish.learner.stop import StopOnSignal
from burnish.runs.folder import RunFolder

Config = Mapping[str, Any]

# What a net that an earlier check found broken makes of a later check.
FOLLOWING = (BurnishError, RuntimeError, ValueError, IndexError)


def diagnose(
    config: Config,
    folder: Path,
    checks: Sequence[str],
    trusted: Sequence[str] = (),
    overrides: Sequence[str] = (),
) -> int:
    """Check what a run with this configuration would begin with; nothing is trained or kept.

    Args:
        config: of the run, checked, plain containers.
        folder: for the report, made by the caller.
        checks: names in :data:`burnish.diagnosis.checks.CHECKS`.
        trusted: packages that the configuration may name classes of.
        overrides: what the user typed.

    Returns:
        The exit code: 1 if something is broken, else 0.
    """
    started = time.monotonic()
    quiet()
    lead = "Before the run: " + (" ".join(overrides) or "the defaults")
    verdicts: list[Verdict] = []
    signals = StopOnSignal()
    signals.install()
    try:
        for verdict in _made(make_subject(config, trusted), checks):
            verdicts.append(verdict)
            say(verdict)
    except (Interrupted, KeyboardInterrupt):
        said = f"interrupted: {len(verdicts)} of {len(checks)} checks done"
        print(f"\n{said}")
        if verdicts:
            path = _write(folder, config, overrides, f"{lead} ({said})", verdicts)
            end(verdicts, path, time.monotonic() - started)
        raise
    finally:
        signals.uninstall()
    path = _write(folder, config, overrides, lead, verdicts)
    end(verdicts, path, time.monotonic() - started)
    return exit_code(verdicts)


def _write(
    folder: Path, config: Config, overrides: Sequence[str], lead: str, verdicts: Sequence[Verdict]
) -> Path:
    """The report, of all checks or of those that were done; returns its page."""
    run = RunFolder(folder)
    try:
        run.write_yaml("config", dict(config))
        run.write_yaml("overrides", list(overrides))
        run.write_json("diagnosis", as_json(verdicts))
        return page(config["name"], lead, verdicts).write(folder)
    except OSError as error:
        error.filename = str(folder)  # a full disk names no file
        raise


def make_subject(config: Config, trusted: Sequence[str] = ()) -> Subject:
    """Data, a batch and the net as the run would begin with them.

    Args:
        config: checked, plain containers.
        trusted: packages that the configuration may name classes of.
    """
    start = find_start(config)
    pl.seed_everything(config["seed"], workers=True, verbose=False)
    data = data_of(config, trusted, start)
    trainer = _trainer(config["trainer"])
    device = trainer.strategy.root_device

    def make() -> ClassifierModule:
        pl.seed_everything(config["seed"], workers=True, verbose=False)
        module = build_module({**config, "compile": False}, data, trusted, pretrained=start is None)
        if start is not None:
            start.load_into(module.net)
        return module.to(device)

    module = make()  # pretrained weights bring their normalisation with them
    if config["freeze"] == "backbone":
        Freeze().setup(trainer, module, TrainerFn.FITTING)  # refuses a net without a head
    return Subject(config, data, make, device, *first_samples(data, device))


def _trainer(asked: Mapping[str, Any]) -> pl.Trainer:
    """One that only knows where the first process would run."""
    devices = asked.get("devices")
    one = devices[:1] if isinstance(devices, list) else 1
    try:
        return pl.Trainer(
            accelerator=asked["accelerator"],
            devices=one,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except MisconfigurationException as error:
        raise ConfigError(f"trainer: {' '.join(str(error).split())}") from error


def _made(subject: Subject, checks: Iterable[str]) -> Iterable[Verdict]:
    """One verdict after another, as soon as it is known."""
    found_broken = False
    for name in checks:
        try:
            verdict = CHECKS[name](subject)
        except FOLLOWING as error:
            if not found_broken:  # the user's mistake, or a bug
                raise
            reason = f"cannot be checked: {' '.join(str(error).split())}"
            verdict = Verdict(name.replace("_", " "), "note", reason, "first mend what is broken")
        found_broken |= verdict.status == "broken"
        yield verdict

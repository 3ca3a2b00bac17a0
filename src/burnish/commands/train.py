"""train: from a checked configuration to a run folder with its best checkpoint scored."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import nn

from burnish.build import best_checkpoint, build_module, build_trainer
from burnish.commands.experiment import write_experiment
from burnish.commands.opening import counts_of, describe
from burnish.commands.quiet import quiet
from burnish.commands.starting import Start, data_of, find_start
from burnish.data.base import DataModule
from burnish.errors import BurnishError, ConfigError, Interrupted
from burnish.learner.module import ClassifierModule, load_weights, net_weights
from burnish.learner.stop import StopOnSignal
from burnish.runs.alive import this_host
from burnish.runs.console import open_log, say, short, table
from burnish.runs.folder import RunFolder
from burnish.runs.outcome import Outcome
from burnish.runs.weights import read_checkpoint

if TYPE_CHECKING:  # a run of its own pays nothing for sweeps
    from burnish.search.pruning import Pruning
    from burnish.search.trial import Trial

Config = Mapping[str, Any]


def train(
    config: Config,
    path: Path,
    overrides: Sequence[str] = (),
    trusted: Sequence[str] = (),
    *,
    forget_refused: bool = False,
    trial: Trial | None = None,
) -> Outcome:
    """Train, keep the best checkpoint, score it.

    Args:
        config: checked, plain containers.
        path: the run folder, made by the caller.
        overrides: what the user typed, for ``overrides.yaml``.
        trusted: packages that the configuration may name classes of.
        forget_refused: leave nothing of a run that was refused before its training began: for a
            person at the terminal the error is the answer, a sweep's record is its folders.
        trial: of a study, which may prune it; the terminal is the sweep's then.

    Returns:
        The best value of ``config["monitor"]``, if it was measured, and what else a sweep asks.
    """
    quiet()
    first = (
        int(os.environ.get("LOCAL_RANK", "0")) == 0 and int(os.environ.get("NODE_RANK", "0")) == 0
    )
    run = RunFolder(path)
    open_log(path / "train.log" if first else None, quiet=not first or trial is not None)
    if not first:  # another process of the same run: the first one keeps the folder
        return _fit(config, run, trusted, trial, keep=lambda **_: None)
    if not config["resume"]:
        run.write_yaml("config", dict(config))
        run.write_yaml("overrides", list(overrides))
    started = time.monotonic()
    run.update_result(status="running", exception=None, pid=os.getpid(), host=this_host())

    def keep(**values: Any) -> None:
        run.update_result(**values)
        if "began" in values and trial is None:
            write_experiment(run)  # a run that is killed has one too

    try:
        outcome = _fit(config, run, trusted, trial, keep=keep)
    except BaseException as error:
        if isinstance(error, BurnishError) and forget_refused and not run.began:
            open_log(None)
            run.forget()
            raise
        _tell_why(run, error, _since(started), trial)
        raise
    seconds = _since(started)
    run.update_result(status="pruned" if outcome.pruned else "finished", seconds=seconds)
    write_experiment(run)
    if config.get("report") and not outcome.pruned:
        from burnish.commands.reporting import report_of_training  # not needed by most runs

        report_of_training(config, run, trusted)
    return replace(outcome, seconds=seconds)


def _tell_why(run: RunFolder, error: BaseException, seconds: float, trial: Trial | None) -> None:
    """What ended a training early goes into its folder, and how to go on to the terminal."""
    status = "interrupted" if isinstance(error, Interrupted | KeyboardInterrupt) else "failed"
    text = str(error) if isinstance(error, BurnishError | Interrupted) else repr(error)
    run.update_result(status=status, seconds=seconds, exception=text)
    write_experiment(run)
    if status == "interrupted" and (run.checkpoints / "last.ckpt").exists():
        say(f"interrupted; go on with: {_typed('train')} resume={short(run.path)}")
    if trial is not None and not isinstance(error, BurnishError):
        say(traceback.format_exc())  # a sweep goes on: the log is where it can be read


def _since(started: float) -> float:
    return round(time.monotonic() - started, 2)


def _fit(
    config: Config, run: RunFolder, trusted: Sequence[str], trial: Trial | None, keep: Any
) -> Outcome:
    stop = StopOnSignal(say)
    pruning = _pruning(config, trial)
    started = time.monotonic()
    stop.install()
    try:
        pl.seed_everything(config["seed"], workers=True, verbose=False)
        start = find_start(config)
        data = data_of(config, trusted, start)
        # The weights of a checkpoint would replace those that the model names.
        counts = counts_of(start.checkpoint, data) if start and start.resumes else None
        module = build_module(config, data, trusted, pretrained=start is None, counts=counts)
        describe(config, run, data, module.net)
        step = _take_weights(start, module.net)
        checkpoint = str(start.path) if start and start.resumes else None
        del start
        callbacks = [stop] if pruning is None else [stop, pruning]
        trainer = build_trainer(config, run.path, trusted, callbacks=callbacks, resume_step=step)
        _say_precision(config, trainer)
        parameters = sum(p.numel() for p in module.net.parameters())
        keep(began=datetime.now(UTC).isoformat(timespec="seconds"), parameters=parameters)
        trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
        best = _best(config, trainer, keep)
        if config["test"]:
            _test(config, trainer, module, data, keep)
        values = () if best is None else (best, *_against(trial, trainer, module, data, started))
        if trial is not None:
            _log_parameters(config, trial, trainer, values)
    except MisconfigurationException as error:
        raise ConfigError(f"trainer: {' '.join(str(error).split())}") from error
    except SIGTERMException as error:  # another process of this run got it first
        raise Interrupted(signal.SIGTERM) from error
    finally:
        stop.uninstall()
    _next_commands(config, run, trainer)
    pruned = pruning is not None and pruning.pruned
    return Outcome(values, pruned=pruned, epochs=trainer.current_epoch)


def _pruning(config: Config, trial: Trial | None) -> Pruning | None:
    """With several objectives there is no order in which a trial could fall behind."""
    if trial is None or trial.against:
        return None
    from burnish.search.pruning import Pruning

    return Pruning(trial.open(), config["monitor"])


def _against(
    trial: Trial | None,
    trainer: pl.Trainer,
    module: ClassifierModule,
    data: DataModule,
    started: float,
) -> list[float]:
    if trial is None or not trial.against:
        return []
    from burnish.search.objectives import further

    device = trainer.strategy.root_device
    inputs = next(iter(data.val_dataloader()))[0][:1].to(device)
    net = module.net.to(device)
    return further(trial.against, net, data.preprocess(inputs), time.monotonic() - started)


def _log_parameters(
    config: Config, trial: Trial, trainer: pl.Trainer, values: Sequence[float]
) -> None:
    from burnish.search.hparams import log_parameters

    opened = trial.open()
    names = (config["monitor"], *trial.against)
    if opened is not None:
        log_parameters(trainer.loggers, opened.params, dict(zip(names, values, strict=False)))


def _take_weights(start: Start | None, net: nn.Module) -> int | None:
    """Load the weights to begin with, unless the run goes on: then the trainer loads its own.

    Returns:
        The optimizer steps taken by a run that goes on.
    """
    if start is None:
        return None
    if start.resumes:
        epoch, step = int(start.checkpoint["epoch"]), int(start.checkpoint["global_step"])
        say(f"{'resume':<12}{start.path}: epoch {epoch + 1}, step {step:,}")
        return step
    replaced = start.load_into(net)
    say(f"{'weights':<12}{start.path}" + (f"; new: {', '.join(replaced)}" if replaced else ""))
    return None


def _say_precision(config: Config, trainer: pl.Trainer) -> None:
    asked = str(config["trainer"].get("precision"))
    if asked in ("16", "16-mixed") and isinstance(trainer.accelerator, CPUAccelerator):
        say(
            f"{'note':<12}trainer.precision={asked} on a CPU runs as bf16-mixed, which is slow on "
            "CPUs without bf16 units; 32-true is faster there"
        )
    say(f"{'device':<12}{_device(trainer)}")


def _device(trainer: pl.Trainer) -> str:
    root = trainer.strategy.root_device
    name = torch.cuda.get_device_name(root) if root.type == "cuda" else root.type
    count = f", {trainer.world_size} processes" if trainer.world_size > 1 else ""
    threads = f", {torch.get_num_threads()} threads" if root.type == "cpu" else ""
    return f"{name}{threads}{count}, precision {trainer.precision}"


def _best(config: Config, trainer: pl.Trainer, keep: Any) -> float | None:
    """Keep the validation figures of the last epoch and the best monitored value."""
    figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
    callback = trainer.checkpoint_callback
    best = getattr(callback, "best", None)
    if best is None:
        best = figures.get(config["monitor"])
    epoch = getattr(callback, "best_epoch", None)
    keep(
        metrics=figures,
        best={"monitor": config["monitor"], "value": best, "epoch": epoch},
        epochs=trainer.current_epoch,
        steps=trainer.global_step,
    )
    say()
    if best is not None:
        say(
            f"best {config['monitor']} {best:.4f}"
            + ("" if epoch is None else f" in epoch {epoch + 1}")
        )
    return best


def _test(
    config: Config, trainer: pl.Trainer, module: ClassifierModule, data: DataModule, keep: Any
) -> None:
    """Score the best checkpoint on the test split, if the data has one."""
    if not data.has_test:
        say("no test split: the final test is left out")
        return
    path = best_checkpoint(trainer)
    if path is None and not config["trainer"]["fast_dev_run"]:
        say("no checkpoint was kept: the test scores the last weights")
    if path is not None:
        # Not ckpt_path=: averaging callbacks would put the unaveraged weights back.
        trainer.strategy.barrier()
        load_weights(module.net, net_weights(read_checkpoint(Path(path))))
    figures = dict(trainer.test(module, data, verbose=False)[0])
    keep(metrics=figures)
    say(table([(name, f"{value:.4f}") for name, value in sorted(figures.items())]))


def _next_commands(config: Config, run: RunFolder, trainer: pl.Trainer) -> None:
    if config["trainer"]["fast_dev_run"]:
        return
    say()
    say(f"run folder  {short(run.path)}")
    if best_checkpoint(trainer):
        say(f"evaluate    {_typed('eval')} run={short(run.path)}")
    if config.get("logger") and "tensorboard" in config["logger"]:
        say(f"look        tensorboard --logdir {short(run.path)}")


def _typed(verb: str) -> str:
    """How this person would type a verb: as the file beside the one that was started, or not."""
    file = Path(sys.argv[0]).with_name(f"{verb}.py")
    return f"python {file}" if file.is_file() else f"burnish {verb}"

"""diagnose run=: the curves of a run that has begun, and the batch that it broke on, if any."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from burnish.diagnosis.curve_figures import drawn
from burnish.diagnosis.page import as_json, page
from burnish.diagnosis.run import diagnose_run
from burnish.diagnosis.terminal import end, say
from burnish.diagnosis.training import read_training
from burnish.diagnosis.verdict import Verdict, exit_code
from burnish.errors import ConfigError
from burnish.runs.console import short
from burnish.runs.curves import read_curves
from burnish.runs.folder import NONFINITE, RunFolder
from burnish.runs.listing import read
from burnish.runs.words import span


def look_back(run: RunFolder, trusted: Sequence[str] = ()) -> int:
    """Say what the curves show, and go through the batch again that the run broke on.

    ``diagnosis.json`` and ``diagnosis/index.html`` go into the run.

    Args:
        run: going on or ended.
        trusted: packages that its configuration may name classes of.

    Returns:
        The exit code: 1 if something is broken, else 0.

    Raises:
        ConfigError: if there is a batch, and the configuration names what it may not.
        RunError: if the curves or the batch cannot be read.
    """
    started = time.monotonic()
    curves = read_curves(run.path)
    verdicts = [_standing(run), *diagnose_run(run), *_replayed(run, trusted)]
    for verdict in verdicts:
        say(verdict)
    run.write_json("diagnosis", as_json(verdicts))
    folder = run.path / "diagnosis"
    folder.mkdir(exist_ok=True)
    path = page(run.path.name, "The curves of the run.", drawn(verdicts, curves)).write(folder)
    end(verdicts, path, time.monotonic() - started)
    return exit_code(verdicts)


def _standing(run: RunFolder) -> Verdict:
    """Whether it goes on, ended, or was stopped from outside."""
    known = read(run.path)
    status, reason = known.fate
    said = f"{status}{f': {reason}' if reason else ''}, last heard of {span(known.age)} ago"
    stopped = status in ("killed", "interrupted", "failed")
    resumable = stopped and (run.checkpoints / "last.ckpt").is_file()
    advice = f"go on with train resume={short(run.path)}" if resumable else ""
    return Verdict("status", "note" if stopped else "ok", said, advice, {"status": status})


def _replayed(run: RunFolder, trusted: Sequence[str]) -> list[Verdict]:
    if not (run.path / NONFINITE).exists():
        return []
    from burnish.config.check import check_targets

    config = run.read_config()
    if problems := check_targets(config, trusted):
        raise ConfigError([f"{run.path / 'config.yaml'}: {line}" for line in problems])
    from burnish.diagnosis import replay

    saved = replay.read_saved(run.path)
    assert saved is not None
    if (outdated := replay.outdated(saved, read_training(run.path))) is not None:
        return [outdated]
    return [replay.check(_module(run, config, saved, trusted), saved)]


def _module(
    run: RunFolder, config: Mapping[str, Any], saved: Mapping[str, Any], trusted: Sequence[str]
) -> Any:
    """The run's net and loss; the data need not be at hand."""
    from burnish.build import build_loss, build_net
    from burnish.learner.module import ClassifierModule
    from burnish.runs.weights import spec_of

    spec = spec_of(saved, run.path / NONFINITE)
    counts = saved["burnish"].get("class_counts") or [1] * spec.num_classes
    net = build_net(config, spec, trusted, pretrained=False)
    return ClassifierModule(net, build_loss(config["loss"], counts, trusted), spec.num_classes)

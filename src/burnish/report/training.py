"""The part of a run's report about its training: curves, learning rate, time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from burnish.errors import RunError
from burnish.report.eval_figures import over_epochs, over_steps
from burnish.report.page import Page, Picture, chart
from burnish.runs.curves import Curves, Point, read_curves
from burnish.runs.reading import small_text

# An epoch's line in train.log: time of day, epoch from 1, four figures or dashes, seconds.
EPOCH = re.compile(r"^\S+ \S+ +(\d{1,9})(?: +[\w.+-]+){4} +(\d{1,9}\.\d)$", re.MULTILINE)


def training(page: Page, folder: Path, best: int | None) -> None:
    """What the run folder knows of the training, or a word about what it does not.

    Args:
        page: grows by a section.
        folder: of the run.
        best: the epoch, from 0, whose checkpoint was scored; None if unknown.
    """
    page.section("Training")
    try:
        curves = read_curves(folder)
    except RunError as error:
        page.text(f"No learning curves: {error}.")
        return
    seconds = epoch_seconds(folder / "train.log")
    if not curves:
        page.text("No learning curves: the run wrote no metrics.csv (logger=csv writes it).")
    if not seconds:
        page.text("The time of each epoch is not known: train.log holds no epochs.")
    page.pictures(_pictures(curves, seconds, best))


def epoch_seconds(log: Path) -> tuple[Point, ...]:
    """Seconds of each epoch as its progress line tells; empty if there is none.

    Args:
        log: ``train.log``; of epochs that a resumed run repeated the last counts.
    """
    try:
        found = EPOCH.findall(small_text(log)[0])
    except RunError:
        return ()
    last = {int(epoch) - 1: float(seconds) for epoch, seconds in found}
    return tuple(Point(epoch, 0, last[epoch]) for epoch in sorted(last))


def _pictures(curves: Curves, seconds: tuple[Point, ...], best: int | None) -> Iterator[Picture]:
    for name in ("loss", "accuracy"):
        splits = {split: curves.epochs(f"{split}/{name}") for split in ("train", "val")}
        if series := {split: points for split, points in splits.items() if points}:
            drawn = over_epochs(name.capitalize(), series, best)
            yield chart(drawn, f"training-{name}", f"Curves: {name} of each epoch.")
    if curves.rate:
        drawn = over_steps("Learning rate", curves.rate)
        yield chart(drawn, "training-rate", "Curve: the learning rate over the training.")
    if seconds:
        drawn = over_epochs("Seconds of each epoch", {"seconds": seconds}, from_zero=True)
        yield chart(drawn, "training-seconds", "Curve: seconds that each epoch took.")

"""eval: score a run's checkpoint, or a bundle, on a split of its data, as training would have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from burnish.commands.examples import check_layer
from burnish.commands.exported import is_exported, restore_bundle
from burnish.commands.opening import differing_data
from burnish.commands.quiet import quiet
from burnish.commands.reporting import write_report
from burnish.commands.restoring import restore
from burnish.commands.scoring import score
from burnish.deploy.bundle import read_bundle
from burnish.errors import RunError
from burnish.report.scores import ClassRow, class_rows
from burnish.runs.console import open_log, say, table
from burnish.runs.folder import RunFolder


def evaluate(
    config: Mapping[str, Any],
    run: RunFolder,
    checkpoint: Path,
    split: str,
    trusted: Sequence[str] = (),
    *,
    report: bool = False,
    layer: str | None = None,
) -> dict[str, float]:
    """Rebuild everything from the run and score ``split``.

    Args:
        config: the run's configuration, checked, with the command's changes applied.
        run: the run folder, or a bundle; the figures go into ``eval-<split>.json`` there.
        checkpoint: the weights to score; a bundle's net.
        split: ``train`` (without augmentation), ``val`` or ``test``.
        trusted: packages that the configuration may name classes of.
        report: also write a page about the predictions into the run folder.
        layer: for the page's Grad-CAM; None finds one.

    Returns:
        The metrics, ``test/accuracy`` and so on.
    """
    quiet()
    open_log(run.path / "eval.log")
    if is_exported(checkpoint):
        restored = restore_bundle(config, read_bundle(run.path), trusted)
    else:
        restored = restore(config, checkpoint, trusted)
    data = restored.data
    for note in differing_data(run, data):
        say(f"note        {note}")
    if split == "test" and not data.has_test:
        raise RunError(f"split: the data of {run.path} has no test split; choose split=val")
    if report and layer is not None:
        check_layer(restored, split, layer)
    scored = score(config, restored, split, run.path, keep=report)
    counts = scored.confusion
    rows = [] if counts is None else class_rows(counts.cpu().numpy(), data.spec.class_names)
    _show(checkpoint, scored.metrics, rows)
    run.write_json(
        f"eval-{split}",
        {"checkpoint": str(checkpoint), "metrics": scored.metrics, "classes": rows},
    )
    say(f"\nwritten to {run.path / f'eval-{split}.json'}")
    if report:
        say(f"report     {write_report(run, checkpoint, split, restored, scored, layer)}")
    return scored.metrics


def _show(checkpoint: Path, metrics: Mapping[str, float], rows: list[ClassRow]) -> None:
    say(f"checkpoint  {checkpoint}\n")
    say(table([(name, f"{value:.4f}") for name, value in sorted(metrics.items())]))
    say()
    heading = ("class", "precision", "recall", "f1", "support")
    cells = [
        (
            r["class"],
            f"{r['precision']:.4f}",
            f"{r['recall']:.4f}",
            f"{r['f1']:.4f}",
            str(r["support"]),
        )
        for r in rows
    ]
    say(table([heading, *cells]))

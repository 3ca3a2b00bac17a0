"""The report about a run's predictions, for the verbs that make one."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from burnish.commands.examples import examples
from burnish.commands.opening import differing_data
from burnish.commands.restoring import Restored, restore
from burnish.commands.scoring import Config, Scored, score
from burnish.data.base import DataModule
from burnish.errors import BurnishError, RunError
from burnish.report import eval_page
from burnish.report.evaluation import Evaluation
from burnish.report.page import Page
from burnish.report.training import training
from burnish.runs.console import say, short
from burnish.runs.folder import RunFolder
from burnish.runs.reading import read_provenance, small_text


def write_report(
    run: RunFolder,
    checkpoint: Path,
    split: str,
    restored: Restored,
    scored: Scored,
    layer: str | None = None,
) -> Path:
    """Write the page, its pictures, ``metrics.json`` and ``predictions.npz``.

    They lie in ``report/`` of the run folder; in ``report-<split>/`` if another split is the one
    to judge the run by. That folder is replaced as a whole, or stays as it was.

    Args:
        run: the run folder.
        checkpoint: that was scored.
        split: that was scored.
        restored: the run; its module is changed to single precision.
        scored: with predictions.
        layer: for Grad-CAM; None finds one.

    Returns:
        The path of the page.

    Raises:
        OSError: naming the folder, if the disk is full, say.
    """
    data, predictions = restored.data, scored.predictions
    assert predictions is not None
    best = _epoch(run, checkpoint)
    which = checkpoint.name + ("" if best is None else f" of epoch {best + 1}")
    found = Evaluation(
        run.path.name, split, which, data.spec.class_names, scored.metrics, predictions, data.notes
    )
    page = _page(run, restored, found, best, layer)
    folder = run.path / _folder_name(split, data)
    with replaced(folder) as fresh:
        predictions.save(fresh / "predictions.npz")
        RunFolder(fresh).write_json("metrics", found.to_json())
        path = page.write(fresh)
    return folder / path.name


def _page(
    run: RunFolder, restored: Restored, found: Evaluation, best: int | None, layer: str | None
) -> Page:
    """From what was scored to how it came about."""
    page = eval_page.opening(found)
    eval_page.classes(page, found)
    eval_page.confusion(page, found)
    eval_page.curves(page, found)
    eval_page.examples(page, *examples(restored, found.split, found.predictions, layer))
    training(page, run.path, best)
    config, _ = small_text(run.path / "config.yaml")
    differing = " ".join(differing_data(run, restored.data))
    eval_page.origin(page, read_provenance(run.path), config, differing)
    return page


def _folder_name(split: str, data: DataModule) -> str:
    judged_by = "test" if data.has_test else "val"
    return "report" if split == judged_by else f"report-{split}"


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """A fresh folder that takes the place of ``folder`` when all of it was written."""
    try:
        with TemporaryDirectory(prefix=f"{folder.name}.partial-", dir=folder.parent) as beside:
            fresh, former = Path(beside, "fresh"), Path(beside, "former")
            fresh.mkdir()
            yield fresh
            if folder.exists():
                folder.rename(former)
            try:
                fresh.rename(folder)
            except BaseException:
                if former.exists() and not folder.exists():
                    former.rename(folder)
                raise
    except OSError as error:
        error.filename = str(folder)  # not that of the moment, if any
        raise


def _epoch(run: RunFolder, checkpoint: Path) -> int | None:
    """The epoch, from 0, of the best checkpoint."""
    best: Any = None
    with suppress(RunError):
        best = run.read_json("result").get("best")
    epoch = best.get("epoch") if isinstance(best, Mapping) and checkpoint.stem == "best" else None
    return epoch if type(epoch) is int else None


def report_of_training(config: Config, run: RunFolder, trusted: Sequence[str] = ()) -> None:
    """The report of a run that ended; what goes wrong with it is said, and the run stays as it is.

    It is made from the run folder by one process alone, however many have trained. The split is
    test if the run was tested, else val.

    Args:
        config: of the run, checked.
        run: the run folder.
        trusted: packages that the configuration may name classes of.
    """
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # metrics would wait for the others
    try:
        say(f"report      {short(_report_of_training(config, run, trusted))}")
    except (BurnishError, OSError) as error:
        say(f"no report: {error}")
    except Exception:  # a bug, but the training is done and its folder whole
        say(f"no report:\n{traceback.format_exc()}")


def _report_of_training(config: Config, run: RunFolder, trusted: Sequence[str]) -> Path:
    which = "best" if (run.checkpoints / "best.ckpt").is_file() else "last"
    checkpoint = run.checkpoint(which)
    # Compiling takes longer than the one pass that it would speed up.
    config = {**config, "augment": {}, "compile": False, "trainer": _alone(config["trainer"])}
    restored = restore(config, checkpoint, trusted)
    split = "test" if config["test"] and restored.data.has_test else "val"
    scored = score(config, restored, split, run.path, keep=True)
    return write_report(run, checkpoint, split, restored, scored, config.get("layer"))


def _alone(trainer: Config) -> Config:
    """The trainer's settings for one device."""
    devices = trainer["devices"]
    first = [devices[0]] if isinstance(devices, list) and devices else 1
    return {**trainer, "devices": first}

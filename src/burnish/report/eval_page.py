"""The page about a run's predictions on a split: figures, curves, examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from burnish.report import confusion_figures as matrices
from burnish.report import eval_figures as figures
from burnish.report.calibration import Calibration
from burnish.report.evaluation import Evaluation
from burnish.report.fonts import advice, undrawable
from burnish.report.page import Cell, Number, Page, Picture, chart
from burnish.report.scores import LEVEL

MOST_ROWS = 30  # classes that the table shows unfolded
WORST = 15  # of more classes


def opening(found: Evaluation) -> Page:
    """The head of the page: key figures, and what needs a person's eye."""
    lead = f"{found.split} split, {found.scores.samples:,} samples, {found.checkpoint}"
    page = Page(found.title, "burnish report", lead)
    page.facts(_key_figures(found))
    interval = found.scores.interval
    page.text(f"Interval: {LEVEL:.0%} confidence, {interval.method}.")
    if notes := [*found.findings(), *found.notes]:
        page.section("What to look at")
        page.points(notes, kind="findings")
    return page


def _key_figures(found: Evaluation) -> Iterator[tuple[str, str]]:
    these = found.scores
    yield "accuracy", f"{these.accuracy:.2%}"
    yield "interval", f"{these.interval.low:.2%} to {these.interval.high:.2%}"
    if these.top5 is not None:
        yield "top-5 accuracy", f"{these.top5:.2%}"
    yield "F1, macro mean", f"{these.macro['f1']:.4f}"
    if (loss := found.metrics.get(f"{found.split}/loss")) is not None:
        yield "loss", f"{loss:.4f}"
    if found.calibration is not None:
        yield "calibration error", f"{found.calibration.error:.2%}"


# --- sections ------------------------------------------------------------------------------------


def classes(page: Page, found: Evaluation) -> None:
    """Precision, recall, F1, areas and samples of each class, and their means."""
    page.section("Classes")
    rows = found.scores.classes
    header = ["class", "precision", "recall", "F1", "samples"]
    if found.ranking is not None:
        header += ["ROC area", "average precision"]
    means = [_mean_row("macro mean", found, "macro"), _mean_row("weighted mean", found, "weighted")]
    if len(rows) <= MOST_ROWS:
        page.table(header, [*_class_cells(found, range(len(rows))), *means])
    else:
        worst = np.argsort([row["f1"] if row["support"] else np.inf for row in rows])[:WORST]
        title = f"The {WORST} classes with the lowest F1"
        page.table(header, [*_class_cells(found, worst), *means], title)
        with page.folded(f"All {len(rows):,} classes"):
            page.table(header, _class_cells(found, range(len(rows))))
    page.text(
        "Macro: over the classes that occur, each counts the same; weighted: by their samples. "
        "What would be divided by zero is 0."
    )
    page.text(_about_areas(found))


def _about_areas(found: Evaluation) -> str:
    ranking = found.ranking
    if ranking is None:
        return "No curves and areas: they need two classes with samples and finite outputs."
    part = (
        f"; of {ranking.samples:,} samples drawn at random"
        if ranking.samples < len(found.sound.targets)
        else ""
    )
    return f"Areas: the probability of the class against all others, one sample at a time{part}."


def _class_cells(found: Evaluation, chosen: Iterable[int]) -> Iterator[list[Cell]]:
    for number in chosen:
        row = found.scores.classes[number]
        figures_of = [_share(row[name]) for name in ("precision", "recall", "f1")]
        cells: list[Cell] = [row["class"], *figures_of, row["support"]]
        if found.ranking is not None:
            areas = (found.ranking.roc_areas[number], found.ranking.average_precisions[number])
            cells += [_area(float(value)) for value in areas]
        yield cells


def _mean_row(name: str, found: Evaluation, kind: str) -> list[Cell]:
    means = getattr(found.scores, kind)
    cells: list[Cell] = [name, *map(_share, means.values()), found.scores.samples]
    if found.ranking is None:
        return cells
    areas = np.stack([found.ranking.roc_areas, found.ranking.average_precisions])
    known = found.ranking.known
    support = found.scores.confusion.sum(1)[known]
    weights = support if kind == "weighted" else np.ones(len(known))
    return [*cells, *map(_area, np.average(areas[:, known], axis=1, weights=weights).tolist())]


def _share(value: float) -> Number:
    return Number(f"{value:.4f}", value)


def _area(value: float) -> Number:
    return Number(f"{value:.4f}" if np.isfinite(value) else "-")


def confusion(page: Page, found: Evaluation) -> None:
    """What was taken for what."""
    page.section("Confusion")
    if found.scores.confused:
        page.points(str(pair) for pair in found.scores.confused)
    else:
        page.text("No sample was taken for another class.")
    counts = found.scores.confusion
    chosen = matrices.chosen_classes(counts)
    inches = matrices.inches(len(chosen))
    if len(chosen) < len(counts):
        page.text(
            f"The matrices show {len(chosen)} of {len(counts):,} classes, those of the most "
            "frequent mistakes; percentages are of all samples of a class."
        )
        present = [row["recall"] for row in found.scores.classes if row["support"]]
        alt = "Curve: the recall of every class, sorted."
        page.pictures([chart(matrices.recalls(present), "recalls", alt)])
    alt = "Matrix: rows are true classes, columns predicted ones."
    page.pictures(
        chart(paint(counts, chosen, found.names), f"confusion-{name}", alt, inches=inches)
        for name, paint in (("counts", matrices.counted), ("shares", matrices.normalised))
    )
    if letters := undrawable(found.names):
        page.text(f"Note: {advice(letters)}.")


def curves(page: Page, found: Evaluation) -> None:
    """Precision-recall and ROC curves, and the reliability diagram."""
    if found.ranking is not None:
        page.section("Curves")
        chosen = figures.shown_classes(found.ranking, len(found.names))
        page.text(_whose(found, chosen))
        drawn = {"precision-recall": figures.precision_recall, "roc": figures.roc}
        page.pictures(
            chart(
                paint(found.sound, found.ranking, chosen, found.names),
                f"curves-{name}",
                f"Curves: {name}.",
            )
            for name, paint in drawn.items()
        )  # fmt: skip
    if found.calibration is not None:
        _calibration(page, found.calibration)


def _whose(found: Evaluation, chosen: Sequence[int]) -> str:
    if len(found.names) == 2:
        return f"Of the class {found.names[1]}, against {found.names[0]}."
    assert found.ranking is not None
    if len(chosen) == len(found.ranking.known):
        return "One class against the rest, and the mean."
    return "One class against the rest: those with the lowest average precision, and the mean."


def _calibration(page: Page, found: Calibration) -> None:
    page.section("Calibration")
    side = "above" if found.excess > 0 else "below"
    page.text(
        f"Expected calibration error {found.error:.2%}: the gap between the confidence (the "
        f"probability of the predicted class) and the accuracy in {len(found.counts)} equal bins, "
        "weighted by their samples (Naeini et al. 2015, Guo et al. 2017). On average the "
        f"confidence lies {100 * abs(found.excess):.2f} points {side} the accuracy."
    )
    alt = "Accuracy at each confidence, beside the diagonal of perfect calibration."
    page.pictures([chart(figures.reliability(found), "calibration", alt)])


@dataclass(frozen=True)
class Example:
    """A sample that is shown.

    Args:
        caption: its classes and the probability.
        picture: an image file; None for texts.
        marks: a text in pieces, each with what it says for the prediction in [-1, 1].
    """

    caption: str
    picture: bytes | None = None
    marks: Sequence[tuple[str, float]] = ()


def examples(page: Page, kinds: Mapping[str, Sequence[Example]], explained: str) -> None:
    """Telling samples of each kind, under the kind's name.

    Args:
        page: grows by a section.
        kinds: heading to samples.
        explained: how they are explained, or why not.
    """
    page.section("Examples", explained)
    for kind, shown in kinds.items():
        page.heading(kind)
        if not shown:
            page.text("None.")
        for example in shown:
            if example.picture is None:
                page.marked(example.marks, example.caption)
        name = kind.lower().replace(" ", "-")
        page.pictures(
            Picture(example.picture, example.caption, example.caption, f"{name}-{number}")
            for number, example in enumerate(shown, 1)
            if example.picture is not None
        )


def origin(page: Page, provenance: Mapping[str, Any], config: str, differing: str) -> None:
    """Where the run came from, and the configuration that made it.

    Args:
        page: grows by a section.
        provenance: of the run folder; anybody's.
        config: as YAML.
        differing: how the data differs from what was trained on; "" if it does not.
    """
    page.section("Origin")
    page.table(["what", "found"], [[name, text] for name, text in _origin(provenance) if text])
    if differing:
        page.points([differing], kind="findings")
    with page.folded("Configuration"):
        page.code(config)


def _origin(provenance: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    def part(name: str) -> Mapping[str, Any]:
        found = provenance.get(name)
        return found if isinstance(found, Mapping) else {}

    def line(found: Mapping[str, Any]) -> str:
        return ", ".join(f"{name} {value}" for name, value in found.items() if value)

    git, data = part("git"), part("data")
    changed = ", with uncommitted changes" if git.get("diff") else ""
    yield "commit", f"{git['commit']}{changed}" if git.get("commit") else "not in a repository"
    yield "started", str(provenance.get("started", ""))
    command = provenance.get("command")
    yield "command", " ".join(map(str, command)) if isinstance(command, list) else ""
    yield "seed", str(provenance.get("seed", ""))
    yield "data fingerprint", str(data.get("fingerprint", ""))
    yield "hardware", line(part("hardware"))
    yield "versions", line(part("versions"))

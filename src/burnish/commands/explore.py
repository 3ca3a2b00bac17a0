"""explore: a report on a data set before anything is trained on it."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burnish.build import build_data
from burnish.commands.quiet import quiet
from burnish.data import survey
from burnish.data.base import DataModule
from burnish.data.duplicates import Samples
from burnish.data.facts import common_facts, copies_facts, image_facts, place_of, text_facts
from burnish.data.images import ImageDataModule
from burnish.data.normalise import resize
from burnish.data.statistics import read_headers
from burnish.data.survey import Copies, ImagePass, text_table
from burnish.errors import ConfigError
from burnish.report import data_page, fonts
from burnish.report.findings import findings
from burnish.report.page import Page, Picture
from burnish.report.pictures import sheet
from burnish.runs.console import open_log, say, short, table
from burnish.runs.folder import RunFolder

Config = Mapping[str, Any]
Facts = dict[str, Any]
Explored = tuple[Facts, Page, dict[str, Copies]]

TIMES_AUGMENTED = 2
MOST_LINES = 20  # classes that the terminal shows


def explore(
    config: Config, folder: Path, trusted: Sequence[str] = (), overrides: Sequence[str] = ()
) -> Facts:
    """Look at every sample once, and write ``index.html`` with what was found.

    Beside it: the figures, ``statistics.json`` (what is returned) and ``duplicates.csv``.

    Args:
        config: checked, plain containers: name, seed, data, augment, samples, max_classes_shown.
        folder: for the report, made by the caller.
        trusted: packages that the configuration may name classes of.
        overrides: what the user typed; ``data.on_error=raise`` among it is respected.

    Raises:
        ConfigError: if ``samples`` or ``max_classes_shown`` is no whole number from 1.
    """
    started = time.monotonic()
    _check(config)
    quiet()
    torch.manual_seed(config["seed"])
    # First of all: data that is refused leaves no folder behind.
    data = build_data(_forgiving(config, overrides), trusted)
    open_log(folder / "explore.log")
    run = RunFolder(folder)
    run.write_yaml("config", dict(config))
    run.write_yaml("overrides", list(overrides))
    samples = survey.samples_of(data)
    explored = _images if isinstance(data, ImageDataModule) else _texts
    facts, page, copies = explored(config, data, samples)
    _write_copies(folder / "duplicates.csv", data, samples, copies)
    run.write_json("statistics", facts)
    path = page.write(folder)
    _say(facts)
    say(f"\nreport      {short(path)}  ({time.monotonic() - started:.1f} s)")
    return facts


def _check(config: Config) -> None:
    problems = [
        f"{key}: must be a whole number of at least 1, found {config[key]!r}"
        for key in ("samples", "max_classes_shown")
        if not (type(config[key]) is int and config[key] >= 1)
    ]
    if problems:
        raise ConfigError(problems)


def _forgiving(config: Config, overrides: Sequence[str]) -> Config:
    """Unreadable files belong into the report, and files are looked at themselves, not a cache."""
    wanted = {"on_error": "skip", "cache": "none"}
    typed = {override.lstrip("+").partition("=")[0] for override in overrides}
    changed = {
        key: value
        for key, value in wanted.items()
        if key in config["data"] and f"data.{key}" not in typed
    }
    return {**config, "data": {**config["data"], **changed}}


def _images(config: Config, data: DataModule, samples: Samples) -> Explored:
    assert isinstance(data, ImageDataModule)
    seen = ImagePass(data)
    exact, alike = survey.image_copies(data, samples, seen)
    headers = read_headers(files) if (files := survey.files_of(data)) else None
    facts = common_facts(config["name"], data)
    facts["images"] = image_facts(data, seen, headers)
    facts["duplicates"] = {
        "exact": copies_facts(data, samples, exact),
        "alike": {**copies_facts(data, samples, alike), "left_out": int((~seen.telling).sum())},
    }
    facts["findings"] = findings(facts)
    page = data_page.opening(facts)
    data_page.classes(page, facts)
    sheets = _sheets(config, data)
    data_page.image_samples(page, sheets, data.spec.num_classes, _sheet_rows(data))
    copies = {"exact": exact, "alike": alike}
    pairs = {
        kind: [*_pair_pictures(data, samples, found, facts["duplicates"][kind]["examples"], kind)]
        for kind, found in copies.items()
    }
    data_page.copies(page, facts, pairs)
    data_page.pixels(page, facts)
    if headers:
        data_page.files(page, facts, headers.widths, headers.heights)
    return facts, page, copies


def _texts(config: Config, data: DataModule, samples: Samples) -> Explored:
    exact = survey.text_copies(data, samples)
    tables = {split: (text_table(source), rows) for split, (source, rows) in data.splits.items()}
    tokens = np.concatenate([texts.tokens[rows].numpy() for texts, rows in tables.values()])
    lengths = [len(texts.texts[row]) for texts, rows in tables.values() for row in rows.tolist()]
    characters = np.array(lengths)
    facts = common_facts(config["name"], data)
    facts["texts"] = text_facts(data, tokens, characters)
    facts["duplicates"] = {"exact": copies_facts(data, samples, exact)}
    for example in facts["duplicates"]["exact"]["examples"]:
        one = example["one"]
        example["text"] = tables[one["split"]][0].texts[one["row"]]
    facts["findings"] = findings(facts)
    page = data_page.opening(facts)
    data_page.classes(page, facts)
    train = tables["train"][0].texts
    chosen = zip(data.spec.class_names, _chosen(config, data), strict=False)
    shown = {name: [train[row] for row in rows] for name, rows in chosen}
    data_page.text_samples(page, shown, data.spec.num_classes)
    data_page.copies(page, facts, {})
    data_page.lengths(page, facts, tokens, characters)
    data_page.words(page, facts)
    return facts, page, {"exact": exact}


# --- what is shown -------------------------------------------------------------------------------


def _chosen(config: Config, data: DataModule) -> list[NDArray[np.int64]]:
    """Rows of the training source to show, for each of the first classes."""
    source, rows = data.splits["train"]
    labels = source.labels[rows].numpy()
    rng = np.random.default_rng(config["seed"])
    count = min(data.spec.num_classes, config["max_classes_shown"])
    shuffled = [rng.permutation(rows.numpy()[labels == label]) for label in range(count)]
    return [part[: config["samples"]] for part in shuffled]


def _sheets(config: Config, data: ImageDataModule) -> list[tuple[str, bytes]]:
    """For each class its samples, and below them the same ones augmented."""
    chosen = _chosen(config, data)
    # Classes take turns, so that transforms that mix a batch mix classes as in training.
    order = np.argsort(np.concatenate([np.arange(len(part)) for part in chosen]), kind="stable")
    rows = np.concatenate(chosen)[order]
    images, labels = data.splits["train"][0].__getitems__(rows.tolist())
    images = resize(images, data.spec.height, data.spec.width)
    times = TIMES_AUGMENTED if data.augment else 0
    versions = [images, *(_augmented(data, images, labels) for _ in range(times))]
    ends = np.cumsum([len(part) for part in chosen])[:-1]
    by_class = [np.split(version.numpy()[np.argsort(order)], ends) for version in versions]
    grids = zip(data.spec.class_names, *by_class, strict=False)
    return [(name, sheet(grid)) for name, *grid in grids if len(grid[0])]


def _augmented(data: ImageDataModule, images: Tensor, labels: Tensor) -> Tensor:
    """A batch as training would see it before it is normalised, uint8 ``[B, C, H, W]``."""
    for transform in data.augment:
        images, labels = transform(images, labels, data.spec)
    if images.dtype == torch.uint8:
        return images
    return (images * 255).round().clamp(0, 255).to(torch.uint8)


def _sheet_rows(data: ImageDataModule) -> str:
    drawn = "Drawn at random from the training split"
    if not data.augment:
        return f"{drawn}, as they are (augment=none)."
    names = ", ".join(type(transform).__name__ for transform in data.augment)
    return f"{drawn}: first as they are, below twice augmented ({names})."


def _pair_pictures(
    data: ImageDataModule, samples: Samples, copies: Copies, examples: Sequence[Facts], kind: str
) -> Iterator[Picture]:
    pairs = zip(copies.summary.pairs, examples, strict=True)
    for number, (pair, example) in enumerate(pairs, 1):
        yield Picture(
            sheet([survey.inputs_at(data, samples, pair).numpy()]),
            "Two images side by side.",
            " — ".join(data_page.place(example[side]) for side in ("one", "other")),
            f"duplicates-{kind}-{number}",
        )


def _write_copies(
    path: Path, data: DataModule, samples: Samples, copies: Mapping[str, Copies]
) -> None:
    """Every member of every group, to sort out by hand or by a script."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["kind", "group", "split", "row", "label", "file"])
        writer.writeheader()
        for kind, found in copies.items():
            for number, group in enumerate(found.groups, 1):
                for position in group.tolist():
                    place = place_of(data, samples, position)
                    writer.writerow({"kind": kind, "group": number, **place})


def _say(facts: Facts) -> None:
    """The summary on the terminal."""
    counts, names = facts["class_counts"], facts["class_names"]
    sizes = ", ".join(f"{sum(values):,} {split}" for split, values in counts.items())
    rows = [("data", f"{facts['data']}: {sizes}"), *data_page.key_figures(facts)]
    rows.append(("imbalance", data_page.ratio(facts["imbalance"])))
    if "images" in facts:
        rows.append(("pixels", facts["images"]["paste"]))
    for kind, found in facts["duplicates"].items():
        rows.append((data_page.COPIES[kind], data_page.groups(found)))
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        say(f"{name:<{width}}  {text}")
    lines = [(name, *(f"{counts[split][i]:,}" for split in counts)) for i, name in enumerate(names)]
    say("\n" + table([("class", *counts), *lines[:MOST_LINES]]))
    if len(lines) > MOST_LINES:
        say(f"  and {len(lines) - MOST_LINES} more classes")
    say()
    letters = fonts.undrawable(names)
    for note in [
        *facts["findings"],
        *facts["notes"],
        *([fonts.advice(letters)] if letters else []),
    ]:
        say(f"note        {note}")

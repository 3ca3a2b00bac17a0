"""Pictures named in tables, against torchvision's reading of the same files."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.datasets import ImageFolder as Reference
from torchvision.transforms import v2

import tiny
from burnish.data.csv_images import CsvImages
from burnish.errors import BurnishError, ConfigError, DataError

Rows = list[tuple[str, str]]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """30 pictures in ``root/<class>/``."""
    return tiny.write_image_folder(tmp_path / "root", {"": 10})


def rows_of(root: Path) -> Rows:
    files = sorted(path for path in root.rglob("*") if path.suffix in (".png", ".jpg"))
    return [(path.relative_to(root).as_posix(), path.parent.name) for path in files]


def table(path: Path, rows: Iterable[tuple[str, str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "label"), *rows])
    return path


def made(**arguments: Any) -> CsvImages:
    module = CsvImages(**{"image_size": 24, "num_workers": 0, "batch_size": 8, **arguments})
    module.prepare_data()
    module.setup("fit")
    return module


def everything(loader: Any) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(labels)


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_reads_what_torchvision_reads(folder_root: Path, tmp_path: Path, cache: str) -> None:
    convert = v2.Compose([v2.Resize(24), v2.CenterCrop(24), v2.PILToTensor()])
    references = {s: Reference(folder_root / s, convert) for s in ("train", "val", "test")}
    tables = {
        split: table(
            tmp_path / f"{split}.csv",
            [
                (os.path.relpath(path, folder_root), reference.classes[label])
                for path, label in reference.samples
            ],
        )
        for split, reference in references.items()
    }
    module = made(root=folder_root, cache=cache, cache_dir=tmp_path, **tables)
    for split, loader in (("val", module.val_dataloader()), ("test", module.test_dataloader())):
        images, labels = everything(loader)
        assert torch.equal(images, torch.stack([image for image, _ in references[split]]))
        assert labels.tolist() == references[split].targets
    assert module.spec.class_names == ("ants", "bees", "wasps")
    assert module.class_counts == {"train": [12] * 3, "val": [4] * 3, "test": [4] * 3}
    assert module.notes == []


def test_one_table_is_cut_stratified_and_by_the_seed(root: Path) -> None:
    path = table(root / "labels.csv", rows_of(root))
    arguments = {"path": path, "test_fraction": 0.2, "val_fraction": 0.25}
    module = made(**arguments)
    assert module.class_counts == {"train": [6] * 3, "val": [2] * 3, "test": [2] * 3}
    assert paths(made(**arguments), "test") == paths(module, "test")
    assert paths(made(**arguments, split_seed=1), "test") != paths(module, "test")
    files = [p for name in ("train", "val", "test") for p in paths(module, name)]
    assert sorted(files) == sorted(root / name for name, _ in rows_of(root))
    without = made(path=path, val_fraction=0.2)
    assert without.class_counts == {"train": [8] * 3, "val": [2] * 3}
    assert without.notes == [f"{path}: no table data.test, so no final test"]


def paths(module: CsvImages, split: str) -> list[Path]:
    source, rows = module.splits[split]
    return source.paths(rows.tolist())  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("form", ["positions", "names", "tabs", "json"])
def test_forms_of_tables(root: Path, form: str) -> None:
    rows, arguments = rows_of(root), {}
    if form == "positions":
        path = root / "t.csv"
        path.write_text("".join(f"{label},x,{name}\n" for name, label in rows))
        arguments = {"image_column": 2, "label_column": 0}
    elif form == "names":
        path = root / "t.csv"
        path.write_text("file;kind\n" + "".join(f"{name};{label}\n" for name, label in rows))
        arguments = {"image_column": "file", "label_column": "kind", "delimiter": ";"}
    elif form == "tabs":
        path = root / "t.tsv"
        path.write_text("image\tlabel\n" + "".join(f"{n}\t{label}\n" for n, label in rows))
    else:
        path = root / "t.jsonl"
        lines = [json.dumps({"label": len(label), "image": name}) for name, label in rows]
        path.write_text("\n".join(lines))
    module = made(path=path, **arguments)
    assert sum(module.class_counts["train"]) == 27
    assert len(module.spec.class_names) == (2 if form == "json" else 3)  # ants and bees: 4 letters


def test_classes_that_are_numbers_are_sorted_by_value(root: Path) -> None:
    numbers = {"ants": "10", "bees": "9", "wasps": "100"}
    rows = [(name, numbers[label]) for name, label in rows_of(root)]
    module = made(path=table(root / "t.csv", rows))
    assert module.spec.class_names == ("9", "10", "100")
    wasps = module.splits["train"][0].labels == 2
    assert int(wasps.sum()) == 10


def test_names_may_be_absolute_and_the_root_spelled_anyhow(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, rows = made(path=table(root / "t.csv", rows_of(root))), rows_of(root)
    mixed = [(str(root / rows[0][0]), rows[0][1]), (f"x/../{rows[1][0]}", rows[1][1]), *rows[2:]]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(root)
    for spelling in ("root", "./root/", "link", str(root)):
        module = made(path=table(root / "t.csv", mixed), root=spelling)
        assert module.class_counts == plain.class_counts
        images = everything(module.val_dataloader())[0]
        assert torch.equal(images, everything(plain.val_dataloader())[0])


@pytest.mark.parametrize("way", ["..", "absolute", "link", "linked folder", "sibling"])
def test_files_outside_the_root_are_refused_unless_allowed(
    root: Path, tmp_path: Path, way: str
) -> None:
    first, *rest = rows_of(root)
    outside = tmp_path / "root-2" / "away.png"
    outside.parent.mkdir()
    (root / first[0]).rename(outside)
    name = {
        "..": "../root-2/away.png",
        "absolute": str(outside),
        "link": "a.png",
        "linked folder": "d/away.png",
        "sibling": "ants/../../root-2/away.png",
    }[way]
    if way == "link":
        (root / "a.png").symlink_to(outside)
    if way == "linked folder":
        (root / "d").symlink_to(outside.parent)
    path = table(root / "t.csv", [*rest, (name, first[1])])
    for on_error in ("raise", "skip"):
        with pytest.raises(DataError, match=r"1 files lie outside .*root\n  line 31: ") as caught:
            made(path=path, on_error=on_error)
    assert "data.allow_outside=true" in str(caught.value)
    for cache in ("none", "disk"):
        module = made(path=path, allow_outside=True, cache=cache)
        assert sum(map(sum, module.class_counts.values())) == 30


def test_missing_files_are_named_at_once_or_left_out(root: Path) -> None:
    missing = [(f"ants/missing-{i}.png", "ants") for i in range(23)]
    path = table(root / "t.csv", [*rows_of(root), *missing, ("ants", "ants"), ("x" * 300, "ants")])
    with pytest.raises(DataError, match="25 files are missing") as caught:
        made(path=path)
    message = str(caught.value)
    assert f"line 32: {root / 'ants/missing-0.png'}\n" in message
    assert "missing-19" in message
    assert "missing-20" not in message
    assert "and 5 more" in message
    assert "data.root" in message
    module = made(path=path, on_error="skip")
    assert sum(map(sum, module.class_counts.values())) == 30
    assert "left out: 25 files are missing" in module.notes[0]
    with pytest.raises(DataError, match="2 files are missing"):
        made(path=table(root / "t.csv", [("a.png", "a"), ("b.png", "b")]), on_error="skip")


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_unreadable_files_and_useless_rows_can_be_left_out(root: Path, cache: str) -> None:
    (root / "bees" / "010.jpg").write_bytes(b"no image")
    path = table(root / "t.csv", [*rows_of(root), ("", "ants"), ("ants/000.png", "")])
    with pytest.raises(DataError, match=r"2 rows \(empty image: 1 \(line 32\); missing label: 1"):
        made(path=path, cache=cache)
    with pytest.raises(DataError, match=r"1 unreadable files\n.*010\.jpg: not an image"):
        made(path=table(root / "u.csv", rows_of(root)), cache=cache)
    for _ in range(2):  # a disk cache remembers what is damaged
        module = made(path=path, cache=cache, on_error="skip", val_fraction=0.1)
        assert sum(map(sum, module.class_counts.values())) == 29
        assert any("010.jpg" in note for note in module.notes)


def test_files_named_twice(root: Path) -> None:
    first, second, *rest = rows_of(root)
    again = (f"./{first[0]}", first[1])
    module = made(path=table(root / "t.csv", [first, second, again, *rest]))
    assert sum(map(sum, module.class_counts.values())) == 30
    assert module.notes[0] == f"{root / 't.csv'}: 1 rows name a file again, with the same label"
    with pytest.raises(DataError, match=r"1 files have two labels\n.*ants in line 2 .*; bees in l"):
        made(path=table(root / "t.csv", [first, second, (first[0], "bees"), *rest]))
    with pytest.raises(DataError, match="1 files have two labels"):
        made(train=table(root / "t.csv", [first, second, *rest]),
             test=table(root / "u.csv", [(first[0], "bees")]))  # fmt: skip


def test_what_is_in_two_splits_is_told(root: Path) -> None:
    rows = rows_of(root)
    module = made(train=table(root / "t.csv", rows), test=table(root / "u.csv", rows[:3]))
    assert "3 files are in both train and test" in module.notes


def test_classes_must_be_known_to_training(root: Path) -> None:
    rows = rows_of(root)
    few = [row for row in rows if row[1] != "wasps"]
    with pytest.raises(
        DataError, match=r"v\.csv: classes that train does not have: wasps \(line 22"
    ):
        made(train=table(root / "t.csv", few), val=table(root / "v.csv", rows))
    with pytest.raises(DataError, match="expected at least two classes, found wasps"):
        made(path=table(root / "t.csv", [row for row in rows if row[1] == "wasps"]))


def test_the_fingerprint_follows_images_and_tables_but_not_the_place(root: Path) -> None:
    before = made(path=table(root / "t.csv", rows_of(root))).fingerprint
    copy = shutil.copytree(root, root.with_name("copy"))
    assert made(path=copy / "t.csv").fingerprint == before
    assert made(path=copy / "t.csv", cache="disk").fingerprint == before
    shutil.copy(copy / "ants" / "000.png", copy / "ants" / "004.png")
    assert made(path=copy / "t.csv").fingerprint != before
    swapped = [(name, {"ants": "bees", "bees": "ants"}.get(label, label))
               for name, label in rows_of(root)]  # fmt: skip
    assert made(path=table(root / "t.csv", swapped)).fingerprint != before


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        ({"path": "a.csv", "train": "b.csv"}, ["data.path"]),
        ({"val": "v.csv", "test": "t.csv"}, ["data.train"]),
        ({"path": "a", "test_fraction": 1.0, "cache": "x"}, ["data.cache", "data.test_fraction"]),
        ({"train": "a.csv", "test": "b.csv", "test_fraction": 0.1}, ["data.test_fraction"]),
    ],
)
def test_bad_arguments_are_named(arguments: Mapping[str, Any], keys: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        CsvImages(**arguments)
    assert [problem.split(":")[0] for problem in caught.value.problems] == keys


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "data.path: required"),
        ({"path": "t.csv", "root": "nowhere"}, "data.root: no folder nowhere"),
        (
            {"path": "t.csv", "image_column": "x"},
            "data.image_column: t.csv has no column 'x', only",
        ),
        ({"path": "t.csv", "test_fraction": 0.001}, "leaves 30 images for training and 0 for the"),
    ],
)
def test_what_cannot_be_used_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch, arguments: Mapping[str, Any], message: str
) -> None:
    table(root / "t.csv", rows_of(root))
    monkeypatch.chdir(root)
    with pytest.raises(BurnishError, match=message):
        made(**arguments)


def test_a_class_that_the_test_split_takes_whole_is_told(root: Path) -> None:
    rows = rows_of(root)
    alone = [(name, f"alone{i}") for i, (name, _) in enumerate(rows[:9])]
    module = made(path=table(root / "t.csv", [*alone, *rows[9:]]), test_fraction=0.5)
    tested = zip(module.spec.class_names, module.class_counts["test"], strict=True)
    lost = [name for name, count in tested if count and name.startswith("alone")]
    assert lost
    assert module.notes == [f"{root / 't.csv'}: the test split has all images of {', '.join(lost)}"]

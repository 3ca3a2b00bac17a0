"""What the report on a data set says, on data whose secrets the tests know."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

import tiny
from burnish.commands.explore import explore
from burnish.data.images import ImageDataModule
from burnish.errors import ConfigError, DataError
from launch import composed


def run(folder: Path, *overrides: str) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    return explore(composed("name=it", *overrides, root="explore"), folder, overrides=overrides)


def listed(folder: Path) -> list[dict[str, str]]:
    with (folder / "duplicates.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --- images in a table ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    root, folder = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("report")
    tiny.write_mnist(root)
    return root, {
        "folder": folder,
        "facts": run(folder, "data=mnist", f"data.root={root}", "augment=standard", "samples=3",
                     "data.mean=null", "data.std=null"),
    }  # fmt: skip


def test_the_folder_holds_the_report(mnist):
    folder = mnist[1]["folder"]
    names = {path.name for path in folder.iterdir()}
    assert {
        "index.html", "statistics.json", "duplicates.csv", "config.yaml", "overrides.yaml",
        "explore.log", "classes.png", "samples-0.png", "samples-9.png",
    } <= names  # fmt: skip
    assert json.loads((folder / "statistics.json").read_text()) == mnist[1]["facts"]
    page = (folder / "index.html").read_text()
    assert mnist[1]["facts"]["images"]["paste"] in page
    assert "RandomCrop" in page


def test_counts_and_normalisation_are_the_data_modules(mnist):
    facts = mnist[1]["facts"]
    assert {split: sum(counts) for split, counts in facts["class_counts"].items()} == {
        "train": 180, "val": 20, "test": 60,
    }  # fmt: skip
    # Measured by the data module as well, as it is given none.
    assert facts["images"]["mean"] == facts["images"]["mean_in_use"]
    assert facts["images"]["std"] == facts["images"]["std_in_use"]
    assert facts["duplicates"]["exact"]["groups"] == 0


def test_a_sheet_shows_samples_of_its_class_and_their_augmentations(mnist):
    pixels = np.asarray(Image.open(mnist[1]["folder"] / "samples-4.png").convert("L")).astype(float)
    cells = [
        [pixels[y * 60 : y * 60 + 56 : 2, x * 60 : x * 60 + 56 : 2] for x in range(3)]
        for y in range(3)
    ]
    # What tiny's images of the digit 4 have in common.
    pattern = np.random.default_rng(1234).integers(40, 216, (10, 28, 28))[4]
    for cell in cells[0]:
        assert np.corrcoef(cell.ravel(), pattern.ravel())[0, 1] > 0.8
    for first, *later in zip(*cells, strict=True):
        assert all(not np.array_equal(first, cell) for cell in later)
        assert not np.array_equal(*later)


def test_the_same_seed_gives_the_same_report(mnist, tmp_path):
    root, found = mnist
    for name, seed in (("again", 0), ("other", 1)):
        run(tmp_path / name, "data=mnist", f"data.root={root}", "augment=standard", "samples=3",
            f"seed={seed}")  # fmt: skip
    first, again, other = (
        (folder / "samples-0.png").read_bytes()
        for folder in (found["folder"], tmp_path / "again", tmp_path / "other")
    )
    assert first == again
    assert first != other


def test_mixed_batches_and_few_classes_shown(mnist, tmp_path):
    run(tmp_path, "data=mnist", f"data.root={mnist[0]}", "augment=mixup", "max_classes_shown=2")
    assert sorted(p.name for p in tmp_path.glob("samples-*")) == ["samples-0.png", "samples-1.png"]
    assert (
        "2 of 10 classes; max_classes_shown=10 shows all" in (tmp_path / "index.html").read_text()
    )


def test_copies_between_the_splits_of_a_table(tmp_path):
    root = tiny.write_mnist(tmp_path / "data")
    raw = root / "MNIST" / "raw"
    labels = tiny.balanced(60, 10, 1)
    images = tiny.patterned(labels, (28, 28), 1)
    train_labels = tiny.balanced(200, 10, 0)
    train = tiny.patterned(train_labels, (28, 28), 0)
    images[:5] = train[:5]
    tiny.write_idx(raw / "t10k-images-idx3-ubyte.gz", images)
    facts = run(tmp_path / "report", "data=mnist", f"data.root={root}")
    exact = facts["duplicates"]["exact"]
    assert exact["groups"] == 5
    assert exact["between"]["test in train"] + exact["between"]["test in val"] == 5
    assert exact["conflicts"] == int((labels[:5] != train_labels[:5]).sum())
    rows = listed(tmp_path / "report")
    copies = [row for row in rows if row["kind"] == "exact"]
    assert sorted(int(row["row"]) for row in copies if row["split"] == "test") == [*range(5)]
    for row in copies:
        known = labels if row["split"] == "test" else train_labels
        assert row["label"] == str(known[int(row["row"])])


def test_what_it_looks_at_is_left_as_it_was(mnist):
    config = composed("name=it", "data=mnist", f"data.root={mnist[0]}", root="explore")
    before = json.dumps(config)
    folder = mnist[1]["folder"] / "once-more"
    folder.mkdir()
    explore(config, folder)
    assert json.dumps(config) == before
    assert ImageDataModule.evaluate_split == "test"


# --- image files ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """Two classes with a copy under another label, a smaller version, and a broken file."""
    root = tmp_path_factory.mktemp("pictures")
    tiny.write_image_folder(root, classes=("蚂蚁", "bees <b>"))
    china = Image.fromarray(load_sample_image("china.jpg"))
    china.save(root / "train" / "蚂蚁" / "china.png")
    china.resize((320, 213)).save(root / "test" / "蚂蚁" / "small.jpg", quality=80)
    shutil.copy(root / "train" / "蚂蚁" / "000.png", root / "val" / "bees <b>" / "copy.png")
    (root / "train" / "蚂蚁" / "broken.jpg").write_bytes(b"no image")
    folder = tmp_path_factory.mktemp("report")
    overrides = ("data=image_folder", f"data.root={root}", "data.image_size=40")
    return root, folder, run(folder, *overrides, "data.num_workers=0", "data.cache=none")


def test_unreadable_files_are_reported(pictures):
    _, folder, facts = pictures
    assert any("broken.jpg" in note for note in facts["notes"])
    assert "broken.jpg: not an image" in (folder / "index.html").read_text()


def test_on_error_raise_is_respected_if_it_was_typed(pictures, tmp_path):
    with pytest.raises(DataError, match=r"broken\.jpg"):
        run(tmp_path, "data=image_folder", f"data.root={pictures[0]}", "data.on_error=raise")
    assert list(tmp_path.iterdir()) == []  # nothing that the caller would have to clear away


def test_a_copy_with_another_label_is_named(pictures):
    _, folder, facts = pictures
    exact = facts["duplicates"]["exact"]
    assert (exact["groups"], exact["conflicts"]) == (1, 1)
    assert exact["between"] == {"val in train": 1, "test in train": 0, "test in val": 0}
    (example,) = exact["examples"]
    assert (example["one"]["file"], example["one"]["label"]) == ("train/蚂蚁/000.png", "蚂蚁")
    assert (example["other"]["file"], example["other"]["label"]) == (
        "val/bees <b>/copy.png", "bees <b>",
    )  # fmt: skip
    assert "Copies: 1 group has samples with different labels." in facts["findings"]
    assert any(row["file"] == "val/bees <b>/copy.png" for row in listed(folder))


def test_another_version_of_a_photograph_is_found(pictures):
    alike = pictures[2]["duplicates"]["alike"]
    files = [{e[side]["file"] for side in ("one", "other")} for e in alike["examples"]]
    assert {"train/蚂蚁/china.png", "test/蚂蚁/small.jpg"} in files
    assert alike["between"]["test in train"] >= 1


def test_sizes_are_those_of_the_files(pictures):
    files = pictures[2]["images"]["files"]
    assert (files["width"]["min"], files["width"]["max"]) == (48, 640)
    assert (files["height"]["min"], files["height"]["max"]) == (36, 427)
    # tiny's are 36 pixels high, which is less than 40; the two of china are larger.
    assert files["enlarged"] == sum(files["formats"].values()) - 2
    assert set(files["formats"]) == {"PNG", "JPEG"}


def test_the_mean_is_measured_whatever_is_configured(pictures):
    images = pictures[2]["images"]
    assert images["mean_in_use"] == [0.485, 0.456, 0.406]
    assert images["mean"] != images["mean_in_use"]


def test_names_of_any_script_are_escaped_and_shown(pictures):
    page = (pictures[1] / "index.html").read_text(encoding="utf-8")
    assert "bees &lt;b&gt;" in page
    assert "bees <b>" not in page
    assert "蚂蚁" in page


# --- texts ---------------------------------------------------------------------------------------

GOOD = "a wonderful film about {0}"
BAD = "a dreadful film about {0} {0} {0}"


def write_reviews(path: Path, rows: Sequence[tuple[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("review", "label"), *rows])
    return path


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Word for word known: 40 good and 20 bad reviews, of which the test split repeats some."""
    root, folder = tmp_path_factory.mktemp("texts"), tmp_path_factory.mktemp("report")
    things = [f"thing{i % 7}" for i in range(60)]
    train = [(f"{GOOD.format(t)} number{i}", "good") for i, t in enumerate(things[:40])]
    train += [(f"{BAD.format(t)} number{i}", "bad") for i, t in enumerate(things[40:])]
    test = [("A  wonderful FILM about thing0 number0", "good"), (train[-1][0], "good"),
            ("utterly <i>new</i> words", "bad")]  # fmt: skip
    val = [(GOOD.format("cats and dogs and mice"), "good"), (BAD.format("cats"), "bad")]
    files = {"train": train, "val": val, "test": [*test, ("", "bad")]}
    paths = [f"data.{k}={write_reviews(root / f'{k}.csv', rows)}" for k, rows in files.items()]
    facts = run(folder, "data=text", *paths, "data.text_column=review", "data.tokenizer=word",
                "data.max_length=7", "data.lowercase=true")  # fmt: skip
    return folder, facts


def test_lengths_and_what_is_cut(reviews):
    texts = reviews[1]["texts"]
    # "a wonderful film about thing0 number0" has 6 words, the bad ones have 8.
    assert texts["tokens"]["median"] == 6
    # "utterly <i>new</i> words" has 5 words, i among them, and 5 marks, each a word of its own.
    assert texts["tokens"]["max"] == 10
    # Unknown are number20 to number39, which occur once: 20 of 40 * 6 + 20 * 8 words.
    assert texts["splits"]["train"] == {"cut": 20, "cut_share": 20 / 60, "unknown_share": 20 / 400}
    assert texts["splits"]["val"]["cut"] == 1
    assert any(finding.startswith("Cut: 33%") for finding in reviews[1]["findings"])


def test_unknown_words_by_hand(reviews):
    splits = reviews[1]["texts"]["splits"]
    # "cats and dogs and mice" (5 of 9 words) and "cats cats cats" (3 of 7).
    assert splits["val"]["unknown_share"] == pytest.approx(8 / 16)
    assert any("Unknown: 50% of val" in finding for finding in reviews[1]["findings"])


def test_distinctive_words(reviews):
    found = reviews[1]["texts"]["distinctive"]
    assert found["good"][0]["token"] == "wonderful"
    assert "dreadful" in [row["token"] for row in found["bad"]]
    assert "<unk>" not in [row["token"] for rows in found.values() for row in rows]


def test_copies_but_for_case_and_blanks(reviews):
    folder, facts = reviews
    exact = facts["duplicates"]["exact"]
    assert (exact["groups"], exact["conflicts"]) == (2, 1)
    assert exact["between"]["test in train"] == 2
    assert exact["examples"][0]["one"]["label"] != exact["examples"][0]["other"]["label"]
    assert "dreadful" in exact["examples"][0]["text"]
    assert {row["split"] for row in listed(folder)} == {"train", "test"}


def test_the_page_shows_texts_and_what_was_left_out(reviews):
    folder, facts = reviews
    page = (folder / "index.html").read_text()
    assert any("empty text" in note for note in facts["notes"])
    assert "empty text" in page
    assert "<i>new</i>" not in page
    assert {p.name for p in folder.glob("*.png")} == {
        "classes.png", "lengths-tokens.png", "lengths-characters.png",
    }  # fmt: skip


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -1, 2.5, True, None])
def test_samples_must_be_a_number(value, tmp_path):
    config = {**composed("name=x", root="explore"), "samples": value, "max_classes_shown": value}
    with pytest.raises(ConfigError) as caught:
        explore(config, tmp_path)
    assert [line.partition(":")[0] for line in caught.value.problems] == [
        "samples", "max_classes_shown",
    ]  # fmt: skip


def test_an_empty_class_is_no_division_by_zero(tmp_path):
    # 20 samples of digits: the rarest class may vanish from the validation split.
    facts = run(tmp_path, "data=digits", "data.limit=20", "data.val_fraction=0.005")
    assert any("val has no sample of" in finding for finding in facts["findings"])
    assert torch.tensor(facts["class_counts"]["train"]).min() > 0

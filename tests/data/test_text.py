"""Text data modules: splits, vocabulary, batches, files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import tiny
from burnish.data.docstrings import PACKAGES, Docstrings, _sentences, _sentences_of
from burnish.data.text_files import TextFiles
from burnish.errors import ConfigError, DataError
from burnish.spec import UNKNOWN, ImageSpec, TextSpec


def module(path: Path, **arguments: object) -> TextFiles:
    data = TextFiles(path=path, min_frequency=1, batch_size=8, **arguments)
    data.setup()
    return data


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return tiny.write_reviews(tmp_path / "reviews.csv", rows=200)


def texts_of(data: TextFiles, split: str) -> list[str]:
    source, rows = data.splits[split]
    return [source.texts[row] for row in rows]


def test_one_file_is_cut_into_three_stratified_splits(csv: Path) -> None:
    data = module(csv)
    assert data.class_counts == {"train": [72, 72], "val": [8, 8], "test": [20, 20]}
    parts = [set(texts_of(data, split)) for split in data.splits]
    assert sum(map(len, parts)) == 200
    assert set.union(*parts) == {text for _, text in tiny.reviews(200)}
    assert texts_of(module(csv), "test") == texts_of(data, "test")
    assert texts_of(module(csv, split_seed=1), "test") != texts_of(data, "test")
    assert not module(csv, test_fraction=None).has_test


def test_the_vocabulary_is_of_the_training_split_alone(csv: Path) -> None:
    data = module(csv)
    seen = set("".join(texts_of(data, "train")))
    assert set(data.spec.vocabulary[2:]) == seen
    assert set(module(csv, limit=4).spec.vocabulary[2:]) < seen


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_batches_are_the_texts_padded_behind(csv: Path, split: str) -> None:
    data = module(csv, eval_batch_size=8)
    loader = getattr(data, f"{split}_dataloader")()
    source, _ = data.splits[split]
    met = []
    for rows, (ids, labels) in zip(loader.batch_sampler.batches(), loader, strict=True):
        texts = [source.texts[row] for row in rows]
        assert ids.dtype == labels.dtype == torch.int64
        assert ids.shape == (len(texts), max(map(len, texts)))
        for row, text in zip(ids, texts, strict=True):
            known = {token: i for i, token in enumerate(data.spec.vocabulary)}
            expected = [known.get(c, UNKNOWN) for c in text]
            assert row.tolist() == expected + [0] * (len(row) - len(text))
        met += texts
    assert sorted(met) == sorted(texts_of(data, split))


def test_labels_are_those_of_the_file(csv: Path) -> None:
    data = module(csv)
    truth = {text: label for label, text in tiny.reviews(200)}
    source, rows = data.splits["val"]
    for row in rows:
        assert data.spec.class_names[source.labels[row]] == truth[source.texts[row]]


def test_long_texts_are_cut_and_counted(csv: Path) -> None:
    data = module(csv, max_length=10)
    assert max(ids.shape[1] for ids, _ in data.train_dataloader()) == 10
    long = {split: sum(len(t) > 10 for t in texts_of(data, split)) for split in data.splits}
    (note,) = [note for note in data.notes if "cut at" in note]
    assert f"{long['train']} of 144 train" in note
    assert f"{long['test']} of 40 test" in note


def test_texts_of_training_in_the_test_are_counted(tmp_path: Path) -> None:
    rows = [("pos", "same"), ("neg", "bad"), ("pos", "fine"), ("neg", "worse")] * 5
    lines = ["label,text", *(f"{a},{b} {i}" for i, (a, b) in enumerate(rows))]
    (tmp_path / "train.csv").write_text("\n".join(lines))
    (tmp_path / "test.csv").write_text("label,text\npos,same 0\nneg,bad 1\npos,new\n")
    data = TextFiles(train=tmp_path / "train.csv", test=tmp_path / "test.csv", val_fraction=0.2)
    data.setup()
    shared = len({"same 0", "bad 1"} & set(texts_of(data, "train")))
    assert shared
    assert any(note.startswith(f"{shared} of 3 texts of test occur") for note in data.notes)


def test_formats_and_columns_by_position_give_the_same(csv: Path, tmp_path: Path) -> None:
    expected = module(csv)
    pairs = tiny.reviews(200)
    tsv = tmp_path / "a.tsv"
    tsv.write_text("".join(f"{text}\t{label}\n" for label, text in pairs), encoding="utf-8-sig")
    jsonl = tmp_path / "a.jsonl"
    entries = [{"stars": int(label), "body": text} for label, text in pairs]
    jsonl.write_text("\n".join(json.dumps(entry) for entry in entries))
    for data in (
        module(tsv, text_column=0, label_column=1),
        module(jsonl, text_column="body", label_column="stars"),
    ):
        assert data.spec == expected.spec
        assert texts_of(data, "test") == texts_of(expected, "test")


def test_an_adopted_spec_is_kept(csv: Path, tmp_path: Path) -> None:
    spec = module(csv).spec
    other = tiny.write_reviews(tmp_path / "other.csv", rows=40)
    data = TextFiles(path=other)
    data.adopt(spec)
    data.setup()
    assert data.spec is spec
    fresh = TextFiles(path=other)
    fresh.adopt_vocabulary(TextSpec(("a", "b", "c"), "char", spec.vocabulary, 9))
    fresh.setup()
    assert fresh.spec == TextSpec(("0", "1"), "char", spec.vocabulary, 9)


def test_an_adopted_spec_of_other_classes_or_of_images_is_refused(csv: Path) -> None:
    data = TextFiles(path=csv)
    data.adopt(TextSpec(("0", "1", "2"), "char", ("<pad>", "<unk>", "a"), 8))
    data.setup()  # classes that this file has no rows of are no mistake
    assert data.class_counts["train"][2] == 0
    data = TextFiles(path=csv)
    data.adopt(TextSpec(("bad", "good"), "char", ("<pad>", "<unk>", "a"), 8))
    with pytest.raises(DataError, match=r"classes that train does not have: 1 \(line 2\)"):
        data.setup()
    data = TextFiles(path=csv)
    data.adopt(ImageSpec(1, 8, 8, ("0", "1"), (0.5,), (0.5,)))
    with pytest.raises(DataError, match="the run was trained on images"):
        data.setup()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "data.path: give the one file"),
        ({"path": "a.csv", "test": "b.csv"}, "data.test: goes with data.train"),
        ({"path": "a.csv", "train": "b.csv"}, "data.path: give the one file"),
        ({"path": "a.csv", "tokenizer": "words"}, "data.tokenizer: must be char, word or bpe"),
        ({"path": "a.csv", "max_length": 0}, "data.max_length: must be an integer of at least 1"),
        (
            {"path": "a.csv", "tokenizer": "bpe", "vocabulary_size": 100},
            "data.vocabulary_size: must be an integer of at least 258",
        ),
        ({"path": "a.csv", "test_fraction": 1.5}, "data.test_fraction: must lie between"),
        ({"path": "a.csv", "num_folds": 5}, "data.fold: give data.num_folds and data.fold"),
        ({"path": "a.csv", "num_folds": 5, "fold": 5}, "data.fold: must be at most 4"),
        ({"path": "a.csv", "sampler": "even"}, "data.sampler: must be none"),
        ({"path": "a.csv", "augment": [object()]}, "augment: changes images"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        TextFiles(**arguments)


def test_a_column_that_is_no_class_is_named(csv: Path) -> None:
    with pytest.raises(DataError, match="every row has a label of its own"):
        module(csv, label_column="text")


def test_docstrings_do_not_name_their_package_and_are_the_same_each_time() -> None:
    data = Docstrings(tokenizer="word")
    data.setup()
    assert data.spec.class_names == PACKAGES
    texts = {split: texts_of(data, split) for split in data.splits}
    every = [text for part in texts.values() for text in part]
    assert len(every) == len(set(every)) > 4000
    assert not [t for t in every if "numpy" in t.lower() or "optuna" in t.lower()]
    assert all(5 <= len(text.split()) <= 40 for text in every)
    # One package stands for all: reading them takes seconds.
    assert [*_sentences_of("optuna")] == (again := [*_sentences_of("optuna")])
    source, rows = data.splits["test"]
    own = rows[source.labels[rows] == PACKAGES.index("optuna")]
    assert {source.texts[row] for row in own} <= set(again)


def test_sentences_are_the_prose_of_a_docstring() -> None:
    docstring = """Compute `x` of :class:`~torch.Tensor` in 0.5 steps of torch.nn layers now.

    It returns another sentence of several
    words. Short one.

    >>> code(that, should, not, be, found)

    Args:
        x: Never this sentence with many words in it.
    """
    assert list(_sentences(docstring)) == [
        "Compute x of NAME.Tensor in 0.5 steps of NAME.nn layers now.",
        "It returns another sentence of several words.",
    ]


def test_texts_without_a_token_are_one_padding_long_and_counted(tmp_path: Path) -> None:
    rows = [(i % 2, "\u200b\u200b" if i % 4 == 0 else f"word {i}") for i in range(80)]
    table = tmp_path / "zero.csv"
    table.write_text("label,text\n" + "".join(f"{label},{text}\n" for label, text in rows))
    data = module(table, tokenizer="word", eval_batch_size=1)
    assert "20 texts have no token that data.tokenizer knows of" in data.notes
    shapes = {tuple(ids.shape) for ids, _ in data.test_dataloader()}
    assert shapes == {(1, 1), (1, 2)}

"""burnish split: sizes, strata, files, and that the command it prints reads them."""

from __future__ import annotations

import csv
import gzip
import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tiny
from burnish.build import build_data
from burnish.commands.split import cut, main
from burnish.errors import BurnishError, ConfigError, DataError
from launch import composed

COUNTS = [60, 30, 10]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def records(sizes: list[int] = COUNTS) -> list[dict[str, str]]:
    """Rows of classes a, b, c ..., mixed, with everything that makes CSV hard."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    return [
        {"id": f"{i:04d}", "text": f'row {i}, "said"\nagain 中文', "label": chr(97 + label)}
        for i, label in enumerate(labels)
    ]


def write(path: Path, rows: list[dict[str, str]], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def printed_overrides(text: str) -> list[str]:
    line = next(line for line in text.splitlines() if "src/train.py" in line)
    return shlex.split(line)[2:]


@pytest.mark.parametrize(
    ("test", "val", "sizes"),
    [(0.2, 0.1, (70, 10, 20)), (0.2, 0.0, (80, 0, 20)), (0.0, 0.25, (75, 25, 0)),
     (0.333, 0.333, (34, 33, 33)), (0.45, 0.45, (10, 45, 45))],
)  # fmt: skip
def test_sizes_are_exact_and_classes_in_proportion(test: float, val: float, sizes) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], COUNTS))
    parts = cut(labels, {"test": test, "val": val}, seed=3)
    assert [len(parts.get(part, ())) for part in ("train", "val", "test")] == list(sizes)
    assert list(parts) == [p for p, n in zip(("train", "val", "test"), sizes, strict=True) if n]
    everything = np.concatenate(list(parts.values()))
    assert sorted(everything.tolist()) == list(range(100))
    for share, part in ((test, "test"), (val, "val")):
        if share:
            found = np.bincount(labels[parts[part]])
            assert np.abs(found - share * np.array(COUNTS)).max() <= 1
            assert found.min() >= 1


def test_the_seed_decides_and_nothing_else() -> None:
    labels = np.repeat([0, 1], 50)
    shares = {"test": 0.2, "val": 0.2}
    first, again, other = (cut(labels, shares, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(first[part], again[part]) for part in first)
    assert not np.array_equal(first["test"], other["test"])


@pytest.mark.parametrize("counts", [[200, 3, 2, 1], [3, 3, 3, 3, 100], [4, 3, 90, 1, 1, 1]])
@pytest.mark.parametrize("shares", [(0.1, 0.1), (0.3, 0.3), (0.6, 0.3)])
def test_every_class_of_three_is_in_every_part_and_smaller_ones_stay(counts, shares) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    parts = cut(labels, {"test": shares[0], "val": shares[1]}, seed=0)
    found = {part: np.bincount(labels[rows], minlength=len(counts)) for part, rows in parts.items()}
    large = np.array(counts) >= 3
    for part, share in zip(("test", "val"), shares, strict=True):
        assert len(parts[part]) == round(share * len(labels))
        assert (found[part][large] >= 1).all()
        assert (found[part][~large] == 0).all()
    assert (found["train"] >= 1).all()


def test_a_table_keeps_all_columns_and_every_row(tmp_path: Path, capsys) -> None:
    rows = records()
    source = write(tmp_path / "all.csv", rows)
    assert main([str(source), str(tmp_path / "out")]) == 0
    parts = {name: read(tmp_path / "out" / f"{name}.csv") for name in ("train", "val", "test")}
    assert [len(part) for part in parts.values()] == [70, 10, 20]
    for part in parts.values():
        assert part == [row for row in rows if row in part]  # in the order of the source
    assert sorted(r["id"] for part in parts.values() for r in part) == [r["id"] for r in rows]
    words = [line.split() for line in capsys.readouterr().out.splitlines()[:5]]
    assert words == [
        ["class", "train", "val", "test"],
        ["a", "42", "6", "12"],
        ["b", "21", "3", "6"],
        ["c", "7", "1", "2"],
        ["all", "70", "10", "20"],
    ]


def test_the_printed_command_reads_the_texts(tmp_path: Path, capsys) -> None:
    source = write(
        tmp_path / "my reviews.csv", [{k: r[k] for k in ("text", "label")} for r in records()]
    )
    main([str(source), str(tmp_path / "my 'out' $x")])
    data = build_data(composed("name=x", *printed_overrides(capsys.readouterr().out)))
    assert data.class_counts == {"train": [42, 21, 7], "val": [6, 3, 1], "test": [12, 6, 2]}


def test_what_cannot_be_known_is_left_to_fill_in(tmp_path: Path, capsys) -> None:
    main([str(write(tmp_path / "t.csv", records())), str(tmp_path / "out"), "--val", "0"])
    out = capsys.readouterr().out
    assert "data.text_column=: id, text" in out
    overrides = printed_overrides(out)
    assert "data.text_column=" in overrides
    assert not any("val" in override for override in overrides)
    assert not (tmp_path / "out" / "val.csv").exists()


def test_the_printed_command_reads_the_pictures(tmp_path: Path, capsys) -> None:
    root = tiny.write_image_folder(tmp_path / "my pictures", {"": 10}, ("a, b", "c=d", 'e"f'))
    (root / "a, b" / "note.txt").write_text("no image")
    assert main([str(root), str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "1 files that are no images left out" in out
    data = build_data(
        composed("name=x", *printed_overrides(out), "data.image_size=8", "data.num_workers=0")
    )
    assert data.class_counts == {"train": [7] * 3, "val": [1] * 3, "test": [2] * 3}
    assert data.spec.class_names == ("a, b", "c=d", 'e"f')
    names = [
        row["image"] for p in ("train", "val", "test") for row in read(tmp_path / f"out/{p}.csv")
    ]
    assert sorted(names) == sorted(
        p.relative_to(root).as_posix() for p in root.rglob("*.*") if p.suffix != ".txt"
    )


def test_a_table_of_pictures_is_used_as_one(tmp_path: Path, capsys) -> None:
    root = tiny.write_image_folder(tmp_path / "root", {"": 10})
    source = tiny.write_labels(root / "labels.csv", tiny.write_image_folder(tmp_path / "x"))
    main([str(source), str(tmp_path / "out")])
    assert printed_overrides(capsys.readouterr().out)[:2] == [
        "data=csv_images",
        f"data.root={root}",
    ]


def test_tab_files_without_a_header(tmp_path: Path, capsys) -> None:
    lines = [f'"open quote {r["id"]}\t{r["label"]}\n' for r in records()]
    (tmp_path / "t.tsv").write_text("".join(lines).rstrip("\n"))
    main([str(tmp_path / "t.tsv"), str(tmp_path / "out"), "--label-column", "1"])
    parts = [(tmp_path / "out" / f"{p}.tsv").read_text() for p in ("train", "val", "test")]
    assert sorted("".join(parts).splitlines(keepends=True)) == sorted(lines)
    data = build_data(composed("name=x", *printed_overrides(capsys.readouterr().out)))
    assert data.class_counts["train"] == [42, 21, 7]


def test_json_lines_are_copied_unchanged(tmp_path: Path) -> None:
    lines = [json.dumps({**r, "more": [1, None]}) + "\n" for r in records()]
    (tmp_path / "t.jsonl.gz").write_bytes(gzip.compress("".join(lines).encode()))
    main([str(tmp_path / "t.jsonl.gz"), str(tmp_path / "out")])
    parts = [gzip.decompress((tmp_path / "out" / f"{p}.jsonl.gz").read_bytes()).decode()
             for p in ("train", "val", "test")]  # fmt: skip
    assert sorted("".join(parts).splitlines(keepends=True)) == sorted(lines)


def test_classes_too_small_are_named(tmp_path: Path, capsys) -> None:
    main([str(write(tmp_path / "t.csv", records([50, 2, 3, 1]))), str(tmp_path / "out")])
    assert "too small to divide, so in train only: b, d" in capsys.readouterr().out
    assert {r["label"] for r in read(tmp_path / "out/test.csv")} == {"a", "c"}


def test_tables_that_are_there_are_kept_unless_forced(tmp_path: Path) -> None:
    source, out = write(tmp_path / "t.csv", records()), tmp_path / "out"
    main([str(source), str(out)])
    before = (out / "train.csv").read_bytes()
    with pytest.raises(ConfigError, match="--force") as caught:
        main([str(source), str(out), "--seed", "1", "--val", "0"])
    assert str(out / "val.csv") in str(caught.value)
    assert (out / "train.csv").read_bytes() == before
    main([str(source), str(out), "--seed", "1", "--val", "0", "--force"])
    assert (out / "train.csv").read_bytes() != before
    # One of the earlier split would overlap with the new ones.
    assert sorted(p.name for p in out.iterdir()) == ["test.csv", "train.csv"]


def test_the_source_is_never_replaced(tmp_path: Path) -> None:
    source = write(tmp_path / "train.csv", records())
    before = source.read_bytes()
    with pytest.raises(ConfigError, match=r"would replace .*train\.csv"):
        main([str(source), str(tmp_path), "--force"])
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--test", "1"], "--test: must be at least 0 and less than 1, found 1.0"),
        (["--test", "nan"], "--test: must be at least 0"),
        (["--val", "-0.1"], "--val: must be at least 0"),
        (["--val", "0", "--test", "0"], "must sum to between 0 and 1, found 0"),
        (["--val", "0.5", "--test", "0.5"], "must sum to between 0 and 1, found 1"),
        (["--seed", "-1"], "--seed: must be at least 0"),
        (["--test", "0.01"], "--test: 1 rows, but it must have at least 3"),
        (["--val", "0.79"], "--val: 79 rows, but it must have .* at most 77"),
        (["--label-column", "lable"], "--label-column: .* did you mean 'label'"),
        (["--label-column", "id"], "every class is too small"),
        (["--header", "false"], "--header: false, so --label-column must be positions"),
    ],
)
def test_what_cannot_be_cut_is_named(tmp_path: Path, options: list[str], message: str) -> None:
    source = write(tmp_path / "t.csv", records())
    with pytest.raises(BurnishError, match=message):
        main([str(source), str(tmp_path / "out"), *options])
    assert not (tmp_path / "out").exists()


def test_rows_without_a_label_are_named_or_left_out(tmp_path: Path, capsys) -> None:
    rows = records()
    rows[1]["label"] = rows[4]["label"] = ""
    arguments = [str(write(tmp_path / "t.csv", rows)), str(tmp_path / "out")]
    with pytest.raises(DataError, match=r"missing label: 2 \(line 4, 10\)") as caught:
        main(arguments)
    assert "--on-error=skip" in str(caught.value)
    main([*arguments, "--on-error", "skip"])
    assert "left out 2 rows" in capsys.readouterr().out
    assert sum(len(read(p)) for p in (tmp_path / "out").iterdir()) == 98


def test_rows_without_a_text_are_left_out_so_that_the_printed_command_works(
    tmp_path: Path, capsys
) -> None:
    rows = [{"label": r["label"], "review": r["text"]} for r in records()]
    rows[3]["review"] = " "
    rows[7]["label"] = ""
    arguments = [str(write(tmp_path / "reviews.csv", rows)), str(tmp_path / "parts")]
    with pytest.raises(DataError, match=r"of no use: 2 rows .*empty text: 1 \(line 8\)") as caught:
        main(arguments)
    assert "missing label: 1 (line 15)" in str(caught.value)
    main([*arguments, "--on-error", "skip"])
    out = capsys.readouterr().out
    assert "left out 2 rows" in out
    data = build_data(composed("name=x", *printed_overrides(out)))
    kept = [r["label"] for i, r in enumerate(rows) if i not in (3, 7)]
    found = np.sum([data.class_counts[part] for part in ("train", "val", "test")], axis=0)
    assert found.tolist() == [kept.count(name) for name in "abc"]


def test_rows_without_a_file_name_are_named(tmp_path: Path) -> None:
    rows = [{"image": f"{i}.png", "label": "ab"[i % 2], "note": ""} for i in range(40)]
    rows[2]["image"] = ""
    with pytest.raises(DataError, match=r"empty image: 1 \(line 4\)"):
        main([str(write(tmp_path / "t.csv", rows)), str(tmp_path / "out")])


@pytest.mark.parametrize(
    ("options", "heading"),
    [(["--label-column", "1", "--header", "true"], "text,label\n"), ([], ",label\n")],
)
def test_the_text_column_is_known_beside_a_label_by_position_and_without_a_name(
    options: list[str], heading: str, tmp_path: Path, capsys
) -> None:
    (tmp_path / "t.csv").write_text(heading + "good,a\nbad,b\n" * 20)
    main([str(tmp_path / "t.csv"), str(tmp_path / "out"), *options])
    data = build_data(composed("name=x", *printed_overrides(capsys.readouterr().out)))
    assert data.class_counts["train"] == [14, 14]


def test_folders_that_are_cut_already_are_refused(folder_root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is cut already, into train, val, test"):
        main([str(folder_root), str(tmp_path / "out")])
    with pytest.raises(DataError, match="expected a folder a class"):
        main([str(tmp_path), str(tmp_path / "out")])
    with pytest.raises(DataError, match="no such file"):
        main([str(tmp_path / "nowhere.csv"), str(tmp_path / "out")])


def test_help_is_worth_reading_and_nothing_heavy_is_imported(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert "burnish split photographs parts" in capsys.readouterr().out
    code = (
        "import sys, burnish.commands.split\n"
        "sys.exit(any(m in sys.modules for m in ('torch', 'lightning', 'hydra', 'PIL')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
